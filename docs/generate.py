"""Writes the pages of docs/ that are made from the code: ``python docs/generate.py``. tests/test_docs.py holds them fresh.

Another folder to write to may be given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from idp.audit import Event
from idp.cli.idp_command import idp
from idp.config import Config
from idp.doors.saml_menus import MENDED_AT, menu_for
from idp.doors.saml_presets import PRESETS
from idp.languages import Languages
from idp.reasons import OWNERS, REASONS

FOLDER = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py. Change the code that it reads, not this page. -->"


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "settings.md": _settings(),
        "cli.md": _cli(),
        "reasons.md": _reasons(),
        "audit-events.md": _audit_events(),
        "company-it/errors.md": _company_errors(),
    }


def _settings() -> str:
    rows = []
    for name, field in Config.model_fields.items():
        default = "required" if field.is_required() else _written(field.default)
        rows.append((f"`IDP_{name.upper()}`", default, field.description or ""))
    return _page(
        "Settings",
        "Environment variables, read once at start. Each can also come from a file: `IDP_SMTP_PASSWORD_FILE=/run/secrets/smtp` "
        "reads its value from there. An unknown or wrong one stops the start with the full list; `idp config check` "
        "prints the same list, `idp config show` what holds. Durations are seconds.",
        _table(("Setting", "Default", "Meaning"), rows),
    )


def _written(value: object) -> str:
    if value is None or value == "" or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cli() -> str:
    helps = "\n".join(f"## {name}\n\n```\n{text}\n```\n" for name, text in _commands(idp, "idp", None))
    about = "The operators' command. Exit code 0: done; 1: something must be mended, and one message says what; 2: the command line is wrong."
    return _page("The idp command", about, helps)


def _commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, parent, name, terminal_width=100, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for noun in command.list_commands(context):
            found = command.get_command(context, noun)
            if found is not None:
                yield from _commands(found, noun, context)


def _reasons() -> str:
    words = Languages()
    parts = []
    for owner, who in OWNERS.items():
        rows = [
            (f"`{reason.code}`", reason.cause, words.text("en", reason.says), words.text("en", reason.next))
            for reason in REASONS.values()
            if reason.owner == owner
        ]
        parts.append(f"## To be mended by {who}\n\n" + _table(("Reason", "Cause", "It says", "Next step"), rows))
    return _page(
        "Reasons",
        "Every way in which a sign-in can fail. The reason stands in the receipt (`idp attempts show CODE`), in the log and in "
        "the metric `idp_failed_steps_total`; people read the sentences, in their language.",
        "\n".join(parts),
    )


def _audit_events() -> str:
    words = Languages()
    rows = [(f"`{event.value}`", words.text("en", f"audit.{event.value}")) for event in Event]
    return _page(
        "Audit events",
        "Who did what to whom, in the table `audit_events`, written in the transaction of the act itself (acts on keys and on "
        "clients.yaml: right after it). Each row has the time `at` (seconds since 1970), the `event`, the `actor` "
        "(`person:<account id>`, `operator:<unix user>`, `connection:<id>`: a company's identity provider, or `system`), the `account_id` that it happened to, and further `facts`.",
        _table(("Event", "What happened"), rows),
    )


# Where a code of the company's IT belongs, by how it begins; the longest that fits.
_CHAPTERS = {
    "Sign-ins that your identity provider answered": (
        "saml_",
        *(code for code in MENDED_AT if code.startswith("company_")),
    ),
    "Sign-outs": ("saml_logout_",),
    "Your metadata and certificates": ("saml_metadata_", "connection_"),
    "Proving a domain": ("domain_",),
    "Members and policies": ("company_", "invite_", "second_"),
}
# What the receipt of a failed sign-in shows, as an example.
_EXAMPLES = {
    "saml_audience_wrong": ("https://login.example/saml/k3x9/metadata", "https://login.example/saml/q7r2/metadata"),
    "saml_destination_wrong": ("https://login.example/saml/k3x9/acs", "https://example.com/acs"),
    "saml_recipient_wrong": ("https://login.example/saml/k3x9/acs", "none"),
    "saml_issuer_wrong": ("https://idp.acme.example/saml", "https://idp.acme.example/saml/"),
    "saml_unsigned": ("a signature of the Response or the Assertion", "none"),
    "saml_encrypted_unsigned": ("a signature of the Response", "none"),
    "saml_encrypted_other_key": ("encrypted for 4f1a9c20e6b7d853", "encrypted for 90c2e7ab13d4f586"),
    "saml_algorithm_weak": (
        "SHA-256 or stronger, with RSA or ECDSA",
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    ),
    "saml_certificate_other": ("4f1a9c20e6b7d853", "90c2e7ab13d4f586 (SHA-256)"),
    "saml_signature_wrong": ("what was signed", "something that was changed after it was signed"),
    "saml_status_denied": ("Success", "Responder, AuthnFailed: the person is not assigned to this application"),
    "saml_status_failed": ("Success", "Requester, InvalidNameIDPolicy"),
    "saml_name_id_missing": ("a NameID", "none"),
    "company_name_id_transient": (
        "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
        "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
    ),
    "company_name_id_format_wrong": (
        "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    ),
    "company_email_missing": ("one e-mail address in the attribute mail", "none; the attributes are: uid, sn"),
    "company_email_several": ("one e-mail address in the attribute mail", "2 values"),
    "company_email_malformed": ("an e-mail address as NameID", "something that is no address"),
    "company_email_upn": ("an address of a domain that the company has proved", "a•••e@acme.onmicrosoft.com"),
    "company_domain_foreign": ("an address of a domain that the company has proved", "b•••b@example.net"),
    "saml_logout_issuer": ("https://idp.acme.example/saml", "https://idp.acme.example/saml/"),
    "saml_logout_destination": ("https://login.example/saml/k3x9/slo", "none"),
    "saml_logout_encrypted": ("a NameID", "an EncryptedID"),
}


def _company_errors() -> str:
    words = Languages()
    chapters: dict[str, list[str]] = {chapter: [] for chapter in _CHAPTERS}
    for reason in REASONS.values():
        if reason.owner != "company":
            continue
        _, chapter = max(
            (len(begin), chapter)
            for chapter, begins in _CHAPTERS.items()
            for begin in begins
            if reason.code.startswith(begin)
        )
        lines = [
            f"### {reason.code}\n",
            f"{reason.cause}\n",
            f"It says: {words.text('en', reason.says)} {words.text('en', reason.next)}\n",
        ]
        if reason.code in _EXAMPLES:
            expected, received = _EXAMPLES[reason.code]
            lines.append(f"For example: expected `{expected}`, received `{received}`.\n")
        menus = [
            (preset.name, menu_for(reason.code, vendor, email_is_name_id="email" not in preset.attributes))
            for vendor, preset in PRESETS.items()
        ]
        if any(menu for _, menu in menus):
            lines.append(_table(("At", "Mended in"), [(name, menu) for name, menu in menus if menu]))
        chapters[chapter].append("\n".join(lines))
    return _page(
        "Errors",
        "Every reason that the IT of a company can mend, for the people who run its identity provider. The code stands on the page of a trial, "
        "and in the list of the last attempts through your connection, each with what we expected and what we received; a person who "
        "could not sign in can read you the receipt (`K7QX-2M4P`). Values are masked, and no document is kept. "
        "How to set it up: [the guides](index.md).",
        "\n".join(f"## {chapter}\n\n" + "\n".join(found) for chapter, found in chapters.items()),
    )


def _page(title: str, about: str, body: str) -> str:
    return f"{NOTE}\n# {title}\n\n{about}\n\n{body}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, text in pages().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

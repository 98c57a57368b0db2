"""How the command line describes an identity provider: by its metadata, as address or file, or six values by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from idp.cli.company_arguments import read_file
from idp.errors import OperatorError

if TYPE_CHECKING:
    from idp.config import Config
    from idp.connections import Description

FORMATS = {
    "email": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}


def described(command: Callable[..., None]) -> Callable[..., None]:
    """The options that describe an identity provider: its metadata by address or file, or six values by hand."""
    options = (
        click.option("--metadata-url", help="Where its metadata is; it is read again on schedule."),
        click.option("--metadata-file", type=click.Path(path_type=Path), help="Its metadata as a file."),
        click.option("--metadata-certificate", type=click.Path(path_type=Path),
                     help="What its metadata is signed with: then no other metadata counts."),
        click.option("--entity-id", help="Its entityID, by hand."),
        click.option("--sign-on-url", help="Where people are sent to sign in."),
        click.option("--binding", type=click.Choice(["redirect", "post"]), default="redirect", show_default=True,
                     help="How they are sent there."),
        click.option("--sign-out-url", default="", help="Where sign-outs are sent, if it has that."),
        click.option("--certificate", type=click.Path(path_type=Path), help="The certificate that it signs with (any form)."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def describe(
    config: Config,
    now: float,
    name_id_format: str | None,
    email_attribute: str | None,
    *,
    metadata_url: str | None,
    metadata_file: Path | None,
    metadata_certificate: Path | None,
    entity_id: str | None,
    sign_on_url: str | None,
    binding: str,
    sign_out_url: str,
    certificate: Path | None,
) -> tuple[Description, str, str]:
    """What the options describe, the metadata document (empty: none), and whether it came by url, file or form."""
    from idp.certificates import read_certificates
    from idp.connections import description_from_form
    from idp.doors.saml_metadata import fetch_metadata, read_metadata
    from idp.fetch import Fetcher

    manual = sign_on_url is not None or certificate is not None
    if [metadata_url is not None, metadata_file is not None, manual].count(True) != 1:
        raise OperatorError("Give one of: --metadata-url, --metadata-file, or --sign-on-url with --certificate.")
    if not manual:
        if entity_id is not None:
            raise OperatorError("--entity-id goes with --sign-on-url and --certificate; metadata says it by itself.")
        if metadata_url is not None:
            document = fetch_metadata(Fetcher(config), metadata_url)
        else:
            document = read_file(metadata_file or Path())
        signed_by = read_certificates(read_file(metadata_certificate))[0] if metadata_certificate is not None else None
        description = read_metadata(document, now, loopback=config.on_loopback, signed_by=signed_by)
        return description, document.decode("utf-8", "replace"), "url" if metadata_url is not None else "file"
    if entity_id is None or sign_on_url is None or certificate is None:
        raise OperatorError("By hand at least --entity-id, --sign-on-url and --certificate are needed.")
    description = description_from_form(
        entity_id=entity_id,
        sso_url=sign_on_url,
        sso_binding=binding,
        slo_url=sign_out_url,
        certificate=read_file(certificate),
        name_id_format=name_id_format or FORMATS["unspecified"],
        email_attribute=email_attribute or "",
        loopback=config.on_loopback,
        now=now,
    )
    return description, "", "form"


def name_id_format_of(text: str | None) -> str | None:
    """The whole URN of a NameID format, also by its short name."""
    return FORMATS.get(text, text) if text is not None else None

"""Promises of mail.py, with a real mail server: what a person gets, what nobody can smuggle in, and what is never sent twice."""

from __future__ import annotations

import re
import secrets
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from sqlalchemy import func, select, text

from idp.config import Config, read_config
from idp.database import Database
from idp.errors import OperatorError
from idp.languages import Languages
from idp.mail import MOST_ALIKE_PER_HOUR, MOST_PER_DAY, Mailer, check_recipient, queue_mail
from idp.models import OutboxMail
from idp.outbox import MAILS, Outcome
from idp.sealing import Sealer
from tests import canaries
from tests.browser import axe, chromium
from tests.fakes.mail_server import PASSWORD, MailServer, mail_server

NOW = 1_800_000_000.0
ISSUER = "https://login.example"
LANGUAGES = Languages()
ALL_MAILS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "templates/mail").glob("*.txt") if path.stem != "layout"
)
VALUES: dict[str, str | int] = {
    "agent": "Firefox · Linux",
    "address": "203.0.113.7",
    "at": int(NOW),
    "company": "Acme",
    "domain": "acme.example",
    "record": "idp-verification-code=3f0b1c52-7d0e-4b1a-9c41-0d2f5e6a7b8c",
    "reason": "domain_record_missing",
    "person": "dora@acme.example",
    "connection": "Entra ID",
    "ends": int(NOW) + 86400,
    "since": int(NOW) - 86400,
    "later": int(NOW) + 40 * 86400,
    "about": "second_factor",
    "soon": "yes",
    "receipt": "K7QX-2M4P",
    "fingerprint": "0f" * 32,
    "members": "sso_url entity_id",
    "provider": "Google",
    "by_support": "",
    "password": "yes",
    "employer": "Acme",
    "providers": "GitHub, LinkedIn",
    "who": "carol.example@gmail.example",
    "recovery": "c•••l@home.example",
    "new": "carol@home.example",
    "invited": "",
    "factor": "passkey",
    "called": "Pixel 9",
    "code": "042137",
    "left": "9",
}
LINK_SECRET = canaries.register("a-link-secret-that-only-the-mailbox-may-see", "link in a mail")
LINK = f"/me/not-me?t={LINK_SECRET}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    canaries.register(PASSWORD, "password of the mail server")
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[MailServer]:
    with mail_server(authority) as running:
        yield running


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    yield built
    canaries.show_database(built)
    built.close()


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(secrets.token_bytes(32), secrets.token_bytes)


def settings(config: Config, server: MailServer | None = None, **changes: Any) -> Config:
    """The settings of a provider that uses ``server``, or none that answers."""
    named = {name.removeprefix("IDP_").lower(): value for name, value in (server.environ if server else {}).items()}
    return config.model_copy(update={"smtp": "localhost:9", **named, **changes})


def queue(database: Database, sealer: Sealer, recipient: str = "carol@example.org", **changes: Any) -> bool:
    values: dict[str, Any] = {"name": "new_device", "language": "en", "now": NOW, "secrets": {"link": LINK}, **VALUES}
    with database.transaction() as db:
        return queue_mail(db, recipient=recipient, sealer=sealer, **(values | changes))


def row(database: Database, number: int = 1) -> OutboxMail:
    with database.reading() as db:
        found = db.get_one(OutboxMail, number)
        db.expunge(found)
        return found


def written(config: Config, name: str = "new_device", language: str = "en", **changes: Any) -> EmailMessage:
    values = {**VALUES, **changes}
    mail = OutboxMail(
        id=7, name=name, recipient="carol@example.org", language=language, created_at=int(NOW), values=values
    )
    return Mailer(settings(config), LANGUAGES).write(mail, {"link": LINK}, NOW)


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content())


class Page(HTMLParser):
    """What an HTML mail shows, where its links lead, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "srcset", "href", "background", "poster", "data", "action", "xlink:href"):
                self.loads.append(f"{tag} {name}={value}")
        if tag in ("img", "link", "script", "iframe", "object", "form", "svg", "video", "base"):
            self.loads.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


# --- what a person gets ------------------------------------------------------------------------------------------------------


def test_a_mail_arrives_over_starttls_after_a_login(
    config: Config, database: Database, server: MailServer, trusted: ssl.SSLContext, sealer: Sealer
) -> None:
    assert queue(database, sealer)

    assert Mailer(settings(config, server), LANGUAGES, trusted).send_due(database, sealer, lambda: NOW + 60)

    [mail] = server.received
    assert (mail.encrypted, mail.user) == (True, "idp")
    assert (mail.sender, mail.recipient) == ("no-reply@login.example", "carol@example.org")
    message = mail.message
    assert message["From"] == "no-reply@login.example"
    assert message["To"] == "carol@example.org"
    assert message["Subject"] == "A new device signed in to your account"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "en"
    assert parsedate_to_datetime(message["Date"]).timestamp() == NOW + 60
    assert re.fullmatch(r"<[0-9a-f]{32}@login\.example>", message["Message-ID"])
    assert message.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        assert ISSUER + LINK in mail.text(kind)
        assert "Firefox · Linux" in mail.text(kind)
        assert "203.0.113.7" in mail.text(kind)
    sent = row(database)
    assert (sent.state, sent.sent_at, sent.last_answer) == ("sent", int(NOW) + 60, "250 2.0.0 queued as 0001")
    assert sent.values == {}  # nothing of it is kept


def test_the_settings_say_from_whom_mails_come(config: Config, server: MailServer, trusted: ssl.SSLContext) -> None:
    named = settings(config, server, mail_from="Zoë’s Œuvre <hello@mail.example>")
    mailer = Mailer(named, LANGUAGES, trusted)

    assert mailer.send(mailer.write(mail_row(), {}, NOW)).state == "sent"
    assert server.received[0].sender == "hello@mail.example"
    assert str(server.received[0].message["From"]) == "Zoë’s Œuvre <hello@mail.example>"


def mail_row(recipient: str = "carol@example.org", number: int = 7, created_at: int = int(NOW)) -> OutboxMail:
    return OutboxMail(
        id=number, name="test", recipient=recipient, language="en", created_at=created_at, values={"at": int(NOW)}
    )


@pytest.mark.parametrize(("chosen", "spoken"), [("fr-CA", "fr"), ("fr_FR", "fr"), ("en-GB", "en"), ("de", "en")])
def test_a_language_with_a_country_is_written_as_its_language(config: Config, chosen: str, spoken: str) -> None:
    assert written(config, language=chosen)["Content-Language"] == spoken


@pytest.mark.parametrize("language", LANGUAGES.supported)
@pytest.mark.parametrize("name", ALL_MAILS)
def test_every_mail_says_the_same_in_text_and_html_loads_nothing_and_leads_only_to_us(
    config: Config, name: str, language: str
) -> None:
    message = written(config, name, language)
    plain, html = part(message, "plain"), part(message, "html")
    page = Page(html)

    assert page.loads == []
    assert "url(" not in html and "@import" not in html
    found = page.links + re.findall(r"https?://[^\s\"<]+", plain + html)
    assert all(urlsplit(link)[:2] == ("https", "login.example") for link in found)
    assert f'<html lang="{language}">' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert message["Content-Language"] == language
    words = " ".join(page.words.split())
    for line in filter(str.strip, plain.splitlines()):
        for piece in re.split(r"\u00a0?: ", line, maxsplit=1):
            assert " ".join(piece.split()) in words
    assert all(line.isascii() for line in message.as_bytes().decode().splitlines())
    assert max(len(line) for line in message.as_bytes().splitlines()) <= 998
    assert "help@login.example" in plain and "help@login.example" in html


def test_every_mail_differs_between_the_languages(config: Config) -> None:
    for name in ALL_MAILS:
        texts = {part(written(config, name, language), "plain") for language in LANGUAGES.supported}
        subjects = {written(config, name, language)["Subject"] for language in LANGUAGES.supported}
        assert len(texts) == len(subjects) == len(LANGUAGES.supported)


def test_an_unknown_language_is_english(config: Config) -> None:
    assert written(config, language="tlh")["Content-Language"] == "en"


def test_moments_are_written_in_the_language(config: Config) -> None:
    assert "January 15, 2027, 8:00\u202fAM UTC" in part(written(config), "plain")
    assert "15 janvier 2027 à 08:00 UTC" in part(written(config, language="fr"), "plain")


def test_a_device_without_a_name_is_left_out(config: Config) -> None:
    assert "Device" in part(written(config), "plain")
    assert "Device" not in part(written(config, agent=""), "plain")


def test_an_operator_can_replace_a_template(config: Config, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail/test.txt").write_text("Acme says hello from {{ host }}.")
    message = written(config.model_copy(update={"templates": tmp_path}), "test")

    assert part(message, "plain").strip() == "Acme says hello from login.example."
    assert "reaches you" in part(message, "html")


@pytest.mark.needs("chromium")
def test_mails_fit_320_pixels_in_light_and_dark_and_have_no_barriers(config: Config, tmp_path: Path) -> None:
    with chromium() as browser:
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 320, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type] # its literals
            page = context.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            for name in ALL_MAILS:
                for language in LANGUAGES.supported:
                    file = tmp_path / f"{name}.{language}.html"
                    file.write_text(part(written(config, name, language, agent="W" * 80), "html"), encoding="utf-8")
                    page.goto(file.as_uri())
                    assert page.evaluate("document.documentElement.scrollWidth") <= 320, file.name
                    axe(page)
                    ground = page.evaluate("getComputedStyle(document.querySelector('.paper')).backgroundColor")
                    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 29, 27)"}[scheme]
            assert all(url.startswith("file:") for url in asked)


# --- what nobody can smuggle in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "carol",
        "@example.org",
        "carol@",
        "a@b@example.org",
        "carol@example.org\r\nBcc: eve@evil.example",
        "carol@example.org\nBcc: eve@evil.example",
        "carol@example.org\r",
        "carol@example.org\x00",
        "carol@example.org\x85",
        "carol@example.org\u2028",
        "carol@example.org,eve@evil.example",
        "carol@example.org;eve@evil.example",
        "carol@example.org eve@evil.example",
        "Carol <carol@example.org>",
        '"carol eve"@example.org',
        "carol@[127.0.0.1]",
        "a" * 65 + "@example.org",
    ],
)
def test_rc_03_a_recipient_is_one_plain_address(
    config: Config, database: Database, sealer: Sealer, recipient: str
) -> None:
    with pytest.raises(ValueError, match="plain"):
        queue(database, sealer, recipient)
    with pytest.raises(ValueError, match="plain"):
        check_recipient(recipient)


@pytest.mark.parametrize("evil", ["\r\nBcc: eve@localhost\r\n\r\nBuy!", "\nX-Evil: 1", "a\x85b\u2028c\u2029d\x0be"])
def test_values_cannot_add_headers_or_lines(
    config: Config, database: Database, server: MailServer, trusted: ssl.SSLContext, sealer: Sealer, evil: str
) -> None:
    queue(database, sealer, agent=evil, address=evil)
    Mailer(settings(config, server), LANGUAGES, trusted).send_due(database, sealer, lambda: NOW)

    [mail] = server.received
    assert mail.recipient == "carol@example.org"
    assert sorted(mail.message.keys()) == sorted(
        [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Auto-Response-Suppress",
            "Content-Language",
            "MIME-Version",
            "Content-Type",
        ]
    )
    [line] = [line for line in mail.text().splitlines() if line.startswith("Device")]
    assert line == "Device: " + " ".join(evil.replace("\x85", " ").split())


def test_a_line_that_is_only_a_dot_does_not_end_the_mail(
    config: Config, server: MailServer, trusted: ssl.SSLContext, tmp_path: Path
) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail/test.txt").write_text("before\n.\nMAIL FROM:<eve@evil.example>\n")
    mailer = Mailer(settings(config, server, templates=tmp_path), LANGUAGES, trusted)

    mailer.send(mailer.write(mail_row(), {}, NOW))
    assert server.received[0].text().splitlines() == ["before", ".", "MAIL FROM:<eve@evil.example>"]


def test_ij_02_values_are_printed_and_never_executed(config: Config) -> None:
    evil = "{{7*7}}{%import os%}${7*7}%(host)s<script>alert(1)</script>\"'&"
    message = written(config, agent=evil)

    assert evil in part(message, "plain")
    assert evil in Page(part(message, "html")).words
    assert "<script" not in part(message, "html")


@pytest.mark.parametrize(
    ("evil", "shown"),
    [
        ("https://evil.example/x", "https: //evil. example/x"),
        ("www.evil.example", "www. evil. example"),
        ("eve@evil.example", "eve@evil. example"),
        ("evil．example evil。example", "evil． example evil。 example"),
        ("http://2130706433/", "http: //2130706433/"),
        ("\u202egro.elpmaxe", "gro. elpmaxe"),
        ("Firefox 128.0 · Linux", "Firefox 128.0 · Linux"),
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("x" * 500, "x" * 120),
    ],
)
def test_in_03_a_value_cannot_become_a_link(config: Config, evil: str, shown: str) -> None:
    assert f"Device: {shown}\n" in part(written(config, agent=evil), "plain").replace("\r\n", "\n")
    assert Page(part(written(config, agent=evil), "html")).links == [ISSUER + LINK]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "evil.example",
        "javascript:alert(1)",
        "",
        "@evil.example/",
        ".evil.example/",
        "/x\r\nBcc: eve@evil.example",
        "/x y",
        "/\u2028",
    ],
)
def test_a_link_is_a_path_of_ours(database: Database, sealer: Sealer, link: str) -> None:
    with pytest.raises(ValueError, match="path of ours"):
        queue(database, sealer, secrets={"link": link})


@pytest.mark.parametrize(
    "environ",
    [
        {"IDP_MAIL_FROM": "no-reply@login.example\r\nBcc: eve@evil.example"},
        {"IDP_MAIL_FROM": "nobody"},
        {"IDP_MAIL_FROM": "a@b.example, c@d.example"},
        {"IDP_MAIL_FROM": "a@"},
        {"IDP_MAIL_FROM": "zoë@login.example"},
        {"IDP_SMTP": "smtp.example"},
        {"IDP_SMTP": ":587"},
        {"IDP_SMTP": "smtp.example:x"},
        {"IDP_SMTP": "smtp.example:25\r\n"},
        {"IDP_SMTP_USER": "idp", "IDP_SMTP_STARTTLS": "false"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(OperatorError, match=next(iter(environ))):
        read_config({"IDP_ISSUER": ISSUER, **environ})


# --- secrets ---------------------------------------------------------------------------------------------------------------------


def test_secrets_are_sealed_in_sql(config: Config, database: Database, sealer: Sealer) -> None:
    queue(database, sealer)

    with database.reading() as db:
        everything = str(db.execute(text("SELECT * FROM outbox_mails")).all())
    assert "203.0.113.7" in everything
    assert LINK_SECRET not in everything
    assert b"a-link-secret" not in (config.data / "idp.sqlite").read_bytes()


def test_sealed_values_open_only_for_their_mail_with_their_key(
    config: Config, database: Database, server: MailServer, trusted: ssl.SSLContext, sealer: Sealer
) -> None:
    mailer = Mailer(settings(config, server), LANGUAGES, trusted)
    queue(database, sealer)
    with pytest.raises(ValueError, match="do not belong"):
        mailer.send_due(database, Sealer(secrets.token_bytes(32), secrets.token_bytes), lambda: NOW)

    queue(database, sealer, "eve@evil.example", now=NOW - 1)
    with database.transaction() as db:  # who can write to SQL moves carol's link into a mail to eve
        db.get_one(OutboxMail, 2).values = db.get_one(OutboxMail, 1).values
    with pytest.raises(ValueError, match="do not belong"):
        mailer.send_due(database, sealer, lambda: NOW)
    assert server.received == []


# --- limits ----------------------------------------------------------------------------------------------------------------------


def test_one_recipient_gets_a_few_mails_of_a_kind_per_hour(database: Database, sealer: Sealer) -> None:
    spelled = ["carol@example.org", "Carol@Example.org", "CAROL@EXAMPLE.ORG"]
    queued = [queue(database, sealer, spelled[number % 3]) for number in range(MOST_ALIKE_PER_HOUR + 2)]

    assert queued == [True] * MOST_ALIKE_PER_HOUR + [False, False]
    assert queue(database, sealer, "dave@example.org")
    assert queue(database, sealer, name="test", secrets=None)
    assert not queue(database, sealer, now=NOW + 3599)
    assert queue(database, sealer, now=NOW + 3601)


def test_one_recipient_gets_so_many_mails_per_day(database: Database, sealer: Sealer) -> None:
    queued = [queue(database, sealer, now=NOW + 900 * number) for number in range(MOST_PER_DAY + 1)]

    assert queued == [True] * MOST_PER_DAY + [False]
    assert queue(database, sealer, now=NOW + 86_401 + 900)
    with database.reading() as db:
        plan = db.execute(
            text("EXPLAIN QUERY PLAN SELECT count(*) FROM outbox_mails WHERE recipient = 'x' AND created_at > 5")
        ).all()
    assert "ix_outbox_mails_recipient" in str(plan)  # the same with a million mails


# --- delivery --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer", "state"),
    [
        ("RCPT", "550 5.1.1 no such person", "bounced"),
        ("RCPT", "553 5.1.3 bad address", "bounced"),
        ("RCPT", "450 4.2.1 come back later", "waiting"),
        ("RCPT", "421 4.3.2 closing down", "waiting"),
        ("RCPT", "hang up", "waiting"),
        ("DATA", "554 5.7.1 looks like spam", "bounced"),
        ("DATA", "452 4.3.1 disk full", "waiting"),
        ("DATA", "hang up", "waiting"),
        ("MAIL", "530 5.7.0 not you", "waiting"),
        ("MAIL", "451 4.3.0 not now", "waiting"),
        ("QUIT", "550 5.0.0 I never say goodbye", "sent"),
        ("QUIT", "hang up", "sent"),
    ],
)
def test_what_the_server_says_decides_between_sent_bounced_and_another_try(
    config: Config,
    database: Database,
    server: MailServer,
    trusted: ssl.SSLContext,
    sealer: Sealer,
    command: str,
    answer: str,
    state: str,
) -> None:
    server.answers[command] = [answer]
    queue(database, sealer)
    mailer = Mailer(settings(config, server), LANGUAGES, trusted)

    assert mailer.send_due(database, sealer, lambda: NOW) == (state != "waiting")
    first = row(database)
    assert first.state == state
    assert first.last_answer is not None
    assert (answer in first.last_answer) == (answer != "hang up" and state != "sent")
    if state == "waiting":
        assert not mailer.send_due(database, sealer, lambda: NOW + MAILS.pauses[0] - 1)
        assert mailer.send_due(database, sealer, lambda: NOW + MAILS.pauses[0])
        assert row(database).state == "sent"
    assert len(server.received) == (state != "bounced")
    assert not mailer.send_due(database, sealer, lambda: NOW + 86_400)


def test_a_mail_whose_answer_was_lost_comes_again_under_the_same_message_id(
    config: Config, database: Database, server: MailServer, trusted: ssl.SSLContext, sealer: Sealer
) -> None:
    server.answers["DATA"] = ["lost"]
    queue(database, sealer)
    queue(database, sealer)
    mailer = Mailer(settings(config, server), LANGUAGES, trusted)

    for later in (0, 60, 120):
        mailer.send_due(database, sealer, lambda: NOW + later)  # noqa: B023 called at once
    first, second, other = (
        mail.message["Message-ID"] for mail in sorted(server.received, key=by_message_id_count(server))
    )
    assert first == second != other


def by_message_id_count(server: MailServer) -> Callable[[Any], int]:
    count = Counter(mail.message["Message-ID"] for mail in server.received)
    return lambda mail: -count[mail.message["Message-ID"]]


def test_nothing_is_said_before_tls_and_no_password_to_a_stranger(
    config: Config, server: MailServer, trusted: ssl.SSLContext
) -> None:
    stranger = ssl.create_default_context()
    message = Mailer(settings(config), LANGUAGES).write(mail_row(), {}, NOW)

    outcome = Mailer(settings(config, server), LANGUAGES, stranger).send(message)
    assert outcome.state == "failed" and outcome.answer.startswith("STARTTLS: ") and "CERTIFICATE" in outcome.answer
    elsewhere = settings(config, server, smtp=f"127.0.0.1:{server.port}")  # not the name in the certificate
    assert "CERTIFICATE" in Mailer(elsewhere, LANGUAGES, trusted).send(message).answer
    assert server.logins == [] and server.received == []

    with mail_server() as plain:
        outcome = Mailer(settings(config, plain), LANGUAGES, trusted).send(message)
        assert outcome.state == "failed" and outcome.answer.startswith("STARTTLS: ")
        assert plain.received == []


def test_a_wrong_password_is_the_operators_to_mend_and_no_bounce(
    config: Config, server: MailServer, trusted: ssl.SSLContext
) -> None:
    wrong = canaries.register("a-wrong-mail-password", "password of the mail server")
    mailer = Mailer(settings(config, server, smtp_password=wrong), LANGUAGES, trusted)

    outcome = mailer.send(mailer.write(mail_row(), {}, NOW))
    assert outcome.state == "failed"
    assert outcome.answer.startswith("login: 535 ")
    assert wrong not in outcome.answer


def test_a_mail_server_that_is_away_is_tried_again(config: Config) -> None:
    mailer = Mailer(settings(config), LANGUAGES)  # port 9: nobody there

    outcome = mailer.send(mailer.write(mail_row(), {}, NOW))
    assert outcome.state == "failed" and outcome.answer.startswith("connect: ")


def test_a_server_without_tls_and_login_works_when_the_settings_say_so(config: Config) -> None:
    with mail_server() as plain:
        mailer = Mailer(settings(config, plain, smtp_starttls=False, smtp_user="", smtp_password=""), LANGUAGES)
        assert mailer.send(mailer.write(mail_row(), {}, NOW)) == Outcome("sent", "250 2.0.0 queued as 0001")
        assert not plain.received[0].encrypted


def test_an_address_outside_ascii_needs_a_server_that_takes_it(
    config: Config, server: MailServer, trusted: ssl.SSLContext
) -> None:
    mailer = Mailer(settings(config, server), LANGUAGES, trusted)
    message = mailer.write(mail_row("zoë@bücher.example"), {}, NOW)

    assert mailer.send(message).state == "sent"
    assert server.received[0].recipient == "zoë@bücher.example"
    assert "SMTPUTF8" in server.received[0].options
    assert "To: zoë@bücher.example".encode() in server.received[0].raw

    with mail_server(utf8=False) as old:
        mailer = Mailer(settings(config, old, smtp_starttls=False, smtp_user=""), LANGUAGES)
        assert mailer.send(message).state == "bounced"


def test_each_mail_has_its_own_message_id(config: Config) -> None:
    mailer = Mailer(settings(config), LANGUAGES)
    rows = [mail_row(), mail_row(), mail_row(number=8), mail_row(created_at=1)]

    ids = [mailer.write(mail, {}, NOW + number)["Message-ID"] for number, mail in enumerate(rows)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_on_loopback_mails_come_from_localhost(config: Config) -> None:
    for issuer in ("http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"):
        message = written(config.model_copy(update={"issuer": issuer}))
        assert message["From"] == "no-reply@localhost"
        assert f"{issuer}{LINK}" in part(message, "plain")


def test_two_workers_never_send_one_mail_twice(
    config: Config, database: Database, server: MailServer, trusted: ssl.SSLContext, sealer: Sealer
) -> None:
    for number in range(24):
        queue(database, sealer, f"p{number}@example.org")
    databases = [Database(config), Database(config)]
    together = threading.Barrier(4)

    def work(own: Database) -> None:
        mailer = Mailer(settings(config, server), LANGUAGES, trusted)
        together.wait()
        while waiting(own):
            mailer.send_due(own, sealer, lambda: NOW)

    threads = [threading.Thread(target=work, args=(own,)) for own in databases for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in databases:
        own.close()
    assert Counter(mail.recipient for mail in server.received) == Counter(
        f"p{number}@example.org" for number in range(24)
    )


def waiting(database: Database) -> int:
    with database.reading() as db:
        return db.scalar(select(func.count()).where(OutboxMail.state == "waiting")) or 0

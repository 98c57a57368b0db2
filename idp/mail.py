"""Mail: what a page queues, how it is written in the person's language, and how one mail reaches the mail server.

A page queues a mail in its own transaction; the worker sends it (see ``outbox.py``). Links are paths of ours, made into
addresses with IDP_ISSUER when the mail is written, so that no mail can lead anywhere else. Values that hold a secret are
sealed while they wait in SQL.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime as mail_date
from email.utils import getaddresses
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babel.dates import format_date, format_time
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from idp.config import Config
from idp.languages import Languages
from idp.models import Email, OutboxMail
from idp.outbox import MAILS, Outcome
from idp.sealing import Sealer
from idp.uris import is_host_name

if TYPE_CHECKING:
    from idp.database import Database

HOUR, DAY = 3600, 86400
MOST_ALIKE_PER_HOUR = 5  # mails of one name to one recipient
MOST_PER_DAY = 30  # mails of all names to one recipient

# Each answer of the mail server must come within this. A delivery waits for at most twelve of them, which stays below
# the lease of outbox.MAILS; shorter would send twice what a server takes long to accept.
ANSWER_SECONDS = 30

LONGEST_VALUE = 120  # characters
RECIPIENT = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x20\x7f-\x9f]{1,64}@[^\s@<>()\[\],;:\\\"\x00-\x20\x7f-\x9f]{1,255}")


def queue_mail(
    db: Session,
    *,
    name: str,
    recipient: str,
    language: str,
    now: float,
    sealer: Sealer,
    secrets: dict[str, str] | None = None,
    if_known: bool = False,
    always: bool = False,
    warning: bool = False,
    **values: str | int,
) -> bool:
    """Put a mail into the outbox, in the caller's transaction.

    :param name: ``templates/mail/<name>.txt`` and ``.html`` are the mail, ``mail.<name>.subject`` its subject.
    :param recipient: one address.
    :param secrets: values that nobody may read in SQL. ``link`` is a path of ours with its query (``/not-me?s=…``).
    :param if_known: send it only if an account has this address. That is looked up when it is sent, so that queueing it is
        the same work for every address and tells nobody who is known here.
    :param always: never dropped, however many there were: a warning that somebody could else keep back by causing many first.
        Whoever queues it bounds by other means how many there can be.
    :param warning: dropped only when there were many of its own name, not of others.
    :param values: what the templates print; whole numbers are moments (seconds since 1970).
    :returns: False when this recipient has had so many mails lately that this one is dropped (parallel transactions
        may pass the limit by a few).
    :raises ValueError: not one plain address, or a link that is not a path of ours.
    """
    recipient = check_recipient(recipient)
    link = (secrets or {}).get("link", "/")
    if not re.fullmatch(r"/(?:[!-~](?<!\\))*", link) or link.startswith("//"):
        raise ValueError("a link is a path of ours")
    recent = select(func.count()).where(OutboxMail.recipient == recipient)
    alike = db.scalar(recent.where(OutboxMail.created_at > now - HOUR, OutboxMail.name == name)) or 0
    whole = db.scalar(recent.where(OutboxMail.created_at > now - DAY)) or 0
    if not always and (alike >= MOST_ALIKE_PER_HOUR or (whole >= MOST_PER_DAY and not warning)):
        return False
    kept: dict[str, Any] = dict(values)
    if secrets:
        kept["sealed"] = sealer.seal(secrets, f"{name} {recipient}")
    if if_known:
        kept["if_known"] = True
    at = int(now)
    db.add(OutboxMail(name=name, recipient=recipient, language=language, values=kept, created_at=at, next_try_at=at))
    return True


def sender_of(config: Config) -> Address:
    """From whom our mails come (IDP_MAIL_FROM)."""
    [(name, address)] = getaddresses([config.mail_from or f"no-reply@{_mail_domain(config)}"])
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def check_recipient(address: str) -> str:
    """The address as mails are queued to it: in lower case, so that one mailbox has one count however it is spelled.

    :raises ValueError: not one plain address.
    """
    # Only ASCII letters: others may become other words in lower case.
    address = re.sub("[A-Z]", lambda letter: letter[0].lower(), address)
    if not RECIPIENT.fullmatch(address):
        raise ValueError("not one plain e-mail address")
    return address


class Mailer:
    """Writes mails from templates and hands them to the mail server of the settings (IDP_SMTP must be set).

    ``tls`` (default: the system's authorities) says whom to trust at STARTTLS.
    """

    def __init__(self, config: Config, languages: Languages, tls: ssl.SSLContext | None = None) -> None:
        self._config = config
        self._languages = languages
        self._tls = tls
        host, _, port = config.smtp.rpartition(":")
        self._server = (host.strip("[]"), int(port))
        self._sender = sender_of(config)
        ours = Path(__file__).parent / "templates"
        folders = [config.templates, ours] if config.templates else [ours]
        self._templates = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def send_due(self, database: Database, sealer: Sealer, clock: Callable[[], float]) -> bool:
        """Send the mail that is due first, if one is. Returns whether it is worth coming again at once.

        :raises Unavailable: SQL does not answer.
        :raises ValueError: the sealed values do not open: not our key, or the row was tampered with.
        """

        def send(mail: OutboxMail) -> Outcome:
            if mail.values.get("if_known"):
                with database.reading() as db:
                    if db.scalar(select(Email.id).where(Email.canonical == mail.recipient)) is None:
                        return Outcome("given_up", "no account has this address")
            sealed = mail.values.get("sealed")
            secrets = sealer.open(sealed, f"{mail.name} {mail.recipient}") if sealed else {}
            return self.send(self.write(mail, secrets, clock()))

        return MAILS.deliver(database, send, clock)

    def write(self, mail: OutboxMail, secrets: Mapping[str, str], now: float) -> EmailMessage:
        """The whole message. Each try of the same mail has the same Message-ID, so that a receiver knows a double."""
        language = self._languages.choose(person_locale=mail.language)  # a person's may name a country: fr-CA
        t = self._languages.translator(language)
        words: dict[str, Any] = {}
        for key, value in mail.values.items():
            if key in ("sealed", "if_known"):
                continue
            if isinstance(value, int):
                at = datetime.fromtimestamp(value, UTC)
                date, time = format_date(at, "long", locale=language), format_time(at, "short", locale=language)
                words[key] = t("mail.moment", date=date, time=time)
            elif key == "domain" and is_host_name(value):
                words[key] = value  # as it must be written in the DNS; who gets it has claimed it
            else:
                words[key] = _harmless(value)
        words |= secrets
        if "link" in words:
            words["link"] = self._config.issuer + words["link"]
        words |= {"t": t, "language": language, "host": self._config.host, "support": self._config.support}
        subject = t(f"mail.{mail.name}.subject", host=self._config.host)

        message = EmailMessage(policy=SMTP.clone(utf8=not mail.recipient.isascii()))
        message["From"] = self._sender
        local, _, domain = mail.recipient.rpartition("@")
        message["To"] = Address(username=local, domain=domain)
        message["Subject"] = subject
        message["Date"] = mail_date(datetime.fromtimestamp(now, UTC))
        message["Message-ID"] = self._message_id(mail)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in return
        message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
        text = self._templates.get_template(f"mail/{mail.name}.txt").render(words)
        html = self._templates.get_template(f"mail/{mail.name}.html").render(words, subject=subject)
        message.set_content(text, cte="quoted-printable")
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        message["Content-Language"] = language  # last: what describes the content moves into the first part
        return message

    def send(self, message: EmailMessage) -> Outcome:
        """Hand one message to the mail server and say how it went.

        A mail bounces when the server refuses this recipient or this content for good (5xx to RCPT or DATA, RFC 5321
        section 4.2.1). Everything else is tried again: a 5xx to our login or sender is the operator's to mend.
        """
        step = "connect"
        server: smtplib.SMTP | None = None
        try:
            server = smtplib.SMTP(*self._server, local_hostname=_mail_domain(self._config), timeout=ANSWER_SECONDS)
            server.ehlo_or_helo_if_needed()
            if self._config.smtp_starttls:
                step = "STARTTLS"
                server.starttls(context=self._tls or ssl.create_default_context())
                server.ehlo()
            if self._config.smtp_user:
                step = "login"
                server.login(self._config.smtp_user, self._config.smtp_password)
            step = "recipient"
            recipient, options = _header(message, "To").addresses[0].addr_spec, []
            if not recipient.isascii():
                if not server.has_extn("smtputf8"):
                    return Outcome("bounced", "recipient: the mail server takes no addresses outside ASCII (SMTPUTF8)")
                options = ["SMTPUTF8"]
            step = "sender"
            code, answer = server.mail(self._sender.addr_spec, options)
            if code != 250:
                return Outcome("failed", f"{step}: {_said(code, answer)}")
            step = "recipient"
            code, answer = server.rcpt(recipient)
            if code in (250, 251):
                step = "content"
                code, answer = server.data(message.as_bytes())
        except smtplib.SMTPDataError as error:
            code, answer = error.smtp_code, _bytes(error.smtp_error)
        except smtplib.SMTPResponseException as error:
            return Outcome("failed", f"{step}: {_said(error.smtp_code, _bytes(error.smtp_error))}")
        except OSError as error:  # all of smtplib's errors, TLS and the network
            return Outcome("failed", f"{step}: {error or error.__class__.__name__}")
        finally:
            if server is not None:
                # Whatever happens to the farewell, the mail is where it is.
                with suppress(OSError):
                    server.quit()
                server.close()
        if 200 <= code < 300:
            return Outcome("sent", _said(code, answer))
        return Outcome("bounced" if 500 <= code < 600 else "failed", f"{step}: {_said(code, answer)}")

    def _message_id(self, mail: OutboxMail) -> str:
        number = sha256(f"{self._config.issuer} {mail.id} {mail.created_at}".encode()).hexdigest()[:32]
        return f"<{number}@{_mail_domain(self._config)}>"


def _harmless(value: str) -> str:
    """A value as one line of plain words: it can neither break the line, nor turn the direction of writing, nor become
    a link in programs that make links of whatever looks like one (IN-03)."""
    visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in value)
    line = " ".join(visible.split())[:LONGEST_VALUE]
    return re.sub(r"([.。．｡])(?=[^\W\d_])", r"\1 ", line.replace("://", ": //"))


def _mail_domain(config: Config) -> str:
    """The issuer's host where it is a name; only development has an address there."""
    return config.host if re.search("[a-z]", config.host) and ":" not in config.host else "localhost"


def _header(message: EmailMessage, name: str) -> Any:
    return message[name]


def _said(code: int, answer: bytes) -> str:
    return f"{code} {answer.decode('utf-8', 'replace')}"


def _bytes(answer: bytes | str) -> bytes:
    return answer if isinstance(answer, bytes) else answer.encode()

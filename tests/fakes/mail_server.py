"""A mail server: aiosmtpd, with STARTTLS and a login where wanted, that can be told to refuse, hang up or lose its answer."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests import canaries
from tests.backends import wait_until

# It would write whole mails into the log of the test run, where secrets are searched for that *we* let slip.
logging.getLogger("mail.log").setLevel(logging.WARNING)

USER = "idp"
PASSWORD = "mail-password-canary-0001"


@dataclass(frozen=True)
class Received:
    """One delivery, as the server saw it."""

    sender: str
    recipient: str
    raw: bytes
    encrypted: bool
    user: str | None
    options: tuple[str, ...]

    @property
    def message(self) -> EmailMessage:
        message = message_from_bytes(self.raw, policy=SMTP_POLICY)
        assert isinstance(message, EmailMessage)
        return message

    def text(self, kind: str = "plain") -> str:
        """The part ``plain`` or ``html``, decoded."""
        part = self.message.get_body((kind,))
        assert part is not None
        return str(part.get_content())


@dataclass
class MailServer:
    """What the test sees. ``answers``: what to say instead of the truth, by command, one after the other.

    An answer ``hang up`` ends the connection without a word.
    """

    port: int = 0
    received: list[Received] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The settings that name this server; its name in the certificate is localhost."""
        return {"IDP_SMTP": f"localhost:{self.port}", "IDP_SMTP_USER": USER, "IDP_SMTP_PASSWORD": PASSWORD}

    def link_to(self, recipient: str, address: str) -> str:
        """The link in the last mail to somebody that leads to ``address``; waits until there is one."""
        found: list[str] = []

        def has_come() -> bool:
            for mail in self.received:
                if mail.recipient == recipient:
                    found.extend(re.findall(rf"{re.escape(address)}\?t=\S+", mail.text()))
            return bool(found)

        wait_until(has_come, f"a mail to {recipient} with a link to {address}", patience=60)
        canaries.register(found[-1].partition("t=")[2], "link in a mail")
        return found[-1]

    # --- what aiosmtpd calls -----------------------------------------------------------------------------------------

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, sender: str, options: list[str]
    ) -> str:
        if other := self._other("MAIL", server):
            return other
        envelope.mail_from = sender
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender fine"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, recipient: str, options: list[str]
    ) -> str:
        if other := self._other("RCPT", server):
            return other
        envelope.rcpt_tos.append(recipient)
        return "250 2.1.5 recipient fine"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        other = self._other("DATA", server)
        if other and not other.startswith("lost"):
            return other
        login: Any = session.auth_data
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        self.received.append(
            Received(
                sender=envelope.mail_from,
                recipient=", ".join(envelope.rcpt_tos),
                raw=envelope.content,
                encrypted=session.ssl is not None,
                user=login.decode() if login else None,
                options=tuple(envelope.mail_options),
            )
        )
        if other:  # taken, but the answer never arrives
            server.transport.abort()
        return f"250 2.0.0 queued as {len(self.received):04}"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return self._other("QUIT", server) or "221 2.0.0 bye"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any
    ) -> AuthResult:
        assert isinstance(login, LoginPassword)
        self.logins.append(login.password.decode())
        right = (login.login, login.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False, auth_data=login.login)

    def _other(self, command: str, server: SMTP) -> str | None:
        waiting = self.answers.get(command)
        answer = waiting.pop(0) if waiting else None
        if answer == "hang up":
            server.transport.abort()
        return answer


class _Port(Controller):
    """aiosmtpd on a port that the system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(authority: trustme.CA | None = None, *, port: int = 0, utf8: bool = True) -> Iterator[MailServer]:
    """A mail server on loopback. With ``authority``: STARTTLS and a login are demanded; the certificate is its own."""
    server = MailServer()
    options: dict[str, Any] = {}
    if authority is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(tls)
        options = {
            "tls_context": tls,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": server.authenticate,
        }
    controller = _Port(server, hostname="127.0.0.1", port=port, enable_SMTPUTF8=utf8, **options)
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()

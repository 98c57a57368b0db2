"""The mailbox of ``make run``: a real SMTP server that keeps what it gets in a folder, and a page that shows it."""

from __future__ import annotations

import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask, Response, abort, render_template, request
from serving import serve
from words import speak

SMTP_PORT = 8025


class Folder:
    """Mails as files ``000001.eml``, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        number = max(self.numbers(), default=0) + 1
        (self.path / f"{number:06}.eml").write_bytes(envelope.original_content or b"")
        return "250 kept"

    def numbers(self) -> list[int]:
        return sorted(int(file.stem) for file in self.path.glob("*.eml"))

    def source(self, number: int) -> bytes:
        try:
            return (self.path / f"{number:06}.eml").read_bytes()
        except FileNotFoundError:
            abort(404)

    def mail(self, number: int) -> EmailMessage:
        return message_from_bytes(self.source(number), policy=policy.default)


def make_mailbox(folder: Folder, host: str) -> Flask:
    """The page. Links in mails are secrets, so only a browser that asks for ``host`` gets an answer (no DNS rebinding)."""
    app = Flask(__name__)
    speak(app, "mailbox_language")

    @app.before_request
    def only_our_name() -> None:
        if request.host != host:
            abort(421)

    @app.get("/")
    def mails() -> str:
        newest_first = [(number, folder.mail(number)) for number in reversed(folder.numbers())]
        return render_template("mailbox.html", mails=newest_first)

    @app.get("/<int:number>")
    def one(number: int) -> str:
        mail = folder.mail(number)
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        return render_template(
            "mailbox.html", number=number, mail=mail, text=text.get_content() if text else "", html=html is not None
        )

    @app.get("/<int:number>/html")
    def html(number: int) -> Response:
        body = folder.mail(number).get_body(("html",))
        content = body.get_content() if body else ""
        # Links leave the frame: the pages they lead to refuse to be framed.
        response = Response(content.replace("<head>", '<head><base target="_blank">', 1), mimetype="text/html")
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups allow-popups-to-escape-sandbox"
        )
        return response

    @app.get("/<int:number>/source")
    def source(number: int) -> Response:
        return Response(folder.source(number), mimetype="text/plain")

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault(
            "Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app


if __name__ == "__main__":
    kept = Folder(Path(sys.argv[1]))
    Controller(kept, hostname="127.0.0.1", port=SMTP_PORT).start()
    serve(make_mailbox(kept, "localhost:8005"), 8005)

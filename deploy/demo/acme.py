"""Acme, the company of ``make run``: where its people sign in, and the start page that leads them to their products.

It is a SAML identity provider like any other. The provider knows nothing of it but its metadata.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acme_saml import Asked, Form, IdentityProvider, Refused, SignedInThere
from flask import Flask, Response, redirect, render_template, request, session
from serving import serve
from werkzeug.wrappers import Response as Redirect
from words import speak

PRODUCT = "gotowebinar"  # what Acme's start page leads to: the RelayState that the provider knows it by
PEOPLE = {
    "alice@acme.example": ("Alice", "Archer"),
    "bob@acme.example": ("Bob", "Baker"),
    "admin@acme.example": ("Ada", "Minster"),
}


@dataclass
class Visit:
    """Somebody who is signed in here, and where else they were let in from here."""

    person: Mapping[str, str]
    since: float
    there: dict[str, SignedInThere] = field(default_factory=dict)  # by the service provider's entityID


def make_acme(
    provider: IdentityProvider, passwords: Mapping[str, str], clock: Callable[[], float] = time.time
) -> Flask:
    """Acme's pages. ``passwords`` by e-mail address: everybody in ``PEOPLE`` has one."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)
    app.config.update(SESSION_COOKIE_NAME="acme_session", SESSION_COOKIE_SAMESITE="Lax")
    visits: dict[str, Visit] = {}  # who is signed in, by the secret in their cookie
    waiting: dict[str, Asked] = {}  # what waits for a sign-in, by a secret in cookie and form
    leaving: dict[str, str] = {}  # logout requests on their way, with whom they concern
    speak(app, "acme_language")

    def visit() -> Visit | None:
        return visits.get(session.get("id", ""))

    def page(name: str, status: int = 200, **values: Any) -> tuple[str, int]:
        return render_template("acme.html", page=name, product=PRODUCT, **values), status

    def sign_in_page(asked: Asked | None, *, address: str = "", wrong: bool = False) -> tuple[str, int]:
        session["form"] = handle = secrets.token_urlsafe(24)  # no other site can send the form in this person's name
        if asked:
            waiting[handle] = asked
        expected = address or (asked.address if asked else "")
        return page("sign-in", 401 if wrong else 200, handle=handle, address=expected, wrong=wrong, asked=asked)

    def send(form: Form) -> tuple[str, int]:
        return page("send", form=form)

    def let_in(asked: Asked, here: Visit) -> tuple[str, int]:
        encrypted = session.get("encrypted", False)
        form, here.there[asked.service] = provider.answer(asked, here.person, here.since, encrypted=encrypted)
        return send(form)

    def asked_by_us() -> bool:
        """Whether a form of ours was sent: its secret is in this browser's cookie, and works once."""
        handle = session.pop("form", "")
        return bool(handle) and secrets.compare_digest(handle, request.form.get("handle", ""))

    @app.get("/")
    def start() -> tuple[str, int]:
        here = visit()
        if here is None:
            return sign_in_page(None)
        session["form"] = handle = secrets.token_urlsafe(24)
        return page("start", person=here.person, handle=handle, encrypted=session.get("encrypted", False))

    @app.post("/sign-in")
    def sign_in() -> tuple[str, int] | Redirect:
        asked = waiting.pop(request.form.get("handle", ""), None)
        if not asked_by_us():
            return sign_in_page(asked)
        address = request.form.get("username", "").strip().lower()
        given, expected = request.form.get("password", ""), passwords.get(address, secrets.token_urlsafe())
        if address not in PEOPLE or not secrets.compare_digest(given.encode(), expected.encode()):
            return sign_in_page(asked, address=address, wrong=True)
        given_name, family_name = PEOPLE[address]
        person = {"email": address, "given_name": given_name, "family_name": family_name}
        visits.pop(session.get("id", ""), None)
        session["id"] = secrets.token_urlsafe(32)  # a new one at every sign-in
        here = visits[session["id"]] = Visit(person, clock())
        return let_in(asked, here) if asked else redirect("/", 303)

    @app.route("/sso", methods=["GET", "POST"])
    def sso() -> tuple[str, int]:
        asked = provider.read_request(request.method, request.values)
        here = visit()
        if here and not asked.force:
            return let_in(asked, here)
        return send(provider.not_signed_in(asked)) if asked.passive else sign_in_page(asked)

    @app.get(f"/products/{PRODUCT}")
    def open_product() -> tuple[str, int] | Redirect:
        here, services = visit(), provider.services()
        if here is None or not services:
            return redirect("/", 303)
        return let_in(provider.unasked(services[0], PRODUCT), here)

    @app.post("/answers")
    def answers() -> Redirect:
        if asked_by_us():
            session["encrypted"] = request.form.get("encrypted") == "yes"
        return redirect("/", 303)

    @app.post("/sign-out")
    def sign_out() -> tuple[str, int] | Redirect:
        if not asked_by_us():
            return redirect("/", 303)
        here = visits.pop(session.pop("id", ""), None)
        for service, there in (here.there if here else {}).items():
            id, address = provider.logout_request(service, there)
            leaving[id] = service
            return redirect(address, 303)  # one service provider is all that Acme has
        return page("signed-out")

    @app.get("/slo")
    def slo() -> tuple[str, int] | Redirect:
        if "SAMLResponse" in request.args:
            if leaving.pop(provider.read_logout_response(request.args), None) is None:
                raise Refused("nobody is leaving")
            return page("signed-out")
        message = provider.read_logout("GET", request.args)
        if (here := visit()) and message.name_id.text == here.person["email"]:
            visits.pop(session.pop("id"))
        return redirect(provider.logout_response(message, request.args.get("RelayState", "")), 303)

    @app.get("/metadata")
    def metadata() -> Response:
        return Response(provider.metadata(), mimetype="application/samlmetadata+xml")

    @app.errorhandler(Refused)
    def refused(error: Refused) -> tuple[str, int]:
        return page("refused", 400, why=str(error))

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app


def fetched(file: Path) -> Callable[[], list[str]]:
    """The metadata of the service providers whose addresses stand in a file, one a line, as they are now."""

    def fetch() -> list[str]:
        documents = []
        for address in file.read_text().split() if file.exists() else []:
            with urllib.request.urlopen(address, timeout=5) as answer:
                documents.append(answer.read().decode())
        return documents

    return fetch


if __name__ == "__main__":
    kept, address = Path(sys.argv[1]), sys.argv[2]
    acme = IdentityProvider(address, kept / "acme", fetched(kept / "acme/service_providers"))
    serve(make_acme(acme, json.loads((kept / "passwords.json").read_text())), int(address.rpartition(":")[2]))

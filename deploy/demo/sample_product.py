"""The sample product of ``make run``: a relying party that signs in with the very file that the guide gives to developers."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from flask import Flask, Response, g, redirect, render_template, request, session
from serving import serve
from werkzeug.wrappers import Response as Redirect
from words import speak

sys.path.append(str(Path(__file__).parents[2] / "docs/relying-parties/python-flask"))

from sign_in import Provider, SignedIn, SignInFailed

ADDRESS = "http://localhost:8002"
ADMIN_CENTER = "http://localhost:8001/"


def make_product(provider: Provider, address: str) -> Flask:
    """The product's pages. ``address`` is where browsers reach them."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)
    app.config.update(SESSION_COOKIE_NAME="gotowebinar_session", SESSION_COOKIE_SAMESITE="Lax")
    people: dict[str, SignedIn] = {}  # who is signed in, by the secret in their cookie
    speak(app, "gotowebinar_language")

    def page(failure: str = "", status: int = 200) -> tuple[str, int]:
        person = people.get(session.get("id", ""))
        # Whoever administers their company gets to the admin center from the toolbar; it signs them in without another question.
        company = person.userinfo.get("company") if person else None
        manages = ADMIN_CENTER if company and "administrator" in company["roles"] else ""
        values = {"person": person, "failure": failure, "issuer": provider.issuer, "admin_center": manages}
        return render_template("product.html", **values), status

    @app.get("/")
    def home() -> tuple[str, int]:
        return page()

    @app.get("/login")
    def start() -> Redirect:
        to, session["started"] = provider.start(ui_locales=g.language)
        return redirect(to, 303)

    @app.get("/callback")
    def callback() -> Redirect:
        person = provider.finish(request.args, session.pop("started", {}))
        people.pop(session.get("id", ""), None)
        session["id"] = secrets.token_urlsafe(32)  # a new one at every sign-in
        people[session["id"]] = person
        return redirect("/", 303)

    @app.post("/renew")
    def renew() -> Redirect:
        if person := people.pop(session.get("id", ""), None):
            people[session["id"]] = provider.refresh(person)
        return redirect("/", 303)

    @app.post("/sign-out")
    def sign_out() -> Redirect:
        person = people.pop(session.pop("id", ""), None)
        return redirect(provider.logout_address(person, come_back_to=f"{address}/") if person else "/", 303)

    @app.post("/backchannel-logout")
    def backchannel_logout() -> tuple[str, int]:
        ended = provider.check_logout_token(request.form.get("logout_token", ""))
        member = "sid" if "sid" in ended else "sub"
        for key, person in list(people.items()):
            if person.claims.get(member) == ended[member]:
                people.pop(key, None)
        return "", 200

    @app.errorhandler(SignInFailed)
    def failed(error: SignInFailed) -> tuple[str, int]:
        return page(error.code, 400)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app


if __name__ == "__main__":
    gotowebinar = Provider(
        issuer=os.environ["OIDC_ISSUER"],
        client_id="gotowebinar",
        client_secret=os.environ["GOTOWEBINAR_SECRET"],
        redirect_uri=f"{ADDRESS}/callback",
        scope="openid profile email company offline_access",
    )
    serve(make_product(gotowebinar, ADDRESS), 8002)

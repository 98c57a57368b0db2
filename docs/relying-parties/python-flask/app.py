"""A Flask application whose people sign in with OpenID Connect. Run it: ``flask --app app run``."""

import os
import secrets

from flask import Flask, redirect, request, session, url_for
from markupsafe import escape
from sign_in import Provider, SignedIn, SignInFailed

app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)  # of your own, kept: with a new one everybody is signed out
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"

provider = Provider(
    issuer=os.environ["OIDC_ISSUER"],
    client_id=os.environ["OIDC_CLIENT_ID"],
    client_secret=os.environ["OIDC_CLIENT_SECRET"],
    redirect_uri=os.environ["OIDC_REDIRECT_URI"],
)
people: dict[str, SignedIn] = {}  # who is signed in, by the secret in their cookie; yours will be a database table


@app.get("/")
def home() -> str:
    person = people.get(session.get("id", ""))
    if person is None:
        return f'<a id="sign-in" href="{url_for("start")}">Sign in</a>'
    return (
        f'<p id="person">Signed in as {escape(person.userinfo.get("email"))}, known as {escape(person.claims["sub"])}.</p>'
        f'<form method="post" action="{url_for("sign_out")}"><button id="sign-out">Sign out</button></form>'
    )


@app.get("/sign-in")
def start():
    address, session["started"] = provider.start()
    return redirect(address)


@app.get("/callback")
def callback():
    person = provider.finish(request.args, session.pop("started", {}))
    people.pop(session.get("id", ""), None)
    session["id"] = secrets.token_urlsafe(32)  # a new one at every sign-in
    people[session["id"]] = person
    return redirect(url_for("home"))


@app.post("/sign-out")
def sign_out():
    person = people.pop(session.pop("id", ""), None)
    if person is None:
        return redirect(url_for("home"))
    return redirect(provider.logout_address(person, come_back_to=url_for("home", _external=True)))


@app.post("/backchannel-logout")
def backchannel_logout():
    """The provider calls this when the person signs out elsewhere."""
    ended = provider.check_logout_token(request.form.get("logout_token", ""))
    for key, person in list(people.items()):
        if person.claims.get("sid") == ended["sid"] if "sid" in ended else person.claims["sub"] == ended["sub"]:
            people.pop(key, None)
    return "", 200, {"Cache-Control": "no-store"}


@app.errorhandler(SignInFailed)
def failed(error: SignInFailed):
    return (
        f'<p id="failed">The sign-in did not work ({escape(error.code)}).</p><a href="{url_for("start")}">Try again</a>',
        400,
    )

"""The pages on which a visitor is somebody at a stand-in: sign in there, agree or not, and decide how the provider behaves."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, render_template, request, session, url_for
from stand_in_site import Asked, Failed, Person, Refused, Site
from werkzeug.wrappers import Response as Redirect
from words import speak

Answer = tuple[str, int] | Redirect | Response
MOODS = ("well", "slow", "down", "broken")


def make_site_app(site: Site) -> Flask:
    """One stand-in with the real paths of its provider, and its own pages below ``/stand-in``."""
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)
    app.config.update(SESSION_COOKIE_NAME=f"stand_in_{site.key}", SESSION_COOKIE_SAMESITE="Lax")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    waiting: dict[str, Asked] = {}  # requests that wait for a person, by a secret in their forms
    own = {"start", "go", "sign_in", "consent", "sign_out", "change", "static", "authorize"}
    speak(app, "stand_in_language")

    def person() -> Person | None:
        return site.people.get(session.get("subject") or ("" if session.get("left") else site.everybody or ""))

    def page(name: str, status: int = 200, **values: Any) -> tuple[str, int]:
        if "form" not in session:  # no other site can send a form in this person's name
            session["form"] = secrets.token_urlsafe(24)
        return render_template("stand_in.html", page=name, site=site, moods=MOODS, person=person(), **values), status

    def send_back(asked: Asked, parameters: dict[str, str]) -> Answer:
        if asked.response_mode == "form_post":
            return page("send", url=asked.redirect_uri, fields=parameters)
        joint = "&" if "?" in asked.redirect_uri else "?"
        return redirect(f"{asked.redirect_uri}{joint}{urlencode(parameters)}", 303)

    def go_on(handle: str, asked: Asked) -> Answer:
        """What stands between a request and its answer: who it is, and whether they agree."""
        here, silent = person(), "none" in asked.prompts
        if here is None or (site.wants_choice(asked) and session.get("proved") != handle and not site.everybody):
            return (
                send_back(asked, site.answered({"error": "login_required"}, asked)) if silent else choose(handle, asked)
            )
        if site.consent == "deny":
            return send_back(asked, site.answered(site.cancelled, asked))
        if site.consent == "ask" and (here.subject not in site.agreed or "consent" in asked.prompts):
            if silent:
                return send_back(asked, site.answered({"error": "interaction_required"}, asked))
            return page("consent", handle=handle, asked=asked)
        waiting.pop(handle, None)
        since = (
            session.get("since", site.clock())
            if not site.wants_choice(asked) or session.get("proved")
            else site.clock()
        )
        return send_back(asked, site.issue_code(asked, here.subject, since))

    def choose(handle: str, asked: Asked | None, status: int = 200) -> Answer:
        return page("choose", status, handle=handle, asked=asked, hint=asked.login_hint if asked else "")

    def ours() -> None:
        """Only a form of ours, sent by the browser that got it."""
        if not secrets.compare_digest(session.get("form", ""), request.form.get("form", "-")):
            raise Refused("invalid_request")

    @app.before_request
    def spoil() -> Response | None:
        return site.spoil() if request.endpoint not in own and request.endpoint else None

    def authorize(**path: str) -> Answer:
        asked = site.read_request(request.values)
        error = site.request_error(asked)
        if error:
            return send_back(asked, site.answered(error, asked))
        waiting[handle := secrets.token_urlsafe(16)] = asked
        return go_on(handle, asked)

    for path in site.authorize_paths:
        app.add_url_rule(path, "authorize", authorize, methods=["GET", "POST"])

    @app.get("/")
    def start() -> Answer:
        return page("start")

    @app.get("/stand-in/go")
    def go() -> Answer:
        handle = request.args.get("handle", "")
        return go_on(handle, waiting[handle]) if handle in waiting else redirect(url_for("start"), 303)

    @app.post("/stand-in/sign-in")
    def sign_in() -> Answer:
        ours()
        handle, email = request.form.get("handle", ""), request.form.get("email", "").strip().lower()[:200]
        subject = request.form.get("subject", "")
        if email and not subject:
            known = [one for one in site.people.values() if one.email == email]
            subject = (known or [site.add_person(request.form.get("name", "").strip()[:100] or email, email)])[
                0
            ].subject
        if subject not in site.people:
            return choose(handle, waiting.get(handle), 400)
        session.update(subject=subject, since=site.clock(), proved=handle)
        session.pop("left", None)
        return redirect(url_for("go", handle=handle), 303)

    @app.post("/stand-in/consent")
    def consent() -> Answer:
        ours()
        handle, here = request.form.get("handle", ""), person()
        asked = waiting.pop(handle, None)
        if asked is None or here is None:
            return redirect(url_for("start"), 303)
        if request.form.get("answer") != "allow":
            return send_back(asked, site.answered(site.cancelled, asked))
        if "hidden" in request.form:
            site.change(here.subject, hidden=True)
        return send_back(asked, site.issue_code(asked, here.subject, session.get("since", site.clock())))

    @app.post("/stand-in/sign-out")
    def sign_out() -> Answer:
        ours()
        session.clear()
        session["left"] = True
        return redirect(url_for("start"), 303)

    @app.post("/stand-in/change")
    def change() -> Answer:
        ours()
        here = person()
        if request.form.get("mood") in MOODS:
            site.mood = request.form["mood"]
        elif here and "email" in request.form:
            said = request.form
            site.change(
                here.subject,
                email=said["email"].strip().lower()[:200],
                verified="verified" in said,
                hosted="hosted" in said,
                hidden="hidden" in said,
            )
        elif here and "forget" in request.form:
            site.agreed.discard(here.subject)
        return redirect(url_for("start"), 303)

    site.routes(app)

    @app.errorhandler(Failed)
    def failed(error: Failed) -> tuple[Response, int]:
        return jsonify(error.body), error.status

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

"""GitHub's OAuth apps: errors in answers of status 200, form-encoded unless JSON is asked for; addresses in a list of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, request
from stand_in_site import Asked, Failed, Grant, Site

HELP = "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"


class GitHub(Site):
    key, name = "github", "GitHub"
    authorize_paths = ("/login/oauth/authorize",)
    cancelled: ClassVar[Mapping[str, str]] = {
        "error": "access_denied",
        "error_description": "The user has denied your application access.",
    }

    def make_subject(self, text: str) -> str:
        return str(int(super().make_subject(text)[-8:]) + 10**8)

    def wants_choice(self, asked: Asked) -> bool:
        return "select_account" in asked.prompts

    def routes(self, app: Flask) -> None:
        def answer(said: dict[str, Any]) -> Response:
            if "json" in request.headers.get("Accept", ""):
                return jsonify(said)
            return Response(urlencode(said), mimetype="application/x-www-form-urlencoded")

        def refuse(error: str, text: str) -> Response:
            return answer({"error": error, "error_description": text, "error_uri": HELP})

        def owner(*scopes: str) -> Grant:
            if not request.headers.get("User-Agent"):
                raise Failed(403, {"message": "Request forbidden by administrative rules. Send a User-Agent header."})
            grant = self.by_token()
            if grant is None:
                raise Failed(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
            if scopes and not set(scopes) & set(grant.scopes):
                raise Failed(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
            return grant

        @app.post("/login/oauth/access_token")
        def token() -> Response:
            if not self.is_our_client(request.form):
                text = "The client_id and/or client_secret passed are incorrect."
                return refuse("incorrect_client_credentials", text)
            if (
                request.form.get("redirect_uri", self.registration.redirect_uris[0])
                not in self.registration.redirect_uris
            ):
                text = "The redirect_uri MUST match the registered callback URL for this application."
                return refuse("redirect_uri_mismatch", text)
            grant = self.take_code(request.form)
            if grant is None:
                return refuse("bad_verification_code", "The code passed is incorrect or expired.")
            return answer(
                {"access_token": self.issue_token(grant), "token_type": "bearer", "scope": ",".join(grant.scopes)}
            )

        @app.get("/user")
        def user() -> Response:
            person = self.people[owner().subject]
            login = person.name.lower().replace(" ", "-")
            said = {"login": login, "id": int(person.subject), "type": "User", "name": person.name, "email": None}
            return jsonify(said | self.lies.userinfo)

        @app.get("/user/emails")
        def emails() -> Response:
            grant = owner("user", "user:email")
            person = self.people[grant.subject]
            relay = f"{person.subject}+{person.name.lower().replace(' ', '-')}@users.noreply.github.com"
            rows: list[dict[str, Any]] = [{"email": relay, "primary": False, "verified": True, "visibility": None}]
            if person.email:
                row = {"email": person.email, "primary": True, "verified": person.verified, "visibility": "private"}
                rows.insert(0, row)
            return jsonify(rows)

    def entry(self) -> dict[str, str]:
        return {
            "client_id": self.registration.client_id,
            "issuer": f"{self.address}/login/oauth",
            "authorization_endpoint": f"{self.address}/login/oauth/authorize",
            "token_endpoint": f"{self.back}/login/oauth/access_token",
            "userinfo_endpoint": f"{self.back}/user",
            "emails_endpoint": f"{self.back}/user/emails",
        }

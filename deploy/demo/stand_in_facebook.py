"""Facebook Login: no ID token; the Graph API with ``fields`` and ``appsecret_proof``, and errors in its own form with status 400."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Flask, Response, jsonify, request
from stand_in_site import Asked, Failed, Site

VERSION = "v24.0"


class Facebook(Site):
    key, name = "facebook", "Facebook"
    authorize_paths = (f"/{VERSION}/dialog/oauth", "/dialog/oauth")
    cancelled: ClassVar[Mapping[str, str]] = {
        "error_reason": "user_denied",
        "error": "access_denied",
        "error_code": "200",
        "error_description": "Permissions error",
    }

    def make_subject(self, text: str) -> str:
        return super().make_subject(text)[-17:]

    def wants_choice(self, asked: Asked) -> bool:
        return asked.auth_type == "reauthenticate"

    @staticmethod
    def failure(message: str, code: int, subcode: int | None = None, kind: str = "OAuthException") -> Failed:
        said: dict[str, Any] = {"message": message, "type": kind, "code": code, "fbtrace_id": secrets.token_urlsafe(8)}
        return Failed(400, {"error": said | ({} if subcode is None else {"error_subcode": subcode})})

    def routes(self, app: Flask) -> None:
        @app.route(f"/{VERSION}/oauth/access_token", methods=["GET", "POST"])
        def token() -> Response:
            if request.values.get("client_id") != self.registration.client_id:
                raise self.failure("Error validating application. Cannot get application info.", 101)
            if not self.is_our_client(request.values):
                raise self.failure("Error validating client secret.", 1)
            grant = self.take_code(request.values)
            if grant is None:
                raise self.failure("This authorization code has been used.", 100, 36009)
            return jsonify(access_token=self.issue_token(grant), token_type="bearer", expires_in=599)

        @app.get(f"/{VERSION}/me")
        def me() -> Response:
            grant = self.by_token()
            if grant is None:
                raise self.failure("Invalid OAuth access token - Cannot parse access token", 190)
            token = request.headers.get("Authorization", "").partition(" ")[2] or request.args.get("access_token", "")
            proof = request.args.get("appsecret_proof", "")
            if not proof:
                text = "API calls from the server require an appsecret_proof argument"
                raise self.failure(text, 100, kind="GraphMethodException")
            right = hmac.digest(self.registration.client_secret.encode(), token.encode(), "sha256").hex()
            if not hmac.compare_digest(proof.encode(), right.encode()):
                text = "Invalid appsecret_proof provided in the API argument"
                raise self.failure(text, 100, kind="GraphMethodException")
            person = self.people[grant.subject]
            given, _, family = person.name.partition(" ")
            said = {"name": person.name, "first_name": given, "last_name": family, "id": person.subject}
            if person.email and "email" in grant.scopes:
                said["email"] = person.email
            wanted = request.args.get("fields", "name,id").split(",")
            return jsonify({name: said[name] for name in (*wanted, "id") if name in said} | self.lies.userinfo)

    def entry(self) -> dict[str, str]:
        return {
            "client_id": self.registration.client_id,
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/{VERSION}/dialog/oauth",
            "token_endpoint": f"{self.back}/{VERSION}/oauth/access_token",
            "userinfo_endpoint": f"{self.back}/{VERSION}/me?fields=id,name,email",
        }

"""Google as its "OpenID Connect" guide describes it: a discovery document, ``hd``, prompt none and select_account, login_hint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, jsonify, request
from stand_in_site import Asked, Failed, Grant, Site


class Google(Site):
    key, name = "google", "Google"
    authorize_paths = ("/o/oauth2/v2/auth",)
    requires = ("response_type",)

    def request_error(self, asked: Asked) -> Mapping[str, str] | None:
        return None if asked.scopes else {"error": "invalid_request"}

    def answer_more(self, asked: Asked, grant: Grant) -> dict[str, str]:
        person = self.people[grant.subject]
        hosted = {"hd": person.domain} if person.hosted and person.email else {}
        return {
            "scope": " ".join(asked.scopes),
            "authuser": "0",
            "prompt": "consent" if grant.first else "none",
            **hosted,
        }

    def claims(self, grant: Grant) -> dict[str, Any]:
        person, scopes = self.people[grant.subject], grant.scopes
        said: dict[str, Any] = {"iss": self.address, "azp": self.registration.client_id, "sub": person.subject}
        if person.email and "email" in scopes:
            said |= {"email": person.email, "email_verified": person.verified}
        if person.email and person.hosted:
            said["hd"] = person.domain
        if "profile" in scopes:
            given, _, family = person.name.partition(" ")
            said |= {"name": person.name, "given_name": given, "family_name": family}
        return said

    def routes(self, app: Flask) -> None:
        @app.get("/.well-known/openid-configuration")
        def configuration() -> Response:
            return jsonify(
                issuer=self.address,
                authorization_endpoint=f"{self.address}/o/oauth2/v2/auth",
                token_endpoint=f"{self.address}/token",
                userinfo_endpoint=f"{self.address}/v1/userinfo",
                jwks_uri=f"{self.address}/oauth2/v3/certs",
                response_types_supported=["code"],
                subject_types_supported=["public"],
                id_token_signing_alg_values_supported=["RS256"],
                scopes_supported=["openid", "email", "profile"],
                token_endpoint_auth_methods_supported=["client_secret_post", "client_secret_basic"],
                code_challenge_methods_supported=["plain", "S256"],
            )

        @app.post("/token")
        def token() -> Response:
            if not self.is_our_client(request.form):
                raise Failed(401, {"error": "invalid_client", "error_description": "Unauthorized"})
            if request.form.get("grant_type") != "authorization_code":
                raise Failed(400, {"error": "unsupported_grant_type"})
            grant = self.take_code(request.form)
            if grant is None:
                raise Failed(400, {"error": "invalid_grant", "error_description": "Bad Request"})
            access_token = self.issue_token(grant)
            claims = self.claims(grant) | ({"nonce": grant.asked.nonce} if grant.asked.nonce else {})
            if "auth_time" in grant.asked.claims:
                claims["auth_time"] = grant.auth_time
            return jsonify(
                access_token=access_token,
                expires_in=599,
                scope=" ".join(grant.scopes),
                token_type="Bearer",
                id_token=self.sign(claims, access_token),
            )

        @app.get("/oauth2/v3/certs")
        def certs() -> Response:
            return jsonify(self.jwks())

        @app.get("/v1/userinfo")
        def userinfo() -> Response:
            grant = self.by_token()
            if grant is None:
                raise Failed(401, {"error": "invalid_request", "error_description": "Invalid Credentials"})
            said = self.claims(grant)
            return jsonify({name: said[name] for name in said if name not in ("iss", "azp")} | self.lies.userinfo)

    def entry(self) -> dict[str, str]:
        return {
            "client_id": self.registration.client_id,
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/o/oauth2/v2/auth",
            "token_endpoint": f"{self.back}/token",
            "jwks_uri": f"{self.back}/oauth2/v3/certs",
        }

"""LinkedIn: OpenID Connect whose ID tokens leave the nonce out and whose email_verified is text; its own names for a cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Flask, Response, jsonify, request
from stand_in_site import Failed, Grant, Site


class LinkedIn(Site):
    key, name = "linkedin", "LinkedIn"
    authorize_paths = ("/oauth/v2/authorization",)
    requires = ("response_type",)
    cancelled: ClassVar[Mapping[str, str]] = {
        "error": "user_cancelled_authorize",
        "error_description": "The user cancelled the authorization",
    }

    def claims(self, grant: Grant) -> dict[str, Any]:
        person = self.people[grant.subject]
        said: dict[str, Any] = {"sub": person.subject}
        if "profile" in grant.scopes:
            given, _, family = person.name.partition(" ")
            said |= {"name": person.name, "given_name": given, "family_name": family, "locale": "en_US"}
        if person.email and "email" in grant.scopes:
            said |= {"email": person.email, "email_verified": str(person.verified).lower()}
        return said

    def make_subject(self, text: str) -> str:
        return super().make_subject(text)[-10:]

    def routes(self, app: Flask) -> None:
        @app.get("/oauth/.well-known/openid-configuration")
        def configuration() -> Response:
            return jsonify(
                issuer=f"{self.address}/oauth",
                authorization_endpoint=f"{self.address}/oauth/v2/authorization",
                token_endpoint=f"{self.address}/oauth/v2/accessToken",
                userinfo_endpoint=f"{self.address}/v2/userinfo",
                jwks_uri=f"{self.address}/oauth/openid/jwks",
                response_types_supported=["code"],
                subject_types_supported=["pairwise"],
                id_token_signing_alg_values_supported=["RS256"],
                scopes_supported=["openid", "profile", "email"],
                claims_supported=[
                    "iss",
                    "aud",
                    "iat",
                    "exp",
                    "sub",
                    "name",
                    "given_name",
                    "family_name",
                    "picture",
                    "email",
                ],
            )

        @app.post("/oauth/v2/accessToken")
        def token() -> Response:
            # A verifier is taken only from native apps, at another address; here it spoils the client authentication.
            if not self.is_our_client(request.form) or "code_verifier" in request.form:
                raise Failed(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
            grant = self.take_code(request.form)
            if grant is None:
                text = "Unable to retrieve access token: appid/redirect uri/code verifier does not match authorization code."
                raise Failed(400, {"error": "invalid_request", "error_description": text})
            access_token = self.issue_token(grant)
            claims = {"iss": f"{self.address}/oauth", "at_hash": None, **self.claims(grant)}
            return jsonify(
                access_token=access_token,
                expires_in=599,
                scope=",".join(grant.scopes),
                token_type="Bearer",
                id_token=self.sign(claims, access_token),
            )

        @app.get("/v2/userinfo")
        def userinfo() -> Response:
            grant = self.by_token()
            if grant is None:
                text = {"status": 401, "serviceErrorCode": 65600, "code": "INVALID_ACCESS_TOKEN"}
                raise Failed(401, {**text, "message": "Invalid access token"})
            return jsonify(self.claims(grant) | self.lies.userinfo)

        @app.get("/oauth/openid/jwks")
        def jwks() -> Response:
            return jsonify(self.jwks())

    def entry(self) -> dict[str, str]:
        return {
            "client_id": self.registration.client_id,
            "issuer": f"{self.address}/oauth",
            "authorization_endpoint": f"{self.address}/oauth/v2/authorization",
            "token_endpoint": f"{self.back}/oauth/v2/accessToken",
            "userinfo_endpoint": f"{self.back}/v2/userinfo",
            "jwks_uri": f"{self.back}/oauth/openid/jwks",
        }

"""Sign in with Apple: a client secret that is a JWT, answers by form_post, truth as text, the name once, relayed addresses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from stand_in_site import Asked, Failed, Grant, Refused, Site

LONGEST_SECRET = 15777000  # seconds: six months, as Apple counts them


class Apple(Site):
    key, name = "apple", "Apple"
    authorize_paths = ("/auth/authorize",)
    requires = ("response_type",)
    cancelled: ClassVar[Mapping[str, str]] = {"error": "user_cancelled_authorize"}

    def make_subject(self, text: str) -> str:
        whole = hashlib.sha256(f"apple {text}".encode()).hexdigest()
        return f"{int(whole[:5], 16) % 10**6:06}.{whole[5:37]}.{int(whole[37:41], 16) % 10**4:04}"

    def read_request(self, values: Mapping[str, str]) -> Asked:
        asked = super().read_request(values)
        if asked.scopes and asked.response_mode != "form_post":
            raise Refused("invalid_request")  # who asks for a name or an address must take the answer by POST
        return asked

    def email_of(self, subject: str) -> str:
        person = self.people[subject]
        if not person.hidden:
            return person.email
        return f"{hashlib.sha256(subject.encode()).hexdigest()[:10]}@privaterelay.appleid.com"

    def answer_more(self, asked: Asked, grant: Grant) -> dict[str, str]:
        """The name, and only when the person agrees for the first time."""
        if not grant.first or not asked.scopes:
            return {}
        first, _, last = self.people[grant.subject].name.partition(" ")
        said: dict[str, Any] = {}
        if "name" in asked.scopes:
            said["name"] = {"firstName": first, "lastName": last}
        if "email" in asked.scopes and self.people[grant.subject].email:
            said["email"] = self.email_of(grant.subject)
        return {"user": json.dumps(said)}

    def is_our_client(self, values: Mapping[str, str]) -> bool:
        known = self.registration
        try:
            public = ECKey.import_key(known.client_secret)
            token = jwt.decode(values.get("client_secret", ""), public, algorithms=["ES256"])
        except (JoseError, ValueError):
            return False
        said, now = token.claims, self.clock()
        who = (said.get("iss"), said.get("sub"), said.get("aud"), token.header.get("kid"), values.get("client_id"))
        times = said.get("iat"), said.get("exp")
        return (
            who == (known.team_id, known.client_id, self.address, known.key_id, known.client_id)
            and all(isinstance(time, int) for time in times)
            and now - 300 < said["exp"] <= now + LONGEST_SECRET
        )

    def claims(self, grant: Grant) -> dict[str, Any]:
        person = self.people[grant.subject]
        said: dict[str, Any] = {"iss": self.address, "sub": person.subject, "auth_time": grant.auth_time}
        if person.email and "email" in grant.scopes:
            said |= {"email": self.email_of(person.subject), "email_verified": str(person.verified).lower()}
            if person.hidden:
                said["is_private_email"] = "true"
        if grant.asked.nonce:
            said |= {"nonce": grant.asked.nonce, "nonce_supported": True}
        return said

    def routes(self, app: Flask) -> None:
        @app.get("/.well-known/openid-configuration")
        def configuration() -> Response:
            return jsonify(
                issuer=self.address,
                authorization_endpoint=f"{self.address}/auth/authorize",
                token_endpoint=f"{self.address}/auth/token",
                revocation_endpoint=f"{self.address}/auth/revoke",
                jwks_uri=f"{self.address}/auth/keys",
                response_types_supported=["code"],
                response_modes_supported=["query", "fragment", "form_post"],
                subject_types_supported=["pairwise"],
                id_token_signing_alg_values_supported=["RS256"],
                scopes_supported=["openid", "email", "name"],
                token_endpoint_auth_methods_supported=["client_secret_post"],
            )

        @app.post("/auth/token")
        def token() -> Response:
            if not self.is_our_client(request.form):
                raise Failed(400, {"error": "invalid_client"})
            grant = self.take_code(request.form)
            if grant is None:
                text = "The code has expired or has been revoked."
                raise Failed(400, {"error": "invalid_grant", "error_description": text})
            access_token = self.issue_token(grant)
            return jsonify(
                access_token=access_token,
                token_type="Bearer",
                expires_in=599,
                refresh_token=f"r.{access_token[::-1]}",
                id_token=self.sign(self.claims(grant), access_token),
            )

        @app.get("/auth/keys")
        def keys() -> Response:
            return jsonify(self.jwks())

    def entry(self) -> dict[str, str]:
        return {
            "client_id": self.registration.client_id,
            "team_id": self.registration.team_id,
            "key_id": self.registration.key_id,
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/auth/authorize",
            "token_endpoint": f"{self.back}/auth/token",
            "jwks_uri": f"{self.back}/auth/keys",
        }

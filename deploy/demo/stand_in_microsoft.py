"""Microsoft's identity platform v2.0: an issuer with the tenant in it, keys for everybody, AADSTS errors, ``xms_edov``."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from flask import Flask, Response, jsonify, request
from stand_in_site import Failed, Grant, Person, Site

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the one tenant of all accounts that are no organization's


class Microsoft(Site):
    """``verified`` is whether the domain's owner vouches for the address; ``hosted``: whether an organization has the account."""

    key, name = "microsoft", "Microsoft"
    authorize_paths = ("/<tenant>/oauth2/v2.0/authorize",)
    requires = ("response_type",)
    cancelled: ClassVar[Mapping[str, str]] = {
        "error": "access_denied",
        "error_description": "AADSTS65004: User declined to consent to access the app.",
        "error_subcode": "cancel",
    }

    def make_subject(self, text: str) -> str:
        return hashlib.sha256(f"microsoft {text}".encode()).hexdigest()[:43]

    @staticmethod
    def tenant(person: Person) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, person.domain)) if person.hosted and person.email else CONSUMERS

    def claims(self, grant: Grant) -> dict[str, Any]:
        person = self.people[grant.subject]
        tenant = self.tenant(person)
        said: dict[str, Any] = {
            "ver": "2.0",
            "iss": f"{self.address}/{tenant}/v2.0",
            "sub": person.subject,
            "tid": tenant,
            "nbf": int(self.clock()),
            "at_hash": None,  # only with response types that we do not use
        }
        if "profile" in grant.scopes:
            object_id = str(uuid.uuid5(uuid.NAMESPACE_OID, person.subject))
            said |= {"oid": object_id, "name": person.name, "preferred_username": person.email or person.name}
        if person.email and "email" in grant.scopes:
            said |= {"email": person.email, "xms_edov": person.verified}
        if grant.asked.nonce:
            said["nonce"] = grant.asked.nonce
        if self.wants_choice(grant.asked):
            said["auth_time"] = grant.auth_time
        return said

    def failure(self, status: int, error: str, number: int, text: str) -> Failed:
        said = {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}
        return Failed(status, {**said, "trace_id": str(uuid.uuid4()), "correlation_id": str(uuid.uuid4())})

    def routes(self, app: Flask) -> None:
        @app.get("/<tenant>/v2.0/.well-known/openid-configuration")
        def configuration(tenant: str) -> Response:
            many = tenant in ("common", "organizations")
            issuer = "{tenantid}" if many else CONSUMERS if tenant == "consumers" else tenant
            return jsonify(
                issuer=f"{self.address}/{issuer}/v2.0",
                authorization_endpoint=f"{self.address}/{tenant}/oauth2/v2.0/authorize",
                token_endpoint=f"{self.address}/{tenant}/oauth2/v2.0/token",
                jwks_uri=f"{self.address}/{tenant}/discovery/v2.0/keys",
                userinfo_endpoint=f"{self.address}/oidc/userinfo",
                response_modes_supported=["query", "fragment", "form_post"],
                response_types_supported=["code", "id_token", "code id_token", "id_token token"],
                subject_types_supported=["pairwise"],
                id_token_signing_alg_values_supported=["RS256"],
                scopes_supported=["openid", "profile", "email", "offline_access"],
                token_endpoint_auth_methods_supported=["client_secret_post", "client_secret_basic", "private_key_jwt"],
            )

        @app.get("/<tenant>/discovery/v2.0/keys")
        def keys(tenant: str) -> Response:
            issuer = f"{self.address}/{{tenantid}}/v2.0"
            return jsonify(keys=[{**key, "issuer": issuer} for key in self.jwks()["keys"]])

        @app.post("/<tenant>/oauth2/v2.0/token")
        def token(tenant: str) -> Response:
            if not self.is_our_client(request.form):
                raise self.failure(401, "invalid_client", 7000215, "Invalid client secret provided.")
            grant = self.take_code(request.form)
            if grant is None:
                text = "The provided authorization code or refresh token has expired, or was used already."
                raise self.failure(400, "invalid_grant", 70008, text)
            access_token = self.issue_token(grant)
            return jsonify(
                token_type="Bearer",
                scope=" ".join(grant.scopes),
                expires_in=599,
                ext_expires_in=599,
                access_token=access_token,
                id_token=self.sign(self.claims(grant), access_token),
            )

        @app.get("/oidc/userinfo")
        def userinfo() -> Response:
            grant = self.by_token()
            if grant is None:
                raise Failed(
                    401, {"error": {"code": "InvalidAuthenticationToken", "message": "Access token is invalid."}}
                )
            person = self.people[grant.subject]
            said = {"sub": person.subject, "name": person.name} | ({"email": person.email} if person.email else {})
            return jsonify(said | self.lies.userinfo)

    def entry(self) -> dict[str, str]:
        return {
            "client_id": self.registration.client_id,
            "issuer": f"{self.address}/{{tenantid}}/v2.0",
            "authorization_endpoint": f"{self.address}/common/oauth2/v2.0/authorize",
            "token_endpoint": f"{self.back}/common/oauth2/v2.0/token",
            "jwks_uri": f"{self.back}/common/discovery/v2.0/keys",
        }

"""A company, its identity provider, and our connection to it, as tests need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from idp.connections import NAME_ID_EMAIL, SamlConnection, SpKey
from idp.doors.saml_response import SentRequest
from tests.fakes.company_idp import CompanyIdp, key_pair

ISSUER = "https://login.example"
REQUEST = "_" + "5" * 40


def sp_key(name: str = "our connection", state: str = "signing") -> SpKey:
    """A key pair of ours, made once per process and name."""
    private, certificate = key_pair("rsa", name)
    assert isinstance(private, rsa.RSAPrivateKey)
    return SpKey(certificate, private, state)


def connection_to(idp: CompanyIdp, **changes: Any) -> SamlConnection:
    """A live connection to an identity provider, by values only. ``changes``: any field of SamlConnection."""
    name = changes.get("id", "acme0001")
    fields = {
        "id": name,
        "company_id": "company-acme",
        "name": "Acme",
        "vendor": "other",
        "state": "live",
        "idp_entity_id": idp.entity_id,
        "sso_url": idp.sso_url,
        "sso_binding": "redirect",
        "slo_url": idp.slo_url,
        "slo_binding": "redirect",
        "slo_response_url": None,
        "name_id_format": NAME_ID_EMAIL,
        "attributes": {},
        "contexts": {},
        "hint": "subject",
        "certificates": (idp.certificate,),
        "keys": (sp_key(),),
        "entity_id": f"{ISSUER}/saml/{name}/metadata",
        "acs": f"{ISSUER}/saml/{name}/acs",
        "slo": f"{ISSUER}/saml/{name}/slo",
    }
    return SamlConnection(**{**fields, **changes})


def sent_request(connection: SamlConnection, now: float, **changes: Any) -> SentRequest:
    """The AuthnRequest that answers of the tests answer."""
    fields = {
        "id": REQUEST,
        "issued_at": int(now) - 20,
        "connection_id": connection.id,
        "idp_entity_id": connection.idp_entity_id,
        "force_authn": False,
        "max_age": None,
        "contexts": (),
        "passive": False,
    }
    return SentRequest(**{**fields, **changes})


def only_request(request: SentRequest) -> Callable[[str], SentRequest | None]:
    """Finds this request by its id, and no other."""
    return lambda identifier: request if identifier == request.id else None


def answer_for(connection: SamlConnection, **changes: Any) -> dict[str, Any]:
    """What ``CompanyIdp.response`` needs for an answer to the request of the tests."""
    return {
        "request_id": REQUEST,
        "acs": connection.acs,
        "audience": connection.entity_id,
        "name_id": "alice@acme.example",
        **changes,
    }

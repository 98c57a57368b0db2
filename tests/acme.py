"""The connection of a company, Acme, as a plain value: for tests below SQL."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from idp.connections import NAME_ID_EMAIL, SamlConnection, SpKey
from tests.fakes.company_idp import CompanyIdp, certificate_for

OURS = "https://login.example/saml"


@cache
def sp_key(name: str, state: str = "signing") -> SpKey:
    """A key pair of ours, made once per process."""
    private = rsa.generate_private_key(65537, 2048)
    certificate: x509.Certificate = certificate_for(private, name)
    return SpKey(certificate=certificate, private=private, state=state)


def connection_to(idp: CompanyIdp, id: str = "acme1", **changes: Any) -> SamlConnection:
    """A live connection to ``idp`` with our key ``id``."""
    base = f"{OURS}/{id}"
    values: dict[str, Any] = {
        "id": id,
        "company_id": "c" * 32,
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
        "hint": "none",
        "certificates": (idp.certificate,),
        "keys": (sp_key(id),),
        "entity_id": f"{base}/metadata",
        "acs": f"{base}/acs",
        "slo": f"{base}/slo",
    }
    return SamlConnection(**(values | changes))

"""A company, its identity provider, and our connection to it, as tests need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from idp.companies import create_company
from idp.connections import NAME_ID_EMAIL, Connections, Description, SamlConnection, SpKey
from idp.database import Database
from idp.doors.saml_checks import SentRequest
from idp.members import add_member
from idp.models import Company, CompanyDomain, Connection
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


@dataclass
class Customer:
    """A company that is set up here, with its identity provider."""

    company_id: str
    connection: SamlConnection
    idp: CompanyIdp


def add_customer(
    database: Database,
    connections: Connections,
    idp: CompanyIdp,
    domain: str = "acme.example",
    *,
    name: str = "Acme",
    now: float,
    random: Callable[[int], bytes],
    jit: bool = True,
    sso: str = "optional",
    state: str = "live",
    binding: str = "redirect",
    **settings: Any,
) -> Customer:
    """A company with a proved domain and a connection; written as the steps that lead there would have left it.

    ``settings``: of ``Connections.add``.
    """
    with database.transaction() as db:
        company = create_company(db, name, actor="operator:test", now=now, random=random)
        company.jit, company.sso = jit, sso
        company_id = company.id
        at = int(now)
        db.add(
            CompanyDomain(
                company_id=company_id, domain=domain, held=domain, tree=".".join([*reversed(domain.split(".")), ""]),
                status="verified", code=f"code of {domain}", code_expires_at=at, created_at=at, verified_at=at,
            )
        )  # fmt: skip
    connection = add_connection(
        database,
        connections,
        company_id,
        idp,
        name=name,
        now=now,
        random=random,
        state=state,
        binding=binding,
        **settings,
    )
    return Customer(company_id, connection, idp)


def add_connection(
    database: Database,
    connections: Connections,
    company_id: str,
    idp: CompanyIdp,
    *,
    name: str,
    now: float,
    random: Callable[[int], bytes],
    state: str = "live",
    binding: str = "redirect",
    **settings: Any,
) -> SamlConnection:
    """Another connection of a company."""
    described = Description(
        idp.entity_id, idp.sso_url, binding, idp.slo_url, "redirect", None, certificates=(idp.certificate,)
    )
    with database.transaction() as db:
        made = connections.add(
            db, company_id, described, name=name, vendor="other", actor="operator:test", now=now, random=random, **settings
        )  # fmt: skip
        db.get_one(Connection, made.id).state = state
    with database.reading() as db:
        loaded = connections.load(db, made.id)
    assert loaded is not None
    return loaded


def belong(database: Database, customer: Customer, account_id: str, role: str = "member", *, now: float) -> None:
    """Let an account belong to a company."""
    with database.transaction() as db:
        add_member(db, customer.company_id, account_id, role, actor="operator:test", now=now, vouched=True)


def decide_for(database: Database, customer: Customer, **policy: Any) -> None:
    """Change what a company has decided, whatever should have come before."""
    with database.transaction() as db:
        company = db.get_one(Company, customer.company_id)
        for name, value in policy.items():
            setattr(company, name, value)

"""One provider, and the companies of the identity providers that are tried with it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from idp.cli.company_arguments import connections_of
from idp.companies import create_company
from idp.database import Database
from idp.doors.saml import sp_metadata
from idp.models import Company, CompanyDomain
from tests.journey import claims_of
from tests.party import Party, answer_of
from tests.registrations import CLIENTS
from tests.running import Provider, running_provider

# The product can be opened from a company's start page.
PRODUCTS = CLIENTS.replace("    logo_uri:", "    initiate_login_uri: https://rp1.example/start\n    logo_uri:", 1)


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Provider]:
    folder = tmp_path_factory.mktemp("provider of companies")
    with running_provider(folder, clients=PRODUCTS, keys=made_once / "keys") as provider:
        yield provider


@pytest.fixture
def party(provider: Provider) -> Party:
    """A product."""
    return Party(provider)


@dataclass(frozen=True)
class SignedIn:
    """What the product has learned of somebody."""

    id_token: str
    claims: dict[str, Any]
    userinfo: dict[str, Any]


def learn(party: Party, landed: str) -> SignedIn:
    """The product redeems what came back to it in the address ``landed``."""
    tokens = party.redeem(answer_of(landed)["code"]).json()
    return SignedIn(tokens["id_token"], claims_of(tokens["id_token"]), party.userinfo(tokens["access_token"]).json())


@dataclass(frozen=True)
class Connected:
    """A live connection, as the identity provider must know it."""

    id: str
    entity_id: str
    acs: str
    slo: str
    certificate: str  # PEM
    metadata: bytes


def connect(provider: Provider, domain: str, metadata_url: str, *words: str) -> Connected:
    """A company with a proved domain, connected by its metadata; ``words`` as of ``idp companies connections add``."""
    from idp.certificates import to_pem

    config, now, actor = provider.config, time.time(), "operator:test"
    database = Database(config)
    with database.transaction() as db:
        company = create_company(db, domain, actor=actor, now=now, random=secrets.token_bytes)
        db.get_one(Company, company.id).jit = True
        db.add(
            CompanyDomain(
                company_id=company.id, domain=domain, held=domain, tree=".".join([*reversed(domain.split(".")), ""]),
                status="verified", code=domain, code_expires_at=int(now), created_at=int(now), verified_at=int(now),
            )
        )  # fmt: skip
    add = ("companies", "connections", "add", domain, "--metadata-url", metadata_url, "--json", *words)
    id = json.loads(provider.idp(*add))["id"]
    connections = connections_of(config)
    with database.transaction() as db:
        connections.note_tested(db, id, actor=actor, now=now)
        made = connections.go_live(db, id, actor=actor, now=now)
    database.close()
    return Connected(id, made.entity_id, made.acs, made.slo, to_pem(made.keys[0].certificate), sp_metadata(made))

"""oidc-provider (npm) as any OpenID provider, known by its issuer alone: in, silently in again, and refused by the person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from idp.accounts.lifecycle import find_account
from idp.cookies import SESSION, cookie_name
from idp.database import Database
from idp.models import Link
from tests.identity_providers.conftest import PRODUCTS, learn
from tests.identity_providers.openid_process import OpenidProvider, running_openid_provider
from tests.identity_providers.person import Person
from tests.party import Party
from tests.registrations import REFERENCES
from tests.running import Provider, running_provider

CAROL = "carol@example.org"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenidProvider]:
    with running_openid_provider(tmp_path_factory.mktemp("openid") / "node") as running:
        yield running


@pytest.fixture(scope="module")
def social(node: OpenidProvider, tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Provider]:
    """Us, registered there; Carol's account is linked with what the other provider calls carol."""
    folder = tmp_path_factory.mktemp("provider with a social door")
    (folder / "providers.yaml").write_text(node.providers_yaml)
    references = {**REFERENCES, "NODE_SECRET": node.secret}
    with running_provider(folder, clients=PRODUCTS, keys=made_once / "keys", references=references) as running:
        node.know(f"{running.issuer}/login/social/node/return")
        running.add_person(CAROL)
        link_carol(running, node)
        yield running


def link_carol(provider: Provider, node: OpenidProvider) -> None:
    database, now = Database(provider.config), int(time.time())
    with database.transaction() as db:
        account = find_account(db, CAROL)
        assert account is not None
        proof = {"by": "password", "at": now}
        db.add(
            Link(
                account_id=account.id, issuer=node.issuer, subject="carol", door="node", email=CAROL,
                proof=proof, created_at=now,
            )
        )  # fmt: skip
    database.close()


def go_there(person: Person, party: Party) -> None:
    """From the product by the other provider's logo to its sign-in page."""
    person.open(party.provider.issuer + party.url())
    handle = dict(parse_qsl(urlsplit(person.page.url).query))["p"]
    person.open(f"{party.provider.issuer}/login/social/node?p={handle}")


def sign_in(person: Person, party: Party) -> str:
    """Where Carol lands at the product."""
    go_there(person, party)
    person.submit(login="carol", password="any")
    return person.press(urlsplit(person.forms()[0].url).path)


def test_who_signs_in_there_is_signed_in_here(social: Provider, node: OpenidProvider) -> None:
    person, party = Person(), Party(social)
    told = learn(party, sign_in(person, party))
    assert told.userinfo["email"] == CAROL
    assert any(url.startswith(f"{node.issuer}/auth?") for url in person.seen)


def test_who_is_signed_in_there_comes_in_silently(social: Provider, node: OpenidProvider) -> None:
    person, party = Person(), Party(social)
    first = learn(party, sign_in(person, party))
    forget_session(person)
    person.seen.clear()
    again = learn(party, person.open(social.issuer + party.url(prompt="none")))
    assert again.claims["sub"] == first.claims["sub"]
    assert any("prompt=none" in url and url.startswith(node.issuer) for url in person.seen)


def test_who_is_signed_in_nowhere_is_not_asked_by_a_silent_request(social: Provider, node: OpenidProvider) -> None:
    person, party = Person(), Party(social)
    sign_in(person, party)
    forget_session(person)
    for cookie in list(person.http.cookies):
        if cookie.name.startswith("_session"):
            person.http.cookies.clear(cookie.domain, cookie.path, cookie.name)
    landed = person.open(social.issuer + party.url(prompt="none"))
    assert dict(parse_qsl(urlsplit(landed).query))["error"] == "login_required"


def test_who_refuses_there_is_shown_the_other_doors(social: Provider) -> None:
    person, party = Person(), Party(social)
    go_there(person, party)
    person.open(person.page.url + "/abort")
    assert urlsplit(person.page.url).path == "/login/social/node/failed"


def forget_session(person: Person) -> None:
    """Our session is over; the browser still knows by which door its owner came."""
    for cookie in list(person.http.cookies):
        if cookie.name == cookie_name(SESSION, secure=False):
            person.http.cookies.clear(cookie.domain, cookie.path, cookie.name)

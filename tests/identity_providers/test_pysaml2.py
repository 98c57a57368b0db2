"""pysaml2's identity provider side, which is Acme's: signed, encrypted, by either binding, from either side; and out again."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.identity_providers.acme_process import Acme, running_acme
from tests.identity_providers.conftest import Connected, SignedIn, connect, learn
from tests.identity_providers.person import Person
from tests.party import Party
from tests.running import Provider

ALICE = "alice@acme.example"


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    with running_acme(tmp_path_factory.mktemp("acme")) as running:
        yield running


@pytest.fixture(scope="module")
def connected(provider: Provider, idp: Acme) -> Connected:
    made = connect(provider, "acme.example", idp.metadata_url, "--vendor", "keycloak")
    idp.know(made.entity_id)
    return made


@pytest.fixture
def person(connected: Connected) -> Person:
    """Somebody whose company knows us."""
    return Person()


def sign_in(person: Person, party: Party, idp: Acme, **asked: str) -> SignedIn:
    """From the product to the company and back."""
    person.open(party.provider.issuer + party.url(scope="openid profile email company", **asked))
    person.submit(username=ALICE)
    person.carry()
    person.submit(username=ALICE, password=idp.password)
    return learn(party, person.carry())


@pytest.mark.parametrize("encrypted", ["no", "yes"])
def test_a_person_signs_in(party: Party, idp: Acme, person: Person, encrypted: str) -> None:
    person.open(idp.address)
    person.submit(username=ALICE, password=idp.password)
    person.submit(encrypted=encrypted)
    person.open(party.provider.issuer + party.url(scope="openid profile email company"))
    person.submit(username=ALICE)
    learned = learn(party, person.carry())  # at Acme nothing is asked: they are signed in there
    assert learned.userinfo["email"] == ALICE
    assert learned.userinfo["name"] == "Alice Archer"
    assert learned.userinfo["company"]["name"] == "acme.example"


def test_who_must_sign_in_anew_does_so_at_the_company(party: Party, idp: Acme, person: Person) -> None:
    first = sign_in(person, party, idp)
    again = sign_in(person, party, idp, prompt="login")
    assert again.claims["sub"] == first.claims["sub"]


def test_a_request_by_a_form(provider: Provider, party: Party, idp: Acme, connected: Connected, person: Person) -> None:
    source = ("--entity-id", idp.metadata_url, "--sign-on-url", f"{idp.address}/sso", "--binding", "post")
    certificate = ("--certificate", str(idp.folder / "acme/certificate.pem"))
    provider.idp("companies", "connections", "replace", connected.id, *source, *certificate)
    try:
        learned = sign_in(person, party, idp)
        assert (f"{idp.address}/sso") in person.seen
    finally:
        provider.idp("companies", "connections", "replace", connected.id, "--metadata-url", idp.metadata_url)
    assert learned.userinfo["email"] == ALICE


def test_a_sign_out_at_the_product_reaches_the_company(party: Party, idp: Acme, person: Person) -> None:
    learned = sign_in(person, party, idp)
    assert "acme-welcome" in person.open(idp.address)
    leave = {"id_token_hint": learned.id_token, "post_logout_redirect_uri": "https://rp1.example/bye"}
    assert person.open(f"{party.provider.issuer}/logout?{urlencode(leave)}") == "https://rp1.example/bye"
    assert "acme-sign-in" in person.open(idp.address)


def test_a_sign_out_at_the_company_reaches_us(party: Party, idp: Acme, person: Person) -> None:
    sign_in(person, party, idp)
    assert person.open(party.provider.issuer + party.url()).startswith(party.redirect_uri)
    person.open(idp.address)
    person.press("/sign-out")
    assert "acme-signed-out" in person.page.text, person.page.text
    assert not person.open(party.provider.issuer + party.url()).startswith(party.redirect_uri)  # asked anew


def test_the_companys_start_page_opens_the_product(party: Party, idp: Acme, person: Person) -> None:
    person.open(idp.address)
    person.submit(username=ALICE, password=idp.password)
    person.open(f"{idp.address}/products/gotowebinar")
    person.carry()
    assert any(f"{idp.address}/sso?SAMLRequest=" in url for url in person.seen)  # what came unasked was not believed
    learned = learn(party, person.open(party.provider.issuer + party.url()))
    assert learned.userinfo["email"] == ALICE


def test_a_request_that_was_changed_on_its_way_is_refused_there(party: Party, idp: Acme, person: Person) -> None:
    person.open(party.provider.issuer + party.url())
    person.submit(username=ALICE)
    (asked,) = [url for url in person.seen if url.startswith(f"{idp.address}/sso?")]
    assert "IncorrectlySigned" in person.open(asked.replace("&Signature=", "&Signature=AAAA"))
    assert person.page.status_code == 400

"""Debian's simplesamlphp signs people in: signed, encrypted, by either binding, begun on either side; and out again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.identity_providers.conftest import Connected, SignedIn, connect, learn
from tests.identity_providers.person import Person
from tests.identity_providers.simplesamlphp import SimpleSamlPhp, running_simplesamlphp
from tests.party import Party
from tests.running import Provider

pytestmark = pytest.mark.needs("simplesamlphp")


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleSamlPhp]:
    with running_simplesamlphp(tmp_path_factory.mktemp("simplesamlphp")) as running:
        yield running


@pytest.fixture(scope="module")
def connected(provider: Provider, idp: SimpleSamlPhp) -> Connected:
    made = connect(provider, "php.example", idp.metadata_url, "--vendor", "keycloak")
    idp.know(made.metadata)
    return made


def sign_in(person: Person, party: Party, idp: SimpleSamlPhp) -> SignedIn:
    """From the product to the company and back."""
    person.open(party.provider.issuer + party.url(scope="openid profile email company"))
    person.submit(username="alice@php.example")
    person.submit(username="alice", password=idp.password)
    return learn(party, person.carry())


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"assertion__encryption": True},
        {"saml20__sign__assertion": False},
        {"saml20__sign__response": False},
        {"saml20__sign__assertion": False, "assertion__encryption": True},
    ],
    ids=[
        "both signed",
        "encrypted",
        "only the response signed",
        "only the assertion signed",
        "encrypted, unsigned inside",
    ],
)
def test_a_person_signs_in(party: Party, idp: SimpleSamlPhp, connected: Connected, switches: dict[str, bool]) -> None:
    idp.switch(**switches)
    learned = sign_in(Person(), party, idp)
    assert learned.userinfo["email"] == "alice@php.example"
    assert learned.userinfo["email_verified"] is True
    assert learned.userinfo["name"] == "Alice Archer"
    assert learned.userinfo["company"]["name"] == "php.example"
    assert "amr" not in learned.claims


def test_what_only_an_encryption_protects_is_refused(party: Party, idp: SimpleSamlPhp, connected: Connected) -> None:
    """Encrypted inside a Response that nobody signed: whoever has our public key could have made it (S-06)."""
    idp.switch(saml20__sign__response=False, assertion__encryption=True)
    person = Person()
    person.open(party.provider.issuer + party.url())
    person.submit(username="alice@php.example")
    person.submit(username="alice", password=idp.password)
    page = person.carry()
    assert 'id="receipt-code"' in page


@pytest.mark.parametrize("signed", [True, False])
def test_its_it_tries_the_connection(
    provider: Provider, idp: SimpleSamlPhp, connected: Connected, signed: bool
) -> None:
    idp.switch(saml20__sign__response=signed, assertion__encryption=True)
    person = Person()
    person.open(json.loads(provider.idp("companies", "try", connected.id, "--json"))["address"])
    person.press("/login/company/try")
    person.submit(username="alice", password=idp.password)
    page = person.carry()
    assert 'id="try-result"' in page
    assert ('class="problem"' in page) != signed


def test_a_sign_out_at_the_product_reaches_the_company(party: Party, idp: SimpleSamlPhp, connected: Connected) -> None:
    idp.switch()
    person = Person()
    learned = sign_in(person, party, idp)
    leave = {"id_token_hint": learned.id_token, "post_logout_redirect_uri": "https://rp1.example/bye"}
    assert person.open(f"{party.provider.issuer}/logout?{urlencode(leave)}") == "https://rp1.example/bye"
    assert any("SingleLogoutService.php?SAMLRequest=" in url for url in person.seen)
    person.open(party.provider.issuer + party.url())
    person.submit(username="alice@php.example")
    person.submit(username="alice", password=idp.password)  # it asks again


def test_a_sign_out_at_the_company_reaches_us(party: Party, idp: SimpleSamlPhp, connected: Connected) -> None:
    idp.switch()
    person = Person()
    sign_in(person, party, idp)
    assert person.open(party.provider.issuer + party.url()).startswith(party.redirect_uri)
    person.open(f"{idp.address}/saml2/idp/SingleLogoutService.php", fields={"ReturnTo": f"{idp.address}/logout.php"})
    assert any("/slo?SAMLRequest=" in url for url in person.seen), person.seen
    assert any("SingleLogoutService.php?SAMLResponse=" in url for url in person.seen)
    assert not person.open(party.provider.issuer + party.url()).startswith(party.redirect_uri)  # asked anew


def test_the_companys_start_page_opens_the_product(party: Party, idp: SimpleSamlPhp, connected: Connected) -> None:
    idp.switch()
    person = Person()
    begin = {"spentityid": connected.entity_id, "RelayState": "C1"}
    person.open(f"{idp.address}/saml2/idp/SSOService.php", fields=begin)
    person.submit(username="alice", password=idp.password)
    landed = person.carry()
    assert landed.startswith("https://rp1.example/start?")
    assert any("SSOService.php?SAMLRequest=" in url for url in person.seen)  # what came unasked was not believed
    learned = learn(party, person.open(party.provider.issuer + party.url()))
    assert learned.userinfo["email"] == "alice@php.example"

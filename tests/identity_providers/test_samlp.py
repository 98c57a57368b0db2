"""samlp (npm) signs people in: a signed assertion, a signed response, an encrypted one; begun on either side; and out again."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.identity_providers.conftest import Connected, SignedIn, connect, learn
from tests.identity_providers.person import Person
from tests.identity_providers.samlp_process import Samlp, running_samlp
from tests.party import Party
from tests.running import Provider

ALICE = "alice@node.example"
CLAIM = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samlp]:
    with running_samlp(tmp_path_factory.mktemp("nodes") / "samlp") as running:
        yield running


@pytest.fixture(scope="module")
def connected(provider: Provider, idp: Samlp) -> Connected:
    words = ("--vendor", "adfs", "--email-attribute", CLAIM)  # it gives attributes the names that AD FS gives
    return connect(provider, "node.example", idp.metadata_url, *words)


@pytest.fixture
def person(idp: Samlp, connected: Connected) -> Person:
    """Somebody whose company knows us, and signs assertions."""
    know(idp, connected)
    return Person()


def know(idp: Samlp, connected: Connected, **switches: bool) -> None:
    idp.know(connected.entity_id, connected.acs, connected.slo, connected.certificate, **switches)


def sign_in(person: Person, party: Party, idp: Samlp) -> SignedIn:
    """From the product to the company and back."""
    person.open(party.provider.issuer + party.url(scope="openid profile email company"))
    person.submit(username=ALICE)
    person.submit(password=idp.password)
    return learn(party, person.carry())


@pytest.mark.parametrize(
    "switches",
    [{}, {"signResponse": True}, {"signResponse": True, "encrypted": True}],
    ids=["assertion signed", "response signed", "encrypted"],
)
def test_a_person_signs_in(party: Party, idp: Samlp, connected: Connected, switches: dict[str, bool]) -> None:
    know(idp, connected, **switches)
    learned = sign_in(Person(), party, idp)
    assert learned.userinfo["email"] == ALICE
    assert learned.userinfo["name"] == "Alice Archer"
    assert learned.userinfo["company"]["name"] == "node.example"


def test_what_only_an_encryption_protects_is_refused(party: Party, idp: Samlp, connected: Connected) -> None:
    """Encrypted inside a Response that nobody signed: whoever has our certificate could have made it (S-06)."""
    know(idp, connected, encrypted=True)
    person = Person()
    person.open(party.provider.issuer + party.url())
    person.submit(username=ALICE)
    person.submit(password=idp.password)
    assert 'id="receipt-code"' in person.carry()


def test_a_sign_out_at_the_product_reaches_the_company(party: Party, idp: Samlp, person: Person) -> None:
    learned = sign_in(person, party, idp)
    assert person.open(idp.address) == "signed in"
    leave = {"id_token_hint": learned.id_token, "post_logout_redirect_uri": "https://rp1.example/bye"}
    assert person.open(f"{party.provider.issuer}/logout?{urlencode(leave)}") == "https://rp1.example/bye"
    assert person.open(idp.address) == "signed out"


def test_a_sign_out_at_the_company_reaches_us(party: Party, idp: Samlp, person: Person) -> None:
    sign_in(person, party, idp)
    assert person.open(party.provider.issuer + party.url()).startswith(party.redirect_uri)
    person.open(f"{idp.address}/slo")
    assert any(f"{idp.address}/slo?SAMLResponse=" in url for url in person.seen), person.seen
    assert person.open(idp.address) == "signed out"
    assert not person.open(party.provider.issuer + party.url()).startswith(party.redirect_uri)  # asked anew


def test_the_companys_start_page_opens_the_product(party: Party, idp: Samlp, person: Person) -> None:
    person.open(f"{idp.address}/sso", fields={"RelayState": "C1"})
    person.submit(password=idp.password)
    assert person.carry().startswith("https://rp1.example/start?")
    assert any(f"{idp.address}/sso?SAMLRequest=" in url for url in person.seen)  # what came unasked was not believed
    learned = learn(party, person.open(party.provider.issuer + party.url()))
    assert learned.userinfo["email"] == ALICE

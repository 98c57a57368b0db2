"""The door for passkeys: added on /me/passkeys, shown on the first pages, and what tokens say then."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import pytest
from sqlalchemy import delete

from idp.accounts.passkeys import Passkeys
from idp.cookies import LAST_DOOR, cookie_name
from idp.models import Account, Password, Revocation
from idp.parts import Parts
from tests.conftest import Clock
from tests.factors import add_app
from tests.fakes.authenticator import Authenticator, unb64
from tests.journey import Walker, add_carol, claims_of, query_of
from tests.newcomers import come, google, is_signed_in, links, opened, text, with_newcomers
from tests.passkey_walker import add, options_in, passkeys, reason_of, sign_in, signed_in_with
from tests.saml_parties import Customer, belong, decide_for


@pytest.fixture
def device() -> Authenticator:
    return Authenticator()


def stranger(walker: Walker) -> Walker:
    """Another browser."""
    return Walker(walker.app, walker.parts)


def removal(walker: Walker) -> str:
    """Where the first passkey of the list is taken away."""
    found = re.search(r'href="(/me/passkeys/remove[^"]+)"', text(walker.get("/me/passkeys")))
    assert found
    return found[1]


def test_a_passkey_is_added_and_signs_in_without_an_address(
    walker: Walker, parts: Parts, device: Authenticator
) -> None:
    add_carol(parts)
    signed_in_with(walker, device, name="  My\tblue key ")
    [passkey] = passkeys(parts)
    assert (passkey.name, passkey.synced, passkey.transports) == ("My blue key", False, ["internal"])
    other = stranger(walker)
    assert sign_in(other, device).location == "/me"
    assert is_signed_in(other)
    [passkey] = passkeys(parts)
    assert passkey.sign_count == 1 and passkey.last_used_at == parts.clock()


@pytest.mark.parametrize(("synced", "kind"), [(False, "hwk"), (True, "swk")])
def test_tokens_say_that_it_was_two_factors(walker: Walker, parts: Parts, synced: bool, kind: str) -> None:
    add_carol(parts)
    device = Authenticator(synced=synced)
    signed_in_with(walker, device)
    other = stranger(walker)
    answer = other.follow(sign_in(other, device, other.az()))
    tokens = other.tk(other.answer_of(answer)["code"]).get_json()
    claims = claims_of(tokens["id_token"])
    assert (claims["amr"], claims["acr"]) == ([kind, "user", "mfa"], "2")


def test_who_is_asked_for_is_the_same_for_everybody(walker: Walker, parts: Parts, device: Authenticator) -> None:
    add_carol(parts)
    signed_in_with(walker, device)
    other = stranger(walker)
    first = other.follow(other.get("/me"))
    second = other.follow(other.submit(first, "/login", username="carol@example.org"))
    for page in (first, second):
        options = json.loads(options_in(page))
        assert options.pop("challenge") != json.loads(options_in(first if page is second else second))["challenge"]
        assert options == {
            "rpId": "login.example", "timeout": 900_000, "allowCredentials": [], "userVerification": "required",
        }  # fmt: skip
        assert 'autocomplete="username webauthn"' in text(page)


def test_what_a_device_is_asked_to_make(walker: Walker, parts: Parts, device: Authenticator) -> None:
    carol = add_carol(parts)
    signed_in_with(walker, device)
    options = json.loads(options_in(walker.get("/me/passkeys")))
    with parts.database.reading() as db:
        assert unb64(options["user"]["id"]).decode() == db.get_one(Account, carol).sub
    assert (options["user"]["name"], options["user"]["displayName"]) == ("carol@example.org", "Carol Example")
    assert options["rp"]["id"] == "login.example"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"
    assert [unb64(one["id"]) for one in options["excludeCredentials"]] == [device.keys[0].id]


def test_self_attestation_is_as_good_as_none(walker: Walker, parts: Parts, device: Authenticator) -> None:
    add_carol(parts)
    signed_in_with(walker, device, fmt="packed", statement="self")
    assert is_signed_in(walker) and len(passkeys(parts)) == 1


def test_a_network_address_has_no_passkeys(parts: Parts) -> None:
    nowhere = Passkeys("http://127.0.0.1:8000", "127.0.0.1", parts.store, b"secret", parts.random)
    assert not nowhere.possible and nowhere.options_to_sign_in("x", parts.clock()) == ""
    assert Passkeys("http://localhost:8000", "localhost", parts.store, b"secret", parts.random).possible


def test_the_page_by_itself_and_the_browser_remembers_the_door(
    walker: Walker, parts: Parts, device: Authenticator
) -> None:
    add_carol(parts)
    signed_in_with(walker, device)
    other = stranger(walker)
    first = other.follow(other.get("/me"))
    wrong = other.submit(first, "/login/passkey", answer="{}")
    assert wrong.status_code == 400 and 'id="passkey-page"' in text(wrong)
    assert reason_of(wrong, parts)[0] == "passkey_unreadable"
    again = other.submit(wrong, "/login/passkey", answer=device.show(options_in(wrong)), keep="yes")
    assert again.location == "/me"
    door = other.browser.get_cookie(cookie_name(LAST_DOOR, secure=True), domain="login.example")
    assert door is not None and door.value == "passkey"
    other.browser.delete_cookie(cookie_name("session", secure=True), domain="login.example")
    page = text(other.follow(other.get("/me")))
    assert 'id="last-door"' in page and " checked" in page


def test_a_person_adds_names_and_removes_passkeys(walker: Walker, parts: Parts, clock: Clock) -> None:
    add_carol(parts)
    phone, stick = Authenticator(synced=True), Authenticator()
    signed_in_with(walker, phone, name="Phone")
    add(walker, stick, "Stick")
    page = walker.get("/me/passkeys")
    assert "Phone" in text(page) and "Stick" in text(page)
    renamed = walker.submit(page, "/me/passkeys/name", name="Old phone")
    assert renamed.location == "/me/passkeys?notice=named"
    assert [one.name for one in passkeys(parts)] == ["Old phone", "Stick"]
    by_phone, by_stick = stranger(walker), stranger(walker)
    sign_in(by_phone, phone)
    sign_in(by_stick, stick)
    question = walker.get(removal(walker))
    assert 'id="remove-passkey-page"' in text(question) and len(passkeys(parts)) == 2
    assert walker.submit(question, "/me/passkeys/remove").location == "/me/passkeys?notice=removed"
    assert [one.name for one in passkeys(parts)] == ["Stick"]
    # Only who came by that very passkey is signed out.
    assert is_signed_in(walker) and is_signed_in(by_stick) and not is_signed_in(by_phone)
    gone = sign_in(stranger(walker), phone)
    assert reason_of(gone, parts)[0] == "passkey_unknown"


def test_the_last_way_in_stays(walker: Walker, parts: Parts, device: Authenticator) -> None:
    carol = add_carol(parts)
    signed_in_with(walker, device)
    with parts.database.transaction() as db:
        db.execute(delete(Password).where(Password.account_id == carol))
    href = removal(walker)
    question = walker.get(href)
    assert question.status_code == 403 and 'id="problem"' in text(question)
    fields = re.search(r'name="csrf" value="([^"]+)"', text(walker.get("/me/passkeys")))
    assert fields
    sent = walker.open("POST", "/me/passkeys/remove", data={"csrf": fields[1], "passkey": href.split("=")[1]})
    assert sent.status_code == 403 and len(passkeys(parts)) == 1


def test_adding_and_removing_ask_for_a_fresh_proof(
    walker: Walker, parts: Parts, clock: Clock, device: Authenticator
) -> None:
    add_carol(parts)
    signed_in_with(walker, device)
    page = walker.get("/me/passkeys")
    answer = Authenticator().make(options_in(page))
    clock.advance(15 * 60 + 1)
    for response in (
        walker.get("/me/passkeys"),
        walker.get("/me/passkeys/remove?passkey=x"),
        walker.submit(page, "/me/passkeys", answer=answer),
        walker.submit(page, "/me/passkeys/name", name="Mallory's"),
    ):
        assert response.location == "/login?again=%2Fme%2Fpasskeys"
    assert [one.name for one in passkeys(parts)] != ["Mallory's"] and len(passkeys(parts)) == 1
    back = sign_in(walker, device, walker.get("/login?again=/me/passkeys"))
    assert back.location == "/me/passkeys"


def test_where_an_app_guards_the_account_a_passkey_is_removed_with_a_second_factor_only(
    walker: Walker, parts: Parts, clock: Clock, device: Authenticator
) -> None:
    carol = add_carol(parts)
    signed_in_with(walker, device)
    href = removal(walker)
    app = add_app(parts, carol)  # meanwhile: this session knows only the password
    assert walker.get(href).location == "/login?again=%2Fme%2Fpasskeys&second=yes"
    second = walker.sign_in(walker.get("/login?again=/me/passkeys&second=yes"))
    assert 'id="second-page"' in text(second)
    clock.advance(30)
    assert walker.submit(second, "/login/second", code=app.code()).location == "/me/passkeys"
    question = walker.get(href)
    assert 'id="remove-passkey"' in text(question)
    assert walker.submit(question, "/me/passkeys/remove").location == "/me/passkeys?notice=removed"
    assert passkeys(parts) == []


def test_the_last_factor_stays_while_a_company_demands_one(
    walker: Walker, parts: Parts, acme: Customer, device: Authenticator
) -> None:
    carol = add_carol(parts)
    signed_in_with(walker, device)
    belong(parts.database, acme, carol, now=parts.clock())
    decide_for(parts.database, acme, second_factor_from=int(parts.clock()))
    sign_in(walker, device, walker.get("/login?again=/me/passkeys"))
    question = walker.get(removal(walker))
    assert question.status_code == 403 and 'id="remove-passkey"' not in text(question)
    add(walker, Authenticator(), "Another")
    assert walker.get(removal(walker)).status_code == 200


def test_whoever_is_thrown_out_meanwhile_leaves_no_passkey(walker: Walker, parts: Parts, device: Authenticator) -> None:
    carol = add_carol(parts)
    walker.sign_in(walker.get("/me"))
    page = walker.get("/me/passkeys")
    with parts.database.transaction() as db:  # written, and not yet brought to Redis
        db.add(Revocation(kind="account", account_id=carol, created_at=int(parts.clock())))
    refused = walker.submit(page, "/me/passkeys", answer=device.make(options_in(page)))
    assert reason_of(refused, parts)[0] == "session_expired" and passkeys(parts) == []


def test_a_passkey_proves_the_account_of_a_social_newcomer(parts: Parts, device: Authenticator) -> None:
    add_carol(parts)
    app = with_newcomers(parts)
    signed_in_with(Walker(app, parts), device)
    comer = Walker(app, parts)
    page = comer.submit(come(comer, google("g-1")), "/login/link", door="company")  # and from there to the own address
    first = comer.get(f"/login?{urlencode({'p': query_of(page.location)['p'][0], 'other': 'yes'})}")
    assert opened(comer, comer.follow(sign_in(comer, device, first)))
    assert links(parts) == [("google", "g-1", "passkey")]

"""A second factor that is demanded and that nobody has yet: set up on the way."""

from __future__ import annotations

import json
import re
from typing import Any

import pyotp
import pytest
from werkzeug.test import TestResponse

from idp.accounts.fresh_proof import FRESH
from idp.models import OutboxMail, RecoveryCode, Totp
from idp.parts import Parts
from tests.conftest import Clock
from tests.factors import App, by_password, mailed_code
from tests.fakes.authenticator import Authenticator
from tests.journey import Walker, add_carol, claims_of, query_of
from tests.passkey_walker import options_in, passkeys
from tests.saml_parties import Customer, belong, decide_for

ALICE = "alice@acme.example"
ESSENTIAL = json.dumps({"id_token": {"acr": {"essential": True, "value": "2"}}})


@pytest.fixture
def alice(parts: Parts, acme: Customer) -> str:
    """Somebody of Acme, who demands a second factor by now."""
    alice = add_carol(parts, ALICE)
    belong(parts.database, acme, alice, now=parts.clock())
    decide_for(parts.database, acme, doors=["password", "social"], second_factor_from=int(parts.clock()))
    return alice


def offered(parts: Parts, page: TestResponse) -> App:
    html = page.get_data(as_text=True)
    key = re.search(r'<code id="totp-key"[^>]*>([A-Z2-7 ]+)</code>', html)
    assert key is not None, html
    assert '<svg class="qr"' in html
    return App(parts, key[1].replace(" ", ""))


def to_set_up(walker: Walker, parts: Parts, email: str = ALICE) -> TestResponse:
    page = by_password(walker, email)
    assert 'id="mailed-code-page"' in page.get_data(as_text=True)
    page = walker.follow(walker.submit(page, "/login/second/mail", code=mailed_code(parts, email)))
    assert 'id="setup-page"' in page.get_data(as_text=True)
    return page


def prove_mailbox(walker: Walker, parts: Parts, page: TestResponse) -> TestResponse:
    """Type the code that was mailed; to the page on which a factor is set up."""
    assert 'id="mailed-code-page"' in page.get_data(as_text=True)
    page = walker.follow(walker.submit(page, "/login/second/mail", code=mailed_code(parts)))
    assert 'id="setup-page"' in page.get_data(as_text=True)
    return page


def test_who_has_none_proves_the_mailbox_and_sets_one_up(walker: Walker, parts: Parts, alice: str) -> None:
    page = to_set_up(walker, parts)
    app = offered(parts, page)
    assert offered(parts, walker.get(page.request.url)).secret == app.secret  # another look at it
    wrong = walker.submit(page, "/login/second/set-up", code=app.wrong())
    assert wrong.status_code == 400
    codes = walker.submit(wrong, "/login/second/set-up", code=app.code())
    html = codes.get_data(as_text=True)
    shown = re.findall(r"[2-9A-Z]{5}-[2-9A-Z]{5}", html)
    assert len(set(shown)) == 10
    onwards = re.search(r'id="codes-kept" href="([^"]+)"', html)
    assert onwards is not None
    told = claims_of(walker.tk(walker.answer_of(walker.follow(walker.get(onwards[1])))["code"]).get_json()["id_token"])
    assert (told["acr"], told["amr"]) == ("2", ["pwd", "otp", "mfa"])
    with parts.database.reading() as db:
        assert app.secret not in db.query(Totp).one().sealed_secret
        assert all(row.code_hash not in shown for row in db.query(RecoveryCode))
        assert db.query(OutboxMail).filter_by(name="factor_added", recipient=ALICE).count() == 1
    other = Walker(walker.app, parts)
    page = by_password(other, ALICE)
    assert 'id="second-page"' in page.get_data(as_text=True)
    assert "code" in other.answer_of(other.follow(other.submit(page, "/login/second", code=shown[0])))


def test_a_passkey_does_as_well(walker: Walker, parts: Parts, alice: str) -> None:
    device = Authenticator()
    page = to_set_up(walker, parts)
    answer = walker.submit(page, "/login/second/set-up", answer=device.make(options_in(page)))
    told = claims_of(walker.tk(walker.answer_of(walker.follow(answer))["code"]).get_json()["id_token"])
    assert (told["acr"], set(told["amr"])) == ("2", {"pwd", "hwk", "user", "mfa"})
    with parts.database.reading() as db:
        assert db.query(OutboxMail).filter_by(name="factor_added", recipient=ALICE).count() == 1
    other = Walker(walker.app, parts)
    page = by_password(other, ALICE)
    assert 'id="second-page"' in page.get_data(as_text=True)
    shown = other.submit(page, "/login/second", answer=device.show(options_in(page)))
    assert "code" in other.answer_of(other.follow(shown))


@pytest.mark.parametrize("odd", [{"client_data": {"origin": "https://evil.example"}}, {"flags": 0x01}])
def test_pw_11_a_passkey_that_is_not_believed_opens_nothing_and_is_nobodys(
    walker: Walker, parts: Parts, alice: str, odd: dict[str, Any]
) -> None:
    page = to_set_up(walker, parts)
    answer = walker.submit(page, "/login/second/set-up", answer=Authenticator().make(options_in(page), **odd))
    assert answer.status_code == 400
    assert passkeys(parts) == []
    assert walker.get("/me").status_code == 303


def test_pw_11_a_passkey_that_was_made_for_another_sign_in_does_not_count(
    walker: Walker, parts: Parts, alice: str
) -> None:
    options = options_in(to_set_up(walker, parts))
    other = Walker(walker.app, parts)
    page = to_set_up(other, parts)
    assert other.submit(page, "/login/second/set-up", answer=Authenticator().make(options)).status_code == 400
    assert passkeys(parts) == []


def test_before_its_day_nobody_is_asked(walker: Walker, parts: Parts, acme: Customer, alice: str) -> None:
    decide_for(parts.database, acme, second_factor_from=int(parts.clock()) + 1)
    assert "code" in walker.answer_of(by_password(walker, ALICE))


def test_nothing_is_kept_of_who_stops_on_the_way(walker: Walker, parts: Parts, alice: str) -> None:
    offered(parts, to_set_up(walker, parts))
    with parts.database.reading() as db:
        assert db.query(Totp).count() == db.query(RecoveryCode).count() == 0
    assert walker.get("/me").status_code == 303


def test_an_offer_ends(walker: Walker, parts: Parts, clock: Clock, alice: str) -> None:
    page = to_set_up(walker, parts)
    app = offered(parts, page)
    clock.advance(15 * 60)
    answer = walker.submit(page, "/login/second/set-up", code=app.code())
    assert answer.status_code == 400
    assert walker.get("/me").status_code == 303


def test_a_product_that_demands_two_factors_lets_them_be_set_up(walker: Walker, parts: Parts, clock: Clock) -> None:
    add_carol(parts)
    walker.tokens()
    page = prove_mailbox(walker, parts, walker.follow(walker.az(claims=ESSENTIAL)))
    app = offered(parts, page)
    codes = walker.submit(page, "/login/second/set-up", code=app.code()).get_data(as_text=True)
    onwards = re.search(r'id="codes-kept" href="([^"]+)"', codes)
    assert onwards is not None
    told = claims_of(walker.tk(walker.answer_of(walker.follow(walker.get(onwards[1])))["code"]).get_json()["id_token"])
    assert told["acr"] == "2"


def test_that_is_for_whoever_has_lately_signed_in(walker: Walker, parts: Parts, clock: Clock) -> None:
    add_carol(parts)
    walker.tokens()
    clock.advance(FRESH + 1)
    page = walker.follow(walker.az(claims=ESSENTIAL))
    assert 'id="password"' in page.get_data(as_text=True)
    prove_mailbox(walker, parts, walker.sign_in(page))


def test_pw_11_the_password_alone_sets_up_no_factor_for_a_product_either(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.tokens()
    page = walker.follow(walker.az(claims=ESSENTIAL))
    handle = query_of(page.request.url)["p"][0]
    with parts.database.reading() as db:
        assert db.query(OutboxMail).filter_by(name="sign_in_code").count() == 1
    for way in (f"/login/second?p={handle}", f"/login/second/set-up?p={handle}"):
        again = walker.follow(walker.get(way))
        assert 'id="mailed-code-page"' in again.get_data(as_text=True)
    fields = dict(re.findall(r'name="(csrf|p)" value="([^"]+)"', again.get_data(as_text=True)))
    answer = walker.open("POST", "/login/second/set-up", data=fields | {"code": "123456"})
    assert answer.location.startswith("/login/second/mail?")
    code = mailed_code(parts)
    wrong = walker.submit(again, "/login/second/mail", code=str((int(code) + 1) % 10**6).zfill(6))
    assert wrong.status_code == 400
    with parts.database.reading() as db:
        assert db.query(OutboxMail).filter_by(name="sign_in_code").count() == 1  # looking at it again mails no other
    # Another request of the same session must prove it anew.
    prove_mailbox(walker, parts, wrong)
    page = walker.follow(walker.az(claims=ESSENTIAL))
    assert 'id="mailed-code-page"' in page.get_data(as_text=True)


def test_who_does_not_want_to_goes_back_to_the_product(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = walker.sign_in(walker.az(claims=ESSENTIAL))
    refused = walker.answer_of(walker.follow(walker.submit(page, "/login/second/without")))
    assert refused["error"] == "unmet_authentication_requirements"
    page = prove_mailbox(walker, parts, walker.follow(walker.az(claims=ESSENTIAL)))
    answer = walker.answer_of(walker.follow(walker.submit(page, "/login/second/without")))
    assert answer["error"] == "unmet_authentication_requirements"


def test_the_picture_says_what_the_key_says(parts: Parts) -> None:
    offer = parts.totps.offer("somebody", "carol@example.org", parts.clock())
    again = parts.totps.offer("somebody", "carol@example.org", parts.clock())
    assert (offer.key, offer.squares) == (again.key, again.squares)
    assert parts.totps.offer("somebody else", "carol@example.org", parts.clock()).key != offer.key
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", offer.squares)
    secret = offer.key.replace(" ", "")
    assert len(secret) == 32
    assert parts.totps.try_offered("somebody", pyotp.TOTP(secret).at(int(parts.clock())), parts.clock()) is not None
    assert parts.totps.try_offered("nobody", pyotp.TOTP(secret).at(int(parts.clock())), parts.clock()) is None

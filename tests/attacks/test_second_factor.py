"""PW-11 and PW-12 of attacks.md: nobody comes in by one factor where two are asked for, and codes are not guessed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import change_claims, set_password, suspend
from idp.accounts.second_factors import look_at_factors
from idp.accounts.sessions import sessions_of
from idp.app import create_app
from idp.mail import MOST_PER_DAY, queue_mail
from idp.models import Account, Device, Link, Member, OutboxMail, Totp
from idp.parts import Parts
from idp.redis_store import token_hash
from tests.attacks.counted_work import counted
from tests.company_walker import MFA, reason_of
from tests.company_walker import come_back as company_back
from tests.company_walker import leave as to_company
from tests.company_walker import sign_in as by_company
from tests.conftest import Clock
from tests.factors import App, add_app, add_codes, by_password, mailed_code
from tests.forgetful import NEW, ask, reset_link, set_new
from tests.journey import PASSWORD, Walker, add_carol, claims_of
from tests.newcomers import mailed
from tests.saml_parties import Customer, belong, decide_for
from tests.social_walker import application, asked_of, come_back, leave, link_carol, social_sites

ALICE = "alice@acme.example"


def at_second(page: TestResponse) -> TestResponse:
    assert 'id="second-page"' in page.get_data(as_text=True), page.get_data(as_text=True)
    return page


def handle_of(page: TestResponse) -> str:
    return page.request.args["p"]


def nobody_is_in(walker: Walker, parts: Parts, account_id: str) -> None:
    assert sessions_of(parts.store, account_id, parts.clock()) == []
    assert walker.get("/me").status_code == 303


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


@pytest.fixture
def telephone(parts: Parts, carol: str) -> App:
    return add_app(parts, carol)


@pytest.fixture
def half(walker: Walker, telephone: App) -> TestResponse:
    """Mallory knows Carol's password, and stands before the second factor."""
    return at_second(walker.sign_in(walker.az()))


# --- PW-11: around the second factor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/authorize/resume", "/consent", "/me", "/login/second/set-up", "/login/second/mail", "/login/link", "/login/welcome",
     "/login/switch", "/login/password"],
)  # fmt: skip
def test_pw_11_the_next_addresses_open_nothing(
    walker: Walker, parts: Parts, carol: str, half: TestResponse, path: str
) -> None:
    answer = walker.follow(walker.get(f"{path}?p={handle_of(half)}"))
    assert "code=" not in (answer.location or "")
    nobody_is_in(walker, parts, carol)


@pytest.mark.parametrize(
    "path",
    ["/consent", "/login/second/set-up", "/login/second/mail", "/login/second/mail/send", "/login/second/without",
     "/login/link", "/login/welcome", "/login/switch", "/login/second"],
)  # fmt: skip
def test_pw_11_nor_do_their_forms(
    walker: Walker, parts: Parts, carol: str, telephone: App, half: TestResponse, path: str
) -> None:
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', half.get_data(as_text=True)))
    mine = parts.totps.offer(f"second {handle_of(half)} {carol}", "carol@example.org", parts.clock())
    code = App(parts, mine.key.replace(" ", "")).code()
    answer = walker.follow(walker.open("POST", path, data={**fields, "code": code, "decision": "allow"}))
    assert "code=" not in (answer.location or "")
    nobody_is_in(walker, parts, carol)
    with parts.database.reading() as db:
        assert (
            parts.totps._sealer.open(db.query(Totp).one().sealed_secret, f"totp {carol}")["secret"] == telephone.secret
        )


def test_pw_11_a_sign_in_in_another_tab_knows_nothing_of_it(
    walker: Walker, parts: Parts, carol: str, telephone: App, half: TestResponse
) -> None:
    other = walker.follow(walker.az())
    page = walker.follow(walker.get(f"/login/second?p={handle_of(other)}"))
    assert 'id="username"' in page.get_data(as_text=True)
    answer = walker.submit(half, "/login/second", code=telephone.code(), p=handle_of(other))
    assert "/login?" in answer.location
    nobody_is_in(walker, parts, carol)


def test_pw_11_another_browser_cannot_go_on_with_it(
    walker: Walker, parts: Parts, carol: str, telephone: App, half: TestResponse
) -> None:
    other = Walker(walker.app, parts)
    assert reason_of(other.get(f"/login/second?p={handle_of(half)}"), parts) == "pending_foreign_browser"
    nobody_is_in(walker, parts, carol)


def test_pw_11_the_social_door_leads_to_the_second_factor(parts: Parts) -> None:
    with social_sites() as sites:
        walker = Walker(application(parts, sites), parts)
        carol = link_carol(parts)
        telephone = add_app(parts, carol)
        page = at_second(walker.follow(come_back(walker, leave(walker))))
        nobody_is_in(walker, parts, carol)
        done = walker.follow(walker.submit(page, "/login/second", code=telephone.code()))
        told = claims_of(walker.tk(walker.answer_of(done)["code"]).get_json()["id_token"])
        assert told["acr"] == "2"
        assert told["amr"][-2:] == ["otp", "mfa"]


def test_pw_11_a_silent_sign_in_ends_where_a_second_factor_would_be_asked(parts: Parts) -> None:
    with social_sites() as sites:
        walker = Walker(application(parts, sites), parts)
        carol = link_carol(parts)
        telephone = add_app(parts, carol)
        page = at_second(walker.follow(come_back(walker, leave(walker))))
        walker.follow(walker.submit(page, "/login/second", code=telephone.code()))
        walker.browser.delete_cookie("__Host-idp_session", domain="login.example")
        asked = asked_of(walker.follow(walker.az(prompt="none")))
        answer = walker.answer_of(walker.follow(come_back(walker, asked)))
        assert answer["error"] == "login_required"
        assert walker.get("/me").status_code == 303


def test_pw_11_a_company_demands_it_of_its_people_at_the_social_door(parts: Parts, acme: Customer) -> None:
    with social_sites() as sites:
        walker = Walker(application(parts, sites), parts)
        carol = link_carol(parts)
        belong(parts.database, acme, carol, now=parts.clock())
        decide_for(parts.database, acme, doors=["social"], second_factor_from=int(parts.clock()))
        page = walker.follow(come_back(walker, leave(walker)))
        assert 'id="setup-page"' in page.get_data(as_text=True)
        nobody_is_in(walker, parts, carol)


def test_pw_11_signing_up_under_a_companys_address_leads_to_the_second_factor(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    decide_for(parts.database, acme, second_factor_from=int(parts.clock()) - 1, sso="optional")
    page = walker.follow(walker.get("/sign-up"))
    walker.submit(page, "/sign-up", username=ALICE)
    page = walker.follow(walker.get(mailed(parts, "verify_address")))
    page = walker.follow(walker.submit(page, "/verify", password=NEW, name="Alice", terms="yes"))
    assert page.request.path == "/login/second/set-up"  # whoever reads the mails there, by one of which they came
    with parts.database.reading() as db:
        alice = db.scalars(select(Account.id)).one()
    nobody_is_in(walker, parts, alice)


def test_pw_11_an_account_is_not_proved_for_a_link_by_its_password_alone(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    alice = add_carol(parts, ALICE)
    telephone = add_app(parts, alice)
    decide_for(parts.database, acme, jit=True)
    page = by_company(walker, acme)
    page = at_second(walker.follow(walker.submit(page, "/login/link", password=PASSWORD)))
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0
        assert db.query(Member).count() == 0
    nobody_is_in(walker, parts, alice)
    done = walker.follow(walker.submit(page, "/login/second", code=telephone.code()))
    assert "code" in walker.answer_of(done)
    with parts.database.reading() as db:
        assert db.query(Link).one().account_id == alice


def test_pw_11_refresh_tokens_of_before_stay_what_they_were(
    walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    page = walker.sign_in(walker.az(scope="openid offline_access", prompt="consent"))
    allowed = walker.follow(walker.submit(page, "/consent", decision="allow"))
    tokens = walker.tk(walker.answer_of(allowed)["code"]).get_json()
    add_app(parts, carol)
    clock.advance(60)
    again = walker.refresh(tokens["refresh_token"]).get_json()
    assert claims_of(again["id_token"])["acr"] == "1"
    assert claims_of(again["id_token"])["amr"] == ["pwd"]


def test_pw_11_another_password_by_mail_leads_to_the_second_factor(
    walker: Walker, parts: Parts, carol: str, telephone: App
) -> None:
    page = walker.follow(walker.get("/forgot"))
    walker.follow(walker.submit(page, "/forgot", username="carol@example.org"))
    with parts.database.reading() as db:
        mail = db.scalars(select(OutboxMail).where(OutboxMail.name == "reset_password")).one()
        sealed = parts.sealer.open(mail.values["sealed"], "reset_password carol@example.org")
    page = walker.follow(walker.get(sealed["link"]))
    fresh = "a wholly different battery staple"
    page = walker.follow(walker.submit(page, "/reset", password=fresh))
    nobody_is_in(walker, parts, carol)
    page = Walker(walker.app, parts)
    at_second(page.sign_in(page.az(), password=fresh))
    nobody_is_in(page, parts, carol)


def test_pw_11_another_address_does_not_end_what_a_company_demands(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    alice = add_carol(parts, ALICE)
    belong(parts.database, acme, alice, now=parts.clock())
    decide_for(parts.database, acme, doors=["password"], second_factor_from=int(parts.clock()))
    with parts.database.transaction() as db:
        changes = {"email": "alice@example.org", "email_verified": True}
        change_claims(db, db.get_one(Account, alice), changes, actor="operator:test", now=parts.clock())
    page = walker.sign_in(walker.az(), "alice@example.org")
    assert 'id="mailed-code-page"' in page.get_data(as_text=True)
    nobody_is_in(walker, parts, alice)


def test_pw_11_nor_does_leaving_the_list_of_its_members(walker: Walker, parts: Parts, acme: Customer) -> None:
    """Whoever has an address of the company's domain is its person."""
    alice = add_carol(parts, ALICE)
    decide_for(parts.database, acme, doors=["password"], second_factor_from=int(parts.clock()))
    assert 'id="mailed-code-page"' in by_password(walker, ALICE).get_data(as_text=True)
    nobody_is_in(walker, parts, alice)


def test_pw_11_the_password_alone_sets_up_no_factor(walker: Walker, parts: Parts, acme: Customer) -> None:
    """Else whoever stole it would be who has the second one."""
    alice = add_carol(parts, ALICE)
    belong(parts.database, acme, alice, now=parts.clock())
    decide_for(parts.database, acme, doors=["password"], second_factor_from=int(parts.clock()))
    page = by_password(walker, ALICE)
    elsewhere = walker.follow(walker.get(f"/login/second/set-up?p={handle_of(page)}"))
    assert 'id="mailed-code-page"' in elsewhere.get_data(as_text=True)
    mine = parts.totps.offer(f"second {handle_of(page)} {alice}", ALICE, parts.clock())
    fields = {"code": App(parts, mine.key.replace(" ", "")).code(), "p": handle_of(page)}
    csrf = re.search(r'name="csrf" value="([^"]*)"', page.get_data(as_text=True))
    assert csrf is not None
    walker.open("POST", "/login/second/set-up", data=fields | {"csrf": csrf[1]})
    with parts.database.reading() as db:
        assert db.query(Totp).count() == 0
    nobody_is_in(walker, parts, alice)


def test_pw_11_another_persons_remembered_browser_does_not_count(
    walker: Walker, parts: Parts, clock: Clock, carol: str, telephone: App
) -> None:
    mallory = add_carol(parts, "mallory@example.org")
    theirs = add_app(parts, mallory)
    page = at_second(walker.sign_in(walker.az(), "mallory@example.org"))
    walker.follow(walker.submit(page, "/login/second", code=theirs.code(), remember="yes"))
    walker.submit(walker.get("/me"), "/me/sign-out")
    at_second(walker.sign_in(walker.az()))
    nobody_is_in(walker, parts, carol)


def owner_disowns_the_code(owner: Walker, parts: Parts) -> None:
    owner.submit(owner.follow(owner.get(mailed(parts, "recovery_code_used"))), "/me/factors/not-me")


def owner_resets_the_password(owner: Walker, parts: Parts) -> None:
    ask(owner)
    set_new(owner, reset_link(parts), PASSWORD + ".")


def owner_signs_out_everywhere(owner: Walker, parts: Parts) -> None:
    owner.submit(owner.get("/me"), "/me/sign-out-everywhere")


@pytest.mark.parametrize("act", [owner_disowns_the_code, owner_resets_the_password, owner_signs_out_everywhere])
def test_pw_11_who_is_thrown_out_is_remembered_at_no_browser(
    app: Flask, parts: Parts, carol: str, telephone: App, act: Callable[[Walker, Parts], None]
) -> None:
    """Mallory knows the password, has found one recovery code, and asked not to be asked again."""
    owner, mallory = Walker(app, parts), Walker(app, parts)
    page = at_second(owner.sign_in(owner.az()))
    owner.follow(owner.submit(page, "/login/second", code=telephone.code()))
    page = at_second(mallory.sign_in(mallory.az()))
    mallory.follow(mallory.submit(page, "/login/second", code=add_codes(parts, carol)[0], remember="yes"))
    assert mallory.get("/me").status_code == 200
    act(owner, parts)
    assert mallory.get("/me").status_code == 303
    password = PASSWORD + "." if act is owner_resets_the_password else PASSWORD
    at_second(mallory.sign_in(mallory.az(), password=password))
    nobody_is_in(mallory, parts, carol)


def test_pw_11_a_device_that_only_says_so_is_not_remembered(
    walker: Walker, parts: Parts, carol: str, telephone: App
) -> None:
    """A device cookie that Mallory makes up, or a browser where only the password was given."""
    walker.browser.set_cookie("__Host-idp_device", "d" * 43, domain="login.example", secure=True)
    at_second(walker.sign_in(walker.az()))
    with parts.database.reading() as db:
        assert db.scalar(select(Device.id).where(Device.secret_hash == token_hash("d" * 43))) is None


def test_pw_11_the_password_that_was_changed_meanwhile_ends_it(
    walker: Walker, parts: Parts, carol: str, telephone: App, half: TestResponse
) -> None:
    with parts.database.transaction() as db:
        hashed = parts.hasher.hash("the owner's new battery staple")
        set_password(db, db.get_one(Account, carol), hashed, actor="operator:test", now=parts.clock())
    answer = walker.submit(half, "/login/second", code=telephone.code())
    assert reason_of(answer, parts) == "second_over"
    nobody_is_in(walker, parts, carol)


def test_pw_11_so_does_a_suspension(
    walker: Walker, parts: Parts, carol: str, telephone: App, half: TestResponse
) -> None:
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    answer = walker.submit(half, "/login/second", code=telephone.code())
    assert reason_of(answer, parts) == "account_suspended"
    nobody_is_in(walker, parts, carol)


def test_pw_11_half_a_sign_in_ends_after_a_quarter_of_an_hour(
    walker: Walker, parts: Parts, clock: Clock, carol: str, telephone: App, half: TestResponse
) -> None:
    clock.advance(15 * 60)
    assert reason_of(walker.submit(half, "/login/second", code=telephone.code()), parts) == "pending_unknown"
    nobody_is_in(walker, parts, carol)


def test_pw_11_nothing_of_the_account_is_written_by_half_a_sign_in(
    walker: Walker, parts: Parts, carol: str, half: TestResponse
) -> None:
    with parts.database.reading() as db:
        assert db.query(Device).count() == 0
        assert db.query(OutboxMail).count() == 0
    assert walker.browser.get_cookie("__Host-idp_session", domain="login.example") is None
    assert walker.browser.get_cookie("__Host-idp_device", domain="login.example") is None


def test_pw_11_whom_a_company_signs_in_shows_a_second_only_where_a_product_asks(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    alice = add_carol(parts, ALICE)
    telephone = add_app(parts, alice)
    decide_for(parts.database, acme, jit=True, second_factor_from=int(parts.clock()))
    page = by_company(walker, acme)
    page = at_second(walker.follow(walker.submit(page, "/login/link", password=PASSWORD)))
    walker.follow(walker.submit(page, "/login/second", code=telephone.code()))
    again = Walker(walker.app, parts)
    told = claims_of(again.tk(again.answer_of(by_company(again, acme))["code"]).get_json()["id_token"])
    assert told["acr"] == "1"
    page = at_second(again.follow(again.az(acr_values="2")))
    done = again.follow(again.submit(page, "/login/second", code=telephone.code(1)))
    assert claims_of(again.tk(again.answer_of(done)["code"]).get_json()["id_token"])["acr"] == "2"


def test_pw_11_a_company_that_proves_two_is_believed(walker: Walker, parts: Parts, acme: Customer) -> None:
    decide_for(parts.database, acme, jit=True, second_factor_from=int(parts.clock()))
    request = to_company(walker, ALICE, acr_values="2")
    done = company_back(walker, acme, request, name_id=ALICE, context=MFA)
    told = claims_of(walker.tk(walker.answer_of(done)["code"]).get_json()["id_token"])
    assert (told["acr"], told["amr"]) == ("2", ["otp", "mfa"])


# --- PW-12: guessing codes ------------------------------------------------------------------------------------------------------


def test_pw_12_one_sign_in_has_five_tries(
    walker: Walker, parts: Parts, carol: str, telephone: App, half: TestResponse
) -> None:
    answers = [walker.submit(half, "/login/second", code=telephone.wrong()).status_code for _ in range(6)]
    assert answers == [400] * 5 + [403]
    answer = walker.follow(walker.submit(half, "/login/second", code=telephone.code()))
    assert 'id="username"' in answer.get_data(as_text=True)
    nobody_is_in(walker, parts, carol)


def test_pw_12_an_account_under_attack_keeps_its_owner(
    walker: Walker, parts: Parts, carol: str, telephone: App
) -> None:
    """Many networks, each with Carol's password: three tries an hour for each, and Carol's own browser is not slowed."""
    page = at_second(walker.sign_in(walker.az()))
    walker.follow(walker.submit(page, "/login/second", code=telephone.code()))
    looked_at = []
    for number in range(30):
        mallory = Walker(walker.app, parts, address=f"198.51.{number}.9")
        page = at_second(mallory.sign_in(mallory.az()))
        tried = [mallory.submit(page, "/login/second", code=telephone.wrong()).status_code for _ in range(5)]
        looked_at.append(tried.count(400))
    assert looked_at[0] == 5
    assert set(looked_at[7:]) == {3}
    page = at_second(walker.sign_in(walker.az(prompt="login")))
    assert "code" in walker.answer_of(walker.follow(walker.submit(page, "/login/second", code=telephone.code(1))))
    new = Walker(walker.app, parts, address="203.0.113.77")  # and at a new browser she still has her three
    page = at_second(new.sign_in(new.az()))
    assert new.submit(page, "/login/second", code=telephone.wrong()).status_code == 400


def test_pw_12_a_code_counts_once(
    walker: Walker, parts: Parts, clock: Clock, telephone: App, half: TestResponse
) -> None:
    code = telephone.code()
    assert "code" in walker.answer_of(walker.follow(walker.submit(half, "/login/second", code=code)))
    mallory = Walker(walker.app, parts)
    page = at_second(mallory.sign_in(mallory.az()))
    assert mallory.submit(page, "/login/second", code=code).status_code == 400
    clock.advance(30)
    assert mallory.submit(page, "/login/second", code=code).status_code == 400


@pytest.mark.parametrize(
    ("steps", "counts"), [(-20, False), (-2, False), (-1, True), (0, True), (1, True), (2, False), (20, False)]
)
def test_pw_12_a_code_counts_one_step_around_its_time(
    walker: Walker, parts: Parts, telephone: App, half: TestResponse, steps: int, counts: bool
) -> None:
    answer = walker.follow(walker.submit(half, "/login/second", code=telephone.code(steps)))
    assert ("code=" in (answer.location or "")) == counts
    assert (walker.get("/me").status_code == 200) == counts


def test_pw_12_a_code_of_before_one_that_counted_is_refused(
    walker: Walker, parts: Parts, telephone: App, half: TestResponse
) -> None:
    walker.follow(walker.submit(half, "/login/second", code=telephone.code(1)))
    mallory = Walker(walker.app, parts)
    page = at_second(mallory.sign_in(mallory.az()))
    assert mallory.submit(page, "/login/second", code=telephone.code()).status_code == 400


def test_pw_12_a_code_of_another_person_does_not_count(
    walker: Walker, parts: Parts, carol: str, half: TestResponse
) -> None:
    mallory = add_carol(parts, "mallory@example.org")
    theirs, codes = add_app(parts, mallory), add_codes(parts, mallory)
    assert walker.submit(half, "/login/second", code=theirs.code()).status_code == 400
    assert walker.submit(half, "/login/second", code=codes[0]).status_code == 400
    nobody_is_in(walker, parts, carol)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "１２３４５６", "abcdef", "0" * 5000, "\0" * 6])
def test_pw_12_what_is_no_code_is_wrong_and_breaks_nothing(walker: Walker, half: TestResponse, code: str) -> None:
    assert walker.submit(half, "/login/second", code=code).status_code == 400


def test_pw_12_recovery_codes_are_no_shortcut_past_the_tries(
    walker: Walker, parts: Parts, carol: str, half: TestResponse
) -> None:
    codes = add_codes(parts, carol)
    for _ in range(5):
        assert walker.submit(half, "/login/second", code="AAAAA-AAAAA").status_code == 400
    assert walker.submit(half, "/login/second", code=codes[0]).status_code == 403
    nobody_is_in(walker, parts, carol)


# --- the code that is mailed ----------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(parts: Parts) -> Flask:
    """A provider that asks for a mailed code at new browsers; Carol has been at one."""
    parts = dataclasses.replace(parts, config=parts.config.model_copy(update={"new_device_code": True}))
    add_carol(parts)
    app = create_app(parts)
    first = Walker(app, parts)
    assert "code" in first.answer_of(first.sign_in(first.az()))
    return app


def at_new_browser(app: Flask, parts: Parts) -> tuple[Walker, TestResponse]:
    walker = Walker(app, parts)
    page = walker.sign_in(walker.az())
    assert 'id="mailed-code-page"' in page.get_data(as_text=True)
    return walker, page


def test_pw_12_a_new_browser_is_asked_for_a_mailed_code(asking: Flask, parts: Parts) -> None:
    walker, page = at_new_browser(asking, parts)
    assert "carol@example.org" not in page.get_data(as_text=True)
    assert walker.get("/me").status_code == 303
    done = walker.follow(walker.submit(page, "/login/second/mail", code=mailed_code(parts)))
    told = claims_of(walker.tk(walker.answer_of(done)["code"]).get_json()["id_token"])
    assert (told["acr"], told["amr"]) == ("1", ["pwd"])  # whoever reads the mailbox could set the password as well
    assert "code" in walker.answer_of(walker.sign_in(walker.az(prompt="login")))  # known from now on


def test_pw_12_a_mailed_code_lasts_ten_minutes(asking: Flask, parts: Parts, clock: Clock) -> None:
    walker, page = at_new_browser(asking, parts)
    clock.advance(601)
    assert walker.submit(page, "/login/second/mail", code=mailed_code(parts)).status_code == 400


def test_pw_12_a_mailed_code_belongs_to_one_sign_in(asking: Flask, parts: Parts) -> None:
    walker, page = at_new_browser(asking, parts)
    code = mailed_code(parts)
    other, other_page = at_new_browser(asking, parts)
    if mailed_code(parts) == code:
        pytest.fail("one in a million")
    assert other.submit(other_page, "/login/second/mail", code=code).status_code == 400
    assert "code" in walker.answer_of(walker.follow(walker.submit(page, "/login/second/mail", code=code)))


def test_pw_12_another_mailed_code_takes_the_place_of_the_one_before(asking: Flask, parts: Parts) -> None:
    walker, page = at_new_browser(asking, parts)
    code = mailed_code(parts)
    page = walker.follow(walker.submit(page, "/login/second/mail/send"))
    assert walker.submit(page, "/login/second/mail", code=code).status_code == 400
    answer = walker.submit(page, "/login/second/mail", code=mailed_code(parts))
    assert "code" in walker.answer_of(walker.follow(answer))


def test_pw_12_mailed_codes_have_five_tries_and_so_many_mails(asking: Flask, parts: Parts) -> None:
    walker, page = at_new_browser(asking, parts)
    sent = [walker.submit(page, "/login/second/mail/send").status_code for _ in range(3)]
    assert sent == [303, 303, 429]
    right = mailed_code(parts)
    wrong = "000000" if right != "000000" else "000001"
    tried = [walker.submit(page, "/login/second/mail", code=wrong).status_code for _ in range(6)]
    assert tried == [400] * 5 + [403]
    walker.follow(walker.submit(page, "/login/second/mail", code=right))
    assert walker.get("/me").status_code == 303


def test_pw_12_strangers_do_not_use_up_the_mails_with_codes(asking: Flask, parts: Parts) -> None:
    """Whoever signs up in somebody's name, without end and from everywhere, keeps nobody from a new browser."""
    for number in range(5):
        stranger = Walker(asking, parts)
        stranger.address = f"203.0.113.{number}"
        page = stranger.follow(stranger.get("/sign-up"))
        stranger.submit(page, "/sign-up", username="carol@example.org")
    flood(parts)
    walker, page = at_new_browser(asking, parts)
    walker.follow(walker.submit(page, "/login/second/mail", code=mailed_code(parts)))
    assert walker.get("/me").status_code == 200


def flood(parts: Parts, address: str = "carol@example.org") -> None:
    """As many mails as strangers cause in some hours by forms that answer every address."""
    with parts.database.transaction() as db:
        for _ in range(2 * MOST_PER_DAY):
            queue_mail(
                db,
                name="already_here",
                recipient=address,
                language="en",
                now=parts.clock(),
                sealer=parts.sealer,
                always=True,
            )


def test_pw_12_a_new_browser_is_told_of_however_full_the_mailbox_is(app: Flask, parts: Parts, carol: str) -> None:
    """Mallory, who knows the password, fills it first."""
    owner, mallory = Walker(app, parts), Walker(app, parts)
    owner.sign_in(owner.az())
    flood(parts)
    mallory.sign_in(mallory.az())
    assert "/me/not-me?t=" in mailed(parts, "new_device")


# --- what it costs those who have none ------------------------------------------------------------------------------------------


def test_ds_01_the_gate_costs_one_statement(walker: Walker, parts: Parts, carol: str) -> None:
    parts.attempts.close()
    with parts.database.reading() as db:
        db.get(Account, carol)  # the connection stands
        with counted(parts) as work:
            held = look_at_factors(db, carol, device=None, now=parts.clock())
    assert not held.any
    assert work.statements == 1

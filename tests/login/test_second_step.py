"""A second factor at ``/login/second``: asked for, shown, remembered, and what products hear of it."""

from __future__ import annotations

import json

import pytest
from werkzeug.test import TestResponse

from idp.accounts.sessions import sessions_of
from idp.models import OutboxMail
from idp.parts import Parts
from tests.conftest import Clock
from tests.factors import App, add_app, add_codes
from tests.journey import Walker, add_carol, claims_of
from tests.newcomers import mailed

ESSENTIAL = json.dumps({"id_token": {"acr": {"essential": True, "value": "2"}}})


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


@pytest.fixture
def app_of_carol(parts: Parts, carol: str) -> App:
    return add_app(parts, carol)


def second_page(walker: Walker, **asked: str) -> TestResponse:
    page = walker.sign_in(walker.az(**asked))
    assert 'id="second-page"' in page.get_data(as_text=True)
    return page


def claims(walker: Walker, answer: TestResponse) -> dict[str, object]:
    return claims_of(walker.tk(walker.answer_of(answer)["code"]).get_json()["id_token"])


def test_who_has_an_app_is_asked_for_its_code(walker: Walker, app_of_carol: App) -> None:
    page = second_page(walker)
    told = claims(walker, walker.follow(walker.submit(page, "/login/second", code=app_of_carol.code())))
    assert told["acr"] == "2"
    assert told["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_half_a_minute_early_or_late_counts(walker: Walker, app_of_carol: App, steps: int) -> None:
    code = app_of_carol.code(steps)
    answer = walker.submit(second_page(walker), "/login/second", code=f"{code[:3]} {code[3:]}")
    assert "code" in walker.answer_of(walker.follow(answer))


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_code_a_minute_early_or_late_does_not(walker: Walker, app_of_carol: App, steps: int) -> None:
    answer = walker.submit(second_page(walker), "/login/second", code=app_of_carol.code(steps))
    assert answer.status_code == 400
    assert "This code does not count." in answer.get_data(as_text=True)
    assert "code" in walker.answer_of(walker.follow(walker.submit(answer, "/login/second", code=app_of_carol.code())))


def test_a_recovery_code_opens_once(walker: Walker, parts: Parts, carol: str, app_of_carol: App) -> None:
    codes = add_codes(parts, carol)
    told = claims(walker, walker.follow(walker.submit(second_page(walker), "/login/second", code=codes[3].lower())))
    assert told["amr"] == ["pwd", "otp", "mfa"]
    other = Walker(walker.app, parts)
    answer = other.submit(second_page(other), "/login/second", code=codes[3])
    assert answer.status_code == 400
    assert "code" in other.answer_of(other.follow(other.submit(answer, "/login/second", code=codes[4])))


def test_who_uses_a_recovery_code_is_told_by_mail_and_disowns_it(
    walker: Walker, parts: Parts, carol: str, app_of_carol: App
) -> None:
    codes = add_codes(parts, carol)
    walker.follow(walker.submit(second_page(walker), "/login/second", code=codes[0]))
    with parts.database.reading() as db:
        [mail] = db.query(OutboxMail).filter_by(name="recovery_code_used")
        assert (mail.recipient, mail.values["left"]) == ("carol@example.org", str(len(codes) - 1))
    owner = Walker(walker.app, parts)
    page = owner.follow(owner.get(mailed(parts, "recovery_code_used")))
    assert "recovery codes that are left count no more" in page.get_data(as_text=True)
    assert "Nobody" in owner.submit(page, "/me/factors/not-me").get_data(as_text=True)
    assert walker.get("/me").status_code == 303  # signed out
    thief = Walker(walker.app, parts)
    assert thief.submit(second_page(thief), "/login/second", code=codes[1]).status_code == 400


def test_a_browser_that_is_to_be_remembered_is_asked_no_more_for_thirty_days(
    walker: Walker, parts: Parts, clock: Clock, app_of_carol: App
) -> None:
    page = second_page(walker)
    walker.follow(walker.submit(page, "/login/second", code=app_of_carol.code(), remember="yes"))
    again = walker.sign_in(walker.az(prompt="login"))
    assert claims(walker, again)["amr"] == ["pwd"]
    second_page(Walker(walker.app, parts))
    clock.advance(30 * 86400 + 1)
    second_page(walker, prompt="login")


def test_a_product_that_wants_two_factors_is_not_content_with_a_remembered_browser(
    walker: Walker, parts: Parts, app_of_carol: App
) -> None:
    page = second_page(walker)
    walker.follow(walker.submit(page, "/login/second", code=app_of_carol.code(), remember="yes"))
    page = second_page(walker, prompt="login", acr_values="2 1")
    told = claims(walker, walker.follow(walker.submit(page, "/login/second", code=app_of_carol.code(1))))
    assert told["acr"] == "2"


def test_who_is_signed_in_by_one_factor_shows_the_second_when_a_product_wants_it(
    walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    first = claims_of(walker.tokens()["id_token"])
    app = add_app(parts, carol)
    clock.advance(600)
    for asked in ({"acr_values": "2"}, {"claims": ESSENTIAL}):
        page = walker.follow(walker.az(**asked))
        assert 'id="second-page"' in page.get_data(as_text=True)
        assert "Go on without it" in page.get_data(as_text=True)
    told = claims(walker, walker.follow(walker.submit(page, "/login/second", code=app.code())))
    assert (told["acr"], told["amr"]) == ("2", ["pwd", "otp", "mfa"])
    assert told["auth_time"] == first["auth_time"]  # the password is as old as before
    assert told["sid"] == first["sid"]
    assert claims_of(walker.tokens(claims=ESSENTIAL)["id_token"])["acr"] == "2"


def test_who_does_not_want_to_goes_on_where_the_product_only_wished(walker: Walker, parts: Parts, carol: str) -> None:
    walker.tokens()
    add_app(parts, carol)
    page = walker.follow(walker.az(acr_values="2"))
    assert claims(walker, walker.follow(walker.submit(page, "/login/second/without")))["acr"] == "1"
    page = walker.follow(walker.az(claims=ESSENTIAL))
    answer = walker.answer_of(walker.follow(walker.submit(page, "/login/second/without")))
    assert answer["error"] == "unmet_authentication_requirements"


def test_a_wish_of_somebody_without_a_factor_goes_unmet(walker: Walker, carol: str) -> None:
    assert claims_of(walker.tokens(acr_values="2")["id_token"])["acr"] == "1"
    assert claims_of(walker.tokens(acr_values="2 1")["id_token"])["acr"] == "1"


def test_nobody_is_asked_where_nothing_may_be_shown(walker: Walker, parts: Parts, carol: str) -> None:
    walker.tokens()
    add_app(parts, carol)
    assert "code" in walker.answer_of(walker.az(prompt="none", acr_values="2"))
    assert walker.answer_of(walker.az(prompt="none", claims=ESSENTIAL))["error"] == "unmet_authentication_requirements"


def test_a_second_factor_makes_an_old_sign_in_no_fresher(walker: Walker, parts: Parts, carol: str) -> None:
    """A request that wants the password anew is not satisfied by a code, whichever page is opened."""
    walker.tokens()
    app = add_app(parts, carol)
    page = walker.follow(walker.az(prompt="login", acr_values="2"))
    handle = page.request.args["p"]
    page = walker.get(f"/login/second?p={handle}")
    page = walker.follow(walker.submit(page, "/login/second", code=app.code()))
    assert 'id="password"' in page.get_data(as_text=True)


def test_a_session_of_two_factors_lives_no_longer_than_before(
    walker: Walker, parts: Parts, clock: Clock, carol: str
) -> None:
    walker.tokens()
    app = add_app(parts, carol)
    page = walker.follow(walker.az(acr_values="2"))
    clock.advance(300)
    walker.follow(walker.submit(page, "/login/second", code=app.code()))
    (session,) = sessions_of(parts.store, carol, clock())
    assert session.acr == "2"
    assert session.expires == session.auth_time + parts.config.session_lifetime
    assert session.idle == parts.config.session_idle

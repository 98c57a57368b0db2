"""``/me/factors``: the authenticator app added and removed, recovery codes made anew, browsers that are asked again."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import TestResponse

from idp.accounts.fresh_proof import FRESH
from idp.models import AuditEvent, OutboxMail, RecoveryCode, Totp
from idp.parts import Parts
from tests.conftest import Clock
from tests.factors import App, add_app, add_codes
from tests.journey import Walker, add_carol
from tests.saml_parties import Customer, belong, decide_for


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def offered(parts: Parts, page: TestResponse) -> App:
    key = re.search(r'<code id="totp-key"[^>]*>([A-Z2-7 ]+)</code>', text(page))
    assert key is not None, text(page)
    return App(parts, key[1].replace(" ", ""))


def mails(parts: Parts) -> list[tuple[str, str]]:
    with parts.database.reading() as db:
        told = (
            db.query(OutboxMail).filter(OutboxMail.name.in_(["factor_added", "factor_removed"])).order_by(OutboxMail.id)
        )
        return [(mail.name, mail.values["factor"]) for mail in told]


def sign_in_twice(walker: Walker, app: App, *, steps: int = 0, path: str = "/me/factors", **more: str) -> TestResponse:
    """With the password and the app, to one of the person's own pages."""
    page = walker.sign_in(walker.get(f"/login?again={path}"))
    assert 'id="second-page"' in text(page)
    return walker.follow(walker.submit(page, "/login/second", code=app.code(steps), **more))


def test_an_app_is_added_with_recovery_codes_and_told(walker: Walker, parts: Parts, carol: str) -> None:
    walker.sign_in(walker.get("/login"))
    page = walker.get("/me/factors")
    assert "Shows a new code" in text(page)
    page = walker.get("/me/factors/app")
    app = offered(parts, page)
    wrong = walker.submit(page, "/me/factors/app", code=app.wrong())
    assert wrong.status_code == 400
    codes = walker.submit(wrong, "/me/factors/app", code=app.code())
    assert len(set(re.findall(r"[2-9A-Z]{5}-[2-9A-Z]{5}", text(codes)))) == 10
    assert mails(parts) == [("factor_added", "totp")]
    other = Walker(walker.app, parts)
    page = other.sign_in(other.az())
    assert 'id="second-page"' in text(page)
    assert other.submit(page, "/login/second", code=app.code()).status_code == 400  # it has counted once
    assert "code" in other.answer_of(other.follow(other.submit(page, "/login/second", code=app.code(1))))


def test_there_is_one_app(walker: Walker, parts: Parts, carol: str) -> None:
    walker.sign_in(walker.get("/login"))
    page = walker.get("/me/factors/app")
    app = offered(parts, page)
    first = add_app(parts, carol)
    assert walker.submit(page, "/me/factors/app", code=app.code()).status_code == 303
    with parts.database.reading() as db:
        kept = parts.totps._sealer.open(db.get_one(Totp, carol).sealed_secret, f"totp {carol}")
    assert kept["secret"] == first.secret


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/me/factors"), ("GET", "/me/factors/app"), ("POST", "/me/factors/app"), ("GET", "/me/factors/remove"),
     ("POST", "/me/factors/remove"), ("POST", "/me/factors/codes")],
)  # fmt: skip
def test_whoever_has_not_lately_shown_both_shows_both(
    walker: Walker, parts: Parts, clock: Clock, carol: str, method: str, path: str
) -> None:
    """PW-11: a browser that is not asked, or an open session, with the password alone takes nothing away."""
    app = add_app(parts, carol)
    page = sign_in_twice(walker, app, remember="yes")
    csrf = re.search(r'name="csrf" value="([^"]*)"', text(page))
    assert csrf is not None
    clock.advance(FRESH + 1)
    fields = {"csrf": csrf[1], "code": app.code()} if method == "POST" else {}
    answer = walker.open(method, path, data=fields)
    assert "/login?again=" in answer.location
    walker.sign_in(walker.get("/login"))  # remembered: with the password alone
    answer = walker.open(method, path, data=fields)
    assert "/login?again=" in answer.location
    page = walker.sign_in(walker.follow(answer))
    assert 'id="second-page"' in text(page)  # although this browser is remembered
    with parts.database.reading() as db:
        assert db.get(Totp, carol) is not None
    assert mails(parts) == []


def test_an_app_is_removed_with_the_codes_and_what_is_remembered(walker: Walker, parts: Parts, carol: str) -> None:
    app = add_app(parts, carol)
    add_codes(parts, carol)
    page = sign_in_twice(walker, app, remember="yes")
    assert "Left: 10 of 10" in text(page)
    assert "Browsers that are not asked" in text(page)
    page = walker.get("/me/factors/remove")
    assert walker.submit(page, "/me/factors/remove").location.endswith("/me/factors?notice=removed")
    assert mails(parts) == [("factor_removed", "totp")]
    with parts.database.reading() as db:
        assert db.get(Totp, carol) is None
        assert db.query(RecoveryCode).count() == 0
        assert [row.event for row in db.query(AuditEvent) if "factor" in row.event] == ["person.factor_removed"]
    assert "Browsers that are not asked" not in text(walker.get("/me/factors"))
    other = Walker(walker.app, parts)
    assert "code" in other.answer_of(other.sign_in(other.az()))


def test_the_last_one_stays_while_a_company_demands_it(
    walker: Walker, parts: Parts, acme: Customer, carol: str
) -> None:
    app = add_app(parts, carol)
    belong(parts.database, acme, carol, now=parts.clock())
    decide_for(parts.database, acme, doors=["password"], second_factor_from=int(parts.clock()))
    page = sign_in_twice(walker, app)
    assert "Acme demands a second factor" in text(page)
    csrf = re.search(r'name="csrf" value="([^"]*)"', text(page))
    assert csrf is not None
    assert walker.get("/me/factors/remove").status_code == 403
    answer = walker.open("POST", "/me/factors/remove", data={"csrf": csrf[1]})
    assert answer.status_code == 403
    assert "this is your last one" in text(answer)
    with parts.database.reading() as db:
        assert db.get(Totp, carol) is not None
    assert mails(parts) == []


def test_before_its_day_people_are_told_of_it(walker: Walker, parts: Parts, acme: Customer, carol: str) -> None:
    belong(parts.database, acme, carol, now=parts.clock())
    decide_for(parts.database, acme, doors=["password"], second_factor_from=int(parts.clock()) + 20 * 86400)
    walker.sign_in(walker.get("/login"))
    assert "In 3 weeks Acme demands" in text(walker.get("/me/factors"))


def test_new_codes_take_the_place_of_the_old_ones(walker: Walker, parts: Parts, carol: str) -> None:
    app = add_app(parts, carol)
    old = add_codes(parts, carol)
    page = sign_in_twice(walker, app)
    shown = re.findall(r"[2-9A-Z]{5}-[2-9A-Z]{5}", text(walker.submit(page, "/me/factors/codes")))
    assert len(set(shown) - set(old)) == 10
    assert mails(parts) == [("factor_added", "recovery_codes")]
    assert shown[0] not in text(walker.get("/me/factors"))
    other = Walker(walker.app, parts)
    page = other.sign_in(other.az())
    assert other.submit(page, "/login/second", code=old[0]).status_code == 400
    assert "code" in other.answer_of(other.follow(other.submit(page, "/login/second", code=shown[0])))
    with parts.database.reading() as db:
        assert db.query(RecoveryCode).filter(RecoveryCode.used_at.is_not(None)).count() == 1


def test_browsers_are_asked_again(walker: Walker, parts: Parts, carol: str) -> None:
    app = add_app(parts, carol)
    page = sign_in_twice(walker, app, remember="yes")
    assert text(page).count("Ask there again") == 1
    page = walker.follow(walker.submit(page, "/me/factors/forget"))
    assert "Ask there again" not in text(page)
    assert 'id="second-page"' in text(walker.sign_in(walker.az(prompt="login")))


def test_somebody_elses_browsers_stay_as_they_are(walker: Walker, parts: Parts, carol: str) -> None:
    app = add_app(parts, carol)
    page = sign_in_twice(walker, app, remember="yes")
    mark = re.search(r'name="browser" value="([^"]*)"', text(page))
    assert mark is not None
    add_carol(parts, "mallory@example.org")
    mallory = Walker(walker.app, parts)
    mallory.sign_in(mallory.get("/login"), "mallory@example.org")
    csrf = re.search(r'name="csrf" value="([^"]*)"', text(mallory.get("/me")))
    assert csrf is not None
    for which in (mark[1], "all"):
        mallory.open("POST", "/me/factors/forget", data={"csrf": csrf[1], "browser": which})
    assert 'id="second-page"' not in text(walker.sign_in(walker.az(prompt="login")))


def test_another_app_is_asked_for_at_browsers_that_were_remembered_with_the_one_before(
    walker: Walker, parts: Parts, carol: str
) -> None:
    """PW-11: whoever set up an app in her name, and is remembered with it, is asked for hers."""
    page = sign_in_twice(walker, add_app(parts, carol), remember="yes")
    assert "Ask there again" in text(page)
    add_app(parts, carol)
    assert 'id="second-page"' in text(walker.sign_in(walker.az(prompt="login")))


def test_an_old_mail_takes_back_no_other_app(walker: Walker, parts: Parts, carol: str) -> None:
    """PW-11: whoever reads the mailbox, and finds what told of an app that is long gone."""
    walker.sign_in(walker.get("/login"))
    page = walker.get("/me/factors/app")
    app = offered(parts, page)
    walker.submit(page, "/me/factors/app", code=app.code())
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="factor_added").one()
        link = parts.sealer.open(mail.values["sealed"], f"factor_added {mail.recipient}")["link"]
    another = add_app(parts, carol)
    walker.submit(walker.follow(walker.get(link)), "/me/factors/not-me")
    with parts.database.reading() as db:
        kept = parts.totps._sealer.open(db.get_one(Totp, carol).sealed_secret, f"totp {carol}")
    assert kept["secret"] == another.secret
    assert walker.get("/me").status_code == 303  # everybody is signed out all the same


def test_the_mail_takes_back_the_app_that_it_tells_of(walker: Walker, parts: Parts, carol: str) -> None:
    walker.sign_in(walker.get("/login"))
    page = walker.get("/me/factors/app")
    app = offered(parts, page)
    walker.submit(page, "/me/factors/app", code=app.code())
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="factor_added").one()
        link = parts.sealer.open(mail.values["sealed"], f"factor_added {mail.recipient}")["link"]
    walker.submit(walker.follow(walker.get(link)), "/me/factors/not-me")
    with parts.database.reading() as db:
        assert db.get(Totp, carol) is None
        assert db.query(RecoveryCode).count() == 0


def test_nobody_else_has_these_pages(walker: Walker) -> None:
    for path in ("/me/factors", "/me/factors/app", "/me/factors/remove"):
        assert "/login" in walker.get(path).location

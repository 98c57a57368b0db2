"""attacks.md section 10 in the admin center: nobody does there what their role, as it is now, does not give."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from idp.accounts.closing import close
from idp.accounts.lifecycle import change_claims, find_account, suspend
from idp.accounts.recovery_address import Means
from idp.app import MAX_UPLOAD
from idp.members import remove_member, set_role
from idp.models import Account, AuditEvent, Company
from idp.parts import Parts
from tests.admin.conftest import administrator, center, config
from tests.administrator import Administrator, add_company, add_person
from tests.conftest import Clock
from tests.forgetful import NEW, ask, reset_link, set_new
from tests.journey import Walker
from tests.newcomers import mailed

__all__ = ["administrator", "center", "config"]  # fixtures

At = Callable[[str], Administrator]
ADA = "ada@acme.example"


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    for name in ("ada", "amy"):
        add_person(parts, f"{name}@acme.example", company=made, role="administrator")
    return made


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


@pytest.fixture
def bob(parts: Parts, company: str) -> str:
    return add_person(parts, "bob@acme.example", company=company)


def text(page: TestResponse) -> str:
    return unescape(page.get_data(as_text=True))


def made_link(browser: Administrator, company: str) -> str:
    at = f"/companies/{company}/sign-in"
    found = re.search(
        r"https://admin\.example(/set-up\?t=[\w-]+)", text(browser.submit(browser.get(at), f"{at}/links"))
    )
    assert found is not None
    return found[1]


def post(browser: Administrator, company: str, person: str, act: str) -> TestResponse:
    """Without the page's own form: it need not offer the act."""
    at = f"/companies/{company}/people/{person}"
    return browser.open("POST", f"{at}/{act}", data={"csrf": browser.token(browser.get(at))})


def state_of(parts: Parts, account_id: str) -> str:
    with parts.database.reading() as db:
        return db.get_one(Account, account_id).state


def removed(db: Session, company: str, who: Account, now: float) -> None:
    remove_member(db, company, who.id, actor="operator:test", now=now)


def made_a_member(db: Session, company: str, who: Account, now: float) -> None:
    set_role(db, company, who.id, "member", actor="operator:test", now=now)


def suspended(db: Session, _: str, who: Account, now: float) -> None:
    suspend(db, who, actor="operator:test", now=now)


@pytest.mark.parametrize("loses", [removed, made_a_member, suspended])
def test_ad_06_a_set_up_link_ends_with_the_rights_of_who_made_it(
    ada: Administrator,
    administrator: At,
    parts: Parts,
    company: str,
    loses: Callable[[Session, str, Account, float], None],
) -> None:
    link = made_link(ada, company)
    colleague, stranger = administrator("it@acme.example"), administrator("mallory@evil.example")
    at = f"/companies/{company}/sign-in"
    assert colleague.submit(colleague.get(link), "/set-up").request.path == at
    with parts.database.transaction() as db:
        who = find_account(db, "ada@acme.example")
        assert who is not None
        loses(db, company, who, parts.clock())
    assert stranger.get(link).status_code == 400
    assert colleague.open("GET", at).status_code == 303  # to the sign-in
    amy = administrator("amy@acme.example")
    assert f"{at}/links/revoke" not in text(amy.sign_in(at))


def test_ad_06_an_open_browser_makes_no_set_up_link(ada: Administrator, company: str, clock: Clock) -> None:
    """It would do what asks for a fresh sign-in, without one."""
    at = f"/companies/{company}/sign-in"
    page = ada.get(at)
    clock.advance(3600)
    answer = ada.submit(page, f"{at}/links")
    assert answer.status_code == 403
    assert "/set-up?t=" not in text(answer)


def test_ad_06_who_signs_out_leaves_no_set_up_link_behind(ada: Administrator, company: str) -> None:
    at = f"/companies/{company}/sign-in"
    ada.submit(ada.get(made_link(ada, company)), "/set-up")
    ada.submit(ada.get(at), "/sign-out")
    assert "/sign-in?" in ada.open("GET", at).location


def test_ad_02_no_company_makes_a_suspension_by_the_provider_its_own(
    ada: Administrator, parts: Parts, company: str, bob: str
) -> None:
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, bob), actor="operator:test", now=parts.clock())
    assert post(ada, company, bob, "suspend").status_code == 409
    assert post(ada, company, bob, "reactivate").status_code == 409
    assert state_of(parts, bob) == "suspended"


def test_ad_02_the_provider_takes_a_suspension_over(
    ada: Administrator, administrator: At, parts: Parts, company: str, bob: str
) -> None:
    add_person(parts, "olga@provider.example", staff="operator")
    olga = administrator("olga@provider.example")
    olga.sign_in()
    assert post(ada, company, bob, "suspend").status_code == 303
    assert post(olga, company, bob, "suspend").status_code == 303
    assert post(ada, company, bob, "reactivate").status_code == 409
    with parts.database.reading() as db:
        assert len(db.scalars(select(AuditEvent).where(AuditEvent.event == "person.suspended")).all()) == 2


def test_ad_02_what_its_owner_has_closed_no_company_keeps_or_opens(
    ada: Administrator, parts: Parts, company: str, bob: str
) -> None:
    with parts.database.transaction() as db:
        assert close(db, bob, Means("en", parts.sealer, parts.clock(), parts.random))
    assert post(ada, company, bob, "suspend").status_code == 409
    assert post(ada, company, bob, "reactivate").status_code == 409
    with parts.database.reading() as db:
        account = db.get_one(Account, bob)
        assert (account.state, account.closed_at) == ("closed", int(parts.clock()))


def test_ad_06_the_audit_does_not_tell_where_who_has_left_is_now(
    ada: Administrator, parts: Parts, company: str, bob: str
) -> None:
    """Nor who at the provider has acted: an address that is guessed finds as much as one that nobody has."""
    olga = add_person(parts, "olga@provider.example", staff="operator")
    with parts.database.transaction() as db:
        set_role(db, company, bob, "read_only", actor=f"person:{olga}", now=parts.clock())
        remove_member(db, company, bob, actor=f"person:{olga}", now=parts.clock())
        new = {"email": "bobby@secret.example", "email_verified": True}
        change_claims(db, db.get_one(Account, bob), new, actor=f"person:{bob}", now=parts.clock())
    at = f"/companies/{company}/audit"
    for address in ("bobby@secret.example", "olga@provider.example"):
        page = ada.submit(ada.get(at), at, person=address)
        assert "company.member_removed" not in text(page).split("</select>")[1]
    assert "company.member_added" in text(ada.submit(ada.get(at), at, person="amy@acme.example")).split("</select>")[1]


def resets_the_password(owner: Walker, parts: Parts) -> None:
    ask(owner, ADA)
    set_new(owner, reset_link(parts))


def signs_out_everywhere(owner: Walker, parts: Parts) -> None:
    owner.sign_in(owner.follow(owner.get("/login")), ADA)
    owner.submit(owner.get("/me"), "/me/sign-out-everywhere")


def says_that_it_was_not_them(owner: Walker, parts: Parts) -> None:
    owner.sign_in(owner.follow(owner.get("/login")), ADA)
    reader = Walker(owner.app, parts)
    reader.submit(reader.follow(reader.get(mailed(parts, "new_device"))), "/me/not-me")


@pytest.mark.parametrize("act", [resets_the_password, signs_out_everywhere, says_that_it_was_not_them])
def test_ad_06_who_is_thrown_out_is_out_of_the_admin_center_before_it_is_told(
    ada: Administrator, app: Flask, parts: Parts, company: str, clock: Clock, act: Callable[[Walker, Parts], None]
) -> None:
    """No logout token has come: the network may keep it away for ever."""
    assert ada.open("GET", f"/companies/{company}").status_code == 200
    clock.advance(60)
    act(Walker(app, parts), parts)
    assert "/sign-in" in ada.open("GET", f"/companies/{company}").location
    assert 'id="username"' in text(ada.get(f"/companies/{company}"))


def test_ad_06_who_changes_their_password_goes_on_in_the_admin_center(
    ada: Administrator, parts: Parts, company: str, clock: Clock
) -> None:
    clock.advance(60)
    page = ada.submit(ada.get("https://login.example/me/password"), "/me/password", password=NEW)
    assert page.request.path == "/me"
    clock.advance(1)
    assert ada.get(f"/companies/{company}").request.path == f"/companies/{company}"


@pytest.mark.parametrize("path", ["/companies/%00", "/companies/%00/people/x", "/operator/clients/x%00", "/shared/%00"])
def test_ij_04_no_address_holds_a_nul(administrator: At, company: str, path: str) -> None:
    """PostgreSQL refuses it as a value; nobody need be signed in to ask."""
    answer = administrator("mallory@evil.example").open("GET", path)
    assert answer.status_code == 404
    assert "sign-in" not in (answer.location or "")


def test_nobody_who_is_unknown_has_a_large_form_read(administrator: At, company: str) -> None:
    """They are asked who they are by the address alone; what they sent is not even looked at for its token."""
    stranger = administrator("nobody@example.org")
    at = f"/companies/{company}/people/invite"
    answer = stranger.open("POST", at, data={"people": "x" * (2 * MAX_UPLOAD)})
    assert answer.status_code == 303 and answer.location.startswith("/sign-in")


def test_whoever_is_known_sends_no_form_without_its_token(ada: Administrator, company: str, parts: Parts) -> None:
    answer = ada.open("POST", f"/companies/{company}/settings", data={"name": "Evil"})
    assert answer.status_code in (400, 403)
    with parts.database.reading() as db:
        assert db.get_one(Company, company).name == "Acme"

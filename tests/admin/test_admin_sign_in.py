"""Signing in to the admin center: a relying party of the provider, with a session of its own that ends when it must."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from idp.accounts.lifecycle import apply_revocations, suspend
from idp.admin.staff import set_staff
from idp.models import Account
from idp.parts import Parts
from tests.administrator import ORIGIN, Administrator, add_company, add_person
from tests.conftest import Clock

At = Callable[[str], Administrator]


def test_an_administrator_signs_in_and_arrives_at_the_company(parts: Parts, administrator: At) -> None:
    company = add_company(parts)
    add_person(parts, "ada@acme.example", company=company, role="administrator")
    page = administrator("ada@acme.example").sign_in()
    assert page.status_code == 200
    assert page.request.path == f"/companies/{company}"


def test_where_somebody_wanted_to_go_is_not_forgotten(parts: Parts, administrator: At) -> None:
    company = add_company(parts)
    add_person(parts, "ada@acme.example", company=company, role="administrator")
    page = administrator("ada@acme.example").sign_in(f"/companies/{company}/people")
    assert page.request.path == f"/companies/{company}/people"


def test_who_has_no_role_reads_that_there_is_nothing_to_manage(parts: Parts, administrator: At) -> None:
    add_person(parts, "eve@example.org")
    page = administrator("eve@example.org").sign_in()
    assert 'id="no-role-page"' in page.get_data(as_text=True)


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/%09/evil\t", ""])
def test_nobody_is_led_elsewhere_after_signing_in(parts: Parts, administrator: At, back: str) -> None:
    add_person(parts, "eve@example.org")
    browser = administrator("eve@example.org")
    browser.sign_in()
    page = browser.get("/sign-in", query_string={"back": back, "target_link_uri": back})
    assert page.request.url.startswith(ORIGIN + "/")
    assert page.request.path == "/"


def test_an_answer_that_this_browser_did_not_ask_for_signs_nobody_in(parts: Parts, administrator: At) -> None:
    """Login CSRF: mallory's answer in ada's browser."""
    add_person(parts, "mallory@example.org")
    mallory = administrator("mallory@example.org")
    mallory.sign_in()
    asked = mallory.open("GET", "/sign-in")
    answer = mallory.open("GET", asked.location)
    assert answer.location.startswith(f"{ORIGIN}/callback?")
    ada = administrator("ada@acme.example")
    taken = ada.open("GET", answer.location)
    assert "idp_admin_session" not in str(taken.headers.getlist("Set-Cookie"))
    assert 'id="username"' in ada.follow(taken).get_data(as_text=True)


def test_an_answer_works_once(parts: Parts, administrator: At) -> None:
    add_person(parts, "eve@example.org")
    browser = administrator("eve@example.org")
    browser.sign_in()
    answer = browser.open("GET", browser.open("GET", "/sign-in").location)
    assert browser.open("GET", answer.location).headers.getlist("Set-Cookie") != []
    assert browser.open("GET", answer.location).headers.getlist("Set-Cookie") == []


def test_signing_out_here_signs_out_at_the_provider(parts: Parts, administrator: At) -> None:
    add_person(parts, "eve@example.org")
    browser = administrator("eve@example.org")
    page = browser.submit(browser.sign_in(), "/sign-out")
    assert 'id="signed-out-page"' in page.get_data(as_text=True)
    assert 'id="username"' in browser.get("/").get_data(as_text=True)


def test_a_role_that_is_taken_away_is_gone_at_once(parts: Parts, administrator: At) -> None:
    """AD-06: no token, cache or session keeps it."""
    account = add_person(parts, "olga@example.org", staff="operator")
    browser = administrator("olga@example.org")
    assert browser.sign_in("/operator").request.path == "/operator"
    with parts.database.transaction() as db:
        set_staff(db, account, None, actor="operator:test", now=parts.clock())
    assert browser.get("/operator").status_code in (403, 404)


def test_a_suspended_administrator_is_out_at_once(parts: Parts, administrator: At) -> None:
    company = add_company(parts)
    account = add_person(parts, "ada@acme.example", company=company, role="administrator")
    browser = administrator("ada@acme.example")
    browser.sign_in()
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, account), actor="operator:test", now=parts.clock())
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    assert browser.open("GET", f"/companies/{company}").status_code == 303
    assert 'id="username"' in browser.get(f"/companies/{company}").get_data(as_text=True)


def test_a_session_ends_after_a_working_day(parts: Parts, administrator: At, clock: Clock) -> None:
    add_person(parts, "eve@example.org")
    browser = administrator("eve@example.org")
    browser.sign_in()
    clock.advance(8 * 3600 + 1)
    assert browser.open("GET", "/").location.startswith("/sign-in")


def test_a_session_of_the_admin_center_is_worth_nothing_at_the_provider(parts: Parts, administrator: At) -> None:
    """And the other way round: two programs, two cookies."""
    add_person(parts, "eve@example.org")
    browser = administrator("eve@example.org")
    page = browser.open("GET", "/", headers={"Cookie": "__Host-idp_session=" + "a" * 43})
    assert page.status_code == 303
    cookies = str(browser.follow(browser.open("GET", "/sign-in")).headers)
    assert "idp_admin" not in cookies

"""Every page and act of the admin center, for every role, about a company of one's own or another's.

What a role may do stands here once more, written by hand; what a view asks for is read from the view. So a route that is added later is
tried at once, and a right that somebody gets by mistake is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from flask import Flask
from werkzeug.routing import Rule

from idp.admin.access import FRESH, Need, need_of
from idp.admin.staff import COMPANY_RIGHTS, STAFF_RIGHTS, Right, set_staff
from idp.parts import Parts
from tests.administrator import Administrator, add_company, add_person
from tests.conftest import Clock

At = Callable[[str], Administrator]


class Role(NamedTuple):
    """Somebody who asks about company A: their role in a company ("": in none), whether that is A, and their role at the provider."""

    role: str
    of_a: bool
    staff: str


ROLES = {
    "nobody": Role("", False, ""),
    "member": Role("member", True, ""),
    "read_only": Role("read_only", True, ""),
    "administrator": Role("administrator", True, ""),
    "administrator of another company": Role("administrator", False, ""),
    "support": Role("", False, "support"),
    "operator_read_only": Role("", False, "operator_read_only"),
    "operator": Role("", False, "operator"),
}
# What each may do about company A, and at the provider. What is not here is refused.
MAY = {
    "read_only": "see_company see_audit",
    "administrator": "see_company see_audit change_people change_sign_in change_policy change_settings",
    "support": "support",
    "operator_read_only": "see_company see_audit see_operations",
    "operator": "see_company see_audit change_people change_sign_in change_policy change_settings"
    " support see_operations change_operations",
}
# Who may know that there is a company A. To the others its pages are not there.
KNOWS = {"read_only", "administrator", "operator_read_only", "operator"}
# These end what a case needs, or (numbers) are there for machines alone, or are no page; test_admin_sign_in.py, test_health.py and
# test_settings_page.py have them.
ELSEWHERE = {"/logos/<name>", "/metrics", "/sign-out", "/sign-in", "/callback", "/backchannel-logout"}
# Forms for which the right to see is enough, because they change nothing: what is looked for stands in no address.
LOOKING = {
    "/operator/companies",
    "/operator/reasons",
    "/companies/<company_id>/people",
    "/companies/<company_id>/people/export",
    "/companies/<company_id>/audit",
    "/companies/<company_id>/audit/export",
    "/operator/audit",
    "/operator/audit/export",
    "/companies/<company_id>/sign-in/<connection_id>/share",
}
# A part of an address by its name, as something that there is or that there may be. Who asks for more names it here.
VALUES = {
    "client_id": "admin-center",
    "name": "pages.css",
    "language": "fr",
}
UNKNOWN = {
    "number": "1",
    "connection_id": "abcdefgh12345678",
    "domain": "acme.example",
    "receipt": "K7QX-2M4P",
    "token": "x",
    "list_id": "0123456789abcdef",
}


def rules(center: Flask) -> Iterator[tuple[Rule, str, Need]]:
    """Every route with each of its methods, and what its view asks for."""
    for rule in sorted(center.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ()))):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if rule.rule not in ELSEWHERE:
                yield rule, method, need_of(center.view_functions[rule.endpoint])


def address(center: Flask, rule: Rule, about: dict[str, str]) -> str:
    """The address of a route with these in it.

    Fails when the route has a part that this test does not know.
    """
    values = VALUES | UNKNOWN | about
    strange = rule.arguments - values.keys()
    assert not strange, f"{rule.rule}: say in VALUES what {strange} may be"
    whole = {
        name: int(values[name]) if values[name].isdecimal() and f"<int:{name}>" in rule.rule else values[name]
        for name in rule.arguments
    }
    return str(center.url_map.bind("admin.example").build(rule.endpoint, whole, method=None, force_external=False))


def expected(who: str, rule: Rule, need: Need) -> int | None:
    """The status with which the guard refuses; None: it lets pass."""
    if need.right is None:
        return None
    if "company_id" in rule.arguments and who not in KNOWS:
        return 404
    return None if need.right in MAY.get(who, "").split() else 403


def arrive(parts: Parts, administrator: At, who: str, company: str) -> tuple[Administrator, str]:
    """Somebody who has signed in, and the token of their forms."""
    role = ROLES[who]
    of = (company if role.of_a else add_company(parts, "Globex")) if role.role else None
    account = add_person(parts, "ada@acme.example", company=of, role=role.role or "member")
    browser = administrator("ada@acme.example")
    csrf = browser.token(browser.sign_in())
    if role.staff:
        with parts.database.transaction() as db:
            set_staff(db, account, role.staff, actor="operator:test", now=parts.clock())
    return browser, csrf


@pytest.mark.parametrize("who", ROLES)
def test_ad_06_every_route_lets_pass_whom_it_should_and_nobody_else(
    parts: Parts, center: Flask, administrator: At, who: str
) -> None:
    company = add_company(parts)
    browser, csrf = arrive(parts, administrator, who, company)
    wrong, person = [], ""
    for number, (rule, method, need) in enumerate(rules(center)):
        if "account_id" in rule.arguments:  # somebody to whom nothing has happened yet
            person = add_person(parts, f"bob-{number}@acme.example", company=company)
        path = address(center, rule, {"company_id": company, "account_id": person})
        # Nothing is filled in: whoever is let pass reads what is missing, or it is done.
        answer = browser.open(method, path, **({"data": {"csrf": csrf}} if method == "POST" else {}))
        due = expected(who, rule, need)
        about_something_unknown = bool(rule.arguments & UNKNOWN.keys())
        refused = answer.status_code in (401, 403, 404) or "/sign-in" in (answer.location or "")[:9]
        passes = not refused or (answer.status_code == 404 and about_something_unknown)
        if answer.status_code >= 500 or (not passes if due is None else answer.status_code != due):
            wrong.append((method, rule.rule, str(need.right), answer.status_code, due))
    assert wrong == []


@pytest.mark.parametrize("who", ["administrator", "operator"])
def test_the_objects_of_another_company_are_not_there(parts: Parts, center: Flask, administrator: At, who: str) -> None:
    """A's people below the address of one's own company B: nobody, whatever one may do there."""
    company = add_company(parts)
    person = add_person(parts, "bob@acme.example", company=company)
    other = add_company(parts, "Initech")
    account = add_person(parts, "ada@acme.example", company=other, role="administrator")
    browser = administrator("ada@acme.example")
    csrf = browser.token(browser.sign_in())
    if who == "operator":
        with parts.database.transaction() as db:
            set_staff(db, account, "operator", actor="operator:test", now=parts.clock())
    found = []
    for rule, method, _need in rules(center):
        if "company_id" in rule.arguments and len(rule.arguments) > 1:
            path = address(center, rule, {"company_id": other, "account_id": person})
            answer = browser.open(method, path, **({"data": {"csrf": csrf}} if method == "POST" else {}))
            if answer.status_code != 404:
                found.append((method, rule.rule, answer.status_code))
    assert found == []


def test_who_is_not_signed_in_is_sent_to_sign_in_everywhere(parts: Parts, center: Flask, administrator: At) -> None:
    company = add_company(parts)
    browser = administrator("ada@acme.example")
    csrf = browser.token(browser.open("GET", "/signed-out"))
    for rule, method, need in rules(center):
        path = address(center, rule, {"company_id": company, "account_id": "a" * 32})
        if not need.open:
            answer = browser.open(method, path, **({"data": {"csrf": csrf}} if method == "POST" else {}))
            refused = answer.status_code == 303 and answer.location.startswith("/sign-in")
            assert refused or (method == "POST" and answer.status_code == 400), (method, path)


def test_every_risky_act_asks_anew_after_a_quarter_of_an_hour(
    parts: Parts, center: Flask, administrator: At, clock: Clock
) -> None:
    company = add_company(parts)
    person = add_person(parts, "bob@acme.example", company=company)
    browser, csrf = arrive(parts, administrator, "operator", company)
    clock.advance(FRESH + 1)
    asked = 0
    for rule, method, need in rules(center):
        if need.fresh:
            path = address(center, rule, {"company_id": company, "account_id": person})
            answer = browser.open(method, path, **({"data": {"csrf": csrf}} if method == "POST" else {}))
            way = answer.location if answer.status_code == 303 else answer.get_data(as_text=True)
            assert answer.status_code in (303, 403), (method, path)
            assert "/sign-in?" in way and "fresh=yes" in way
            asked += 1
    assert asked >= 3


def test_ad_02_no_field_makes_anybody_more_than_they_are(parts: Parts, center: Flask, administrator: At) -> None:
    """Names of columns and rights in every form that a member, a reader or support can reach: they stay what they are."""
    company = add_company(parts)
    more = {"role": "administrator", "staff": "operator", "is_admin": "1", "tenant_id": company, "company_id": company}
    more |= {"email_verified": "1", "password_hash": "x", "sub": "x", "idp_id": "x", "account": "x"}
    browser, csrf = arrive(parts, administrator, "read_only", company)
    person = add_person(parts, "bob@acme.example", company=company)
    for rule, method, need in rules(center):
        if method == "POST" and need.right is not None:
            path = address(center, rule, {"company_id": company, "account_id": person})
            status = browser.open("POST", path, data={"csrf": csrf, **more}).status_code
            assert (status == 403) == (expected("read_only", rule, need) == 403), (path, status)
    assert browser.open("GET", "/operator").status_code == 403
    assert browser.open("POST", f"/companies/{company}/policies", data={"csrf": csrf, **more}).status_code == 403


def test_the_table_of_this_test_is_the_one_that_holds() -> None:
    for who, role in ROLES.items():
        rights = STAFF_RIGHTS.get(role.staff, frozenset()) | (
            COMPANY_RIGHTS.get(role.role, frozenset()) if role.of_a else frozenset()
        )
        assert {str(right) for right in rights} == set(MAY.get(who, "").split())
    assert {str(right) for right in Right} == {right for rights in MAY.values() for right in rights.split()}


def test_no_form_that_changes_something_is_for_those_who_only_see(center: Flask) -> None:
    seen = {
        rule.rule
        for rule, method, need in rules(center)
        if method == "POST" and str(need.right or "").startswith("see_")
    }
    assert seen - LOOKING == set(), "say in LOOKING that it changes nothing, or ask for another right"

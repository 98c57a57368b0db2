"""The doctor finds whatever tells who has an account here, and nothing where nothing does."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flask import Flask
from werkzeug.wrappers import Request, Response

from idp.accounts.identity import canonical_email
from idp.accounts.lifecycle import find_account
from idp.admin.enumeration import (
    FORMS,
    Form,
    Place,
    chance,
    compare_answers,
    compare_times,
    comparisons,
    uncovered,
)
from idp.admin.probe_people import NO_COMPANY, OF_A_DOMAIN, ProbePeople, make_companies
from idp.cookies import BROWSER, cookie_name
from idp.login import pending
from idp.login.arrival import Newcomer, write_newcomer
from idp.parts import Parts
from tests.conftest import Clock
from tests.newcomers import facebook

PASSWORD_FORM = next(form for form in FORMS if form.path == "/login/password")
Change = Callable[[Response], None]


@pytest.fixture
def place(app: Flask, parts: Parts, clock: Clock) -> Place:
    with parts.database.transaction() as db:
        make_companies(db, parts.connections, now=clock(), random=parts.random)
    people = ProbePeople(parts.database, parts.store, parts.hasher.hash("whatever it is"), parts.random, clock)

    def greet(browser: str, handle: str) -> None:
        who = write_newcomer(Newcomer(facebook(email=None)))
        pending.find(parts.store, handle, browser, clock(), newcomer=who)

    return Place(app, "https://login.example", cookie_name(BROWSER, secure=True), people.make, greet)


def leaking(place: Place, parts: Parts, change: Change) -> Place:
    """The same application behind something that changes the answers to forms with an address that is known here."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        typed = request.form.get("username", "") if request.method == "POST" else ""
        environ["wsgi.input"].seek(0)
        response = Response.from_app(place.app, environ)
        if typed:
            with parts.database.reading() as db:
                if find_account(db, canonical_email(typed)) is not None:
                    change(response)
        return response(environ, start_response)

    return Place(app, place.origin, place.browser_cookie, place.people, place.greet)


@pytest.mark.parametrize(
    ("form", "domain", "kinds"), list(comparisons(FORMS)), ids=lambda one: getattr(one, "path", str(one))
)
def test_no_form_tells_who_is_known(place: Place, form: Form, domain: str, kinds: Any) -> None:
    assert compare_answers(place, form, domain, kinds) == []


def test_every_form_is_covered(app: Flask) -> None:
    rules = [rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert uncovered(rules) == []
    assert uncovered([*rules, "/find-my-account", "/me/whatever"]) == ["/find-my-account"]


def reword(response: Response) -> None:
    response.set_data(response.get_data(as_text=True).replace("password", "pass word"))


def refuse(response: Response) -> None:
    response.status_code = 401


def remember(response: Response) -> None:
    response.set_cookie("seen", "1")


def lead_elsewhere(response: Response) -> None:
    response.status_code, response.headers["Location"] = 303, "/login"


def name_a_header(response: Response) -> None:
    response.headers["X-Known"] = "yes"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (reword, "page"),
        (refuse, "status"),
        (remember, "cookies"),
        (lead_elsewhere, "status"),
        (name_a_header, "headers"),
    ],
)
def test_whatever_tells_is_found_in_both_languages_and_for_everybody(
    place: Place, parts: Parts, change: Change, what: str
) -> None:
    found = compare_answers(leaking(place, parts, change), PASSWORD_FORM, NO_COMPANY, OF_A_DOMAIN)
    assert {one.what for one in found} == {what}
    assert {(one.kind, one.language) for one in found} == {
        (kind, language) for kind in OF_A_DOMAIN[1:] for language in ("en", "fr")
    }


def test_a_form_that_its_page_does_not_show_is_no_success(place: Place) -> None:
    [one, *_] = compare_answers(place, Form("/login/switch", {}), NO_COMPANY, OF_A_DOMAIN)
    assert one.what == "reached"


def test_work_that_is_done_only_for_people_who_are_known_is_found(place: Place, parts: Parts) -> None:
    def work(response: Response) -> None:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000)

    slow = leaking(place, parts, work)
    kinds = OF_A_DOMAIN[:2]
    found = compare_times(slow, PASSWORD_FORM, NO_COMPANY, kinds, tests=1, shuffle=random.Random(7).shuffle, rounds=10)
    assert [(one.kind, one.what) for one in found] == [("standard", "time")]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # As the tables of the normal distribution have it: z = 3.742, 0, none, 0.400.
        (range(10), range(10, 20), 0.00018),
        ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], 1.0),
        ([1] * 8, [1] * 8, 1.0),
        ([0.1, 0.2, 0.3, 0.9, 1.0, 1.1], [0.4, 0.5, 0.6, 0.7, 0.8, 1.2], 0.6889),
    ],
)
def test_how_probable_a_difference_is(one: list[float], other: list[float], expected: float) -> None:
    assert chance(list(one), list(other)) == pytest.approx(expected, abs=0.0001)
    assert chance(list(other), list(one)) == pytest.approx(expected, abs=0.0001)

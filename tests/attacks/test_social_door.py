"""attacks.md section 9 as far as it is the door's own: an answer counts once, in its browser, for its provider and its
purpose; what is wrong in it is a page with a receipt, and nothing of it is shown."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from idp.doors.social_trips import LIFETIME
from idp.models import Account, AuditEvent, Link
from idp.parts import Parts
from tests import canaries
from tests.conftest import Clock
from tests.journey import Walker, add_carol, claims_of
from tests.social_walker import (
    CODE,
    STRANGER,
    Sites,
    application,
    begin,
    come_back,
    handle_of,
    leave,
    link_carol,
    post_back,
    post_from_elsewhere,
    poster_of,
    reason_of,
    refresh_of,
    social_sites,
    text,
)


@pytest.fixture
def sites() -> Iterator[Sites]:
    with social_sites() as running:
        yield running


@pytest.fixture
def walker(parts: Parts, sites: Sites) -> Walker:
    link_carol(parts)
    return Walker(application(parts, sites), parts)


@pytest.fixture
def mallory(walker: Walker, parts: Parts) -> Walker:
    return Walker(walker.app, parts, address="198.51.100.66")


def is_signed_in(walker: Walker) -> bool:
    return walker.get("/me").status_code == 200


def sign_ins(parts: Parts) -> int:
    with parts.database.reading() as db:
        return db.query(AuditEvent).filter_by(event="person.signed_in").count()


def refused(walker: Walker, parts: Parts, response: TestResponse, reason: str) -> None:
    """A page with a receipt, nobody signed in, and no code went anywhere."""
    page = walker.follow(response)
    assert 400 <= page.status_code < 500, page.status
    assert 'id="error-page"' in text(page)
    assert reason_of(parts, page) == reason
    assert not is_signed_in(walker)
    assert sign_ins(parts) == 0


# --- SO-01: the state ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, "", "x", "A" * 43, "A" * 43 + "%00", "x" * 6000, "é" * 43, "{}", "*"])
def test_so_01_without_a_state_of_ours_nothing_happens(
    walker: Walker, parts: Parts, sites: Sites, state: str | None
) -> None:
    leave(walker)
    refused(walker, parts, come_back(walker, {}, state=state), "social_state_unknown")
    assert not sites.redeemed


def test_so_01_a_state_counts_once(walker: Walker, parts: Parts, sites: Sites) -> None:
    asked = leave(walker)
    assert "code" in walker.answer_of(walker.follow(come_back(walker, asked)))
    for visitor, reason in ((walker, "social_state_unknown"), (Walker(walker.app, parts), "pending_foreign_browser")):
        page = visitor.follow(come_back(visitor, asked))
        assert page.status_code == 400
        assert reason_of(parts, page) == reason
    assert sign_ins(parts) == 1
    assert len(sites.redeemed) == 1


def test_so_01_a_state_that_failed_is_used_up_too(walker: Walker, parts: Parts, sites: Sites) -> None:
    asked = leave(walker)
    walker.follow(come_back(walker, asked, code=None, error="access_denied"))
    page = walker.follow(come_back(walker, asked))
    assert page.status_code == 403 and 'id="social-beta"' in text(page)  # what lives on is the sign-in, with all doors
    assert reason_of(parts, page) == "social_state_unknown"
    assert sign_ins(parts) == 0 and not sites.redeemed


def test_so_01_another_provider_cannot_even_say_no(walker: Walker, parts: Parts) -> None:
    """RFC 9207, section 2.4: the issuer of a refusal counts as well."""
    back = come_back(walker, leave(walker), code=None, error="access_denied", iss="https://evil.example")
    assert reason_of(parts, walker.follow(back)) == "social_issuer_wrong"


def test_so_01_a_state_is_over_after_a_quarter_of_an_hour(walker: Walker, parts: Parts, clock: Clock) -> None:
    asked = leave(walker)
    clock.advance(LIFETIME)
    refused(walker, parts, come_back(walker, asked), "social_state_unknown")


def test_so_01_login_csrf_mallorys_answer_does_nothing_in_carols_browser(
    walker: Walker, mallory: Walker, parts: Parts, sites: Sites
) -> None:
    """Mallory stops before her return address is opened, and lets Carol open it: Carol must not be signed in as Mallory."""
    asked = leave(mallory)
    refused(walker, parts, come_back(walker, asked), "pending_foreign_browser")
    assert not sites.redeemed
    begin(walker)  # also when Carol is in the middle of her own
    refused(walker, parts, come_back(walker, asked), "pending_foreign_browser")
    assert "code" in mallory.answer_of(mallory.follow(come_back(mallory, asked)))  # and it was not used up


def test_so_01_a_stolen_answer_does_nothing_in_mallorys_browser(
    walker: Walker, mallory: Walker, parts: Parts, sites: Sites
) -> None:
    asked = leave(walker)
    refused(mallory, parts, come_back(mallory, asked), "pending_foreign_browser")
    assert not sites.redeemed


def test_so_01_the_way_to_a_provider_needs_a_sign_in_of_this_browser(
    walker: Walker, mallory: Walker, parts: Parts
) -> None:
    handle = begin(mallory)
    for path in (f"/login/social/alpha?p={handle}", f"/login/social/alpha/failed?p={handle}"):
        refused(walker, parts, walker.get(path), "pending_foreign_browser")
    refused(walker, parts, walker.get("/login/social/alpha"), "pending_unknown")


def test_so_01_a_logo_is_pressed_on_our_own_page_only(walker: Walker) -> None:
    handle = begin(walker)
    forged = walker.open("POST", "/login", data={"p": handle, "door": "alpha", "username": "mallory@evil.example"})
    assert forged.status_code == 400


# --- SO-08: one provider's answer at another's address -------------------------------------------------------------------------


def test_so_08_each_provider_has_a_redirect_uri_of_its_own(walker: Walker) -> None:
    uris = {leave(walker, key)["redirect_uri"] for key in ("alpha", "beta", "poster")}
    assert uris == {f"https://login.example/login/social/{key}/return" for key in ("alpha", "beta", "poster")}


@pytest.mark.parametrize(("started", "answered"), [("beta", "alpha"), ("alpha", "beta")])
def test_so_08_a_state_of_another_provider(
    walker: Walker, parts: Parts, sites: Sites, started: str, answered: str
) -> None:
    asked = leave(walker, started)
    refused(walker, parts, come_back(walker, asked, answered), "social_state_elsewhere")
    assert not sites.redeemed  # neither has seen the code


@pytest.mark.parametrize(
    "iss", [None, "", "https://alpha.example", "https://beta.example/", "https://BETA.example", "beta.example", "null"]
)
def test_so_08_a_provider_that_names_itself_must_name_itself(
    walker: Walker, parts: Parts, sites: Sites, iss: str | None
) -> None:
    refused(walker, parts, come_back(walker, leave(walker, "beta"), "beta", iss=iss), "social_issuer_wrong")
    assert not sites.redeemed


def test_so_08_who_need_not_name_itself_must_not_name_another(walker: Walker, parts: Parts, sites: Sites) -> None:
    refused(walker, parts, come_back(walker, leave(walker), iss="https://evil.example"), "social_issuer_wrong")
    assert not sites.redeemed
    assert "code" in walker.answer_of(walker.follow(come_back(walker, leave(walker), iss="https://alpha.example")))


def test_so_08_the_same_subject_of_another_provider_is_somebody_else(
    walker: Walker, mallory: Walker, parts: Parts
) -> None:
    with parts.database.reading() as db:
        carol = db.query(Link).one().account_id
    mallory.follow(come_back(mallory, leave(mallory, "beta"), "beta"))
    with parts.database.reading() as db:
        assert db.query(Link).one().account_id == carol  # beta's c1 was linked to nothing
        assert db.query(Account).count() == 1
    assert not is_signed_in(mallory)


# --- SO-12 -----------------------------------------------------------------------------------------------------------------------


def test_so_12_two_at_once_with_one_code_open_one_session(walker: Walker, parts: Parts, sites: Sites) -> None:
    asked = leave(walker)
    browser = walker.browser.get_cookie("__Host-idp_browser", domain="login.example")
    assert browser is not None
    together = threading.Barrier(4)

    def arrive(_: int) -> int:
        tab = Walker(walker.app, parts)
        tab.browser.set_cookie("__Host-idp_browser", browser.value, domain="login.example")
        together.wait()
        return come_back(tab, asked).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(arrive, range(4)))
    assert statuses == [303] * 4  # the others to the page that says so, with the other doors
    assert sign_ins(parts) == 1
    assert len(sites.redeemed) == 1


# --- answers as they should not be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["code", "error", "iss", "error_description", "user"])
def test_a_parameter_given_twice(walker: Walker, parts: Parts, sites: Sites, name: str) -> None:
    asked = leave(walker)
    twice = f"{name}=one&{name}=two"
    response = walker.get(f"/login/social/alpha/return?state={asked['state']}&{twice}&code={CODE}")
    refused(walker, parts, response, "social_parameter_repeated")
    assert not sites.redeemed


def test_a_state_given_twice_is_none(walker: Walker, parts: Parts) -> None:
    state = leave(walker)["state"]
    for other in (state, "A" * 43, ""):
        response = walker.get(f"/login/social/alpha/return?state={state}&state={other}&code={CODE}")
        refused(walker, parts, response, "social_state_unknown")


def test_head_uses_nothing_up(walker: Walker, parts: Parts) -> None:
    asked = leave(walker)
    assert walker.open("HEAD", f"/login/social/alpha/return?code={CODE}&state={asked['state']}").status_code == 405
    assert "code" in walker.answer_of(walker.follow(come_back(walker, asked)))


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH"])
def test_no_other_method(walker: Walker, method: str) -> None:
    for path in ("/login/social/alpha", "/login/social/alpha/return", "/login/social/poster/return"):
        assert walker.open(method, path).status_code == 405, path


HOSTILE = (
    "<script>alert(1)</script>",
    "Call 0800-EVIL and tell them your password",
    "%3Cimg src=x onerror=alert(1)%3E",
    "\r\nSet-Cookie: a=b",
    "{{ 7*7 }} %(name)s",
    "\u202egnp.exe",
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_provider_says_of_its_error_is_never_shown(walker: Walker, parts: Parts, hostile: str) -> None:
    hostile = f"{hostile} says provider 71c4e0"  # found nowhere else
    canaries.register(hostile, "a provider's words")
    for error in ("access_denied", hostile):
        back = come_back(walker, leave(walker), code=None, error=error, error_description=hostile, error_uri=hostile)
        page = walker.follow(back)
        for form in (hostile, escape(hostile), quote(hostile)):
            assert form not in page.get_data(as_text=True)
            assert form not in back.location
        assert "a=b" not in str(page.headers)


@given(
    fields=st.dictionaries(
        st.sampled_from(["code", "state", "iss", "error", "error_description", "user", "r", "silent", "x"]),
        st.text(max_size=60) | st.just(CODE) | st.just("A" * 43),
    ),
    key=st.sampled_from(["alpha", "beta", "poster"]),
    mine=st.booleans(),
    posted=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rubbish_is_never_our_mistake(
    walker: Walker, parts: Parts, fields: dict[str, str], key: str, mine: bool, posted: bool
) -> None:
    parts.store.command("FLUSHDB")  # nobody has to wait
    asked = leave(walker, key, prompt="login")
    fields = {**fields, **({"state": asked["state"]} if mine else {})}
    if posted:
        response = post_from_elsewhere(walker, key, fields, cookie=poster_of(walker))
    else:
        response = walker.open("GET", f"/login/social/{key}/return", query_string=fields)
    page = walker.follow(response)
    assert page.status_code < 500
    assert page.status_code < 400 or 'id="error-page"' in text(page)


# --- answers that come by POST -----------------------------------------------------------------------------------------------------


def test_a_post_without_the_cookie_of_its_trip(walker: Walker, mallory: Walker, parts: Parts, sites: Sites) -> None:
    asked = leave(walker, "poster")
    leave(mallory, "poster")
    fields = {"code": CODE, "state": asked["state"]}
    for cookie in ("", "__Host-idp_poster=" + "A" * 43, poster_of(mallory), "__Host-idp_poster="):
        response = post_from_elsewhere(walker, "poster", fields, cookie=cookie)
        assert response.status_code == 400
        assert reason_of(parts, response) == "pending_foreign_browser"
        assert not response.headers.getlist("Set-Cookie")  # it would replace the browser's own
    assert not parts.store.command("KEYS", "social-answer:*")
    assert not sites.redeemed


def test_a_post_with_a_state_of_another_provider_or_none(walker: Walker, parts: Parts) -> None:
    asked = leave(walker, "alpha")
    leave(walker, "poster")
    for state, reason in ((asked["state"], "social_state_elsewhere"), (None, "social_state_unknown")):
        response = post_back(walker, asked, state=state)
        assert response.status_code == 400
        assert reason_of(parts, response) == reason


def test_what_was_posted_is_fetched_by_its_own_browser_alone(
    walker: Walker, mallory: Walker, parts: Parts, sites: Sites
) -> None:
    """Mallory posts her own answer and lets Carol fetch it."""
    back = post_back(mallory, leave(mallory, "poster"))
    refused(walker, parts, walker.get(back.location), "pending_foreign_browser")
    assert not sites.redeemed
    refused(mallory, parts, mallory.get(back.location), "social_state_unknown")  # fetched is fetched


def test_what_was_posted_is_fetched_once_and_within_a_minute(walker: Walker, parts: Parts, clock: Clock) -> None:
    asked = leave(walker, "poster")
    back = post_back(walker, asked)
    clock.advance(61)
    refused(walker, parts, walker.get(back.location), "social_state_unknown")
    refused(walker, parts, walker.get(back.location + "x"), "social_state_unknown")


def test_a_post_that_is_replayed_signs_in_once(walker: Walker, parts: Parts) -> None:
    link_carol(parts, "poster", email="carol@other.example")
    asked = leave(walker, "poster")
    first, second = post_back(walker, asked), post_back(walker, asked)
    assert "code" in walker.answer_of(walker.follow(walker.get(first.location)))
    page = walker.get(second.location)
    assert reason_of(parts, page) == "social_state_unknown"
    assert sign_ins(parts) == 1


def test_a_post_to_a_provider_that_answers_by_get(walker: Walker, parts: Parts, sites: Sites) -> None:
    asked = leave(walker)
    for cookie in ("", poster_of(walker)):
        response = post_from_elsewhere(walker, "alpha", {"code": CODE, "state": asked["state"]}, cookie=cookie)
        assert response.status_code == 405
        assert reason_of(parts, response) == "method_not_allowed"
    assert not sites.redeemed


def test_a_get_to_a_provider_that_posts(walker: Walker, parts: Parts, sites: Sites) -> None:
    asked = leave(walker, "poster")
    refused(walker, parts, come_back(walker, asked, "poster"), "social_state_unknown")
    assert not sites.redeemed


def test_a_post_larger_than_any_answer(walker: Walker) -> None:
    asked = leave(walker, "poster")
    response = post_back(walker, asked, code="x" * 100_000)
    assert response.status_code == 413


def test_a_name_that_came_with_the_browser_is_only_a_name(walker: Walker, parts: Parts) -> None:
    """Apple's user field passes through the browser, which may write anything into it."""
    link_carol(parts, "poster", email="carol@other.example")
    asked = leave(walker, "poster")
    user = json.dumps({"name": {"firstName": "Admin"}, "email": "admin@login.example", "sub": "c2", "id": "c2"})
    done = walker.follow(walker.get(post_back(walker, asked, user=user).location))
    told = claims_of(walker.tk(walker.answer_of(done)["code"]).get_json()["id_token"])
    assert told.get("email") != "admin@login.example"


# --- where it leads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_no_parameter_leads_elsewhere(walker: Walker, evil: str) -> None:
    handle = begin(walker)
    more = "&".join(f"{name}={quote(evil)}" for name in ("next", "to", "back", "redirect_uri", "return_to", "silent"))
    left = walker.get(f"/login/social/alpha?p={handle}&{more}")
    assert left.location.startswith("http://127.0.0.1:")
    assert quote(evil, safe="") not in left.location
    back = walker.get(f"/login/social/alpha/return?state={'A' * 43}&code=c&{more}")
    assert back.status_code == 400
    failed = walker.get(f"/login/social/alpha/failed?p={handle}&{more}")
    assert failed.location.startswith("/login?")


@pytest.mark.parametrize("key", ["nobody", "..", "%2e%2e", "alpha%00", "ALPHA", "alpha/x", "company", "social"])
def test_only_configured_doors_are_there(walker: Walker, key: str) -> None:
    handle = begin(walker)
    for path in (
        f"/login/social/{key}?p={handle}",
        f"/login/social/{key}/return?state=x",
        f"/login/social/{key}/failed",
    ):
        assert walker.get(path).status_code in (404, 405), path
    page = walker.get(f"/login?p={handle}")
    assert walker.submit(page, "/login", door=key, username="carol@example.org").status_code == 303


def test_the_cookie_of_the_last_door_leads_nowhere_else(walker: Walker) -> None:
    for value in ("nobody", "../logout", "alpha/return", "https://evil.example", "company", "x" * 500, "beta"):
        walker.browser.set_cookie("__Host-idp_last_door", value, domain="login.example")
        page = walker.follow(walker.az())
        assert page.status_code == 200
        assert 'id="login-page"' in text(page)


# --- who is nobody -------------------------------------------------------------------------------------------------------------


def test_an_address_alone_opens_no_account(walker: Walker, mallory: Walker, parts: Parts, sites: Sites) -> None:
    add_carol(parts, "victim@example.org")
    sites.people[STRANGER] = {"id": "m1", "email": "victim@example.org", "email_verified": True, "name": "Victim"}
    mallory.follow(come_back(mallory, leave(mallory), code=STRANGER))
    assert not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 1


def test_who_is_suspended_stays_out(walker: Walker, parts: Parts) -> None:
    with parts.database.transaction() as db:
        db.query(Account).one().state = "suspended"
    page = walker.follow(come_back(walker, leave(walker)))
    assert reason_of(parts, page) == "account_suspended"
    assert not is_signed_in(walker)
    assert handle_of(come_back(walker, leave(walker)))  # and may choose another door


# --- LK-01, LK-02: adding a way to sign in -----------------------------------------------------------------------------------


def form_of_ours(walker: Walker, key: str = "beta") -> TestResponse:
    """Press a button of ours that adds a way to sign in: any form of ours in this browser carries what is needed."""
    page = walker.get("/me")
    token = re.search(r'name="csrf" value="([^"]*)"', page.get_data(as_text=True))
    assert token is not None
    return walker.open("POST", f"/login/social/{key}/link", data={"csrf": token[1]})


def asked_by_page(page: TestResponse) -> dict[str, str]:
    assert page.status_code == 200, text(page)
    return dict(parse_qsl(urlsplit(refresh_of(page)).query))


def links(parts: Parts) -> int:
    with parts.database.reading() as db:
        return db.query(Link).count()


@pytest.fixture
def carol(walker: Walker) -> Walker:
    """Signed in by the provider, which was told to ask: so she has just proved who she is."""
    assert "code" in walker.answer_of(walker.follow(come_back(walker, leave(walker, prompt="login"))))
    return walker


def test_lk_01_a_signed_in_person_adds_a_way(carol: Walker, parts: Parts) -> None:
    back = come_back(carol, asked_by_page(form_of_ours(carol)), "beta")
    assert back.location == "/me?notice=linked"
    assert links(parts) == 2
    other = Walker(carol.app, parts)
    assert "code" in other.answer_of(other.follow(come_back(other, leave(other, "beta"), "beta")))


def test_lk_01_another_site_cannot_start_it(carol: Walker, parts: Parts) -> None:
    for data in ({}, {"csrf": "x" * 64}):
        assert carol.open("POST", "/login/social/beta/link", data=data).status_code == 400
    assert carol.get("/login/social/beta/link").status_code == 405
    assert links(parts) == 1


def test_lk_01_a_sign_in_that_mallory_began_links_nothing_to_carol(
    carol: Walker, mallory: Walker, parts: Parts, sites: Sites
) -> None:
    sites.people[STRANGER] = {"id": "m1", "email": "mallory@evil.example"}
    add_carol(parts, "mallory@evil.example")
    mallory.sign_in(mallory.az(), "mallory@evil.example")
    for asked in (asked_by_page(form_of_ours(mallory)), leave(mallory, "beta", prompt="login")):
        page = carol.follow(come_back(carol, asked, "beta", code=STRANGER))
        assert reason_of(parts, page) == "pending_foreign_browser"
    assert links(parts) == 1


def test_lk_01_only_the_session_that_asked_is_given_it(carol: Walker, parts: Parts, sites: Sites) -> None:
    asked = asked_by_page(form_of_ours(carol))
    carol.submit(carol.get("/me"), "/me/sign-out")
    page = carol.follow(come_back(carol, asked, "beta"))
    assert reason_of(parts, page) == "social_link_session"
    carol.follow(come_back(carol, leave(carol, prompt="login")))
    asked = asked_by_page(form_of_ours(carol))
    add_carol(parts, "dave@example.org")
    carol.sign_in(carol.get(f"/login?p={begin(carol, prompt='login')}&other=yes"), "dave@example.org")
    page = carol.follow(come_back(carol, asked, "beta"))
    assert reason_of(parts, page) == "social_link_session"
    assert links(parts) == 1
    assert not sites.redeemed[-1]["at"].startswith("/beta")


def test_lk_02_what_leads_to_one_account_is_never_moved_to_another(
    carol: Walker, mallory: Walker, parts: Parts
) -> None:
    add_carol(parts, "mallory@evil.example")
    mallory.sign_in(mallory.az(), "mallory@evil.example")
    page = mallory.follow(come_back(mallory, asked_by_page(form_of_ours(mallory, "alpha"))))
    assert reason_of(parts, page) == "link_taken"
    assert links(parts) == 1


def test_lk_01_whoever_thinks_better_of_it_is_back_at_their_account(carol: Walker, parts: Parts) -> None:
    back = come_back(carol, asked_by_page(form_of_ours(carol)), "beta", code=None, error="access_denied")
    assert back.location == "/me"
    page = carol.follow(come_back(carol, asked_by_page(form_of_ours(carol)), "beta", code="no-such-code"))
    assert reason_of(parts, page) == "social_code_over"
    assert links(parts) == 1

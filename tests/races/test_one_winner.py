"""What may happen once happens once, however many ask in the same moment, in four processes, on both pairs of stores."""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import func, select

from idp.database import Database
from idp.models import Consent, LogoutNotice
from tests.journey import PASSWORD
from tests.party import (
    Party,
    answer_of,
    at_once,
    cookies_of,
    fields_of,
    form_request,
    page_request,
)
from tests.running import Provider
from tests.visitor import Visitor, form_of


def test_tk_01_of_fifty_redemptions_of_a_code_one_succeeds_and_its_tokens_are_revoked(
    provider: Provider, party: Party, visitor: Visitor
) -> None:
    assert len(provider.family().workers) == 4
    code = answer_of(visitor.sign_in(party.url()))["code"]
    request = form_request(provider, "/token", party.code_form(code), **party.basic)
    replies = at_once(provider, [request] * 50)
    assert Counter(reply.status for reply in replies) == {200: 1, 400: 49}
    [won] = [fields_of(reply) for reply in replies if reply.status == 200]
    assert {fields_of(reply)["error"] for reply in replies if reply.status == 400} == {"invalid_grant"}
    # The second use proved that somebody else has the code: what the first one got is worth nothing (RFC 6749 4.1.2).
    assert party.userinfo(won["access_token"]).status_code == 401
    assert party.refresh(won["refresh_token"]).json()["error"] == "invalid_grant"


def test_tk_17_of_fifty_refreshes_with_a_token_all_get_the_same_successor_and_one_lives(
    provider: Provider, party: Party, visitor: Visitor
) -> None:
    first = party.redeem(answer_of(visitor.sign_in(party.url()))["code"]).json()
    request = form_request(provider, "/token", party.refresh_form(first["refresh_token"]), **party.basic)
    replies = at_once(provider, [request] * 50)
    assert {reply.status for reply in replies} == {200}
    [successor] = {fields_of(reply)["refresh_token"] for reply in replies}
    assert party.is_active(successor)
    assert not party.is_active(first["refresh_token"])
    # At most twenty access tokens live, however many were handed out (grants.lua).
    alive = [fields_of(reply)["access_token"] for reply in replies if party.is_active(fields_of(reply)["access_token"])]
    assert 0 < len(alive) <= 20
    newest = party.refresh(successor).json()["refresh_token"]
    # The first is no longer what was just rotated: whoever shows it now has stolen it, and the family ends.
    assert party.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.refresh(newest).json()["error"] == "invalid_grant"


def test_a_refresh_token_and_its_successor_at_once_leave_at_most_one_alive(
    provider: Provider, party: Party, visitor: Visitor
) -> None:
    first = party.redeem(answer_of(visitor.sign_in(party.url()))["code"]).json()["refresh_token"]
    second = party.refresh(first).json()["refresh_token"]
    requests = [form_request(provider, "/token", party.refresh_form(t), **party.basic) for t in (first, second)]
    replies = at_once(provider, requests * 10)
    # Once the second has been rotated, the first is a stolen one; either way no two different tokens work.
    given = {fields_of(reply)["refresh_token"] for reply in replies if reply.status == 200}
    assert sum(party.is_active(token) for token in given) <= 1


def test_two_tabs_that_resume_one_pending_login_get_one_code(provider: Provider, party: Party, email: str) -> None:
    browser = Visitor(provider)
    page = browser.open(party.url())
    page = browser.submit(page, username=email)
    handle = parse_qs(urlsplit(page.url).query)["p"][0]
    # One tab signs in, but its browser has not followed the redirect yet.
    form = form_of(page)[1] | {"username": email, "password": PASSWORD}
    signed_in = browser.http.post(f"{provider.address}/login/password", data=form, allow_redirects=False, timeout=30)
    assert urlsplit(signed_in.headers["Location"]).path == "/authorize/resume", signed_in.text
    request = page_request(provider, f"/authorize/resume?p={handle}", **cookies_of(browser.http))
    replies = at_once(provider, [request] * 20)
    assert Counter(reply.status for reply in replies) == {303: 1, 400: 19}
    [won] = [reply for reply in replies if reply.status == 303]
    assert party.redeem(answer_of(won.headers["location"])["code"]).status_code == 200


def test_two_tabs_that_answer_one_consent_differently_give_the_product_one_answer(
    provider: Provider, email: str
) -> None:
    browser = Visitor(provider)
    url = Party(provider).url(client_id="C2", redirect_uri="https://rp2.example/cb")
    page = browser.submit(browser.open(url), username=email)
    page = browser.submit(page, username=email, password=PASSWORD)
    assert 'id="consent-allow"' in page.text
    form = form_of(page)[1]
    cookies = cookies_of(browser.http)
    replies = at_once(
        provider,
        [
            form_request(provider, "/consent", form | {"decision": decision}, **cookies)
            for decision in ("allow", "deny") * 8
        ],
    )
    assert {reply.status for reply in replies} == {303}
    resume = page_request(provider, replies[0].headers["location"], **cookies)
    answers = at_once(provider, [resume] * 16)
    assert Counter(reply.status for reply in answers) == {303: 1, 400: 15}
    [location] = [reply.headers["location"] for reply in answers if reply.status == 303]
    answer = parse_qs(urlsplit(location).query)
    assert ("code" in answer) != (answer.get("error") == ["access_denied"]), answer
    database = Database(provider.config)
    with database.reading() as db:
        kept = db.scalars(select(Consent.scopes).where(Consent.client_id == "C2")).all()
    database.close()
    assert len(kept) == 1  # eight times allowed, once remembered


def test_parallel_sign_outs_end_everything_once_and_tell_the_product_once(
    provider: Provider, party: Party, visitor: Visitor
) -> None:
    tokens = party.redeem(answer_of(visitor.sign_in(party.url(scope="openid")))["code"]).json()
    page = visitor.open("/me")
    form = form_of(page, "/me/sign-out")[1]
    request = form_request(provider, "/me/sign-out", form, **cookies_of(visitor.http))
    database = Database(provider.config)
    with database.reading() as db:
        before = db.scalar(select(func.count()).select_from(LogoutNotice))
    replies = at_once(provider, [request] * 20)
    assert {reply.status for reply in replies} == {200}, Counter(reply.status for reply in replies)
    assert visitor.open("/me").url.partition("?")[0].endswith("/login")
    assert party.userinfo(tokens["access_token"]).status_code == 401
    with database.reading() as db:
        notices = db.scalars(select(LogoutNotice.sid).offset(before or 0)).all()
    database.close()
    assert len(notices) == 1, notices


def test_parallel_guesses_are_all_counted_and_no_more_are_looked_at_than_allowed(
    provider: Provider, party: Party, email: str
) -> None:
    requests = []
    for number in range(30):
        browser = Visitor(provider)
        page = browser.submit(browser.open(party.url()), username=email)
        form = form_of(page)[1] | {"username": email, "password": f"guess number {number}"}
        headers = {"X-Forwarded-For": "198.51.100.77", **cookies_of(browser.http)}
        requests.append(form_request(provider, "/login/password", form, **headers))
    replies = at_once(provider, requests)
    # Ten tries for one network on one account (throttle.PAIR); the others wait, and are told how long.
    assert Counter(reply.status for reply in replies) == {400: 10, 429: 20}
    assert all(int(reply.headers["retry-after"]) > 0 for reply in replies if reply.status == 429)
    # The owner, elsewhere, is let in at once.
    assert answer_of(Visitor(provider).sign_in(party.url(), email))["code"]

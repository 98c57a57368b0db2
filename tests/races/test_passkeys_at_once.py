"""Passkeys shown, copied and taken away in the same moment: four processes, on both pairs of stores."""

from __future__ import annotations

import re
from html import unescape
from itertools import count

import pytest

from tests.fakes.authenticator import Authenticator
from tests.party import Party, Reply, at_once, cookies_of, form_request, page_request
from tests.running import Provider
from tests.visitor import Visitor, form_of

ROUNDS = 3
BROWSERS = 6
_networks = count(1)


@pytest.fixture
def device(provider: Provider) -> Authenticator:
    return Authenticator(origin=provider.issuer)


@pytest.fixture
def copied(provider: Provider) -> Authenticator:
    """One whose maker copies passkeys, and which does not count."""
    return Authenticator(synced=True, origin=provider.issuer)


def options_in(text: str) -> str:
    found = re.search(r'data-passkey="([^"]*)"', text)
    assert found, text
    return unescape(found[1])


def add(visitor: Visitor, device: Authenticator) -> None:
    page = visitor.open("/me/passkeys")
    target, hidden = form_of(page, "/me/passkeys")
    added = visitor.open(target, **{**hidden, "answer": device.make(options_in(page.text)), "name": "Key"})
    assert "notice=added" in added.url, added.text


def asks_to_enter(provider: Provider, party: Party, device: Authenticator, **odd: int) -> bytes:
    """From the product in a browser of its own: the request by which a passkey is shown."""
    browser = Visitor(provider)
    page = browser.open(party.url())
    target, hidden = form_of(page, "/login/passkey")
    answer = device.show(options_in(page.text), **odd)
    elsewhere = {"X-Forwarded-For": f"203.0.113.{next(_networks)}"}  # one network has only so many tries
    return form_request(provider, target, {**hidden, "answer": answer}, **elsewhere, **cookies_of(browser.http))


def session_of(reply: Reply) -> dict[str, str]:
    """The cookie of the session that an answer has opened; empty: none."""
    found = re.search(r"\b([\w-]*_session)=([^;,]+)", reply.headers.get("set-cookie", ""))
    return {"Cookie": f"{found[1]}={found[2]}"} if found else {}


def lives(provider: Provider, cookie: dict[str, str]) -> bool:
    [page] = at_once(provider, [page_request(provider, "/me", **cookie)])
    return page.status == 200


def test_one_answer_counts_once(provider: Provider, party: Party, visitor: Visitor, copied: Authenticator) -> None:
    add(visitor, copied)
    for _ in range(ROUNDS):
        request = asks_to_enter(provider, party, copied)
        replies = at_once(provider, [request] * 20)
        assert sorted(reply.status for reply in replies) == [303] + [400] * 19


def test_of_copies_that_count_alike_one_signs_in(
    provider: Provider, party: Party, visitor: Visitor, device: Authenticator
) -> None:
    add(visitor, device)
    for number in range(1, ROUNDS + 1):
        wanted = [asks_to_enter(provider, party, device, count=number) for _ in range(BROWSERS)]
        replies = at_once(provider, wanted)
        assert sorted(reply.status for reply in replies) == [303] + [400] * (BROWSERS - 1)


def test_nobody_stays_signed_in_by_a_passkey_that_is_taken_away_in_the_same_moment(
    provider: Provider, party: Party, visitor: Visitor, email: str
) -> None:
    for _ in range(ROUNDS):
        device = Authenticator(synced=True, origin=provider.issuer)
        add(visitor, device)
        [before] = at_once(provider, [asks_to_enter(provider, party, device)])
        assert lives(provider, session_of(before))
        found = re.search(r"/me/passkeys/remove\?passkey=\w+", visitor.open("/me/passkeys").text)
        assert found
        target, hidden = form_of(visitor.open(found[0]), "/me/passkeys/remove")
        removing = form_request(provider, target, hidden, **cookies_of(visitor.http))
        coming = [asks_to_enter(provider, party, device) for _ in range(BROWSERS)]
        replies = at_once(provider, [*coming[:3], removing, *coming[3:]])
        assert replies.pop(3).headers["location"] == "/me/passkeys?notice=removed"
        assert {reply.status for reply in replies} <= {303, 400, 403}
        entered = [cookie for cookie in map(session_of, [before, *replies]) if cookie]
        assert entered and not any(lives(provider, cookie) for cookie in entered)
        assert lives(provider, cookies_of(visitor.http))  # who came by the password is still in

"""Every social provider through the same promises, from the product to the code. Each is its stand-in, over HTTP.

``plain`` is one of which nothing but its issuer is known, as of any OpenID Connect provider.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from flask import Flask
from werkzeug.test import TestResponse

import idp
from idp.accounts.seats import grant_seat
from idp.app import create_app
from idp.config import read_config
from idp.cookies import SESSION, cookie_name
from idp.doors.oauth import WHOLE_SECONDS
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.provider_entries import read_providers
from idp.doors.providers import PROVIDERS, Registered
from idp.fetch import Fetcher
from idp.models import Account, Link
from idp.parts import Parts
from tests import canaries
from tests.fakes.social_sites import Site, SocialSites, social_sites
from tests.journey import Walker, add_carol, claims_of
from tests.social_walker import begin, post_back, reason_of, text

ISSUER = "https://login.example"
BOB = "bob@example.net"
KEYS = ("google", "facebook", "linkedin", "microsoft", "apple", "github", "plain")
SILENT = ("google", "microsoft", "plain")
# Whose word for an address counts when they give it; plain's does because its entry says so.
BELIEVED = tuple(key for key in KEYS if key != "facebook")
LATE_SECONDS = WHOLE_SECONDS + 5  # what a page may take when a provider says nothing, on a busy machine


@pytest.fixture(scope="module")
def running() -> Iterator[SocialSites]:
    with social_sites(ISSUER) as sites:
        sites.google.registration.redirect_uris += (f"{ISSUER}/login/social/plain/return",)
        yield sites


@pytest.fixture
def sites(running: SocialSites) -> SocialSites:
    """Every browser is Bob everywhere, who agrees to everything."""
    running.forget()
    for site in running.by_key.values():
        site.everybody, site.consent = site.find(BOB).subject, "allow"
    return running


@dataclasses.dataclass
class Door:
    """A provider as a person meets it."""

    registered: Registered
    site: Site

    @property
    def key(self) -> str:
        return self.registered.key

    def leave(self, walker: Walker, path: str = "") -> str:
        """From the product by the logo, or by what a page of ours leads to; where the provider is asked."""
        response = walker.get(path or f"/login/social/{self.key}?p={begin(walker)}")
        while response.status_code == 303 and not response.location.startswith("http://localhost:"):
            response = walker.get(response.location)
        assert response.status_code == 303, text(response)
        return response.location

    def answer(self, url: str) -> dict[str, str]:
        """What the provider sends back with the browser."""
        response = requests.get(url, allow_redirects=False, timeout=10)
        if response.status_code == 303:
            return _noted(dict(parse_qsl(urlsplit(response.headers["Location"]).query)))
        return _noted(dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.text)))

    def arrive(self, walker: Walker, answer: dict[str, str]) -> TestResponse:
        """Back with an answer, as its provider sends it, redirects of ours followed."""
        fields = {name: value.replace("&#34;", '"') for name, value in answer.items()}
        if self.registered.provider.response_mode == "form_post":
            return walker.follow(_carried(walker, self.key, fields))
        return walker.follow(walker.get(f"/login/social/{self.key}/return", query_string=fields))

    def go(self, walker: Walker) -> TestResponse:
        """There and back."""
        return self.arrive(walker, self.answer(self.leave(walker)))

    @property
    def issuer(self) -> str:
        """Bob's half of the login key."""
        tenant = getattr(self.site, "tenant", lambda person: "")(self.site.find(BOB))
        return self.registered.provider.issuer.replace("{tenantid}", tenant)


def _noted(answer: dict[str, str]) -> dict[str, str]:
    if "code" in answer:
        canaries.register(answer["code"], "a provider's code")
    return answer


def _carried(walker: Walker, key: str, fields: dict[str, str]) -> TestResponse:
    return post_back(walker, {}, key, **{"code": None, **fields})


@pytest.fixture
def doors(parts: Parts, sites: SocialSites, tmp_path: Path) -> dict[str, Registered]:
    """Every provider, as its entry is read."""
    plain = f"""\
  plain:
    protocol: openid_connect
    name: Plain
    issuer: {sites.google.address}
    client_id: {sites.google.registration.client_id}
    client_secret: ${{STAND_IN_GOOGLE_SECRET}}
    email_verified: by_claim
"""
    read: dict[str, Registered] = {}
    for name, file in (("six", sites.providers_yaml), ("plain", f"providers:\n{plain}")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(file, encoding="utf-8")
        read |= read_providers(path, sites.environment, loopback=True).take()
    return read


@pytest.fixture
def app(parts: Parts, doors: dict[str, Registered]) -> Flask:
    here = read_config({"IDP_ISSUER": "http://localhost:8000"})  # whence servers on loopback may be called
    documents = ProviderDocuments(Fetcher(here))
    return create_app(dataclasses.replace(parts, providers=doors, provider_documents=documents))


@pytest.fixture(params=KEYS)
def door(request: pytest.FixtureRequest, doors: dict[str, Registered], sites: SocialSites) -> Door:
    return door_of(request.param, doors, sites)


def door_of(key: str, doors: dict[str, Registered], sites: SocialSites) -> Door:
    return Door(doors[key], sites.by_key["google" if key == "plain" else key])


@pytest.fixture
def bob(door: Door, parts: Parts) -> str:
    """Bob's account, to which what the provider calls Bob leads; its id."""
    account_id = add_carol(parts, BOB)
    now = int(parts.clock())
    with parts.database.transaction() as db:
        db.add(
            Link(
                account_id=account_id, issuer=door.issuer, subject=door.site.find(BOB).subject, door=door.key,
                email=BOB, proof={"by": "password", "at": now}, created_at=now,
            )
        )  # fmt: skip
    return account_id


def end_session(walker: Walker) -> None:
    walker.browser.delete_cookie(cookie_name(SESSION, secure=True), domain="login.example")


def is_signed_in(walker: Walker) -> bool:
    return walker.get("/me").status_code == 200


def subject_of(walker: Walker, done: TestResponse) -> str:
    """Whom the product is told."""
    tokens = walker.tk(walker.answer_of(done)["code"]).get_json()
    return str(claims_of(tokens["id_token"])["sub"])


def test_no_provider_of_ours_is_left_out_here_and_each_has_its_logo() -> None:
    assert set(KEYS) == {*PROVIDERS, "plain"}
    logos = Path(idp.__file__).parent / "static"
    assert all((logos / f"logo-{key}.svg").read_text(encoding="utf-8").startswith("<svg") for key in PROVIDERS)


# --- in ----------------------------------------------------------------------------------------------------------------------


def test_who_is_linked_comes_in_as_the_same_person_each_time(
    door: Door, walker: Walker, parts: Parts, bob: str
) -> None:
    first = subject_of(walker, door.go(walker))
    door.site.change(door.site.find(BOB).subject, email="elsewhere@example.net", verified=False)
    try:
        other = Walker(walker.app, parts)
        assert subject_of(other, door.go(other)) == first
    finally:
        door.site.change(door.site.find("elsewhere@example.net").subject, email=BOB, verified=True)
    with parts.database.reading() as db:
        assert [account.id for account in db.query(Account)] == [bob]


def test_silently_or_not_at_all(door: Door, walker: Walker, bob: str) -> None:
    first = subject_of(walker, door.go(walker))
    end_session(walker)
    url = walker.authorization_url(prompt="none")
    if door.key not in SILENT:
        assert walker.answer_of(walker.follow(walker.get(url)))["error"] == "login_required"
        return
    asked = door.leave(walker, url)
    assert "prompt=none" in asked
    assert subject_of(walker, door.arrive(walker, door.answer(asked))) == first


@pytest.mark.parametrize("door", SILENT, indirect=True)
@pytest.mark.parametrize("why", ["signed out there", "never agreed"])
def test_a_silent_request_shows_nothing_there(door: Door, walker: Walker, bob: str, why: str) -> None:
    door.go(walker)
    end_session(walker)
    if why == "never agreed":
        door.site.agreed.clear()
        door.site.consent = "ask"
    else:
        door.site.everybody = None
    answer = door.answer(door.leave(walker, walker.authorization_url(prompt="none")))
    assert answer["error"] in ("login_required", "interaction_required", "consent_required")
    assert walker.answer_of(door.arrive(walker, answer))["error"] == "login_required"
    page = door.arrive(walker, door.answer(door.leave(walker, walker.authorization_url())))
    assert 'id="login-page"' in text(page)  # and who may be asked is, without a word about it
    assert not is_signed_in(walker)


@pytest.mark.parametrize("door", SILENT, indirect=True)
@pytest.mark.parametrize("prompt", ["none", None])
def test_a_providers_word_without_a_time_is_no_proof_of_who_sits_there(
    door: Door, walker: Walker, parts: Parts, bob: str, prompt: str | None
) -> None:
    """It may have known the browser for months: where a recent proof is needed, the person is asked for it."""
    door.go(walker)
    end_session(walker)
    door.arrive(walker, door.answer(door.leave(walker, walker.authorization_url(prompt=prompt))))
    assert is_signed_in(walker)
    added = walker.submit(walker.get("/me"), "/login/social/facebook/link")
    assert added.location == "/login?again=%2Fme"
    answer = walker.answer_of(walker.follow(walker.get(walker.authorization_url(prompt="none", max_age="600"))))
    assert answer["error"] == "login_required"


@pytest.mark.parametrize("door", SILENT, indirect=True)
def test_s8_a_silent_answer_makes_nobody_an_organizer(door: Door, walker: Walker, parts: Parts, bob: str) -> None:
    door.go(walker)
    end_session(walker)
    with parts.database.transaction() as db:
        grant_seat(db, bob, walker.client_id, "organizer", actor="operator:test", now=parts.clock() - 100)
    wanted = walker.authorization_url(scope="openid seat", prompt="none")
    assert walker.answer_of(door.arrive(walker, door.answer(door.leave(walker, wanted))))["error"] == "login_required"


# --- whose address is believed -----------------------------------------------------------------------------------------------


def test_a_newcomer_with_a_believed_address_is_asked_for_nothing_but_consent(
    door: Door, walker: Walker, parts: Parts
) -> None:
    page = door.go(walker)
    if door.key not in BELIEVED:
        assert 'id="address-page"' in text(page)
        return
    assert 'id="welcome-page"' in text(page)
    done = walker.follow(walker.submit(page, "/login/welcome", terms="yes"))
    assert "code" in walker.answer_of(done)
    with parts.database.reading() as db:
        link = db.query(Link).one()
        assert (link.issuer, link.subject, link.door) == (door.issuer, door.site.find(BOB).subject, door.key)
        assert db.query(Account).one().emails[0].verified_at is not None


def test_an_address_that_somebody_has_opens_nothing_by_itself(door: Door, walker: Walker, parts: Parts) -> None:
    add_carol(parts, BOB)
    page = door.go(walker)
    assert f'id="{"link" if door.key in BELIEVED else "address"}-page"' in text(page)
    assert not is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0


@pytest.mark.parametrize("facts", [{"verified": False}, {"email": ""}], ids=["unverified", "none"])
def test_an_address_that_is_not_believed_is_asked_for(
    door: Door, walker: Walker, parts: Parts, facts: dict[str, str | bool]
) -> None:
    add_carol(parts, "carol@example.org")
    carol = door.site.find("carol@example.org")
    door.site.everybody = carol.subject
    door.site.change(carol.subject, **facts)
    try:
        assert 'id="address-page"' in text(door.go(walker))
    finally:
        door.site.change(carol.subject, email=carol.email, verified=True)
    assert not is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0


# --- not in ------------------------------------------------------------------------------------------------------------------


def test_whoever_cancels_there_finds_the_other_doors(door: Door, walker: Walker, parts: Parts) -> None:
    door.site.consent = "deny"
    page = door.go(walker)
    assert (page.status_code, page.request.path) == (200, f"/login/social/{door.key}/failed")
    shown = text(page)
    for id_ in ("social-again", "company-id-link", "own-email-link"):
        assert f'id="{id_}"' in shown
    others = set(re.findall(r'id="social-([a-z]+)"', shown)) - {"again"}
    assert others == set(KEYS) - {door.key}
    assert reason_of(parts, page) == "social_cancelled"
    door.site.consent = "allow"
    again = door.arrive(walker, door.answer(door.leave(walker, f"/login/social/{door.key}?p={begin(walker)}")))
    assert again.status_code == 200


@pytest.mark.parametrize(("mood", "reason"), [("down", "social_unavailable"), ("broken", "social_answer_wrong")])
def test_a_provider_that_is_down_or_broken(
    door: Door, walker: Walker, parts: Parts, bob: str, mood: str, reason: str
) -> None:
    answer = door.answer(door.leave(walker))
    door.site.mood = mood
    page = door.arrive(walker, answer)
    assert page.status_code == 403
    assert door.registered.name in text(page)
    assert reason_of(parts, page) == reason
    assert not is_signed_in(walker)
    door.site.mood = "well"
    assert "code" in walker.answer_of(door.go(walker))  # nothing of it stays


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    door: Door, walker: Walker, parts: Parts, bob: str
) -> None:
    answer = door.answer(door.leave(walker))
    other = Walker(walker.app, parts)
    door.leave(other)  # so that it has every cookie that a browser on the road has
    page = door.arrive(other, answer)
    assert page.status_code in (400, 403)
    assert reason_of(parts, page) == "pending_foreign_browser"
    assert not is_signed_in(other)
    mine = Walker(walker.app, parts)
    answer = door.answer(door.leave(mine))
    assert "code" in mine.answer_of(door.arrive(mine, answer))
    end_session(mine)
    page = door.arrive(mine, answer)
    assert page.status_code in (400, 403)
    assert reason_of(parts, page) == "social_state_unknown"
    assert not is_signed_in(mine)


def test_an_answer_of_one_is_not_taken_from_another(
    doors: dict[str, Registered], sites: SocialSites, walker: Walker, parts: Parts
) -> None:
    for key, other in zip(KEYS, (*KEYS[1:], KEYS[0]), strict=True):
        one, two = door_of(key, doors, sites), door_of(other, doors, sites)
        person = Walker(walker.app, parts)
        answer = one.answer(one.leave(person))
        two.leave(person)
        page = two.arrive(person, answer)
        assert page.status_code in (400, 403), (key, other)
        assert reason_of(parts, page) == "social_state_elsewhere", (key, other)


def test_none_keeps_a_person_waiting(
    doors: dict[str, Registered], sites: SocialSites, walker: Walker, parts: Parts
) -> None:
    """All at once, because each is waited for as long as anybody is."""
    there = [(door_of(key, doors, sites), Walker(walker.app, parts)) for key in KEYS]
    answers = [door.answer(door.leave(person)) for door, person in there]
    for door, _ in there:
        door.site.mood, door.site.slow_seconds = "slow", LATE_SECONDS * 2

    def arrive(number: int) -> tuple[TestResponse, float]:
        begun = time.monotonic()
        door, person = there[number]
        return door.arrive(person, answers[number]), time.monotonic() - begun

    with ThreadPoolExecutor(len(there)) as pool:
        arrived = list(pool.map(arrive, range(len(there))))
    for (door, _), (page, seconds) in zip(there, arrived, strict=True):
        assert seconds < LATE_SECONDS, door.key
        assert page.status_code == 403
        assert reason_of(parts, page) == "social_unavailable"

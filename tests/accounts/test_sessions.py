"""Sessions: who is at a browser, for how long, and how that ends."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import pytest
from sqlalchemy import select

from idp.accounts.sessions import (
    MOST_SESSIONS,
    NOTE_USE_AFTER,
    CompanySession,
    Session,
    confirm_session,
    end_sessions,
    find_session,
    forget_session,
    queue_logout_notices,
    rewrite_person,
    sessions_of,
    sessions_of_company,
    set_consent,
)
from idp.embedded_server import EmbeddedServer
from idp.models import LogoutNotice
from idp.parts import Parts
from idp.redis_store import RedisStore, token_hash
from tests.conftest import Clock
from tests.journey import add_carol
from tests.people import access_is_alive, give, open_for, refresh_is_alive


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def everything_in_redis(parts: Parts) -> dict[str, Any]:
    readers = {"hash": ("HGETALL",), "zset": ("ZRANGE", 0, -1), "string": ("GET",)}
    found = {}
    for key in parts.store.command("KEYS", "*"):
        reader, *rest = readers[parts.store.command("TYPE", key)]
        found[key] = parts.store.command(reader, key, *rest)
    return found


class Counting(RedisStore):
    """Counts round trips."""

    trips = 0

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        self.trips += 1
        return super()._exchange(packed, count)


def test_a_session_that_was_opened_for_nothing_opens_nothing_and_goes_by_itself(parts: Parts, carol: str) -> None:
    """Redis stood still while a sign-in was undone, and then did what had been asked of it."""
    session, cookie = open_for(parts, carol, confirmed=False)
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert 0 < parts.store.command("PTTL", f"session:{{{session.key}}}") <= 60_000
    assert [one.key for one in sessions_of(parts.store, carol, parts.clock())] == [
        session.key
    ]  # a suspension ends it too
    end_sessions(parts.store, [session])
    confirm_session(parts.store, session, None, parts.clock())
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert not parts.store.command("KEYS", "session:*")


def test_the_cookie_finds_the_session_as_it_was_opened(parts: Parts, carol: str) -> None:
    session, cookie = open_for(parts, carol, consents={"C2": ["openid", "email"]}, amr=("pwd", "otp"), kept=True)
    found = find_session(parts.store, cookie, parts.clock())
    assert found == session
    assert (found.email, found.locale, found.person["name"]) == ("carol@example.org", None, "Carol Example")
    assert found.consents == {"C2": ("openid", "email")}
    assert found.auth_time == found.created == found.last_seen == int(parts.clock())


def test_finding_a_session_is_one_round_trip_and_none_for_what_cannot_be_a_cookie(
    parts: Parts, embedded: EmbeddedServer, clock: Clock, carol: str
) -> None:
    _, cookie = open_for(parts, carol)
    with Counting(embedded.url) as store:
        assert find_session(store, cookie, clock())
        assert store.trips == 1
        clock.advance(NOTE_USE_AFTER)
        assert find_session(store, cookie, clock())  # and notes the use
        assert store.trips == 2
        assert find_session(store, "x" * 8192, clock()) is None
        assert store.trips == 2


def test_a_session_ends_at_its_absolute_age_however_much_it_is_used(parts: Parts, clock: Clock, carol: str) -> None:
    session, cookie = open_for(parts, carol)
    while clock.now < session.expires - 3600:
        clock.advance(3600)
        assert find_session(parts.store, cookie, clock())
    clock.now = session.expires - 1
    assert find_session(parts.store, cookie, clock())
    clock.now = session.expires
    assert find_session(parts.store, cookie, clock()) is None
    assert session.expires - session.created == parts.config.session_lifetime


def test_a_session_ends_when_it_is_not_used(parts: Parts, clock: Clock, carol: str) -> None:
    _, cookie = open_for(parts, carol)
    clock.advance(parts.config.session_idle - 1)
    assert find_session(parts.store, cookie, clock())
    clock.advance(parts.config.session_idle - 1)
    assert find_session(parts.store, cookie, clock())
    clock.advance(parts.config.session_idle)
    assert find_session(parts.store, cookie, clock()) is None
    assert not parts.store.command("KEYS", "session:*")


def test_a_kept_session_does_not_end_by_rest(parts: Parts, clock: Clock, carol: str) -> None:
    session, cookie = open_for(parts, carol, kept=True)
    clock.advance(parts.config.session_kept - 1)
    assert find_session(parts.store, cookie, clock())
    clock.advance(1)
    assert find_session(parts.store, cookie, clock()) is None
    assert session.expires == session.created + parts.config.session_kept


def test_a_use_is_noted_once_a_minute_at_most(parts: Parts, clock: Clock, carol: str) -> None:
    session, cookie = open_for(parts, carol)
    clock.advance(NOTE_USE_AFTER - 1)
    found = find_session(parts.store, cookie, clock())
    assert found is not None
    assert found.last_seen == session.created
    clock.advance(1)
    found = find_session(parts.store, cookie, clock())
    assert found is not None
    assert found.last_seen == session.created + NOTE_USE_AFTER


def test_looking_at_a_list_of_sessions_is_no_use_of_them(parts: Parts, clock: Clock, carol: str) -> None:
    session, _ = open_for(parts, carol)
    clock.advance(NOTE_USE_AFTER * 2)
    assert [one.last_seen for one in sessions_of(parts.store, carol, clock())] == [session.created]


@pytest.mark.parametrize(
    "change",
    [
        lambda cookie: cookie[:-1],
        lambda cookie: cookie + "A",
        lambda cookie: ("B" if cookie[0] != "B" else "C") + cookie[1:],
        lambda cookie: cookie.swapcase(),
        lambda cookie: cookie + "=",
        lambda cookie: " " + cookie[1:],
        lambda cookie: cookie[:-1] + "é",
        lambda cookie: token_hash(cookie),
        lambda cookie: token_hash(cookie)[:43],
        lambda cookie: "x" * 8192,
        lambda cookie: "*" * 43,
        lambda cookie: "\x00" * 43,
        lambda cookie: "",
    ],
)
def test_pw_15_a_tampered_cookie_is_nobody(parts: Parts, carol: str, change: Any) -> None:
    _, cookie = open_for(parts, carol)
    assert find_session(parts.store, change(cookie), parts.clock()) is None
    assert find_session(parts.store, cookie, parts.clock()) is not None


def test_redis_holds_no_cookie_and_every_key_has_an_end(parts: Parts, carol: str) -> None:
    _, cookie = open_for(parts, carol)
    state = everything_in_redis(parts)
    assert len(state) == 2
    assert cookie not in str(state)
    assert all(parts.store.command("PTTL", key) > 0 for key in state)
    assert len(base64.urlsafe_b64decode(cookie + "=")) == 32


def test_a_session_can_be_ended_alone_when_another_follows_it(parts: Parts, carol: str) -> None:
    first, old = open_for(parts, carol)
    second, new = open_for(parts, carol, previous=first)
    forget_session(parts.store, first)
    assert old != new
    assert second.key != first.key
    assert find_session(parts.store, old, parts.clock()) is None
    assert find_session(parts.store, new, parts.clock()) == second
    assert [one.key for one in sessions_of(parts.store, carol, parts.clock())] == [second.key]


def test_what_products_were_given_goes_on_when_the_same_person_signs_in_again(parts: Parts, carol: str) -> None:
    first, _ = open_for(parts, carol)
    issued = give(parts, first)
    second, _ = open_for(parts, carol, previous=first)
    forget_session(parts.store, first)
    assert second.id == first.id
    assert second.sid("C1") == first.sid("C1")
    assert access_is_alive(parts, issued)
    end_sessions(parts.store, [second])
    assert not access_is_alive(parts, issued)


def test_another_person_in_the_same_browser_takes_nothing_over(parts: Parts, carol: str) -> None:
    bob = add_carol(parts, "bob@example.org")
    first, _ = open_for(parts, carol)
    second, _ = open_for(parts, bob, previous=first)
    assert second.id != first.id
    assert second.sid("C1") != first.sid("C1")


def test_two_products_cannot_compare_the_sessions_names(parts: Parts, carol: str) -> None:
    session, _ = open_for(parts, carol)
    names = {session.sid(client) for client in ("C1", "C2", "P1")}
    assert len(names) == 3
    assert not any(session.id in name or session.key in name for name in names)


def test_lo_05_ending_one_session_ends_what_it_gave_and_no_other_session(parts: Parts, carol: str) -> None:
    one, cookie_one = open_for(parts, carol)
    two, cookie_two = open_for(parts, carol)
    access_one, offline_one, access_two = give(parts, one), give(parts, one, offline=True), give(parts, two)
    end_sessions(parts.store, [one])
    assert find_session(parts.store, cookie_one, parts.clock()) is None
    assert not access_is_alive(parts, access_one)
    assert find_session(parts.store, cookie_two, parts.clock()) == two
    assert access_is_alive(parts, access_two)
    # What was granted offline outlives the session: that is what offline_access means. Sign out everywhere ends it.
    assert refresh_is_alive(parts, offline_one)


def test_sessions_of_lists_the_latest_first_and_forgets_those_that_are_over(
    parts: Parts, clock: Clock, carol: str
) -> None:
    open_for(parts, carol)
    clock.advance(parts.config.session_idle // 2)
    second, _ = open_for(parts, carol)
    clock.advance(60)
    third, _ = open_for(parts, carol)
    clock.advance(parts.config.session_idle // 2)
    assert sessions_of(parts.store, carol, clock()) == [third, second]
    assert parts.store.command("ZCARD", f"account-sessions:{{{carol}}}") == 2


def test_a_person_has_a_hundred_sessions_at_most_and_the_one_that_ends_first_makes_room(
    parts: Parts, clock: Clock, carol: str
) -> None:
    _, first = open_for(parts, carol)
    kept = []
    for _ in range(MOST_SESSIONS):
        clock.advance(1)
        kept.append(open_for(parts, carol)[1])
    assert find_session(parts.store, first, clock()) is None
    assert all(find_session(parts.store, cookie, clock()) for cookie in kept)
    assert len(sessions_of(parts.store, carol, clock())) == MOST_SESSIONS


def test_the_session_that_has_just_been_opened_never_makes_room(parts: Parts, carol: str) -> None:
    for _ in range(MOST_SESSIONS):
        open_for(parts, carol, kept=True)
    _, shorter = open_for(parts, carol)
    assert find_session(parts.store, shorter, parts.clock())
    assert len(sessions_of(parts.store, carol, parts.clock())) == MOST_SESSIONS


def test_changed_claims_reach_every_session(parts: Parts, carol: str) -> None:
    cookies = [open_for(parts, carol)[1] for _ in range(3)]
    rewrite_person(parts.store, carol, {"name": "Carol Ruiz-Öztürk", "email": "carol@example.net"})
    for cookie in cookies:
        found = find_session(parts.store, cookie, parts.clock())
        assert found is not None
        assert (found.person["name"], found.email) == ("Carol Ruiz-Öztürk", "carol@example.net")


def test_consents_reach_every_session_and_can_be_taken_back(parts: Parts, carol: str) -> None:
    cookies = [open_for(parts, carol, consents={"C1": ["openid"]})[1] for _ in range(2)]

    def consents() -> list[object]:
        found = [find_session(parts.store, cookie, parts.clock()) for cookie in cookies]
        return [dict(session.consents) for session in found if session]

    set_consent(parts.store, carol, "C2", ["openid", "email"])
    assert consents() == [{"C1": ("openid",), "C2": ("openid", "email")}] * 2
    set_consent(parts.store, carol, "C2", [])
    assert consents() == [{"C1": ("openid",)}] * 2


def test_writing_to_a_session_that_has_just_ended_does_not_bring_it_back(parts: Parts, carol: str) -> None:
    session, cookie = open_for(parts, carol)
    end_sessions(parts.store, [session])
    parts.store.call("idp_session_set", f"session:{{{session.key}}}", "person", "{}")
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert not parts.store.command("KEYS", "session:*")


EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


def from_company(
    index: str | None = "_s1", connection: str = "acme", name_id: str = "alice@acme.example"
) -> CompanySession:
    return CompanySession(connection, name_id, EMAIL, index)


def named(parts: Parts, **changes: Any) -> list[Session]:
    wanted: dict[str, Any] = {
        "connection": "acme",
        "name_id": "alice@acme.example",
        "name_id_format": EMAIL,
        "session_indexes": ["_s1"],
        "now": parts.clock(),
    } | changes
    return sessions_of_company(parts.store, wanted.pop("connection"), **wanted)


def test_the_cookie_finds_what_the_company_said_of_its_session(parts: Parts, carol: str) -> None:
    session, cookie = open_for(parts, carol, company=from_company())
    assert find_session(parts.store, cookie, parts.clock()) == session
    assert "alice@acme.example" not in repr(session)
    assert "alice@acme.example" not in str(parts.store.command("KEYS", "*"))
    assert all(parts.store.command("PTTL", key) > 0 for key in parts.store.command("KEYS", "*"))


def test_a_company_names_its_sessions_by_name_id_and_session_index(parts: Parts, carol: str) -> None:
    one, _ = open_for(parts, carol, company=from_company("_s1"))
    two, _ = open_for(parts, carol, company=from_company("_s2"))
    without, _ = open_for(parts, carol, company=from_company(None))
    open_for(parts, carol)  # by password
    assert named(parts) == [one]
    assert {session.key for session in named(parts, session_indexes=["_s1", "_s2", "_s3"])} == {one.key, two.key}
    assert {session.key for session in named(parts, session_indexes=[])} == {one.key, two.key, without.key}
    assert named(parts, name_id_format=None) == [one]
    assert named(parts, name_id_format=PERSISTENT) == []
    assert named(parts, name_id="bob@acme.example") == []
    assert named(parts, connection="other") == []
    assert named(parts, connection="acme alice@acme.example", name_id="") == []


@pytest.mark.parametrize("how", [forget_session, lambda store, session: end_sessions(store, [session])])
def test_a_session_that_has_ended_can_no_longer_be_named_by_its_company(parts: Parts, carol: str, how: Any) -> None:
    session, _ = open_for(parts, carol, company=from_company())
    how(parts.store, session)
    assert named(parts) == []
    assert not parts.store.command("KEYS", "company-sessions:*")


def test_a_living_company_session_can_always_be_named(parts: Parts, clock: Clock, carol: str) -> None:
    opened = []
    for number in range(MOST_SESSIONS + 5):
        clock.advance(1)
        opened.append(open_for(parts, carol, company=from_company(f"_s{number}"))[1])
    living = [session for cookie in opened if (session := find_session(parts.store, cookie, clock()))]
    assert len(living) == MOST_SESSIONS
    assert {session.key for session in named(parts, session_indexes=[])} == {session.key for session in living}


def test_sa_45_a_session_ends_when_the_company_says_so_even_if_it_is_kept(
    parts: Parts, clock: Clock, carol: str
) -> None:
    ends = int(clock()) + 300
    session, cookie = open_for(parts, carol, kept=True, company=from_company(), ends=ends)
    assert session.expires == ends
    clock.advance(299)
    assert find_session(parts.store, cookie, clock())
    clock.advance(1)
    assert find_session(parts.store, cookie, clock()) is None
    assert named(parts) == []


@pytest.mark.parametrize("kept", [False, True])
def test_a_companys_policy_shortens_sessions_and_never_lengthens_them(parts: Parts, carol: str, kept: bool) -> None:
    ours = parts.config.session_kept if kept else parts.config.session_lifetime
    rest = 0 if kept else parts.config.session_idle
    shorter, _ = open_for(parts, carol, kept=kept, idle=60, lifetime=3600, ends=int(parts.clock()) + 10**9)
    assert (shorter.expires - shorter.created, shorter.idle) == (3600, 60)
    longer, _ = open_for(parts, carol, kept=kept, lifetime=10**9, ends=None, idle=rest * 2)
    assert (longer.expires - longer.created, longer.idle) == (ours, rest)


def notices(parts: Parts) -> list[tuple[str, str, str]]:
    with parts.database.reading() as db:
        rows = db.execute(select(LogoutNotice.client_id, LogoutNotice.sid, LogoutNotice.sub)).all()
    return [tuple(row) for row in rows]


def tell(parts: Parts, sessions: list[Session]) -> None:
    with parts.database.transaction() as db:
        queue_logout_notices(db, parts.store, sessions, parts.clients, parts.clock())


def test_products_that_want_it_are_told_once_that_a_session_ends(parts: Parts, carol: str) -> None:
    session, _ = open_for(parts, carol)
    for client in ("C1", "C1", "C2"):  # C2 has no back-channel address
        give(parts, session, client)
    tell(parts, [session])
    tell(parts, [session])  # pressed twice, or repeated after a failure
    assert notices(parts) == [("C1", session.sid("C1"), session.sub)]


def test_every_session_is_told_of_by_its_own_name(parts: Parts, carol: str) -> None:
    both = [open_for(parts, carol)[0] for _ in range(2)]
    for session in both:
        give(parts, session)
    tell(parts, both)
    assert sorted(notices(parts)) == sorted(("C1", session.sid("C1"), session.sub) for session in both)


def test_a_session_shows_neither_its_key_nor_the_person_when_it_is_printed(parts: Parts, carol: str) -> None:
    session, _ = open_for(parts, carol)
    assert session.key not in repr(session)
    assert "Carol" not in repr(session)


def test_ij_04_no_value_of_a_session_becomes_part_of_another_record(parts: Parts, carol: str) -> None:
    nasty = "x\r\nDEL y '\" } { * [ ] \x00 : é \U0001f600"
    session, cookie = open_for(
        parts, carol, agent=nasty, address=nasty, person={"name": nasty}, consents={nasty: ["a"]}
    )
    assert find_session(parts.store, cookie, parts.clock()) == session
    assert len(parts.store.command("KEYS", "*")) == 2


def test_ten_thousand_cookies_are_ten_thousand_different_ones() -> None:
    made = {base64.urlsafe_b64encode(secrets.token_bytes(32)) for _ in range(10_000)}
    assert len(made) == 10_000

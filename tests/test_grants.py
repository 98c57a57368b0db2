"""Grants: what happens once happens once, in parallel too, and what has to end can be found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from idp import grants
from idp.client_record import Client
from idp.embedded_server import EmbeddedServer
from idp.errors import PageError
from idp.grants import Authentication, Issued, Refusal
from idp.redis_store import RedisStore, token_hash
from tests import canaries
from tests.backends import running_redis

if TYPE_CHECKING:
    from tests.conftest import Clock

ROOT = Path(__file__).parents[1]
SECRET = b"s" * 32
CLIENT: dict[str, Any] = {
    "client_id": "c1",
    "name": "One",
    "type": "spa",
    "redirect_uris": ("https://rp1.example/cb",),
}
OFFLINE = ("openid", "email", "offline_access")


class Book:
    """The functions of grants.py on one store, with everything that they always get."""

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.client = Client.model_validate(CLIENT)
        self.who = Authentication(
            account_id="a" * 32,
            session="5" * 32,
            session_expires=int(clock()) + 86400,
            sid="sid-1",
            sub="sub-1",
            auth_time=int(clock()),
            amr=("pwd",),
            acr="1",
            person={"name": "Carol"},
        )

    def open(self, scope: tuple[str, ...] = OFFLINE, client: Client | None = None, **changes: Any) -> str:
        given = {
            "redirect_uri": "https://rp1.example/cb",
            "challenge": None,
            "nonce": "n",
            "claims": {},
            "receipt": "K7QX-2M4P",
        } | changes
        who = given.pop("who", self.who)
        return grants.open_grant(
            self.store, client or self.client, who, scope=scope, now=self.clock(), random=canaries.random, **given
        )

    def redeem(self, code: str, client: Client | None = None) -> Issued | Refusal:
        return grants.redeem_code(
            self.store,
            code,
            client or self.client,
            redirect_uri="https://rp1.example/cb",
            verifier=None,
            now=self.clock(),
            random=canaries.random,
            secret=SECRET,
        )

    def rotate(self, token: str | None, client: Client | None = None) -> Issued | Refusal:
        return grants.rotate_refresh(
            self.store,
            token or "",
            client or self.client,
            scope=(),
            now=self.clock(),
            random=canaries.random,
            secret=SECRET,
        )

    def issued(self, scope: tuple[str, ...] = OFFLINE) -> Issued:
        issued = self.redeem(self.open(scope))
        assert isinstance(issued, Issued)
        return issued

    def rotated(self, token: str | None) -> Issued:
        issued = self.rotate(token)
        assert isinstance(issued, Issued)
        return issued

    def is_alive(self, issued: Issued) -> bool:
        return grants.read_access(self.store, issued.access_token, self.clock()) is not None

    def record(self, token: str) -> dict[str, str]:
        return dict(self.store.command("HGETALL", f"grant:{{{token.split('.')[0]}}}"))


@pytest.fixture
def book(embedded: EmbeddedServer, clock: Clock) -> Iterator[Book]:
    with RedisStore(embedded.url) as store:
        store.command("FLUSHDB")
        yield Book(store, clock)


def test_a_grant_says_what_it_was_opened_with(book: Book) -> None:
    grant = book.issued().grant

    assert (grant.client_id, grant.account_id, grant.sub, grant.sid) == ("c1", "a" * 32, "sub-1", "sid-1")
    assert (grant.scope, grant.amr, grant.acr, grant.nonce) == (OFFLINE, ("pwd",), "1", "n")
    assert (grant.receipt, grant.person) == ("K7QX-2M4P", {"name": "Carol"})


# --- once, in four processes --------------------------------------------------------------------------------------------

PROCESSES, THREADS = 4, 13

# Each thread tries once, all at the same moment: when the line "go" comes.
_RACER = """
import json, secrets, sys, threading
from idp import grants
from idp.client_record import Client
from idp.redis_store import RedisStore

given = json.loads(sys.argv[1])
client = Client.model_validate({**given["client"], "redirect_uris": tuple(given["client"]["redirect_uris"])})
store = RedisStore(given["url"])
store.ping()
barrier = threading.Barrier(given["threads"] + 1)
results = []

def try_once():
    common = {"now": given["now"], "random": secrets.token_bytes, "secret": given["secret"].encode()}
    barrier.wait()
    if given["what"] == "code":
        uri = client.redirect_uris[0]
        result = grants.redeem_code(store, given["token"], client, redirect_uri=uri, verifier=None, **common)
    else:
        result = grants.rotate_refresh(store, given["token"], client, scope=(), **common)
    if isinstance(result, grants.Issued):
        results.append(["issued", result.access_token, result.refresh_token])
    else:
        results.append([result.reason, "", ""])

threads = [threading.Thread(target=try_once) for _ in range(given["threads"])]
for thread in threads: thread.start()
print("ready", flush=True)
sys.stdin.readline()
barrier.wait()
for thread in threads: thread.join()
print(json.dumps(results))
"""


@pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.needs("redis"))])
def raced(request: pytest.FixtureRequest, embedded: EmbeddedServer, tmp_path: Path, clock: Clock) -> Iterator[Any]:
    """A book on the embedded Valkey and on a Redis by URL, and the address that other processes reach it by."""
    with ExitStack() as stack:
        url = embedded.url if request.param == "valkey" else stack.enter_context(running_redis(tmp_path / "redis")).url
        store = stack.enter_context(RedisStore(url))
        store.command("FLUSHDB")
        yield Book(store, clock), url


def _race(url: str, clock: Clock, what: str, token: str) -> list[tuple[str, str, str]]:
    given = {
        "url": url,
        "client": CLIENT,
        "what": what,
        "token": token,
        "now": clock(),
        "secret": SECRET.decode(),
        "threads": THREADS,
    }
    command = [sys.executable, "-W", "ignore", "-c", _RACER, json.dumps(given)]
    racers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    outputs = [racer.communicate()[0] for racer in racers]
    results = [(str(a), str(b), str(c)) for output in outputs for a, b, c in json.loads(output)]
    assert len(results) == PROCESSES * THREADS
    for _, access, refresh in results:
        for secret in filter(None, (access, refresh)):
            canaries.register(secret, "token")
    return results


def test_tk_01_one_code_fifty_redemptions(raced: tuple[Book, str], clock: Clock) -> None:
    book, url = raced
    results = _race(url, clock, "code", book.open())

    outcomes = Counter(reason for reason, _, _ in results)
    assert outcomes["issued"] == 1
    # The second redemption ended the grant; to the others the code is unknown.
    assert outcomes == {"issued": 1, "code_used": 1, "code_unknown": PROCESSES * THREADS - 2}
    [(_, access, refresh)] = [result for result in results if result[0] == "issued"]
    assert grants.read_access(book.store, access, clock()) is None
    assert isinstance(book.rotate(refresh), Refusal)


def test_tk_17_one_refresh_token_fifty_rotations(raced: tuple[Book, str], clock: Clock) -> None:
    book, url = raced
    first = book.issued()
    results = _race(url, clock, "refresh", str(first.refresh_token))

    assert {reason for reason, _, _ in results} == {"issued"}
    assert len({access for _, access, _ in results}) == len(results)
    [successor] = {refresh for _, _, refresh in results}
    assert isinstance(book.rotate(successor), Issued)


# --- what is kept -------------------------------------------------------------------------------------------------------


def test_at_most_twenty_access_tokens_live_and_the_oldest_leaves(book: Book, clock: Clock) -> None:
    issued = [book.issued()]
    for _ in range(24):
        clock.advance(1)
        issued.append(book.rotated(issued[-1].refresh_token))

    assert [book.is_alive(one) for one in issued] == [False] * 5 + [True] * 20
    assert len([name for name in book.record(issued[0].access_token) if name.startswith("a:")]) == 20


def test_expired_access_tokens_make_room_first(book: Book, clock: Clock) -> None:
    issued = [book.issued()]
    for _ in range(40):
        clock.advance(3600)
        issued.append(book.rotated(issued[-1].refresh_token))

    assert len([name for name in book.record(issued[0].access_token) if name.startswith("a:")]) <= 21
    assert [book.is_alive(one) for one in issued[-2:]] == [False, True]


def test_ds_05_every_key_has_a_lifetime_that_outlasts_what_it_holds(book: Book, clock: Clock) -> None:
    book.open()
    book.issued(("openid",))
    issued = book.issued()

    keys = book.store.command("KEYS", "*")
    assert len(keys) == 3 + 2
    for key in keys:
        assert book.store.command("PTTL", key) > 0
        assert "{" in key
    grant = f"grant:{{{issued.grant.gid}}}"
    assert 30 * 86400_000 < book.store.command("PTTL", grant) <= (30 * 86400 + 3660) * 1000
    assert book.store.command("PTTL", f"account-grants:{{{'a' * 32}}}") > book.store.command("PTTL", grant)


def test_no_token_outlives_the_time_for_which_the_indexes_hold_its_grant(book: Book, clock: Clock) -> None:
    """The client's lifetimes were made longer after the grant was opened: its tokens still end when they can be found."""
    short = Client.model_validate({**CLIENT, "access_token_lifetime": 60, "refresh_token_lifetime": 3600})
    longer = Client.model_validate({**CLIENT, "access_token_lifetime": 86400, "refresh_token_lifetime": 30 * 86400})
    issued = book.redeem(book.open(client=short), longer)

    assert isinstance(issued, Issued)
    assert issued.expires_in == 60 + 3600 + 60
    clock.advance(60 + 3600 + 60)
    assert not book.is_alive(issued)
    assert book.rotate(issued.refresh_token, longer) == Refusal("refresh_expired", "K7QX-2M4P", "a" * 32)


def test_the_successor_is_sealed_for_whoever_holds_the_old_token(book: Book) -> None:
    first = book.issued()
    second = book.rotated(first.refresh_token)
    record = book.record(first.access_token)

    assert record["refresh"] == token_hash(str(second.refresh_token))
    assert record["previous"] == token_hash(str(first.refresh_token))
    assert str(second.refresh_token) not in str(record)
    assert book.rotated(first.refresh_token).refresh_token == second.refresh_token


class Late(RedisStore):
    """A store whose server comes to what it is asked ``seconds`` later, as one that stood still does."""

    seconds = 12

    def call(self, function: str, key: str, *args: Any) -> Any:
        return super().call(function, key, *args[:-1], float(args[-1]) - self.seconds)


def test_a_rotation_that_a_stalled_server_made_late_is_no_theft(
    book: Book, embedded: EmbeddedServer, clock: Clock
) -> None:
    """The caller was told to try again; what it was told to do must not end its grant."""
    first = book.issued()
    with Late(embedded.url) as late:
        grants.rotate_refresh(
            late, first.refresh_token or "", book.client, scope=(), now=clock(), random=canaries.random, secret=SECRET
        )
    clock.advance(12 + 5)
    again = book.rotated(first.refresh_token)
    assert book.is_alive(again)
    clock.advance(10)
    assert isinstance(book.rotate(first.refresh_token), Refusal)
    assert not book.is_alive(again)


def test_ij_04_what_is_no_token_of_ours_costs_no_round_trip_and_reaches_no_key(book: Book) -> None:
    code = book.open()
    before = book.store.command("DBSIZE")
    gid, secret = code.split(".")
    for wrong in (
        "",
        "*",
        "grant:*",
        f"{gid}*.{secret}",
        f"{gid}}}{{.{secret}",
        f"{gid}.{secret}\n",
        f"{gid}.{secret}\x00",
        f" {code}",
    ):
        assert book.redeem(wrong) == Refusal("code_unknown")
        assert book.rotate(wrong) == Refusal("refresh_unknown")
        assert grants.read_access(book.store, wrong, book.clock()) is None
        assert grants.read_token(book.store, wrong, book.clock(), SECRET) is None
        grants.revoke_token(book.store, wrong, "c1", SECRET)

    assert book.store.command("DBSIZE") == before
    assert isinstance(book.redeem(code), Issued)


def test_a_wrong_secret_with_a_known_id_spends_nothing(book: Book) -> None:
    code = book.open()
    gid = code.split(".")[0]

    assert book.redeem(f"{gid}.{'A' * 43}") == Refusal("code_unknown")
    assert isinstance(book.redeem(code), Issued)


def test_nothing_outlives_the_session_that_gave_it_but_what_was_granted_offline(book: Book, clock: Clock) -> None:
    ends = int(clock()) + 300
    book.who = replace(book.who, session_expires=ends)
    short, offline = book.issued(("openid",)), book.issued()
    assert (short.expires_in, offline.expires_in) == (300, 3600)
    book.who = replace(book.who, session_expires=int(clock()) + 30)
    code = book.open(("openid",))
    clock.advance(30)
    assert book.redeem(code) == Refusal("code_expired", "K7QX-2M4P", "a" * 32)  # its own minute is not over
    clock.advance(269.5)
    assert book.is_alive(short)
    clock.advance(0.5)
    assert not book.is_alive(short)
    assert book.is_alive(offline) and book.rotated(offline.refresh_token).expires_in == 3600


# --- what ends ----------------------------------------------------------------------------------------------------------


def test_the_end_of_a_session_ends_what_it_gave_but_not_offline_access(book: Book) -> None:
    online, offline, unredeemed = book.issued(("openid",)), book.issued(), book.open()
    grants.end_session_grants(book.store, book.who.session)

    assert not book.is_alive(online)
    assert book.is_alive(offline)
    assert book.redeem(unredeemed) == Refusal("code_unknown")
    assert isinstance(book.rotate(offline.refresh_token), Issued)


def test_no_code_can_be_issued_in_a_session_that_has_just_ended(book: Book) -> None:
    """An authorization read the session a moment before the person signed out."""
    grants.end_session_grants(book.store, book.who.session)
    with pytest.raises(PageError, match="session_expired"):
        book.open()

    assert book.store.command("KEYS", "grant:*") == []
    assert grants.grants_of_session(book.store, book.who.session, book.clock()) == []


def test_the_end_of_an_account_ends_everything_of_one_product_or_of_all(book: Book) -> None:
    other = Client.model_validate({**CLIENT, "client_id": "c2"})
    mine, theirs = book.issued(), book.redeem(book.open(client=other), other)
    assert isinstance(theirs, Issued)
    grants.end_account_grants(book.store, "b" * 32)
    assert book.is_alive(mine)
    grants.end_account_grants(book.store, book.who.account_id, "c2")
    assert (book.is_alive(mine), book.is_alive(theirs)) == (True, False)
    grants.end_account_grants(book.store, book.who.account_id)
    assert not book.is_alive(mine)
    assert isinstance(book.rotate(mine.refresh_token), Refusal)


def test_the_products_of_a_session_are_known_as_long_as_it_lasts_also_when_their_tokens_are_over(
    book: Book, clock: Clock
) -> None:
    other = Client.model_validate({**CLIENT, "client_id": "c2"})
    book.issued(("openid",))
    book.issued(("openid",))
    book.open(("openid",), other)
    clock.advance(7200)
    book.open(("openid",), other)

    used = grants.grants_of_session(book.store, book.who.session, clock())
    assert sorted((one.client_id, one.sid, one.sub) for one in used) == [
        ("c1", "sid-1", "sub-1"),
        ("c2", "sid-1", "sub-1"),
    ]
    clock.advance(86400)
    assert grants.grants_of_session(book.store, book.who.session, clock()) == []


def test_the_index_forgets_grants_that_are_over(book: Book, clock: Clock) -> None:
    for _ in range(5):
        book.open(("openid",))
        clock.advance(3661)
    book.open(("openid",))

    assert book.store.command("ZCARD", f"account-grants:{{{book.who.account_id}}}") == 1
    assert book.store.command("ZCARD", f"session-grants:{{{book.who.session}}}") == 2


def test_a_person_is_rewritten_in_living_grants_and_wakes_no_dead_one(book: Book, clock: Clock) -> None:
    alive, dead = book.issued(), book.issued()
    grants.end_grant(book.store, dead.grant.gid)
    grants.rewrite_person(book.store, book.who.account_id, {"name": "New"})

    access = grants.read_access(book.store, alive.access_token, clock())
    assert access is not None
    assert access.grant.person == {"name": "New"}
    assert book.record(dead.access_token) == {}


def test_claims_that_changed_since_the_session_was_read_are_the_new_ones(book: Book, clock: Clock) -> None:
    """Whoever changes them writes them into sessions first and into grants then, where this one was not yet."""
    book.store.command("HSET", "session:{k}", "person", json.dumps({"name": "New"}))
    issued = book.redeem(book.open(who=replace(book.who, session_record="session:{k}")))
    assert isinstance(issued, Issued)
    access = grants.read_access(book.store, issued.access_token, clock())
    assert access is not None and access.grant.person == {"name": "New"}

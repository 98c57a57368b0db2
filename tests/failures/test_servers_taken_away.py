"""Redis, SQL and our own processes are killed or frozen while people sign in: 503 that says so, nothing half-done, and
sign-ins work again without a restart of ``idp serve``.

One provider for all of it, with two workers, so that each test also begins with what the one before has left.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from sqlalchemy import ColumnElement, func, select, text

from idp.database import Database
from idp.models import Account, AuditEvent, OutboxMail, Revocation
from idp.redis_store import open_store
from tests.backends import RealPostgres, RealRedis, running_postgres, running_redis, wait_until
from tests.fakes.mail_server import MailServer, mail_server
from tests.journey import PASSWORD
from tests.party import Party, add_people, answer_of
from tests.running import Provider, is_alive, running_provider
from tests.sign_in_stream import Stream, sign_in_stream
from tests.visitor import Visitor

pytestmark = pytest.mark.needs("postgresql", "redis")


@dataclass
class Site:
    """A provider and all that it rests on."""

    provider: Provider
    redis: RealRedis
    postgres: RealPostgres
    mails: MailServer
    database: Database

    def must_be_whole(self, stream: Stream) -> None:
        """Invariant I10 of the attack catalogue, for the people of this stream."""
        store = open_store(self.provider.config)
        ids = [person.account_id for person in stream.people]
        with self.database.reading() as db:
            events = select(AuditEvent.account_id, func.count()).where(AuditEvent.event == "person.signed_in")
            signed_in = dict(db.execute(events.group_by(AuditEvent.account_id)).all())
            accounts = set(db.scalars(select(Account.id)))
            mails = select(OutboxMail.recipient, func.count()).group_by(OutboxMail.recipient)
            queued = dict(db.execute(mails).all())
        listed = {key for one in ids for key in store.command("ZRANGE", f"account-sessions:{{{one}}}", 0, -1)}
        held: dict[str, int] = dict.fromkeys(ids, 0)
        for key in store.command("KEYS", "session:*"):
            whose = store.command("HGET", key, "account_id")
            assert whose in accounts, "a session without an account"
            if store.command("HEXISTS", key, "opening"):  # of a sign-in that was undone: nobody's, and gone in a minute
                assert 0 < store.command("PTTL", key) <= 60_000
            elif whose in held:
                held[whose] += 1
                assert key.removeprefix("session:{").removesuffix("}") in listed, "a session that nobody could end"
        for person in stream.people:
            # A person who saw the end of a sign-in was signed in; a session stands for a sign-in that is in the audit.
            assert person.done <= signed_in[person.account_id]
            assert held[person.account_id] <= signed_in[person.account_id], "a session of a sign-in that was undone"
            # Each browser but the first is new: a mail for each sign-in that happened, for no other (until its limit).
            assert queued.get(person.email, 0) <= signed_in[person.account_id] - 1
        for key in store.command("KEYS", "grant:*"):
            record = store.command("HMGET", key, "facts", "client_id", "code", "expires")
            assert all(record), f"half a grant: {record}"
            assert json.loads(record[0])["account_id"] in accounts
        store.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, made_once: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("failures")
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis(folder / "redis"))
        mails = stack.enter_context(mail_server())
        settings = {
            "IDP_WORKERS": "2",
            "IDP_TRUSTED_PROXIES": "127.0.0.1/32",
            "IDP_SMTP": f"localhost:{mails.port}",
            "IDP_SMTP_STARTTLS": "false",
        }
        stores = {"IDP_DATABASE_URL": postgres.new_database(), **redis.environ}
        provider = stack.enter_context(
            running_provider(folder / "idp", stores=stores, settings=settings, keys=made_once / "keys")
        )
        database = Database(provider.config)
        stack.callback(database.close)
        assert provider.process is not None
        serving = provider.process.pid
        yield Site(provider, redis, postgres, mails, database)
        assert provider.process.pid == serving and provider.process.poll() is None, "it was never started again"


def test_redis_killed_in_the_middle_of_sign_ins(site: Site) -> None:
    with sign_in_stream(site.provider, "redis-killed.example") as stream:
        holder = Visitor(site.provider)
        tokens = signed_in(site.provider, holder, stream)
        site.redis.kill()
        stream.is_seen_unavailable()
        nothing_opens(site.provider, holder, tokens)
        site.redis.start()
        stream.goes_on()
        # What was there before is there again: the session, and what it gave.
        assert answer_of(holder.sign_in(Party(site.provider).url()))["code"]
        assert Party(site.provider).userinfo(tokens["access_token"]).status_code == 200
    site.must_be_whole(stream)


def test_redis_frozen_in_the_middle_of_sign_ins(site: Site) -> None:
    with sign_in_stream(site.provider, "redis-frozen.example") as stream:
        holder = Visitor(site.provider)
        tokens = signed_in(site.provider, holder, stream)
        site.redis.pause()
        stream.is_seen_unavailable()
        nothing_opens(site.provider, holder, tokens)
        site.redis.resume()
        stream.goes_on()
    site.must_be_whole(stream)


def test_redis_that_comes_back_empty_signs_people_out_and_loses_nothing_else(site: Site) -> None:
    with sign_in_stream(site.provider, "redis-empty.example", forgets=True) as stream:
        holder = Visitor(site.provider)
        tokens = signed_in(site.provider, holder, stream)
        site.redis.kill()
        for file in (site.redis.folder / "appendonlydir").iterdir():
            file.unlink()
        site.redis.start()
        stream.goes_on()
        assert Party(site.provider).userinfo(tokens["access_token"]).status_code == 401
        assert Party(site.provider).refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
        assert 'id="username"' in holder.open("/me").text
    site.must_be_whole(stream)


def test_sql_killed_in_the_middle_of_sign_ins(site: Site) -> None:
    with sign_in_stream(site.provider, "sql-killed.example") as stream:
        site.postgres.kill()
        stream.is_seen_unavailable()
        assert site.provider.get("/health/ready").status_code == 503
        assert site.provider.get("/health/live").status_code == 200
        site.postgres.start()
        stream.goes_on()
    site.must_be_whole(stream)


def test_sql_frozen_in_the_middle_of_sign_ins(site: Site) -> None:
    with sign_in_stream(site.provider, "sql-frozen.example") as stream:
        site.postgres.pause()
        stream.is_seen_unavailable()
        # What needs no SQL goes on: products do not notice.
        assert site.provider.get("/jwks").status_code == 200
        site.postgres.resume()
        stream.goes_on()
    site.must_be_whole(stream)


def test_ds_10_a_worker_killed_in_the_middle_of_sign_ins(site: Site) -> None:
    before = site.provider.family().workers
    assert len(before) == 2
    with sign_in_stream(site.provider, "worker-killed.example", cuts=True) as stream:
        os.kill(before[0], signal.SIGKILL)
        stream.goes_on()
        wait_until(lambda: len(site.provider.family().workers) == 2, "another worker takes its place")
        assert before[0] not in site.provider.family().workers
        stream.goes_on()
    site.must_be_whole(stream)


def test_ds_10_the_background_work_killed_in_the_middle_of_sign_ins(site: Site) -> None:
    [before] = site.provider.family().background
    with sign_in_stream(site.provider, "background-killed.example") as stream:
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: not is_alive(before), "it is dead")
        stream.goes_on()
        wait_until(lambda: len(site.provider.family().background) == 1, "the background work is started again")
        # It does its work: a mail that was queued arrives, once.
        add_people(site.provider, "told@background.example")
        for _ in range(2):  # the first browser of all is not told of
            Visitor(site.provider).sign_in(Party(site.provider).url(), "told@background.example")
        wait_until(lambda: "told@background.example" in recipients(site), "its owner is told of the new device")
    site.must_be_whole(stream)
    no_mail_is_lost_or_doubled(site)


def test_a_sign_in_whose_commit_fails_leaves_nothing(site: Site) -> None:
    """The last moment at which SQL can be lost: all is written, and the commit fails. The person signs in anew here."""
    [account_id] = add_people(site.provider, "commit@fails.example")
    browser, url = Visitor(site.provider), Party(site.provider).url(prompt="login")
    browser.sign_in(url, "commit@fails.example")
    page = browser.submit(browser.open(url), username="commit@fails.example")
    store = open_store(site.provider.config)
    before = store.command("ZRANGE", f"account-sessions:{{{account_id}}}", 0, -1)
    with site.database.transaction() as db:
        db.execute(text(LOSE_THE_CONNECTION_AT_COMMIT))
    try:
        answer = browser.submit(page, username="commit@fails.example", password=PASSWORD)
    finally:
        with site.database.transaction() as db:
            db.execute(text("DROP TRIGGER lose ON audit_events; DROP FUNCTION lose()"))
    assert answer.status_code == 503, answer.text
    assert "idp_session" not in answer.headers.get("Set-Cookie", "")
    # The session from before lives, and no other.
    assert store.command("ZRANGE", f"account-sessions:{{{account_id}}}", 0, -1) == before != []
    held = [store.command("HGET", key, "account_id") for key in store.command("KEYS", "session:*")]
    assert held.count(account_id) == 1
    assert "commit@fails.example" in browser.open("/me").text
    # The same page, sent again, signs in.
    again = browser.submit(page, username="commit@fails.example", password=PASSWORD)
    assert answer_of(again.headers["Location"])["code"]
    assert store.command("EXISTS", f"session:{{{before[0]}}}") == 0
    store.close()


LOSE_THE_CONNECTION_AT_COMMIT = """
CREATE FUNCTION lose() RETURNS trigger AS
  $$ BEGIN IF NEW.event = 'person.signed_in' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$
LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION lose();
"""


@pytest.mark.parametrize("redis_is_down", [False, True])
def test_tk_19_rs_04_a_suspension_takes_effect_within_five_seconds_or_when_redis_is_back(
    site: Site, redis_is_down: bool
) -> None:
    email = f"suspended-{redis_is_down}@people.example".lower()
    [account_id] = add_people(site.provider, email)
    party, browser = Party(site.provider), Visitor(site.provider)
    tokens = party.redeem(answer_of(browser.sign_in(party.url(), email))["code"]).json()
    online = party.redeem(answer_of(browser.sign_in(party.url(scope="openid")))["code"]).json()
    if redis_is_down:
        site.redis.kill()
    site.provider.idp("people", "suspend", email)
    if redis_is_down:
        assert party.userinfo(tokens["access_token"]).status_code == 503
        site.redis.start()
    is_over: list[Callable[[], bool]] = [
        lambda: party.userinfo(tokens["access_token"]).status_code == 401,
        lambda: party.userinfo(online["access_token"]).status_code == 401,
        lambda: not party.is_active(tokens["refresh_token"]),
        lambda: 'id="username"' in browser.open(party.url()).text,
    ]
    wait_until(lambda: all(over() for over in is_over), "nothing of the person works any more", patience=5)
    refused = party.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")

    def is_acknowledged() -> bool:
        with site.database.reading() as db:
            done = db.scalars(select(Revocation.done_at).where(Revocation.account_id == account_id)).all()
        return len(done) == 1 and done[0] is not None

    wait_until(is_acknowledged, "the suspension is noted as done")
    # And nobody comes in again.
    page = browser.submit(browser.open(party.url()), username=email)
    assert browser.submit(page, username=email, password=PASSWORD).status_code in (400, 403)


def signed_in(provider: Provider, browser: Visitor, stream: Stream) -> dict[str, str]:
    """Sign one of them in here too; return what the product got."""
    party = Party(provider)
    answer = answer_of(browser.sign_in(party.url(), stream.people[1].email))
    return dict(party.redeem(answer["code"]).json())


def nothing_opens(provider: Provider, holder: Visitor, tokens: dict[str, str]) -> None:
    """Without Redis nobody is somebody: also who has a session and a token is told to come back."""
    party = Party(provider)
    ways: list[Callable[[], requests.Response]] = [
        lambda: holder.open(party.url()),
        lambda: holder.open("/me"),
        lambda: party.userinfo(tokens["access_token"]),
        lambda: party.refresh(tokens["refresh_token"]),
        lambda: party.redeem(f"{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}"),
        lambda: party.post("/introspect", {"token": tokens["access_token"]}),
        lambda: party.post("/revoke", {"token": tokens["access_token"]}),
        lambda: provider.get("/health/ready"),
    ]
    with ThreadPoolExecutor(len(ways)) as pool:  # each waits for Redis on its own
        answers = [answer.result() for answer in [pool.submit(way) for way in ways]]
    for answer in answers:
        assert answer.status_code == 503, f"{answer.url}: {answer.status_code} {answer.text[:500]}"
        assert int(answer.headers["Retry-After"]) > 0


def recipients(site: Site) -> list[str]:
    return [mail.recipient for mail in site.mails.received]


def no_mail_is_lost_or_doubled(site: Site) -> None:
    """All are sent, once. What was in hand when SQL or the process went waits for the end of its lease: it may have been sent.

    One mail is in hand at a time, and three things were taken away so far: SQL twice, and the process.
    """

    def mails(*wanted: ColumnElement[bool]) -> int:
        with site.database.reading() as db:
            return db.scalar(select(func.count()).select_from(OutboxMail).where(*wanted)) or 0

    waiting = OutboxMail.state == "waiting"
    in_hand = waiting & OutboxMail.leased_until.is_not(None)
    wait_until(lambda: mails(waiting) == mails(in_hand) <= 3, "all other mails are sent", patience=60)
    sent = mails(OutboxMail.state == "sent")
    assert sent + mails(in_hand) == mails()
    assert sent <= len(site.mails.received) <= sent + mails(in_hand)

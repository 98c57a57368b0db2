"""Invitations in the same moment: one link in twenty browsers, many that are sent, one that is sent once more while it is accepted.

Four processes, on both pairs of stores; who waits for whom is looked at on PostgreSQL, where it can be seen.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import read_address
from idp.accounts.invitations import (
    Guest,
    Host,
    InvitationRefused,
    find_invited,
    invite,
    send_again,
    set_first_password,
    take_invitation,
)
from idp.accounts.lifecycle import AddressTaken, find_account, suspend
from idp.accounts.passwords import PasswordHasher, find_credentials
from idp.config import Config
from idp.database import Database
from idp.key_ring import KeyRing
from idp.models import Account, AuditEvent, Invitation, MailedLink, OutboxMail
from idp.sealing import Sealer
from tests import canaries
from tests.backends import running_postgres
from tests.guests import FIRST
from tests.party import at_once, cookies_of, form_request
from tests.races.test_reset_at_once import at_the_same_time
from tests.running import Provider
from tests.visitor import Visitor, form_of

BROWSERS = 20
_number = count(1)


@pytest.fixture
def guest() -> str:
    """Somebody of this test alone."""
    return f"guest{next(_number)}@example.org"


def host_for(provider: Provider) -> Host:
    sealer = Sealer(KeyRing(provider.config.keys, provider.config.jwks_max_age).derive("mail"), secrets.token_bytes)
    return Host("operator:test", sealer, time.time(), secrets.token_bytes)


def link_to(db: Transaction, email: str, sealer: Sealer) -> str:
    """The path in the newest invitation of somebody."""
    mails = select(OutboxMail).where(OutboxMail.recipient == email, OutboxMail.name == "invitation")
    mail = db.scalars(mails.order_by(OutboxMail.id.desc())).first()
    assert mail is not None
    link = sealer.open(mail.values["sealed"], f"invitation {email}")["link"]
    canaries.register(link.partition("=")[2], "link in a mail")
    return str(link)


def invited(database: Database, email: str, host: Host) -> tuple[str, str]:
    """Invite somebody; the account's id, and the path in the mail."""
    with database.transaction() as db:
        invite(db, Guest(read_address(email), {}), host)
        account = find_account(db, email)
        assert account is not None
        return account.id, link_to(db, email, host.sealer)


def chooses(provider: Provider, browser: Visitor, link: str, password: str) -> bytes:
    """Send the form to which a link has led."""
    target, hidden = form_of(browser.open(link), "/invite")
    return form_request(provider, target, hidden | {"password": password}, **cookies_of(browser.http))


def test_rc_02_one_invitation_in_twenty_browsers_at_once_is_accepted_once(provider: Provider, guest: str) -> None:
    database, host = Database(provider.config), host_for(provider)
    account_id, link = invited(database, guest, host)
    wanted = [canaries.register(f"{FIRST} of browser {number:02}", "password") for number in range(BROWSERS)]
    replies = at_once(provider, [chooses(provider, Visitor(provider), link, one) for one in wanted])
    answers = Counter(reply.status for reply in replies)
    # Whoever finds too many at their hashing is told to come back, which is no success.
    assert answers[303] == 1 and answers[303] + answers[400] + answers[503] == BROWSERS, answers
    [won] = [number for number, reply in enumerate(replies) if reply.status == 303]
    hasher = PasswordHasher(1, 1)
    with database.reading() as db:
        stored = find_credentials(db, guest).hash
        accepted = select(func.count()).where(
            AuditEvent.account_id == account_id, AuditEvent.event == "person.invitation_accepted"
        )
        assert db.scalar(accepted) == 1
    assert [number for number, one in enumerate(wanted) if hasher.verify(stored, one).ok] == [won]
    database.close()


def test_one_is_sent_once_more_while_it_is_accepted(provider: Provider, guest: str) -> None:
    """Either it was accepted, and none is sent; or it was sent, and the link before opens nothing: never both."""
    database, host = Database(provider.config), host_for(provider)
    for number in range(10):
        email = f"{number}-{guest}"
        account_id, link = invited(database, email, host)
        accepting = chooses(provider, Visitor(provider), link, FIRST)

        def sending(account_id: str = account_id) -> bool:
            try:
                with database.transaction() as db:
                    send_again(db, account_id, host)
            except InvitationRefused:
                return False
            return True

        with ThreadPoolExecutor(1) as others:
            sent = others.submit(sending)
            [reply] = at_once(provider, [accepting])
            assert (reply.status == 303) != sent.result(60)
        with database.reading() as db:
            assert (db.get_one(Invitation, account_id).accepted_at is not None) == (reply.status == 303)
    database.close()


def test_of_twenty_who_invite_one_person_at_once_one_makes_the_account(provider: Provider, guest: str) -> None:
    database, host = Database(provider.config), host_for(provider)

    def inviting(_: int) -> str:
        try:
            with database.transaction() as db:
                invite(db, Guest(read_address(guest), {}), host)
        except (AddressTaken, InvitationRefused) as refused:
            return type(refused).__name__
        return "invited"

    with ThreadPoolExecutor(BROWSERS) as others:
        outcomes = Counter(others.map(inviting, range(BROWSERS)))
    assert outcomes["invited"] == 1, outcomes
    with database.reading() as db:
        account = find_account(db, guest)
        assert account is not None and db.get_one(Invitation, account.id).sent == 1
        assert db.scalar(select(func.count()).where(OutboxMail.recipient == guest)) == 1
    database.close()


def test_of_many_that_are_sent_at_once_one_link_counts(provider: Provider, guest: str) -> None:
    database, host = Database(provider.config), host_for(provider)
    account_id, _ = invited(database, guest, host)

    def sending(_: int) -> int:
        with database.transaction() as db:
            return send_again(db, account_id, host)

    with ThreadPoolExecutor(4) as others:
        assert sorted(others.map(sending, range(4))) == [2, 3, 4, 5]
    with database.reading() as db:
        usable = select(func.count()).where(MailedLink.account_id == account_id, MailedLink.used_at.is_(None))
        assert db.scalar(usable) == 1
    database.close()


# --- who waits for the account's row ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """On PostgreSQL; on SQLite whoever writes waits before they have read anything."""
    with running_postgres() as postgres:
        data = tmp_path_factory.mktemp("guests")
        database = Database(Config(issuer="https://login.example", data=data, database_url=postgres.new_database()))
        database.upgrade()
        yield database
        database.close()


HOST = Host("operator:test", Sealer(b"s" * 32, secrets.token_bytes), time.time(), secrets.token_bytes)


def secret_of(database: Database, email: str) -> tuple[str, str]:
    account_id, link = invited(database, email, HOST)
    return account_id, link.partition("=")[2]


def accepts(db: Transaction, secret: str, password: str) -> object:
    # Read as the other has not finished: the link still stands there.
    assert find_invited(db, secret, time.time()) is not None
    taken = take_invitation(db, secret, "", now=time.time())
    if taken is not None:
        set_first_password(db, taken.account_id, password, now=time.time())
    return taken


@pytest.mark.needs("postgresql")
def test_rc_02_of_two_that_accept_the_second_waits_and_finds_it_over(database: Database, guest: str) -> None:
    _, secret = secret_of(database, guest)
    second = at_the_same_time(database, lambda db: accepts(db, secret, "1"), lambda db: accepts(db, secret, "2"))
    assert second is None
    with database.reading() as db:
        assert find_credentials(db, guest).hash == "1"


@pytest.mark.needs("postgresql")
def test_rc_02_who_accepts_while_it_is_sent_once_more_finds_it_over(database: Database, guest: str) -> None:
    account_id, secret = secret_of(database, guest)

    def sending(db: Transaction) -> None:
        send_again(db, account_id, HOST)

    assert at_the_same_time(database, sending, lambda db: accepts(db, secret, "late")) is None
    with database.reading() as db:
        assert find_invited(db, link_to(db, guest, HOST.sealer).partition("=")[2], time.time()) is not None


@pytest.mark.needs("postgresql")
def test_none_is_sent_to_who_is_just_accepting(database: Database, guest: str) -> None:
    account_id, secret = secret_of(database, guest)

    def sending(db: Transaction) -> str:
        try:
            send_again(db, account_id, HOST)
        except InvitationRefused as refused:
            return refused.reason
        return "sent"

    def accepting(db: Transaction) -> None:
        assert accepts(db, secret, "first") is not None

    assert at_the_same_time(database, accepting, sending) == "invite_none"


@pytest.mark.needs("postgresql")
def test_rc_02_who_is_suspended_in_this_moment_accepts_nothing(database: Database, guest: str) -> None:
    account_id, secret = secret_of(database, guest)

    def first(db: Transaction) -> None:
        suspend(db, db.get_one(Account, account_id, with_for_update=True), actor="operator:test", now=time.time())

    assert at_the_same_time(database, first, lambda db: accepts(db, secret, "late")) is None

"""Changes of addresses in the same moment: two accounts that want one address, one link in twenty browsers, one change that is taken
back while another is agreed to. Four processes, on both pairs of stores."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import func, select

from idp.accounts.emails import agree, ask_both
from idp.accounts.identity import read_address
from idp.accounts.lifecycle import AddressTaken, create_account, find_account, primary_email
from idp.accounts.recovery_address import Means
from idp.database import Database
from idp.key_ring import KeyRing
from idp.models import Account, AuditEvent, EmailChange, HeldAddress, OutboxMail
from idp.sealing import Sealer
from tests import canaries
from tests.party import add_people, at_once, cookies_of, form_request
from tests.running import Provider
from tests.visitor import Visitor, form_of

BROWSERS = 20
_number = count(1)


@pytest.fixture
def database(provider: Provider) -> Iterator[Database]:
    database = Database(provider.config)
    yield database
    database.close()


@pytest.fixture
def means(provider: Provider) -> Means:
    sealer = Sealer(KeyRing(provider.config.keys, provider.config.jwks_max_age).derive("mail"), secrets.token_bytes)
    return Means("en", sealer, time.time(), secrets.token_bytes)


def newcomer(provider: Provider, database: Database) -> tuple[str, str]:
    """Somebody of this test alone: the account and its address."""
    address = f"mover{next(_number)}@example.org"
    add_people(provider, address)
    with database.reading() as db:
        account = find_account(db, address)
        assert account is not None
        return account.id, address


def wants(database: Database, account_id: str, address: str, means: Means) -> None:
    with database.transaction() as db:
        ask_both(db, account_id, read_address(address), means)


def link_in(database: Database, name: str, recipient: str, means: Means) -> str:
    """The path in the newest mail of this name."""
    with database.reading() as db:
        mails = select(OutboxMail).where(OutboxMail.recipient == recipient, OutboxMail.name == name)
        mail = db.scalars(mails.order_by(OutboxMail.id.desc())).first()
        assert mail is not None
        link = str(means.sealer.open(mail.values["sealed"], f"{name} {recipient}")["link"])
    canaries.register(link.partition("=")[2], "link in a mail")
    return link


def agrees(database: Database, link: str, means: Means) -> None:
    with database.transaction() as db:
        assert agree(db, link.partition("=")[2], means) is not None


def press(provider: Provider, link: str, path: str, **fields: str) -> bytes:
    """The form to which a link has led, as a browser of its own sends it."""
    browser = Visitor(provider)
    target, hidden = form_of(browser.open(link), path)
    return form_request(provider, target, hidden | fields, **cookies_of(browser.http))


def address_of(database: Database, account_id: str) -> str:
    with database.reading() as db:
        return primary_email(db.get_one(Account, account_id)).canonical


def test_em_04_of_two_who_press_for_one_address_at_once_one_gets_it(
    provider: Provider, database: Database, means: Means
) -> None:
    for number in range(5):
        wanted = f"wanted{next(_number)}-{number}@example.org"
        people, pressed = [newcomer(provider, database) for _ in range(2)], []
        for account_id, address in people:
            wants(database, account_id, wanted, means)
            agrees(database, link_in(database, "email_new", wanted, means), means)
            pressed.append(
                press(provider, link_in(database, "email_old", address, means), "/me/email/mail", answer="yes")
            )
        replies = at_once(provider, pressed)
        assert Counter(reply.status for reply in replies) == {200: 1, 400: 1}
        [won] = [place for place, reply in enumerate(replies) if reply.status == 200]
        assert address_of(database, people[won][0]) == wanted
        assert address_of(database, people[1 - won][0]) == people[1 - won][1]
        with database.reading() as db:
            # Nothing is left half done: the change of whoever came late is over, and holds no address.
            assert db.get(EmailChange, people[1 - won][0]) is None
            assert list(db.scalars(select(HeldAddress.account_id).where(HeldAddress.canonical == people[won][1]))) == [
                people[won][0]
            ]


def test_em_04_who_changes_to_an_address_and_who_signs_up_with_it_at_once(
    provider: Provider, database: Database, means: Means
) -> None:
    """Whoever is second finds it taken."""
    account_id, address = newcomer(provider, database)
    wanted = f"wanted{next(_number)}@example.org"
    wants(database, account_id, wanted, means)
    agrees(database, link_in(database, "email_new", wanted, means), means)
    pressed = press(provider, link_in(database, "email_old", address, means), "/me/email/mail", answer="yes")
    made = []

    def makes() -> None:
        try:
            with database.transaction() as db:
                create_account(
                    db,
                    read_address(wanted),
                    claims={},
                    verified=True,
                    password_hash=None,
                    actor="operator:test",
                    now=time.time(),
                    random=secrets.token_bytes,
                )
            made.append(True)
        except AddressTaken:
            made.append(False)

    [reply] = at_once(provider, [pressed], then=makes)
    assert (reply.status == 200) != made[0]
    assert (address_of(database, account_id) == wanted) == (reply.status == 200)


def test_rc_02_one_link_in_twenty_browsers_agrees_once(provider: Provider, database: Database, means: Means) -> None:
    account_id, address = newcomer(provider, database)
    wanted = f"wanted{next(_number)}@example.org"
    wants(database, account_id, wanted, means)
    agrees(database, link_in(database, "email_new", wanted, means), means)
    link = link_in(database, "email_old", address, means)
    replies = at_once(provider, [press(provider, link, "/me/email/mail", answer="yes") for _ in range(BROWSERS)])
    assert Counter(reply.status for reply in replies) == {200: 1, 400: BROWSERS - 1}
    assert address_of(database, account_id) == wanted
    with database.reading() as db:
        mails = select(func.count()).where(OutboxMail.name == "email_changed", OutboxMail.recipient == address)
        assert db.scalar(mails) == 1


def test_what_is_taken_back_while_the_next_change_is_agreed_to_stays_taken_back(
    provider: Provider, database: Database, means: Means
) -> None:
    for _ in range(5):
        account_id, first = newcomer(provider, database)
        second, third = (f"wanted{next(_number)}@example.org" for _ in range(2))
        wants(database, account_id, second, means)
        agrees(database, link_in(database, "email_new", second, means), means)
        agrees(database, link_in(database, "email_old", first, means), means)
        wants(database, account_id, third, means)
        agrees(database, link_in(database, "email_new", third, means), means)
        pressed = [
            press(provider, link_in(database, "email_changed", first, means), "/me/email/revert"),
            press(provider, link_in(database, "email_old", second, means), "/me/email/mail", answer="yes"),
        ]
        replies = at_once(provider, pressed)
        assert replies[0].status == 200
        assert replies[1].status in (200, 400)
        assert address_of(database, account_id) == first
        with database.reading() as db:
            disowned = select(func.count()).where(
                AuditEvent.account_id == account_id, AuditEvent.event == "person.disowned_sign_in"
            )
            assert db.scalar(disowned) == 1

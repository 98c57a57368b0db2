"""Known devices, and the mail about a new one."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from idp.accounts.devices import (
    LONGEST_NAME,
    MOST_DEVICES,
    NOT_ME,
    NOT_ME_LIFETIME,
    describe_agent,
    forget_device,
    is_known,
    note_sign_in,
)
from idp.accounts.mailed_links import find_link
from idp.models import Account, AuditEvent, Device, MailedLink, OutboxMail
from idp.parts import Parts
from idp.redis_store import token_hash
from idp.sealing import Sealer
from tests.conftest import Clock
from tests.journey import add_carol

LAPTOP, PHONE = "l" * 43, "p" * 43


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def sign_in(parts: Parts, account_id: str, cookie: str, agent: str = "Firefox · Linux") -> None:
    with parts.database.transaction() as db:
        note_sign_in(
            db,
            db.get_one(Account, account_id),
            cookie=cookie,
            agent=agent,
            address="192.0.2.7",
            language="fr",
            sealer=Sealer(parts.keys.derive("mail"), parts.random),
            now=parts.clock(),
            random=parts.random,
        )


def mails(parts: Parts) -> list[OutboxMail]:
    with parts.database.reading() as db:
        found = list(db.scalars(select(OutboxMail).order_by(OutboxMail.id)))
        db.expunge_all()
    return found


def known(parts: Parts, account_id: str | None, cookie: str | None) -> bool:
    with parts.database.reading() as db:
        return is_known(db, account_id, cookie)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox · Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
            "Mobile Safari · iOS",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
            "Edge · Windows",
        ),
        ("curl/8.5.0", "curl"),
        ("Something-Odd/1.0 (nowhere)", "Something-Odd/1.0"),
        ("", "–"),
        ("\x1b[31m\u202e", "[31m"),
    ],
)
def test_a_browser_is_named_the_same_in_every_language(user_agent: str, name: str) -> None:
    assert describe_agent(user_agent) == name


@pytest.mark.parametrize(
    "user_agent", ["x" * 100_000, "Mozilla/5.0 (" * 10_000, "(((" * 50_000, "Opera/" + "9" * 100_000]
)
def test_ds_07_a_long_user_agent_is_looked_at_only_in_part(user_agent: str) -> None:
    assert len(describe_agent(user_agent)) <= 2 * LONGEST_NAME + 3
    assert describe_agent(user_agent) == describe_agent(user_agent[:512])


def test_the_first_device_is_remembered_and_not_told(parts: Parts, carol: str) -> None:
    assert not known(parts, carol, LAPTOP)
    sign_in(parts, carol, LAPTOP)
    assert known(parts, carol, LAPTOP)
    assert mails(parts) == []


def test_a_device_is_known_for_its_own_account_and_to_nobody_else(parts: Parts, carol: str) -> None:
    bob = add_carol(parts, "bob@example.org")
    sign_in(parts, carol, LAPTOP)
    assert not known(parts, bob, LAPTOP)
    assert not known(parts, None, LAPTOP)
    assert not known(parts, carol, PHONE)
    assert not known(parts, carol, None)
    assert not known(parts, carol, token_hash(LAPTOP))


def test_a_new_device_is_told_to_its_owner_with_a_link_to_say_that_it_was_not_them(
    parts: Parts, clock: Clock, carol: str
) -> None:
    sign_in(parts, carol, LAPTOP)
    sign_in(parts, carol, PHONE, "Mobile Safari · iOS")
    (mail,) = mails(parts)
    assert (mail.name, mail.recipient, mail.language) == ("new_device", "carol@example.org", "fr")
    sealed = mail.values.pop("sealed")
    assert mail.values == {"agent": "Mobile Safari · iOS", "address": "192.0.2.7", "at": int(clock())}
    sealer = Sealer(parts.keys.derive("mail"), parts.random)
    link = sealer.open(sealed, "new_device carol@example.org")["link"]
    path, _, secret = link.partition("?t=")
    assert path == "/me/not-me"
    with parts.database.reading() as db:
        found = find_link(db, secret, NOT_ME, clock())
        assert found is not None
        assert (found.account_id, found.expires_at) == (carol, int(clock()) + NOT_ME_LIFETIME)
        assert secret not in str(db.execute(select(MailedLink.__table__)).all())
        assert db.scalars(select(AuditEvent.event).where(AuditEvent.account_id == carol)).all()[-1] == (
            "person.device_added"
        )


def test_a_known_device_is_not_told_again(parts: Parts, clock: Clock, carol: str) -> None:
    sign_in(parts, carol, LAPTOP)
    sign_in(parts, carol, PHONE)
    clock.advance(300 * 86400)
    sign_in(parts, carol, PHONE, "Firefox · Android")
    assert len(mails(parts)) == 1
    with parts.database.reading() as db:
        device = db.scalars(select(Device).where(Device.secret_hash == token_hash(PHONE))).one()
        assert (device.label, device.last_seen_at) == ("Firefox · Android", int(clock()))
        assert device.first_seen_at < device.last_seen_at


def test_a_forgotten_device_is_a_strangers_for_this_account_only(parts: Parts, carol: str) -> None:
    bob = add_carol(parts, "bob@example.org")
    for account in (carol, bob):
        sign_in(parts, account, LAPTOP)
        sign_in(parts, account, PHONE)
    with parts.database.transaction() as db:
        forget_device(db, carol, token_hash(PHONE))
    assert not known(parts, carol, PHONE)
    assert known(parts, carol, LAPTOP)
    assert known(parts, bob, PHONE)
    sign_in(parts, carol, PHONE)
    assert [mail.recipient for mail in mails(parts)].count("carol@example.org") == 2


def test_a_person_has_a_hundred_devices_at_most_and_the_one_unseen_for_longest_is_forgotten(
    parts: Parts, clock: Clock, carol: str
) -> None:
    for number in range(MOST_DEVICES + 1):
        clock.advance(1)
        sign_in(parts, carol, f"{number:043}")
    assert not known(parts, carol, f"{0:043}")
    assert known(parts, carol, f"{1:043}")
    with parts.database.reading() as db:
        assert db.scalar(select(func.count()).select_from(Device)) == MOST_DEVICES

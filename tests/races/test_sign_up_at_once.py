"""Signing up in the same moment: one link in twenty browsers, two links of one address, a link against an operator, an invitation, or
somebody whom a social provider sends. Four processes, on both pairs of stores."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from idp.accounts.forgotten import Asked, Means
from idp.accounts.identity import Identity, read_address
from idp.accounts.invitations import Guest, Host, InvitationRefused, invite
from idp.accounts.lifecycle import AddressTaken, create_account
from idp.accounts.passwords import PasswordHasher, find_credentials
from idp.accounts.signing_up import answer_sign_up
from idp.database import Database
from idp.key_ring import KeyRing
from idp.login.arrival import newcomer
from idp.login.social_account import Accepted, Linking, settle
from idp.models import Account, AuditEvent, Email, Invitation, Link, OutboxMail
from idp.sealing import Sealer
from tests import canaries
from tests.forgetful import NEW
from tests.party import Reply, at_once, cookies_of, form_request
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
def address() -> str:
    """Nobody's yet."""
    return f"nora{next(_number)}@example.org"


def link_for(provider: Provider, database: Database, address: str) -> str:
    """The path in the mail that somebody gets who wants an account."""
    sealer = Sealer(KeyRing(provider.config.keys, provider.config.jwks_max_age).derive("mail"), secrets.token_bytes)
    asked = Asked(address, language=lambda _: "en", journey={"receipt": "", "p": ""})
    with database.transaction() as db:
        answer_sign_up(db, asked, address, Means({}, sealer, time.time(), secrets.token_bytes))
    with database.reading() as db:
        mails = select(OutboxMail).where(OutboxMail.recipient == address, OutboxMail.name == "verify_address")
        mail = db.scalars(mails.order_by(OutboxMail.id.desc())).first()
        assert mail is not None
        link = str(sealer.open(mail.values["sealed"], f"verify_address {address}")["link"])
    canaries.register(link.partition("=")[2], "link in a mail")
    return link


def chooses(provider: Provider, link: str, password: str) -> bytes:
    """The form to which a link has led, as a browser of its own sends it."""
    browser = Visitor(provider)
    target, hidden = form_of(browser.open(link), "/verify")
    return form_request(provider, target, hidden | {"password": password, "name": ""}, **cookies_of(browser.http))


def made(database: Database, address: str) -> int:
    """How many accounts were made with an address, the audit's word for it included."""
    with database.reading() as db:
        accounts = list(db.scalars(select(Email.account_id).where(Email.canonical == address)))
        events = select(func.count()).where(
            AuditEvent.event == "person.created", AuditEvent.account_id.in_(accounts or [""])
        )
        assert db.scalar(events) == len(accounts)
        return len(accounts)


def won_by(replies: list[Reply]) -> list[int]:
    # Whoever finds too many at their hashing is told to come back, which is no success.
    assert {reply.status for reply in replies} <= {303, 400, 503}, Counter(reply.status for reply in replies)
    return [place for place, reply in enumerate(replies) if reply.status == 303]


def test_rc_02_one_link_in_twenty_browsers_at_once_makes_one_account(
    provider: Provider, database: Database, address: str
) -> None:
    link = link_for(provider, database, address)
    wanted = [canaries.register(f"{NEW} of browser {number:02}", "password") for number in range(BROWSERS)]
    [won] = won_by(at_once(provider, [chooses(provider, link, one) for one in wanted]))
    assert made(database, address) == 1
    hasher = PasswordHasher(1, 1)
    with database.reading() as db:
        stored = find_credentials(db, address).hash
    assert [place for place, one in enumerate(wanted) if hasher.verify(stored, one).ok] == [won]


def test_two_links_of_one_address_at_once_make_one_account(
    provider: Provider, database: Database, address: str
) -> None:
    links = [link_for(provider, database, address) for _ in range(4)]
    assert len(won_by(at_once(provider, [chooses(provider, link, NEW) for link in links]))) == 1
    assert made(database, address) == 1


def test_a_link_and_an_operator_at_once_make_one_account(provider: Provider, database: Database, address: str) -> None:
    link, by_operator = link_for(provider, database, address), []

    def makes() -> None:
        try:
            with database.transaction() as db:
                create_account(
                    db,
                    read_address(address),
                    claims={},
                    verified=False,
                    password_hash=None,
                    actor="operator:test",
                    now=time.time(),
                    random=secrets.token_bytes,
                )
            by_operator.append(True)
        except AddressTaken:
            by_operator.append(False)

    [reply] = at_once(provider, [chooses(provider, link, NEW)], then=makes)
    assert (reply.status == 303) != by_operator[0]
    assert made(database, address) == 1


ROUNDS = 5


def test_a_link_and_an_invitation_at_once_make_one_account(
    provider: Provider, database: Database, address: str
) -> None:
    """Whoever is second finds it done: the link is over, or there is somebody already and nobody is invited."""
    for number in range(ROUNDS):
        email, by_invitation = f"{number}-{address}", []
        host = Host("operator:test", Sealer(bytes(32), secrets.token_bytes), time.time(), secrets.token_bytes)
        form = chooses(provider, link_for(provider, database, email), NEW)

        def invites(email: str = email, host: Host = host, told: list[bool] = by_invitation) -> None:
            try:
                with database.transaction() as db:
                    invite(db, Guest(read_address(email), {}), host)
                told.append(True)
            except (AddressTaken, InvitationRefused):
                told.append(False)

        [reply] = at_once(provider, [form], then=invites)
        assert (reply.status == 303) != by_invitation[0]
        assert made(database, email) == 1
        with database.reading() as db:
            waits = db.scalar(
                select(func.count())
                .select_from(Invitation)
                .join(Email, Email.account_id == Invitation.account_id)
                .where(Email.canonical == email)
            )
            assert waits == by_invitation[0]


def test_a_link_and_a_social_sign_in_at_once_make_one_account(
    provider: Provider, database: Database, address: str
) -> None:
    """Whoever comes from the provider second must prove the account that the link has just made; nobody is linked to it unasked."""
    sealer = Sealer(bytes(32), secrets.token_bytes)
    for number in range(ROUNDS):
        email, outcomes = f"{number}-{address}", []
        form = chooses(provider, link_for(provider, database, email), NEW)

        def comes(email: str = email, told: list[object] = outcomes) -> None:
            who = newcomer(
                Identity("google", "https://google.example", email, email, True, "Nora", (), int(time.time()))
            )
            linking = Linking("Google", "en", sealer, time.time(), secrets.token_bytes)
            for _ in range(2):  # as ``finish`` does when another request was faster
                try:
                    with database.transaction() as db:
                        told.append(settle(db, who, None, Accepted("v1"), own_issuer=provider.issuer, linking=linking))
                    return
                except (AddressTaken, IntegrityError):
                    continue

        [reply] = at_once(provider, [form], then=comes)
        [outcome] = outcomes
        assert (reply.status == 303) != isinstance(outcome, Account), (reply.status, outcome)
        assert made(database, email) == 1
        with database.reading() as db:
            linked = db.scalar(select(func.count()).select_from(Link).where(Link.subject == email))
            assert linked == isinstance(outcome, Account)

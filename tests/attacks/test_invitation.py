"""attacks.md section 7 for invitations: who may invite whom, what the mail may hold, and whose the account is that waits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from idp import audit
from idp.accounts.invitations import MOST_PER_DAY, InvitationRefused
from idp.accounts.lifecycle import change_claims, find_account, reactivate, suspend
from idp.accounts.linking import link
from idp.accounts.passwords import find_credentials
from idp.companies import CompanyRefused
from idp.languages import Languages
from idp.mail import Mailer
from idp.members import administrators, remove_member
from idp.models import (
    Account,
    AuditEvent,
    Consent,
    Device,
    Email,
    EmailChange,
    Invitation,
    Link,
    Member,
    OutboxMail,
    Passkey,
    Password,
    RecoveryCode,
    Totp,
)
from idp.parts import Parts
from tests.conftest import Clock
from tests.forgetful import ask, reset_link
from tests.guests import FIRST, again, come_by, invitation, invited, state, take, to_provider
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import come, google, is_signed_in, mailed, mails, opened, text, unverify, with_newcomers
from tests.people import give, open_for, refresh_is_alive
from tests.saml_parties import Customer, belong, decide_for

ALICE, BOB = "alice@acme.example", "bob@other.example"
MALLORY = "mallory@evil.example"


@pytest.fixture
def other(parts: Parts) -> Customer:
    """Another company."""
    from tests.fakes.company_idp import CompanyIdp
    from tests.saml_parties import add_customer

    idp = CompanyIdp("https://idp.other.example/")
    return add_customer(
        parts.database, parts.connections, idp, "other.example", name="Other", now=parts.clock(), random=parts.random
    )


def member(parts: Parts, company: Customer, email: str, role: str) -> str:
    account_id = add_carol(parts, email)
    belong(parts.database, company, account_id, role, now=parts.clock())
    return account_id


@pytest.fixture
def admin(parts: Parts, acme: Customer) -> str:
    """An administrator of Acme."""
    return member(parts, acme, "boss@acme.example", "administrator")


def known(parts: Parts, email: str) -> bool:
    with parts.database.reading() as db:
        return db.query(Email).filter_by(canonical=email).count() == 1


def over(page: TestResponse) -> bool:
    return page.status_code == 400 and 'id="error-page"' in text(page) and "This invitation has been" in text(page)


def reason(refused: pytest.ExceptionInfo[Any]) -> str:
    return str(refused.value.reason)


# --- IN-03: who invites whom --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "email", [BOB, "bob@gmail.example", "bob@sub.acme.example", "bob@acme.example.org", "bob@acme-example.org"]
)
def test_in_03_a_company_invites_only_with_addresses_of_its_own_domains(
    parts: Parts, acme: Customer, other: Customer, admin: str, email: str
) -> None:
    with pytest.raises(CompanyRefused) as refused:
        invited(parts, email, acme.company_id, by=admin)
    assert reason(refused) == "company_member_outside"
    assert not known(parts, email)
    assert mails(parts) == []
    # and cannot vouch for it: that is for operators, who have asked somebody
    with pytest.raises(InvitationRefused) as refused:
        invited(parts, email, acme.company_id, by=admin, vouched=True)
    assert reason(refused) == "invite_not_allowed"
    assert not known(parts, email)


def test_in_03_only_an_administrator_of_the_very_company_invites(
    parts: Parts, acme: Customer, other: Customer, admin: str
) -> None:
    reader = member(parts, acme, "reader@acme.example", "read_only")
    plain = member(parts, acme, "plain@acme.example", "member")
    foreign = member(parts, other, "boss@other.example", "administrator")
    nobody = add_carol(parts, "nobody@example.org")
    waiting = invited(parts, "waiting@acme.example", acme.company_id, "administrator")
    gone = member(parts, acme, "gone@acme.example", "administrator")
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, gone), actor="operator:test", now=parts.clock())
    for who in (reader, plain, foreign, nobody, waiting, gone):
        with pytest.raises(InvitationRefused) as refused:
            invited(parts, ALICE, acme.company_id, by=who)
        assert reason(refused) == "invite_not_allowed"
        with pytest.raises(InvitationRefused):
            again(parts, waiting, acme.company_id, by=who)
    with pytest.raises(InvitationRefused):  # to no company: only operators
        invited(parts, ALICE, None, by=admin)
    with pytest.raises(InvitationRefused):
        again(parts, waiting, None, by=admin)
    assert not known(parts, ALICE)
    invited(parts, ALICE, acme.company_id, by=admin)
    assert known(parts, ALICE)


@pytest.mark.parametrize("role", ["operator", "owner", "global_admin", "Administrator", "administrator ", "", "*"])
def test_in_03_there_is_no_role_above_an_administrators(parts: Parts, acme: Customer, admin: str, role: str) -> None:
    with pytest.raises(CompanyRefused) as refused:
        invited(parts, ALICE, acme.company_id, role, by=admin)
    assert reason(refused) == "company_role_unknown"
    assert not known(parts, ALICE)


def test_in_03_who_has_not_accepted_counts_for_nothing(parts: Parts, acme: Customer, admin: str) -> None:
    invited(parts, ALICE, acme.company_id, "administrator", by=admin)
    with parts.database.reading() as db:
        assert [one.account_id for one in administrators(db, acme.company_id)] == [admin]


@pytest.mark.parametrize("suspended", [False, True])
def test_in_03_who_has_an_account_is_not_drawn_into_a_company(
    parts: Parts, acme: Customer, admin: str, suspended: bool
) -> None:
    alice = add_carol(parts, ALICE)
    if suspended:
        with parts.database.transaction() as db:
            suspend(db, db.get_one(Account, alice), actor="operator:test", now=parts.clock())
    with pytest.raises(InvitationRefused) as refused:
        invited(parts, ALICE, acme.company_id, by=admin)
    assert reason(refused) == "invite_known"
    with parts.database.reading() as db:
        assert db.get(Member, alice) is None and db.get(Invitation, alice) is None


def test_in_03_another_company_neither_repeats_nor_takes_over_an_invitation(
    parts: Parts, acme: Customer, other: Customer, admin: str
) -> None:
    foreign = member(parts, other, "boss@other.example", "administrator")
    alice = invited(parts, ALICE, acme.company_id, by=admin)
    with pytest.raises(InvitationRefused) as refused:
        again(parts, alice, other.company_id, by=foreign)
    assert reason(refused) == "invite_none"
    with pytest.raises(CompanyRefused) as outside:
        invited(parts, ALICE, other.company_id, by=foreign)
    assert reason(outside) == "company_member_outside"


def test_in_03_of_other_addresses_a_company_hears_nothing_by_inviting_them(
    parts: Parts, acme: Customer, other: Customer, admin: str
) -> None:
    add_carol(parts, "known@elsewhere.example")
    add_carol(parts, "suspended@elsewhere.example")
    with parts.database.transaction() as db:
        account = find_account(db, "suspended@elsewhere.example")
        assert account is not None
        suspend(db, account, actor="operator:test", now=parts.clock())
    invited(parts, "waits@other.example", other.company_id)
    for name in (
        "known@elsewhere.example",
        "suspended@elsewhere.example",
        "waits@other.example",
        "nobody@elsewhere.example",
    ):
        with pytest.raises(CompanyRefused) as refused:
            invited(parts, name, acme.company_id, by=admin)
        assert reason(refused) == "company_member_outside"
    assert not known(parts, "nobody@elsewhere.example")


def test_in_03_who_was_taken_out_again_accepts_nothing(walker: Walker, parts: Parts, acme: Customer) -> None:
    alice = invited(parts, ALICE, acme.company_id)
    page = come_by(walker, invitation(parts))
    with parts.database.transaction() as db:
        remove_member(db, acme.company_id, alice, actor="operator:test", now=parts.clock())
    assert over(walker.submit(page, "/invite", password=FIRST))
    with pytest.raises(InvitationRefused):
        again(parts, alice)


# --- IN-03: how many, and what the mail holds ---------------------------------------------------------------------------------------


def test_in_03_a_company_sends_a_thousand_a_day_and_no_more(
    parts: Parts, acme: Customer, other: Customer, admin: str, clock: Clock
) -> None:
    alice = invited(parts, ALICE, acme.company_id, by=admin)
    with parts.database.transaction() as db:
        for number in range(MOST_PER_DAY - 1):
            audit.record(db, audit.Event.person_invited, now=clock(), actor="system", account_id=alice, sent=number)
    for attempt in (
        lambda: invited(parts, "dave@acme.example", acme.company_id, by=admin),
        lambda: again(parts, alice),
    ):
        with pytest.raises(InvitationRefused) as refused:
            attempt()
        assert reason(refused) == "invite_too_many"
    assert not known(parts, "dave@acme.example")
    invited(parts, BOB, other.company_id)  # nobody else is held back
    clock.advance(86401)
    invited(parts, "dave@acme.example", acme.company_id, by=admin)


def test_in_03_one_mailbox_gets_five_an_hour_and_the_last_one_stays_good(
    walker: Walker, parts: Parts, acme: Customer, admin: str, clock: Clock
) -> None:
    alice = invited(parts, ALICE, acme.company_id, by=admin)
    for number in range(2, 6):
        assert again(parts, alice, acme.company_id, by=admin) == number
    for _ in range(20):
        with pytest.raises(InvitationRefused) as refused:
            again(parts, alice, acme.company_id, by=admin)
        assert reason(refused) == "invite_too_many"
    assert len(mails(parts)) == 5
    assert state(parts, alice) == ("invited", 5)
    assert take(walker, invitation(parts)).request.path == "/me"


EVIL = 'Acme <a href="https://evil.example/x">sign in</a> https://evil.example/y www.evil.example'


@pytest.mark.parametrize("language", ["en", "fr"])
def test_in_03_no_name_brings_a_link_or_markup_into_the_mail(parts: Parts, acme: Customer, language: str) -> None:
    decide_for(parts.database, acme, name=EVIL)
    invited(parts, ALICE, acme.company_id, name=f"Alice {EVIL}", locale=language)
    config = parts.config.model_copy(update={"smtp": "127.0.0.1:25"})
    with parts.database.reading() as db:
        row = db.query(OutboxMail).one()
        secrets = parts.sealer.open(row.values["sealed"], f"invitation {row.recipient}")
        message = Mailer(config, Languages()).write(row, secrets, parts.clock())
    ours = f"https://login.example{secrets['link']}"
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        content = str(body.get_content())
        assert ours in content
        assert "Alice" not in content  # the person's name is of no use there
        # what mail programs make links of
        assert not re.search(r"(https?://|www\.)(?!login\.example)\w", content)
    assert set(re.findall(r'href="([^"]*)"', content)) == {ours}
    assert "<a href=&#34;" in content.replace("&lt;", "<")
    assert "evil" not in str(message["Subject"]) + str(message["From"]) + str(message["To"])


def test_in_03_nor_into_the_page(walker: Walker, parts: Parts, acme: Customer) -> None:
    decide_for(parts.database, acme, name=EVIL)
    invited(parts, ALICE, acme.company_id, name=EVIL)
    html = text(come_by(walker, invitation(parts)))
    assert 'href="https://evil' not in html
    assert "&lt;a href=" in html


# --- RC-02, RC-03, RC-08 for invitations ----------------------------------------------------------------------------------------------


def test_rc_02_an_invitation_is_accepted_once(walker: Walker, parts: Parts) -> None:
    invited(parts)
    first, second = walker, Walker(walker.app, parts)
    pages = [(one, come_by(one, invitation(parts))) for one in (first, second)]
    answers = [one.submit(page, "/invite", password=f"{FIRST} of {n}") for n, (one, page) in enumerate(pages)]
    assert answers[0].status_code == 303 and over(answers[1])
    with parts.database.reading() as db:
        assert parts.hasher.verify(find_credentials(db, "carol@example.org").hash, f"{FIRST} of 0").ok


def _other_address(db: Any, account: Account, now: float) -> None:
    change_claims(db, account, {"email": "carol@elsewhere.example"}, actor="operator:test", now=now)


def _suspended(db: Any, account: Account, now: float) -> None:
    suspend(db, account, actor="operator:test", now=now)


def _closed(db: Any, account: Account, now: float) -> None:
    account.state = "closed"


@pytest.mark.parametrize("change", [_other_address, _suspended, _closed])
def test_rc_02_an_invitation_is_for_the_account_as_it_stands(
    walker: Walker, parts: Parts, change: Callable[[Any, Account, float], None]
) -> None:
    carol = invited(parts)
    page = come_by(walker, invitation(parts))
    with parts.database.transaction() as db:
        change(db, db.get_one(Account, carol), parts.clock())
    assert over(walker.submit(page, "/invite", password=FIRST))
    assert over(come_by(walker, invitation(parts)))
    with parts.database.reading() as db:
        assert db.get(Password, carol) is None


def test_rc_02_a_suspension_that_is_taken_back_leaves_the_invitation(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    with parts.database.transaction() as db:
        account = db.get_one(Account, carol)
        suspend(db, account, actor="operator:test", now=parts.clock())
        reactivate(db, account, actor="operator:test", now=parts.clock())
    assert take(walker, invitation(parts)).request.path == "/me"


def test_rc_03_the_link_says_whose_account_it_is_and_nothing_else(walker: Walker, parts: Parts) -> None:
    dora = add_carol(parts, "dora@example.org")
    carol = invited(parts)
    fields = dict.fromkeys(("username", "email", "account", "account_id", "person"), "dora@example.org")
    take(walker, invitation(parts), **fields, role="administrator", company_id="x")
    with parts.database.reading() as db:
        assert db.get(Password, carol) is not None
        assert parts.hasher.verify(db.get_one(Password, dora).hash, PASSWORD).ok


def test_rc_03_a_link_of_another_purpose_accepts_nothing(walker: Walker, parts: Parts) -> None:
    add_carol(parts, "dora@example.org")
    invited(parts)
    ask(walker, "dora@example.org")
    assert over(come_by(walker, "/invite" + reset_link(parts).removeprefix("/reset")))
    secret = invitation(parts).partition("=")[2]
    for path in ("/reset", "/login/link/mail", "/login/address/mail", "/me/not-me"):
        assert walker.follow(walker.get(f"{path}?t={secret}")).status_code == 400
    assert over(come_by(walker, f"/invite?t={'A' * 43}")) and over(come_by(walker, "/invite?t=' OR ''='"))
    assert over(Walker(walker.app, parts).get("/invite"))


def test_rc_08_scanners_and_other_sites_accept_nothing(walker: Walker, parts: Parts) -> None:
    carol = invited(parts)
    for _ in range(5):
        walker.open("HEAD", invitation(parts))
        come_by(walker, invitation(parts))
    answer = walker.open("POST", "/invite", data={"password": FIRST}, headers={"Origin": "https://evil.example"})
    assert answer.status_code >= 400
    assert walker.open("POST", "/invite", data={"password": FIRST}).status_code >= 400
    assert state(parts, carol) == ("invited", 1)


# --- RC-10: who made the account need not be who is invited ---------------------------------------------------------------------------


@pytest.fixture
def mallory(parts: Parts) -> Walker:
    return Walker(with_newcomers(parts), parts, address="203.0.113.9")


@pytest.fixture
def trap(parts: Parts, mallory: Walker) -> str:
    """An account with Carol's address, which nobody has proved: Mallory sits in it, and has put into it whatever there is."""
    made = add_carol(parts)
    mallory.sign_in(mallory.follow(mallory.get("/login")))
    unverify(parts, made)
    now = int(parts.clock())
    with parts.database.transaction() as db:
        account = db.get_one(Account, made)
        link(db, made, google("g-m", MALLORY), proof={"by": "password"}, now=now)
        account.recovery_email, account.recovery_verified_at = MALLORY, now
        account.terms_version, account.terms_accepted_at = "2026-11", now
        db.add(Passkey(account_id=made, credential_id="c", public_key="k", name="Mallory's", created_at=now))
        db.add(Totp(account_id=made, sealed_secret="s", last_step=0, created_at=now))
        db.add(RecoveryCode(account_id=made, code_hash="h", created_at=now))
        change = {"address": MALLORY, "canonical": MALLORY, "created_at": now, "expires_at": now + 9999}
        db.add(EmailChange(account_id=made, **change))
        db.add(Consent(account_id=made, client_id="C2", scopes=["openid"], given_at=now))
    assert is_signed_in(mallory)
    return made


def test_rc_10_an_invitation_takes_out_everything_that_the_accounts_maker_had_put_in(
    walker: Walker, mallory: Walker, parts: Parts, trap: str
) -> None:
    offline = give(parts, open_for(parts, trap)[0], offline=True)
    assert invited(parts) == trap
    assert mails(parts)[-1] == ("invitation", "carol@example.org")  # and not to the recovery address
    assert is_signed_in(mallory)  # nothing is taken from an account in use before its owner comes
    take(walker, invitation(parts))
    assert is_signed_in(walker)
    assert not is_signed_in(mallory)
    assert not refresh_is_alive(parts, offline)
    with parts.database.reading() as db:
        for table in (Passkey, Totp, RecoveryCode, Link, EmailChange, Consent):
            assert db.query(table).filter_by(account_id=trap).count() == 0, table.__name__
        assert db.query(Device).filter_by(account_id=trap).count() == 1  # hers
        account = db.get_one(Account, trap)
        assert (account.recovery_email, account.recovery_verified_at, account.terms_version) == (None, None, None)
        assert db.query(AuditEvent).filter_by(event="person.reclaimed").count() == 1
    thief = Walker(mallory.app, parts)
    thief.sign_in(thief.follow(thief.get("/login")))
    assert not is_signed_in(thief)
    assert not opened(thief, come(thief, google("g-m", MALLORY)))


def test_rc_10_an_invitation_by_a_social_provider_wipes_as_well(mallory: Walker, parts: Parts, trap: str) -> None:
    invited(parts)
    carol = Walker(mallory.app, parts)
    handle = to_provider(carol, invitation(parts))
    page = come(carol, google("g-c", "carol@example.org"), handle)
    carol.submit(page, "/invite/social")
    assert not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert [one.subject for one in db.query(Link).filter_by(account_id=trap)] == ["g-c"]
        assert db.get(Password, trap) is None


def test_rc_10_a_social_provider_of_the_maker_is_not_who_was_invited(mallory: Walker, parts: Parts, trap: str) -> None:
    """Carol's browser comes back from Google as Mallory, whose identity opens the account so far: nobody is let in by it."""
    invited(parts)
    carol = Walker(mallory.app, parts)
    handle = to_provider(carol, invitation(parts))
    come(carol, google("g-m", MALLORY), handle)
    assert not is_signed_in(carol)
    take(carol, invitation(parts))
    assert is_signed_in(carol) and not is_signed_in(mallory)


def test_rc_10_a_company_hands_nothing_to_who_waits_under_an_address_of_its_domain(
    mallory: Walker, parts: Parts, acme: Customer, admin: str
) -> None:
    """Mallory has made an account as alice@acme.example: she does not become an administrator of Acme when Alice is invited."""
    made = add_carol(parts, ALICE)
    unverify(parts, made)
    with pytest.raises(CompanyRefused) as refused:
        invited(parts, ALICE, acme.company_id, "administrator", by=admin)
    assert reason(refused) == "company_member_not_new"
    with parts.database.reading() as db:
        assert db.get(Member, made) is None


def test_rc_10_nobody_gets_into_an_account_that_waits_but_by_its_mailbox(mallory: Walker, parts: Parts) -> None:
    carol = invited(parts)
    mallory.sign_in(mallory.follow(mallory.get("/login")), password=PASSWORD)
    ask(mallory)  # gets no link: the mail names the invitation
    page = come(mallory, google("g-m", None))  # no address that may be believed: it must be proved by mail
    mallory.submit(page, "/login/address", username="carol@example.org")
    assert {recipient for _, recipient in mails(parts)} == {"carol@example.org"}
    assert "reset_password" not in {name for name, _ in mails(parts)}
    assert not is_signed_in(mallory)
    assert state(parts, carol) == ("invited", 1)
    with parts.database.reading() as db:
        for table in (Password, Link, Device):
            assert db.query(table).count() == 0


def test_rc_10_what_proves_the_address_otherwise_ends_the_invitation(mallory: Walker, parts: Parts) -> None:
    """Carol comes by Google and reads a mail of ours: the account is hers, and the link of the invitation opens it no more."""
    carol = Walker(mallory.app, parts)
    made = invited(parts)
    link_of_invitation = invitation(parts)
    carol.submit(come(carol, google()), "/login/link/send")
    carol.submit(carol.follow(carol.get(mailed(parts, "link_account"))), "/login/link/mail")
    assert state(parts, made) == ("active", 1)
    assert over(come_by(Walker(mallory.app, parts), link_of_invitation))

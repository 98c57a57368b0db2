"""A forgotten password, from the sign-in page to the next sign-in; which mail an address gets; why none has come."""

from __future__ import annotations

import re

import pytest

from idp.accounts.lifecycle import suspend
from idp.accounts.passwords import find_credentials
from idp.models import Account, AuditEvent, Email, Invitation, Link, Member, OutboxMail
from idp.outbox import MAILS, Outcome
from idp.parts import Parts
from tests import canaries
from tests.conftest import Clock
from tests.forgetful import NEW, ask, mails, reset_link, set_new
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import text, unverify, with_newcomers
from tests.people import give, open_for, refresh_is_alive
from tests.saml_parties import Customer, belong, decide_for


def test_from_the_sign_in_page_to_the_product_with_another_password(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    page = walker.follow(walker.az())
    page = walker.follow(walker.submit(page, "/login", username="carol@example.org"))
    link = re.search(r'id="forgot-password" href="([^"]*)"', text(page))
    assert link is not None
    page = walker.get(link[1])
    assert 'value="carol@example.org"' in text(page)
    sent = walker.submit(page, "/forgot", username="carol@example.org")
    assert 'id="forgot-sent-page"' in text(sent)
    page = set_new(walker, reset_link(parts))
    # nobody is signed in by it: the way goes on at the password, in the journey that was begun
    assert page.request.path == "/login/password"
    assert 'role="status"' in text(page)
    assert 'value="carol@example.org"' in text(page)
    assert walker.get("/me").status_code == 303
    assert walker.submit(page, "/login/password", username="carol@example.org", password=PASSWORD).status_code == 400
    done = walker.follow(walker.submit(page, "/login/password", username="carol@example.org", password=NEW))
    assert "code" in walker.answer_of(done)


def test_in_another_browser_it_ends_at_my_account(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    ask(walker)
    telephone = Walker(walker.app, parts)
    page = set_new(telephone, reset_link(parts))
    assert page.request.path == "/login/password"
    page = telephone.follow(telephone.submit(page, "/login/password", username="carol@example.org", password=NEW))
    assert page.request.path == "/me"


def test_it_can_be_asked_without_a_sign_in_under_way(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.get("/login")
    page = walker.get("/forgot")
    assert page.status_code == 200
    assert 'id="forgot-sent-page"' in text(walker.submit(page, "/forgot", username="carol@example.org"))
    assert mails(parts) == [("reset_password", "carol@example.org")]


def test_a_sign_in_that_is_over_hinders_nothing(walker: Walker, parts: Parts, clock: Clock) -> None:
    add_carol(parts)
    page = walker.follow(walker.az())
    handle = re.findall(r'name="p" value="([^"]*)"', text(page))[0]
    clock.advance(16 * 60)
    page = walker.get(f"/forgot?p={handle}")
    assert page.status_code == 200
    assert walker.submit(page, "/forgot", username="carol@example.org").status_code == 200


def test_it_ends_other_sessions_and_refresh_tokens(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    here, elsewhere = Walker(walker.app, parts), Walker(walker.app, parts)
    tokens = here.tokens()
    elsewhere.sign_in(elsewhere.follow(elsewhere.get("/login")))
    offline = give(parts, open_for(parts, carol)[0], offline=True)
    assert here.get("/me").status_code == elsewhere.get("/me").status_code == 200
    ask(walker)
    assert here.get("/me").status_code == 200  # asking ends nothing
    set_new(walker, reset_link(parts))
    assert here.get("/me").status_code == elsewhere.get("/me").status_code == 303
    assert here.userinfo(tokens["access_token"]).status_code == 401
    assert not refresh_is_alive(parts, offline)


def test_a_weak_password_is_not_taken_and_the_link_stays_good(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    ask(walker)
    page = walker.follow(walker.get(reset_link(parts)))
    for weak in ("short", "password", "carol@example.org", ""):
        answer = walker.submit(page, "/reset", password=weak)
        assert answer.status_code == 400
        assert 'id="reset-page"' in text(answer)
        assert 'role="alert"' in text(answer)
    assert walker.follow(walker.submit(page, "/reset", password=NEW)).request.path == "/login/password"


def test_it_is_audited_and_told(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    ask(walker)
    set_new(walker, reset_link(parts))
    with parts.database.reading() as db:
        event = db.query(AuditEvent).filter_by(event="person.password_set").order_by(AuditEvent.id.desc()).first()
        assert event is not None
        assert (event.account_id, event.actor) == (carol, f"person:{carol}")
    assert ("password_changed", "carol@example.org") in mails(parts)


# --- which mail ----------------------------------------------------------------------------------------------------------------


def kinds(walker: Walker, parts: Parts, email: str) -> list[str]:
    ask(walker, email)
    return [name for name, recipient in mails(parts) if recipient == email]


def test_an_unknown_address_is_told_so_in_its_mailbox(walker: Walker, parts: Parts) -> None:
    assert kinds(walker, parts, "nobody@example.org") == ["no_account"]


def test_a_suspended_account_gets_no_link(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        suspend(db, db.get_one(Account, carol), actor="operator:test", now=parts.clock())
    assert kinds(walker, parts, "carol@example.org") == ["account_suspended"]


def values(parts: Parts) -> dict[str, str]:
    """What the last mail says, without its link."""
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).order_by(OutboxMail.id.desc()).first()
        assert mail is not None
        return {name: value for name, value in mail.values.items() if name != "sealed"}


def test_who_comes_by_a_social_provider_is_told_which(parts: Parts) -> None:
    walker = Walker(with_newcomers(parts), parts)
    carol = add_carol(parts, password=None)
    with parts.database.transaction() as db:
        for door in ("google", "github", "gone"):
            db.add(Link(account_id=carol, issuer=f"https://{door}.example", subject="1", door=door, created_at=0))
    assert kinds(walker, parts, "carol@example.org") == ["reset_elsewhere"]
    assert values(parts) == {"employer": "", "providers": "GitHub, Google", "invited": ""}


def test_who_has_a_password_beside_gets_the_link(parts: Parts) -> None:
    walker = Walker(with_newcomers(parts), parts)
    carol = add_carol(parts)
    with parts.database.transaction() as db:
        db.add(Link(account_id=carol, issuer="https://google.example", subject="1", door="google", created_at=0))
    assert kinds(walker, parts, "carol@example.org") == ["reset_password"]


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_whom_a_company_signs_in_is_sent_there_whoever_has_the_address(
    walker: Walker, parts: Parts, acme: Customer, known: bool
) -> None:
    if known:
        add_carol(parts, "alice@acme.example")
    decide_for(parts.database, acme, sso="required")
    assert kinds(walker, parts, "alice@acme.example") == ["reset_elsewhere"]
    assert values(parts) == {"employer": "Acme", "providers": "", "invited": ""}


def test_who_comes_by_their_company_although_they_need_not_has_no_password_to_reset(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    alice = add_carol(parts, "alice@acme.example", None)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.add(Link(account_id=alice, issuer="company:a:b", subject="alice", door="company", created_at=0))
    assert kinds(walker, parts, "alice@acme.example") == ["reset_elsewhere"]
    assert values(parts)["employer"] == "Acme"


def test_lk_05_an_account_that_a_company_has_prepared_is_not_had_by_mail(
    walker: Walker, parts: Parts, acme: Customer
) -> None:
    alice = add_carol(parts, "alice@acme.example", None)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, alice).prepared = True
    assert kinds(walker, parts, "alice@acme.example") == ["reset_elsewhere"]


def test_who_has_not_answered_an_invitation_is_told_of_it(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts, password=None)
    with parts.database.transaction() as db:
        db.add(Invitation(account_id=carol, sent=1, created_at=0))
    assert kinds(walker, parts, "carol@example.org") == ["reset_elsewhere"]
    assert values(parts)["invited"] == "yes"


def test_who_has_no_way_in_at_all_gets_one(walker: Walker, parts: Parts) -> None:
    add_carol(parts, password=None)
    assert kinds(walker, parts, "carol@example.org") == ["reset_password"]
    set_new(walker, reset_link(parts))
    with parts.database.reading() as db:
        assert find_credentials(db, "carol@example.org").hash is not None


def test_the_mail_is_in_the_persons_language(walker: Walker, parts: Parts) -> None:
    add_carol(parts, locale="fr")
    ask(walker)
    with parts.database.reading() as db:
        assert db.query(OutboxMail).one().language == "fr"


# --- the recovery address ------------------------------------------------------------------------------------------------------


def recover(parts: Parts, account_id: str, address: str = "carol@home.example") -> None:
    with parts.database.transaction() as db:
        account = db.get_one(Account, account_id)
        account.recovery_email, account.recovery_verified_at = address, int(parts.clock())


def test_the_link_goes_to_the_recovery_address_and_the_other_mailbox_is_told(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    recover(parts, carol)
    ask(walker)
    assert mails(parts) == [("reset_password", "carol@home.example"), ("reset_at_recovery", "carol@example.org")]
    assert values(parts) == {"recovery": "c•••l@home.example"}
    set_new(walker, reset_link(parts))
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).recovery_email == "carol@home.example"


def test_a_recovery_address_counts_only_for_who_has_proved_their_own(walker: Walker, parts: Parts) -> None:
    """Else whoever makes an account with a stranger's address would be sent the stranger's links."""
    carol = add_carol(parts)
    recover(parts, carol, "mallory@evil.example")
    unverify(parts, carol)
    ask(walker)
    assert mails(parts) == [("reset_password", "carol@example.org")]


def test_the_recovery_address_proves_nothing_about_the_other(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    recover(parts, carol)
    with parts.database.transaction() as db:
        was = db.query(Email).one().verified_at
    ask(walker)
    set_new(walker, reset_link(parts))
    with parts.database.reading() as db:
        assert db.query(Email).one().verified_at == was


def test_a_recovery_address_is_nobodys_way_past_their_company(walker: Walker, parts: Parts, acme: Customer) -> None:
    alice = add_carol(parts, "alice@acme.example")
    recover(parts, alice)
    decide_for(parts.database, acme, sso="required")
    ask(walker, "alice@acme.example")
    assert mails(parts) == [("reset_elsewhere", "alice@acme.example")]


# --- why has it not come? ------------------------------------------------------------------------------------------------------


def states(walker: Walker) -> list[tuple[str, str]]:
    """The addresses on the page, and what it says of each."""
    found = re.findall(
        r"<li><div>\s*<strong>(.*?)</strong>\s*<span>(.*?)</span>", text(walker.get("/help/no-mail")), re.S
    )
    return [(address, said.split(".")[0]) for address, said in found]


def settle(parts: Parts, *outcomes: Outcome) -> None:
    """What the mail server answers to the mails that wait, one after the other."""
    for outcome in outcomes:
        assert MAILS.deliver(parts.database, lambda _, said=outcome: said, parts.clock) or outcome.state == "failed"


def test_the_page_says_what_became_of_each_mail(walker: Walker, parts: Parts, clock: Clock) -> None:
    assert states(walker) == []
    assert "Nothing was asked for" in text(walker.get("/help/no-mail"))
    add_carol(parts)
    addresses = ["carol@example.org", "nobody@example.org", "typo@example.org", "late@example.org"]
    for address in addresses:
        ask(walker, address)
        clock.advance(1)
    assert states(walker) == [(address, "The mail is on its way") for address in reversed(addresses)]
    settle(
        parts,
        Outcome("sent", "250"),
        Outcome("sent", "250"),
        Outcome("bounced", "550"),
        Outcome("failed", "451"),
    )
    assert states(walker) == [
        ("late@example.org", "The mail server of this address has not taken the mail yet"),
        ("typo@example.org", "The mail server of this address has refused the mail"),
        ("nobody@example.org", "The mail server of this address has taken the mail"),
        ("carol@example.org", "The mail server of this address has taken the mail"),
    ]
    # another browser learns nothing of it, and a day later nobody
    assert states(Walker(walker.app, parts)) == []
    clock.advance(86400)
    assert states(walker) == []


def test_the_page_tells_nothing_of_a_recovery_address(walker: Walker, parts: Parts) -> None:
    """Its mail is refused; the page speaks of the mail to the address that was typed, as for an address that nobody has."""
    recover(parts, add_carol(parts))
    ask(walker)
    settle(parts, Outcome("bounced", "550"), Outcome("sent", "250"))
    assert states(walker) == [("carol@example.org", "The mail server of this address has taken the mail")]


def test_the_page_leads_back_to_the_sign_in(walker: Walker, parts: Parts) -> None:
    page = walker.follow(walker.az())
    handle = re.findall(r'name="p" value="([^"]*)"', text(page))[0]
    page = walker.get(f"/help/no-mail?p={handle}")
    assert f"/forgot?p={handle}" in text(page)
    assert "no-reply@login.example" in text(page)
    assert canaries.register(handle, "handle")

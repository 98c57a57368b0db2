"""attacks.md section 7 for signing up: no page tells who exists, no stranger waits in an account that another comes to have, and
nobody is held to terms that they have not read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import suspend
from idp.attempts import drain
from idp.models import Account, Attempt, AuditEvent, Email, HeldAddress, Link, MailedLink, Password
from idp.parts import Parts
from idp.receipts import steps_of
from tests.attacks.counted_work import Work, counted, looked_at
from tests.company_walker import sign_in as sign_in_by_company
from tests.guests import invitation, invited, take
from tests.journey import PASSWORD, Walker, add_carol
from tests.login.test_sign_up import accounts, ask, choose, verify_link
from tests.newcomers import (
    come,
    facebook,
    google,
    handle_in,
    is_signed_in,
    mailed,
    mails,
    opened,
    text,
    unverify,
    with_newcomers,
)
from tests.saml_parties import Customer, belong, decide_for

CAROL = "carol@example.org"
TERMS, LATER = "2026-11", "2027-01"


def with_terms(parts: Parts, version: str) -> Parts:
    """The same provider, whose operator asks for a version of the terms ("": for none)."""
    said = {"terms_url": "https://example.org/terms", "privacy_url": "https://example.org/privacy"} if version else {}
    return dataclasses.replace(parts, config=parts.config.model_copy(update=said | {"terms_version": version}))


@pytest.fixture
def app(parts: Parts) -> Flask:
    return with_newcomers(with_terms(parts, TERMS))


@pytest.fixture
def mallory(walker: Walker) -> Walker:
    """At a browser and in a network of her own."""
    return Walker(walker.app, walker.parts, address="203.0.113.9")


def over(page: TestResponse) -> bool:
    return page.status_code == 400 and 'id="sign-up-again"' in text(page)


# --- RC-05 ---------------------------------------------------------------------------------------------------------------------

KNOCKING = {
    CAROL: "already_here",
    "nobdy@example.org": "verify_address",
    "leftb@example.org": "verify_address",
    "socia@example.org": "already_here",
    "guest@example.org": "already_here",
    "suspd@example.org": "account_suspended",
    "empty@example.org": "already_here",
    "unver@example.org": "already_here",
    "alice@acme.example": "already_here",
    "ghost@acme.example": "verify_address",
}


def like(email: str) -> str:
    """Nobody's address, at the same domain: a page may depend on that."""
    return "ghost@acme.example" if email.endswith("@acme.example") else "nobdy@example.org"


@pytest.fixture
def everybody(app: Flask, parts: Parts, acme: Customer) -> Flask:
    """A provider at which all of KNOCKING stand; the addresses of one domain have one length."""
    carol = add_carol(parts)
    add_carol(parts, "empty@example.org", None)
    unverify(parts, add_carol(parts, "unver@example.org"))
    social, suspended = add_carol(parts, "socia@example.org", None), add_carol(parts, "suspd@example.org")
    belong(parts.database, acme, add_carol(parts, "alice@acme.example", None), now=parts.clock())
    invited(parts, "guest@example.org")
    week = int(parts.clock()) + 7 * 24 * 3600
    with parts.database.transaction() as db:
        db.add(HeldAddress(canonical="leftb@example.org", account_id=carol, until=week))
        db.add(Link(account_id=social, issuer="https://google.example", subject="1", door="google", created_at=0))
        suspend(db, db.get_one(Account, suspended), actor="operator:test", now=parts.clock())
    parts.attempts.close()
    return app


def test_rc_05_signing_up_answers_every_address_alike_for_the_same_work(everybody: Flask, parts: Parts) -> None:
    """I9: whoever has an account, of whatever kind, and whoever has none: bytes, headers and work are alike, mails differ."""
    seen: dict[str, object] = {}
    work: dict[str, Work] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, parts, address=f"192.0.{number}.7")
        page = visitor.follow(visitor.get("/sign-up"))
        with counted(parts) as done:
            answer = visitor.submit(page, "/sign-up", username=email)
        with counted(parts) as helped:
            explained = visitor.get("/help/no-mail")
        assert answer.status_code == 200
        seen[email] = looked_at(answer, email), looked_at(explained, email)
        work[email] = Work(done.statements + helped.statements, done.trips + helped.trips)
    for email in KNOCKING:
        assert seen[email] == seen[like(email)], email
        assert work[email] == work[like(email)], email
    told = [(name, recipient) for name, recipient in mails(parts) if name != "invitation"]
    assert told == [(name, email) for email, name in KNOCKING.items()]


def test_rc_05_whoever_signs_up_too_often_waits_alike(everybody: Flask, parts: Parts) -> None:
    tries: dict[str, tuple[int, object]] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, parts, address=f"203.0.{number}.7")
        asked = 0
        while (answer := ask(visitor, email)).status_code == 200:
            asked += 1
        assert answer.status_code == 429
        tries[email] = asked, looked_at(answer, email)
    for email in KNOCKING:
        assert tries[email] == tries[like(email)], email
        assert tries[email][0] == 3


def test_rc_05_the_receipt_of_signing_up_tells_nobody_who_exists(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    ask(walker)
    ask(Walker(walker.app, parts), CAROL)
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        steps = [
            (step.name, step.reason, sorted(step.facts))
            for attempt in db.query(Attempt)
            for step in steps_of(db, attempt.code)
            if step.name == "sign_up_asked"
        ]
    assert steps == [("sign_up_asked", None, ["address", "email"])] * 2


def test_rc_05_a_link_that_is_over_says_the_same_whatever_has_ended_it(walker: Walker, parts: Parts) -> None:
    """Used, taken by another account, held for one, or never made: one page."""
    pages = []
    for number, ended in enumerate(("used", "taken", "held", "made up")):
        email = f"nora{number}@example.org"
        ask(walker, email)
        link = verify_link(parts)
        with parts.database.transaction() as db:
            if ended == "used":
                db.query(MailedLink).update({"used_at": 1})
            elif ended == "held":
                owner = db.query(Account).first()
                assert owner is not None
                week = int(parts.clock()) + 7 * 24 * 3600
                db.add(HeldAddress(canonical=email, account_id=owner.id, until=week))
        if ended == "taken":
            add_carol(parts, email)
        visitor = Walker(walker.app, parts)
        page = visitor.follow(visitor.get(f"/verify?t={'A' * 43}" if ended == "made up" else link))
        assert over(page)
        pages.append(looked_at(page, email))
    assert all(page == pages[0] for page in pages)


# --- RC-10: whoever asks first with another's address gains nothing --------------------------------------------------------------


def test_rc_10_who_asked_for_the_link_gets_nothing_by_its_use(mallory: Walker, parts: Parts) -> None:
    """Mallory's browser has a journey to a product under way when it asks; Carol's, which uses the link, does not go on with it."""
    handle = handle_in(mallory.follow(mallory.az()))
    mallory.submit(mallory.get(f"/sign-up?p={handle}"), "/sign-up", username=CAROL)
    carol = Walker(mallory.app, parts)
    done = choose(carol, verify_link(parts))
    assert done.request.path == "/me" and is_signed_in(carol)
    assert not is_signed_in(mallory)
    assert 'id="username"' in text(mallory.follow(mallory.get(f"/authorize/resume?p={handle}")))
    assert over(mallory.follow(mallory.get("/verify")))
    with parts.database.reading() as db:
        assert [(one.canonical, one.verified_at is not None) for one in db.query(Email)] == [(CAROL, True)]


def comes_by_google(carol: Walker, parts: Parts, _: Customer) -> None:
    assert opened(carol, carol.follow(carol.submit(come(carol, google("g-c", CAROL)), "/login/welcome", terms="yes")))


def takes_an_invitation(carol: Walker, parts: Parts, _: Customer) -> None:
    invited(parts, CAROL)
    take(carol, invitation(parts), terms="yes")
    assert is_signed_in(carol)


def is_made_by_an_operator(carol: Walker, parts: Parts, _: Customer) -> None:
    add_carol(parts)
    carol.sign_in(carol.follow(carol.get("/login")))
    assert is_signed_in(carol)


def comes_by_a_link_of_her_own(carol: Walker, parts: Parts, _: Customer) -> None:
    ask(carol, CAROL)
    choose(carol, verify_link(parts), PASSWORD)
    assert is_signed_in(carol)


@pytest.mark.parametrize(
    "comes", [comes_by_google, takes_an_invitation, is_made_by_an_operator, comes_by_a_link_of_her_own]
)
def test_rc_10_a_link_that_a_stranger_asked_for_is_over_when_its_owner_comes(
    mallory: Walker, parts: Parts, acme: Customer, comes: Callable[[Walker, Parts, Customer], None]
) -> None:
    """Whichever way Carol comes, the link that Mallory had sent makes and changes nothing any more, even if somebody finds it."""
    ask(mallory, CAROL)
    waiting = verify_link(parts)
    form = mallory.follow(mallory.get(waiting))  # as if she could read the mail, and had the page open since
    comes(Walker(mallory.app, parts), parts, acme)
    with parts.database.reading() as db:
        before = [(one.account_id, one.hash) for one in db.query(Password)], db.query(Link).count()
    assert over(mallory.submit(form, "/verify", password="a password of Mallory's own", name="", terms="yes"))
    assert over(mallory.follow(mallory.get(waiting)))
    assert not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert ([(one.account_id, one.hash) for one in db.query(Password)], db.query(Link).count()) == before
    assert accounts(parts) == [CAROL]


def test_rc_10_a_link_is_over_when_the_company_has_made_the_account(
    mallory: Walker, parts: Parts, acme: Customer
) -> None:
    decide_for(parts.database, acme, jit=True)
    ask(mallory, "alice@acme.example")
    waiting = verify_link(parts)
    sign_in_by_company(Walker(mallory.app, parts), acme)
    assert accounts(parts) == ["alice@acme.example"]
    assert over(mallory.follow(mallory.get(waiting)))


def test_rc_10_a_provider_that_proves_no_address_opens_nothing_of_who_signs_up(mallory: Walker, parts: Parts) -> None:
    """Mallory comes by Facebook, which says that she is Carol. She stops where the address is to be proved; Carol signs up."""
    page = come(mallory, facebook("f-m", CAROL))
    mallory.submit(page, "/login/address", username=CAROL)
    asked = mailed(parts, "prove_address")
    carol = Walker(mallory.app, parts)
    ask(carol, CAROL)
    choose(carol, verify_link(parts))
    assert is_signed_in(carol)
    again = come(mallory, facebook("f-m", CAROL))
    assert not opened(mallory, again) and not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0
    # Nor by the mail that she had sent before, should Carol open it: it is not for the account that Carol has made.
    carol.follow(carol.get(asked))
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0


# --- the terms of the moment -------------------------------------------------------------------------------------------------------


def accepted(parts: Parts) -> list[tuple[str | None, int | None]]:
    with parts.database.reading() as db:
        noted = [event.facts["version"] for event in db.query(AuditEvent).filter_by(event="person.terms_accepted")]
        found = [(one.terms_version, one.terms_accepted_at) for one in db.query(Account)]
    assert noted == [version for version, _ in found if version]
    return found


def with_the_terms(walker: Walker, version: str) -> None:
    """The operator starts the provider anew, with other terms; the browser keeps what it has."""
    walker.browser.application = with_newcomers(with_terms(walker.parts, version))


@pytest.mark.parametrize("before", [TERMS, ""])
def test_terms_that_are_new_since_the_page_was_opened_must_be_accepted(
    walker: Walker, parts: Parts, before: str
) -> None:
    with_the_terms(walker, before)
    ask(walker)
    page = walker.follow(walker.get(verify_link(parts)))
    with_the_terms(walker, LATER)
    chosen = {"password": "nine lives of another cat", "name": "Nora"}
    # With what they had read and ticked; and with the new version by a hand that knows it, but no tick.
    for said in ({"terms": "yes"}, {"version": LATER, "terms": None}, {"version": LATER, "terms": "no"}):
        answer = walker.submit(page, "/verify", **chosen, **said)
        assert answer.status_code == 400
        assert 'id="verify-page"' in text(answer) and f'name="version" value="{LATER}"' in text(answer)
        assert 'id="terms"' in text(answer) and "checked" not in text(answer)
        assert accounts(parts) == []
    assert "code" in walker.answer_of(walker.follow(walker.submit(answer, "/verify", **chosen, terms="yes")))
    assert accepted(parts) == [(LATER, int(parts.clock()))]


def test_terms_that_are_new_since_the_mail_are_those_on_the_page(walker: Walker, parts: Parts) -> None:
    ask(walker)
    with_the_terms(walker, LATER)
    assert "code" in walker.answer_of(choose(walker, verify_link(parts)))
    assert accepted(parts) == [(LATER, int(parts.clock()))]


def test_terms_that_are_no_more_are_accepted_by_nobody(walker: Walker, parts: Parts) -> None:
    ask(walker)
    page = walker.follow(walker.get(verify_link(parts)))
    with_the_terms(walker, "")
    walker.submit(page, "/verify", password="nine lives of another cat", name="Nora", terms="yes")
    assert accepted(parts) == [(None, None)]

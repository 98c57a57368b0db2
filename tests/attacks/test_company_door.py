"""attacks.md section 8 as far as it is the door's own: once, in the same browser, for this company; and that it tells nobody
who has an account, and lets nobody past it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import suspend
from idp.app import create_app
from idp.models import Account, AuditEvent, Email, Link, Member, OutboxMail
from idp.parts import Parts
from tests.attacks.counted_work import CountingHasher, Work, counted
from tests.attacks.test_password_sign_in import looked_at
from tests.company_walker import answer, come_back, leave, post, reason_of, request_at, sign_in, text
from tests.conftest import Clock
from tests.fakes.company_idp import CompanyIdp
from tests.journey import PASSWORD, Walker, add_carol
from tests.saml_parties import Customer, add_customer, belong, decide_for

ALICE = "alice@acme.example"


@pytest.fixture
def globex(parts: Parts) -> Customer:
    idp = CompanyIdp("https://idp.globex.example/", name="Globex")
    return add_customer(
        parts.database, parts.connections, idp, "globex.example", name="Globex", now=parts.clock(), random=parts.random
    )


def is_signed_in(walker: Walker) -> bool:
    return walker.get("/me").status_code == 200


def sessions(parts: Parts) -> int:
    with parts.database.reading() as db:
        return db.query(AuditEvent).filter_by(event="person.signed_in").count()


# --- SA-16: a response counts once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["response", "assertion", "both"])
def test_sa_16_a_response_signs_in_once(walker: Walker, acme: Customer, parts: Parts, sign: str) -> None:
    response = answer(acme, leave(walker), parts.clock(), sign=sign)
    first = post(walker, acme, response)
    second = post(walker, acme, response)  # parked before the first was fetched: as two tabs do
    assert "code" in walker.answer_of(walker.follow(first))
    replays = [second, post(walker, acme, response)]
    other_worker = create_app(parts)
    replays.append(post(Walker(other_worker, parts), acme, response))
    stranger = Walker(walker.app, parts)
    for replay in replays:
        for visitor in (walker, stranger):
            page = visitor.follow(replay)
            assert 'id="error-page"' in text(page)
    assert not is_signed_in(stranger)
    assert sessions(parts) == 1


def test_sa_16_an_address_that_was_used_leads_nowhere_again(walker: Walker, acme: Customer, parts: Parts) -> None:
    """The Back button, the browser's history, a proxy's log."""
    answered = post(walker, acme, answer(acme, leave(walker), parts.clock()))
    assert "code" in walker.answer_of(walker.follow(answered))
    for visitor in (walker, Walker(walker.app, parts)):
        assert visitor.get(answered.location).status_code == 400
    assert sessions(parts) == 1


def test_sa_16_one_assertion_in_answer_to_another_request(walker: Walker, acme: Customer, parts: Parts) -> None:
    """An identity provider that repeats itself: the assertion's own id counts too."""
    first, second = leave(walker), leave(walker)
    for request, ends in ((first, True), (second, False)):
        page = come_back(walker, acme, request, assertion_id="_the-same-every-time")
        assert ("code=" in (page.location or "")) is ends
    assert reason_of(page, parts) == "saml_response_repeated"


def test_sa_16_nothing_counts_after_its_time(walker: Walker, acme: Customer, parts: Parts, clock: Clock) -> None:
    request = leave(walker)
    clock.advance(15 * 60)
    assert request_at(come_back(walker, acme, request)).id != request.id  # begun anew
    answered = post(walker, acme, answer(acme, leave(walker), clock()))
    clock.advance(60)
    assert walker.get(answered.location).status_code == 400
    assert sessions(parts) == 0


# --- SA-18: only the browser that left may come back ------------------------------------------------------------------------------


def test_sa_18_mallorys_response_in_alices_browser(walker: Walker, acme: Customer, parts: Parts) -> None:
    mallory, alice = walker, Walker(walker.app, parts)
    for prepare in (lambda: None, lambda: leave(alice)):  # without a cookie of ours, and under way herself
        prepare()
        fresh = answer(acme, leave(mallory, "mallory@acme.example"), parts.clock(), "mallory@acme.example")
        page = alice.follow(post(alice, acme, fresh))
        assert 'id="error-page"' in text(page)
        assert not is_signed_in(alice)
    assert sessions(parts) == 0
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0


def test_sa_18_it_does_not_cost_mallory_her_own_request(walker: Walker, acme: Customer, parts: Parts) -> None:
    """Nor may a stranger who sees a response pass by use it up."""
    request = leave(walker)
    Walker(walker.app, parts).follow(post(walker, acme, answer(acme, request, parts.clock())))
    assert "code" in walker.answer_of(come_back(walker, acme, request))


# --- SA-19: mix-up -----------------------------------------------------------------------------------------------------------------


def test_sa_19_the_answer_of_another_company(walker: Walker, acme: Customer, globex: Customer, parts: Parts) -> None:
    request = leave(walker)
    for company in (acme, globex):  # at either address, made out to either
        for audience in (acme.connection, globex.connection):
            forged = globex.idp.response(
                request_id=request.id, acs=audience.acs, audience=audience.entity_id, name_id=ALICE, now=parts.clock()
            )
            page = walker.follow(post(walker, company, forged))
            assert "code=" not in (page.location or "")
    assert not is_signed_in(walker)
    assert "code" in walker.answer_of(come_back(walker, acme, request))  # the genuine answer still counts


def test_sa_10_a_company_speaks_for_its_own_domains_alone(
    walker: Walker, acme: Customer, globex: Customer, parts: Parts
) -> None:
    for email in ("bob@globex.example", "admin@login.example", "carol@gmail.com", "bob@sub.acme.example"):
        page = come_back(walker, acme, leave(walker), name_id=email)
        assert 'id="error-page"' in text(page)
        assert not is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.query(Account).count() == 0


def test_sa_11_the_same_name_at_two_companies_is_two_people(walker: Walker, parts: Parts) -> None:
    persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    for number, domain in enumerate(("one.example", "two.example")):
        company = add_customer(
            parts.database, parts.connections, CompanyIdp(f"https://idp.{domain}/"), domain, name=domain,
            now=parts.clock(), random=parts.random, name_id_format=persistent, attributes={"email": "mail"},
        )  # fmt: skip
        visitor = Walker(walker.app, parts)
        request = leave(visitor, f"alice@{domain}")
        done = come_back(
            visitor, company, request, name_id="42", name_id_format=persistent,
            attributes={"mail": [f"alice@{domain}"]},
        )  # fmt: skip
        assert "code" in visitor.answer_of(done)
        with parts.database.reading() as db:
            assert db.query(Account).count() == number + 1


# --- I9: the doors tell nobody who has an account -----------------------------------------------------------------------------------

# Addresses of one length, so that pages may be compared byte by byte.
KNOCKING = {
    "carol@acme.example": "has a password and belongs to the company",
    "alice@acme.example": "has come through the company",
    "wrong@acme.example": "is suspended",
    "glass@acme.example": "may use a password although SSO is required",
    "ready@acme.example": "was prepared by the company",
    "nobdy@acme.example": "has no account",
}


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def everybody(parts: Parts, acme: Customer, hasher: CountingHasher) -> Iterator[Flask]:
    counting = dataclasses.replace(parts, hasher=hasher)
    for email in KNOCKING:
        if email.startswith(("nobdy", "alice")):
            continue
        made = add_carol(counting, email, None if email.startswith("ready") else PASSWORD)
        belong(parts.database, acme, made, now=parts.clock())
        with parts.database.transaction() as db:
            member = db.get_one(Member, made)
            member.prepared = email.startswith("ready")
            member.break_glass = email.startswith("glass")
            if email.startswith("wrong"):
                suspend(db, db.get_one(Account, made), actor="operator:test", now=parts.clock())
    app = create_app(counting)
    sign_in(Walker(app, counting), acme)
    counting.attempts.close()
    yield app


@pytest.mark.parametrize("sso", ["optional", "required"])
def test_i9_every_address_of_a_company_gets_the_same_answers_for_the_same_work(
    everybody: Flask, acme: Customer, parts: Parts, hasher: CountingHasher, sso: str
) -> None:
    decide_for(parts.database, acme, sso=sso)
    seen: dict[str, list[object]] = {}
    work: dict[str, tuple[Work, int]] = {}
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, parts, address=f"192.0.{number}.7")
        start = visitor.follow(visitor.az())
        company = visitor.follow(visitor.submit(start, "/login", username="", door="company"))
        hashed = hasher.hashed
        with counted(parts) as done:
            answers = [
                visitor.submit(start, "/login", username=email),
                visitor.submit(company, "/login/company", username=email),
            ]
            back = visitor.submit(company, "/login/company", username=email, door="own")
            page = visitor.follow(back)
            answers += [back, page, visitor.submit(page, "/login/password", username=email, password="not it")]
        work[email] = done, hasher.hashed - hashed
        assert [one.status_code for one in answers] == [303, 303, 303, 200, 400]
        seen[email] = [looked_at(one, email) for one in answers]
    for email in KNOCKING:
        assert seen[email] == seen["nobdy@acme.example"], email
        assert work[email] == work["nobdy@acme.example"], email


def test_i9_an_address_beside_the_companys_tells_nothing_either(
    everybody: Flask, acme: Customer, parts: Parts, hasher: CountingHasher
) -> None:
    """Nor that its owner has one at a company that requires SSO as well, nor that they may break glass there."""
    decide_for(parts.database, acme, sso="required")
    with parts.database.transaction() as db:
        for name in ("carol", "glass"):
            owner = db.query(Email).filter_by(canonical=f"{name}@acme.example").one().account_id
            private = f"{name}@private.example"
            db.add(Email(account_id=owner, address=private, canonical=private, domain="private.example", primary=False))
    addresses = ("carol@private.example", "glass@private.example", "nobdy@private.example")
    seen: dict[str, object] = {}
    work: dict[str, tuple[Work, int]] = {}
    for number, email in enumerate(addresses):
        visitor = Walker(everybody, parts, address=f"192.0.{number}.7")
        page = visitor.follow(visitor.submit(visitor.follow(visitor.az()), "/login", username=email))
        hashed = hasher.hashed
        with counted(parts) as done:
            seen[email] = looked_at(visitor.submit(page, "/login/password", username=email, password="not it"), email)
        work[email] = done, hasher.hashed - hashed
    for email in addresses:
        assert seen[email] == seen["nobdy@private.example"], email
        assert work[email] == work["nobdy@private.example"], email
    assert mails(parts) == []


def test_i9_what_leads_to_the_company_is_the_same_for_everybody(everybody: Flask, acme: Customer, parts: Parts) -> None:
    sizes = set()
    for number, email in enumerate(KNOCKING):
        visitor = Walker(everybody, parts, address=f"192.0.{number}.7")
        page = visitor.follow(visitor.submit(visitor.follow(visitor.az()), "/login", username=email))
        request = request_at(page)
        sizes.add((page.status_code, request.issuer, request.document.get("ForceAuthn")))
    assert len(sizes) == 1


def test_i9_the_list_of_companies_cannot_be_copied_quickly(walker: Walker, acme: Customer, clock: Clock) -> None:
    start = walker.follow(walker.az())
    statuses = [walker.submit(start, "/login", username=f"a@{number}.example").status_code for number in range(130)]
    assert statuses == [303] * 100 + [429] * 30
    # A domain that was asked for lately costs nothing, so an office full of people goes on,
    assert walker.submit(start, "/login", username="b@7.example").status_code == 303
    # both doors are one,
    other = walker.follow(walker.submit(start, "/login", username="", door="company"))
    page = walker.submit(other, "/login/company", username="a@131.example")
    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) > 0
    assert walker.follow(walker.az(login_hint="a@132.example", client_id="C1")).status_code == 429
    # and other networks are not concerned.
    elsewhere = Walker(walker.app, walker.parts, address="203.0.113.9")
    assert elsewhere.submit(elsewhere.follow(elsewhere.az()), "/login", username=ALICE).status_code == 303


# --- nobody walks past it ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def required(acme: Customer, parts: Parts) -> Customer:
    decide_for(parts.database, acme, sso="required")
    return acme


def by_password(walker: Walker, email: str) -> TestResponse:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username="", door="company"))
    page = walker.follow(walker.submit(page, "/login/company", username=email, door="own"))
    return walker.follow(walker.submit(page, "/login/password", username=email, password=PASSWORD))


def mails(parts: Parts) -> list[tuple[str, str]]:
    with parts.database.reading() as db:
        return [(mail.name, mail.recipient) for mail in db.query(OutboxMail).order_by(OutboxMail.id)]


def test_the_right_password_is_a_wrong_one_where_the_company_requires_its_own_door(
    walker: Walker, required: Customer, parts: Parts
) -> None:
    add_carol(parts, ALICE)
    page = by_password(walker, ALICE)
    assert page.status_code == 400
    assert "E-mail address or password wrong" in text(page)
    assert reason_of(page, parts) == "company_sso_required"
    assert not is_signed_in(walker)
    assert mails(parts) == [("right_door", ALICE)]
    wrong = Walker(walker.app, parts)
    start = wrong.follow(wrong.submit(wrong.follow(wrong.az()), "/login", username="carol@example.org"))
    answered = wrong.submit(start, "/login/password", username=ALICE, password="not the password")
    assert looked_at(answered, ALICE) == looked_at(page, ALICE)


def test_an_address_beside_the_companys_does_not_open_the_account_either(
    walker: Walker, required: Customer, parts: Parts
) -> None:
    alice = add_carol(parts, ALICE)
    with parts.database.transaction() as db:
        private = "alice@private.example"
        db.add(Email(account_id=alice, address=private, canonical=private, domain="private.example", primary=False))
    assert by_password(walker, "alice@private.example").status_code == 400
    assert not is_signed_in(walker)


def test_a_company_may_close_passwords_alone(walker: Walker, acme: Customer, parts: Parts) -> None:
    add_carol(parts, ALICE)
    decide_for(parts.database, acme, doors=["social"])
    assert by_password(walker, ALICE).status_code == 400
    decide_for(parts.database, acme, doors=["password"])
    assert "code" in walker.answer_of(by_password(Walker(walker.app, parts), ALICE))


def test_break_glass_opens_and_is_told_to_all_administrators(walker: Walker, required: Customer, parts: Parts) -> None:
    glass = add_carol(parts, "glass@acme.example")
    belong(parts.database, required, glass, now=parts.clock())
    for name in ("admin1", "admin2"):
        made = add_carol(parts, f"{name}@acme.example")
        belong(parts.database, required, made, "administrator", now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, glass).break_glass = True
    assert "code" in walker.answer_of(by_password(walker, "glass@acme.example"))
    assert mails(parts) == [("break_glass", "admin1@acme.example"), ("break_glass", "admin2@acme.example")]
    with parts.database.reading() as db:
        assert db.query(AuditEvent).filter_by(event="company.break_glass_used").count() == 1
    assert by_password(Walker(walker.app, parts), "admin1@acme.example").status_code == 400


def test_break_glass_sign_ins_cannot_go_on_without_end(walker: Walker, required: Customer, parts: Parts) -> None:
    """Each is mailed to others; so it costs a try, also when the password is right."""
    glass = add_carol(parts, "glass@acme.example")
    belong(parts.database, required, glass, "administrator", now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, glass).break_glass = True
    statuses = [by_password(Walker(walker.app, parts), "glass@acme.example").status_code for _ in range(12)]
    assert statuses == [303] * 10 + [429] * 2
    assert len(mails(parts)) >= 10

"""Beyond the catalogue: what a company, its identity provider or somebody who has left it could still reach of others."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from werkzeug.test import TestResponse

from idp.accounts.lifecycle import apply_revocations, change_claims
from idp.admin.dry_run import Report, as_if_sent, dry_run, masked
from idp.admin.trials import make_trial
from idp.company_policy import require_sso
from idp.connections import NAME_ID_EMAIL, NAME_ID_UNSPECIFIED, ConnectionRefused
from idp.doors.company_identity import LONGEST_FORMAT, LONGEST_NAME_ID
from idp.doors.saml_document import LARGEST, SamlRefused, parse
from idp.members import remove_member
from idp.models import Account, CompanyDomain, Connection, Email, Link, MailedLink, Member, OutboxMail, Revocation
from idp.parts import Parts
from tests import canaries
from tests.company_walker import answer, come_back, leave, post, reason_of, request_at, sign_in, text
from tests.fakes.company_idp import CompanyIdp
from tests.journey import PASSWORD, Walker, add_carol
from tests.saml_parties import Customer, add_customer, answer_for, belong, decide_for

ALICE = "alice@acme.example"


@pytest.fixture
def globex(parts: Parts) -> Customer:
    idp = CompanyIdp("https://idp.globex.example/", name="Globex")
    return add_customer(
        parts.database, parts.connections, idp, "globex.example", name="Globex", now=parts.clock(), random=parts.random
    )


def by_password(walker: Walker, email: str) -> TestResponse:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username="", door="company"))
    page = walker.follow(walker.submit(page, "/login/company", username=email, door="own"))
    return walker.follow(walker.submit(page, "/login/password", username=email, password=PASSWORD))


def is_signed_in(walker: Walker) -> bool:
    return walker.get("/me").status_code == 200


def mails(parts: Parts) -> list[tuple[str, str]]:
    with parts.database.reading() as db:
        return [(mail.name, mail.recipient) for mail in db.query(OutboxMail).order_by(OutboxMail.id)]


def lose(parts: Parts, domain: str) -> None:
    """Its proof was missing for a week."""
    with parts.database.transaction() as db:
        row = db.query(CompanyDomain).filter_by(held=domain).one()
        row.status, row.free_at = "lost", int(parts.clock()) + 30 * 86400


# --- passwords stay closed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decided", [{"sso": "required"}, {"doors": ["social"]}])
def test_a_domain_whose_proof_is_lost_opens_no_password_again(
    walker: Walker, acme: Customer, parts: Parts, decided: dict[str, object]
) -> None:
    """Or whoever can make a TXT record disappear for a week makes every old password count again."""
    decide_for(parts.database, acme, **decided)
    add_carol(parts, ALICE)
    glass = add_carol(parts, "glass@acme.example")
    belong(parts.database, acme, glass, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, glass).break_glass = True
    lose(parts, "acme.example")
    started = walker.submit(walker.follow(walker.az()), "/login", username=ALICE)
    assert "/login/password" in started.location  # nobody is led to the company any more
    page = by_password(walker, ALICE)
    assert page.status_code == 400
    assert reason_of(page, parts) == "company_sso_required"
    assert not is_signed_in(walker)
    assert mails(parts) == []  # there is no right door to tell of
    assert "code" in walker.answer_of(by_password(Walker(walker.app, parts), "glass@acme.example"))


def test_a_domain_that_was_given_back_binds_nobody(walker: Walker, acme: Customer, parts: Parts) -> None:
    decide_for(parts.database, acme, sso="required")
    add_carol(parts, ALICE)
    with parts.database.transaction() as db:
        db.query(CompanyDomain).filter_by(held="acme.example").one().status = "released"
    assert "code" in walker.answer_of(by_password(walker, ALICE))


def test_requiring_sso_ends_sessions_in_a_lost_domain_too(acme: Customer, parts: Parts) -> None:
    boss, alice = add_carol(parts, "boss@acme.example"), add_carol(parts, ALICE)
    belong(parts.database, acme, boss, "administrator", now=parts.clock())
    lose(parts, "acme.example")
    with parts.database.transaction() as db:
        db.get_one(Member, boss).break_glass = True
        parts.connections.note_administrator_signed_in(db, acme.connection.id, now=parts.clock())
        require_sso(db, acme.company_id, end_sessions=True, actor="operator:test", now=parts.clock())
    with parts.database.reading() as db:
        assert {row.account_id for row in db.query(Revocation).filter_by(kind="account")} == {alice}


def test_break_glass_of_one_company_opens_nothing_that_another_has_closed(
    walker: Walker, acme: Customer, globex: Customer, parts: Parts
) -> None:
    for company in (acme, globex):
        decide_for(parts.database, company, sso="required")
    alice = add_carol(parts, ALICE)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, alice).break_glass = True
        other = "alice@globex.example"
        db.add(Email(account_id=alice, address=other, canonical=other, domain="globex.example", primary=False))
    assert by_password(walker, ALICE).status_code == 400
    assert by_password(walker, other).status_code == 400
    assert not is_signed_in(walker)


# --- what is over is over --------------------------------------------------------------------------------------------------


def test_the_account_of_who_has_left_is_not_the_companys_to_open(walker: Walker, acme: Customer, parts: Parts) -> None:
    """Alice has left and has taken her account to an address of her own; the company's IT still says that it is she."""
    sign_in(walker, acme)
    boss = add_carol(parts, "boss@acme.example")
    belong(parts.database, acme, boss, "administrator", now=parts.clock())
    with parts.database.transaction() as db:
        alice = db.query(Link).one().account_id
        remove_member(db, acme.company_id, alice, actor="operator:test", now=parts.clock())
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    again = Walker(walker.app, parts)
    assert "code" in again.answer_of(
        sign_in(again, acme)
    )  # as long as her address is the company's, JIT takes her back
    with parts.database.transaction() as db:
        remove_member(db, acme.company_id, alice, actor="operator:test", now=parts.clock())
        email = db.query(Email).filter_by(account_id=alice).one()
        email.address = email.canonical = "alice@private.example"
        email.domain = "private.example"
    mallory = Walker(walker.app, parts)
    page = sign_in(mallory, acme)
    assert reason_of(page, parts) == "company_member_missing"
    assert not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert db.get(Member, alice) is None


def switch_off(parts: Parts, customer: Customer) -> None:
    with parts.database.transaction() as db:
        parts.connections.back_to_draft(db, customer.connection.id, actor="operator:test", now=parts.clock())


def take_domain(parts: Parts, customer: Customer) -> None:
    with parts.database.transaction() as db:
        db.query(CompanyDomain).filter_by(company_id=customer.company_id).one().status = "released"


def remove(parts: Parts, customer: Customer) -> None:
    with parts.database.transaction() as db:
        parts.connections.remove(db, customer.connection.id, actor="operator:test", now=parts.clock())


ENDS = pytest.mark.parametrize(
    ("end", "reason"), [(switch_off, "connection_not_live"), (take_domain, "company_domain_foreign")]
)


@ENDS
def test_an_answer_that_waits_counts_no_more_when_its_connection_is_switched_off(
    walker: Walker, acme: Customer, parts: Parts, end: object, reason: str
) -> None:
    """The company's identity provider was broken into, and its connection is switched off this minute."""
    answered = post(walker, acme, answer(acme, leave(walker), parts.clock()))
    end(parts, acme)  # type: ignore[operator]  # parametrised as object
    assert reason_of(walker.follow(answered), parts) == reason
    assert not is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0


@ENDS
def test_a_proof_links_nothing_when_the_connection_is_switched_off_meanwhile(
    walker: Walker, acme: Customer, parts: Parts, end: object, reason: str
) -> None:
    add_carol(parts, ALICE)
    page = sign_in(walker, acme)
    walker.submit(page, "/login/link/send")
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).filter_by(name="link_account").one()
        link = parts.sealer.open(mail.values["sealed"], f"link_account {mail.recipient}")["link"]
    opened = walker.follow(walker.get(link))
    end(parts, acme)  # type: ignore[operator]  # parametrised as object
    for refused in (
        walker.submit(page, "/login/link", password=PASSWORD),
        walker.submit(page, "/login/link/send"),
        walker.submit(opened, "/login/link/mail"),
    ):
        assert refused.status_code == 403
        assert reason_of(refused, parts) == reason
    assert not is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0
        assert db.query(MailedLink).filter_by(purpose="link").count() == 1


def test_a_connection_that_is_gone_signs_nobody_in(walker: Walker, acme: Customer, parts: Parts) -> None:
    add_carol(parts, ALICE)
    page = sign_in(walker, acme)
    remove(parts, acme)
    with parts.database.reading() as db:
        assert db.query(Connection).count() == 0
    assert walker.submit(page, "/login/link", password=PASSWORD).status_code == 403
    assert not is_signed_in(walker)


def test_a_prepared_account_that_has_a_password_by_now_must_be_proved(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    """The operator gave its person a password, and they have used it since."""
    prepared = add_carol(parts, ALICE)
    belong(parts.database, acme, prepared, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, prepared).prepared = True
    page = sign_in(walker, acme)
    assert 'id="link-page"' in text(page)
    assert not is_signed_in(walker)


# --- what a hostile identity provider may send ------------------------------------------------------------------------------


@pytest.fixture
def lenient(parts: Parts) -> Customer:
    """A company that leaves the format of names open."""
    return add_customer(
        parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random,
        name_id_format=NAME_ID_UNSPECIFIED, attributes={"email": "mail"},
    )  # fmt: skip


@pytest.mark.parametrize("format", ["x" * 201, "x" * 60_000, "urn:\x9b2J", "urn:\u202eevil"])
def test_a_format_that_is_none_signs_nobody_in_and_breaks_nothing(
    walker: Walker, lenient: Customer, parts: Parts, format: str
) -> None:
    """It is part of the name by which a person is found: longer than its column, PostgreSQL would refuse to write it."""
    page = come_back(walker, lenient, leave(walker), name_id_format=format, attributes={"mail": [ALICE]})
    assert page.status_code == 403
    assert reason_of(page, parts) == "company_name_id_format_wrong"


def test_the_longest_name_of_all_fits(walker: Walker, lenient: Customer, parts: Parts) -> None:
    longest = {"name_id": "n" * LONGEST_NAME_ID, "name_id_format": "f" * LONGEST_FORMAT}
    assert "code" in walker.answer_of(
        come_back(walker, lenient, leave(walker), **longest, attributes={"mail": [ALICE]})
    )
    with parts.database.reading() as db:
        assert len(db.query(Link).one().subject) <= 512


def test_a_session_index_of_a_hundred_thousand_characters_is_not_kept(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    page = come_back(walker, acme, leave(walker), session_index="s" * 100_000)
    assert reason_of(page, parts) == "saml_too_large"
    again = Walker(walker.app, parts)
    assert "code" in again.answer_of(come_back(again, acme, leave(again), session_index="s" * 512))


def report_on(parts: Parts, customer: Customer, **changes: Any) -> Report:
    encoded = customer.idp.response(**answer_for(customer.connection), now=parts.clock(), **changes)
    return dry_run(
        encoded, customer.connection, as_if_sent(customer.connection, parts.clock()), database=parts.database,
        clients=[one for one in parts.clients.all().values() if one.enabled], issuer=parts.config.issuer,
        subjects_secret=parts.keys.subjects_secret, now=parts.clock(), random=parts.random,
    )  # fmt: skip


def test_a_report_holds_nothing_that_a_terminal_obeys(lenient: Customer, parts: Parts) -> None:
    """The operator who looks at a hostile response does so in a terminal."""
    evil = "urn:\x9b2J\x9b31m"
    report = report_on(
        parts, lenient, name_id_format=evil, session_index=evil, attributes={evil: [evil], "mail": [evil]}
    )
    shown = [report.name_id, report.name_id_format]
    shown += [text for check in report.checks for text in (check.expected, check.received)]
    shown += [text for one in report.attributes for text in (one.name, *one.values)]
    assert [text for text in shown if not text.isprintable()] == []


def test_a_report_of_a_trial_shows_nothing_of_an_account_that_is_not_proved(acme: Customer, parts: Parts) -> None:
    """Whoever runs the identity provider can say any address of the domain: that must not open what its owner has written."""
    alice = add_carol(parts, ALICE)
    private = {"phone_number": "+33123456789", "address": {"locality": "Secretville", "country": "FR"}, "name": "Alice"}
    with parts.database.transaction() as db:
        account = db.get_one(Account, alice)
        change_claims(db, account, private, actor="operator:test", now=parts.clock())
        sub = account.sub

    before = masked(report_on(parts, acme))
    assert before.outcome is not None and before.outcome.decision == "prove_first"
    for secret in ("Secretville", "+33", "phone_number", sub, alice):
        assert secret not in repr(before)
    with (
        parts.database.transaction() as db
    ):  # and once she has proved it, her address is no more to be read than her name
        db.add(Member(account_id=alice, company_id=acme.company_id, prepared=False, created_at=0))
        issuer = f"company:{acme.connection.id}:{acme.idp.entity_id}"
        db.add(Link(account_id=alice, issuer=issuer, subject=f"{NAME_ID_EMAIL}:{ALICE}", door="company", created_at=0))
    after = masked(report_on(parts, acme))
    assert after.outcome is not None and after.outcome.decision == "found"
    assert after.told
    for secret in ("Secretville", "33123456789"):
        assert secret not in repr(after)


# --- SA-18: a hostile company's own answer, to a request of the victim's own browser ---------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_sa_18_a_hostile_company_makes_nobody_somebody_else(
    walker: Walker, globex: Customer, parts: Parts, known: bool
) -> None:
    """Mallory's page sends Carol to Mallory's identity provider, which says that Mallory has come: to Carol's request."""
    if known:
        sign_in(Walker(walker.app, parts), globex, "mallory@globex.example")
    add_carol(parts)
    walker.sign_in(walker.follow(walker.az()), "carol@example.org")
    gone = walker.follow(walker.get(f"/login/company/again?c={globex.connection.id}"))
    page = come_back(walker, globex, request_at(gone), name_id="mallory@globex.example")
    assert 'id="switch-page"' in text(page)
    assert "carol@example.org" in text(walker.get("/me"))
    with parts.database.reading() as db:
        assert db.query(Link).count() == known
    again = walker.follow(walker.submit(page, "/login/switch"))
    assert "mallory@globex.example" in text(again)
    assert "carol@example.org" not in text(walker.get("/me"))


def test_who_comes_back_as_the_same_person_is_asked_nothing(walker: Walker, acme: Customer, parts: Parts) -> None:
    sign_in(walker, acme)
    request = leave(walker, prompt="login")
    assert "code" in walker.answer_of(come_back(walker, acme, request))


def test_a_session_that_is_over_when_it_begins_sends_nobody_round_for_ever(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    page = come_back(walker, acme, leave(walker), session_not_on_or_after=parts.clock() - 30)
    assert reason_of(page, parts) == "saml_expired"


# --- SA-26: what anybody may post costs little ------------------------------------------------------------------------------


COSTLY = {
    "what looks like declarations": b"<a>" + b"xmlns:" * 30_000 + b"</a>",
    "declarations that never end": b"<a>" + b" xmlns:a=" * 20_000 + b"</a>",
    "a prefix that never ends": b"<a>" + b" xmlns:" + b"xmlns" * 35_000 + b"</a>",
    "spaces": b"<a>" + b" xmlns" + b" " * 180_000 + b"</a>",
    "quotes": b"<a>" + b" xmlns='\"" * 18_000 + b"</a>",
    "attributes": b"<a " + b" ".join(b"a%d='1'" % number for number in range(16_000)) + b"/>",
    "attributes behind a sign": b"<a x='>' " + b" ".join(b"a%d='1'" % number for number in range(16_000)) + b"/>",
    "namespaces": b"<a " + b" ".join(b"xmlns:a%d='x:y'" % number for number in range(10_000)) + b"/>",
}


@pytest.mark.parametrize("name", COSTLY)
def test_sa_26_no_document_takes_long_to_be_refused(name: str) -> None:
    """A page of anybody's may post them to any connection: one thread, and with it a whole process, would stand for minutes."""
    assert len(COSTLY[name]) <= LARGEST * 3 // 4
    began = time.process_time()
    with suppress(SamlRefused):
        parse(COSTLY[name])
    assert time.process_time() - began < 0.4


@pytest.mark.parametrize(
    "declared", ['xmlns:x="a"', "xmlns:x\n=\t'a'", "a='1'\nxmlns='a'", "a=' xmlns:y=&quot;b:c&quot;' xmlns:x='a'"]
)
def test_sa_06_relative_namespaces_are_found_however_they_are_written(declared: str) -> None:
    with pytest.raises(SamlRefused) as error:
        parse(f"<b:a xmlns:b='b:c' {declared}/>".encode())
    assert error.value.received == "a relative one"


def test_a_test_of_a_connection_fills_no_store(walker: Walker, acme: Customer, parts: Parts) -> None:
    """Its answers are parked whole: whoever may make a test could send them as fast as the network carries them."""
    secret = make_trial(parts.store, acme.connection.id, now=parts.clock(), random=canaries.random)
    answered = []
    for _ in range(3):
        request = request_at(walker.submit(walker.get(f"/login/company/try?p={secret}"), "/login/company/try"))
        answered += [post(walker, acme, answer(acme, request, parts.clock())) for _ in range(3)]
    assert len(parts.store.command("KEYS", "saml:*:answer:*")) == 1
    assert 'id="try-result"' in text(walker.follow(answered[-1]))


@pytest.mark.parametrize("decided", [{"sso": "required"}, {"doors": ["social"]}])
def test_the_last_way_in_is_not_taken_away(acme: Customer, parts: Parts, decided: dict[str, object]) -> None:
    decide_for(parts.database, acme, **decided)
    for take in (switch_off, remove):
        with pytest.raises(ConnectionRefused) as error:
            take(parts, acme)
        assert error.value.reason == "connection_last_live"

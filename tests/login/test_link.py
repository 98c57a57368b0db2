"""An account with the address is there already: proved by its password or by its mail, linked, and only then opened."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import TestResponse

from idp.accounts.passwords import find_credentials
from idp.models import AuditEvent, Email, Link, MailedLink, Member, OutboxMail, Password
from idp.parts import Parts
from tests.company_walker import come_back, leave, reason_of, request_at, sign_in, text
from tests.conftest import Clock
from tests.fakes.company_idp import CompanyIdp
from tests.journey import PASSWORD, Walker, add_carol
from tests.saml_parties import Customer, add_customer, belong

ALICE = "alice@acme.example"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


@pytest.fixture
def alice(parts: Parts, acme: Customer) -> str:
    """She has had an account of her own for long."""
    return add_carol(parts, ALICE)


def mailed(parts: Parts) -> str:
    """The path of the link in the mail that was queued last."""
    with parts.database.reading() as db:
        mail = db.query(OutboxMail).order_by(OutboxMail.id.desc()).first()
        assert mail is not None
        assert mail.name == "link_account"
        return parts.sealer.open(mail.values["sealed"], f"link_account {mail.recipient}")["link"]


def proof(parts: Parts) -> list[str]:
    with parts.database.reading() as db:
        return [link.proof["by"] for link in db.query(Link)]


def is_signed_in(walker: Walker) -> bool:
    return walker.get("/me").status_code == 200


def test_the_password_proves_it(walker: Walker, acme: Customer, alice: str, parts: Parts) -> None:
    page = sign_in(walker, acme)
    assert 'id="link-page"' in text(page)
    assert not is_signed_in(walker)
    page = walker.submit(page, "/login/link", password="not hers")
    assert page.status_code == 400
    assert proof(parts) == []
    done = walker.follow(walker.submit(page, "/login/link", password=PASSWORD))
    assert "code" in walker.answer_of(done)
    assert proof(parts) == ["password"]
    with parts.database.reading() as db:
        assert db.get_one(Member, alice).company_id == acme.company_id
        assert db.query(AuditEvent).filter_by(event="person.linked").count() == 1
    # from now on the company opens it, and the password still does
    assert "code" in walker.answer_of(sign_in(Walker(walker.app, parts), acme))


def test_guessing_the_password_is_slowed_as_at_its_door(
    walker: Walker, acme: Customer, alice: str, parts: Parts
) -> None:
    page = sign_in(walker, acme)
    statuses = [walker.submit(page, "/login/link", password="no").status_code for _ in range(11)]
    assert statuses == [400] * 10 + [429]


def test_a_mail_proves_it_and_the_company_is_asked_again(
    walker: Walker, acme: Customer, alice: str, parts: Parts, clock: Clock
) -> None:
    page = sign_in(walker, acme)
    sent = walker.submit(page, "/login/link/send")
    assert "one hour" in text(sent)
    link = mailed(parts)
    assert proof(parts) == []
    opened = walker.follow(walker.get(link))
    assert "t=" not in opened.request.full_path
    for _ in range(5):  # scanners open links too
        walker.open("HEAD", link)
        walker.get(link)
    assert proof(parts) == []
    clock.advance(3500)
    page = walker.follow(walker.submit(opened, "/login/link/mail"))
    assert proof(parts) == ["mail"]
    assert not is_signed_in(walker)  # an hour-old answer of the company signs nobody in
    done = come_back(walker, acme, request_at(page))
    assert 'id="error-page"' not in text(done)
    assert is_signed_in(walker)
    with parts.database.reading() as db:
        assert db.get(Password, alice) is not None
    # once
    assert walker.submit(opened, "/login/link/mail").status_code == 400


def test_a_mailed_link_ends_after_an_hour(
    walker: Walker, acme: Customer, alice: str, parts: Parts, clock: Clock
) -> None:
    walker.submit(sign_in(walker, acme), "/login/link/send")
    opened = walker.follow(walker.get(mailed(parts)))
    clock.advance(3601)
    assert walker.submit(opened, "/login/link/mail").status_code == 400
    assert walker.get("/login/link/mail").status_code == 400
    assert proof(parts) == []


def test_lk_04_a_link_that_somebody_else_asked_for_links_nothing(
    walker: Walker, acme: Customer, alice: str, parts: Parts
) -> None:
    """Mallory, who runs the company's identity provider, arrives as Alice and lets the mail go to her."""
    mallory = walker
    mallory.submit(sign_in(mallory, acme), "/login/link/send")
    link = mailed(parts)
    victim = Walker(walker.app, parts)
    victim.get("/login")
    page = victim.follow(victim.get(link))
    assert 'id="error-page"' in text(page)
    own = victim.follow(victim.get("/login"))
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text(own)))
    assert victim.open("POST", "/login/link/mail", data=fields).status_code == 400
    assert proof(parts) == []


def test_lk_04_the_proof_is_for_the_identity_that_arrived_and_no_other(
    walker: Walker, acme: Customer, alice: str, parts: Parts
) -> None:
    """Carol's password, or the page of another arrival, open nothing of Alice's."""
    add_carol(parts, "carol@example.org", "another password of carol")
    page = sign_in(walker, acme)
    assert walker.submit(page, "/login/link", password="another password of carol").status_code == 400
    other = Walker(walker.app, parts)
    other.get("/login")
    handle = re.findall(r'name="p" value="([^"]*)"', text(page))[0]
    assert 'id="error-page"' in text(other.get(f"/login/link?p={handle}"))
    assert proof(parts) == []


def test_rc_10_an_address_that_nobody_had_proved_is_taken_back_by_mail(
    walker: Walker, acme: Customer, alice: str, parts: Parts
) -> None:
    """Mallory made the account before Alice came, and sits in it."""
    mallory = Walker(walker.app, parts)
    mallory.sign_in(mallory.follow(mallory.az()), "carol@example.org")
    with parts.database.transaction() as db:
        db.query(Email).filter_by(account_id=alice).one().verified_at = None
    page = mallory.follow(mallory.submit(mallory.follow(mallory.az()), "/login", username=ALICE, door="company"))
    page = mallory.follow(mallory.submit(page, "/login/company", username=ALICE, door="own"))
    mallory.follow(mallory.submit(page, "/login/password", username=ALICE, password=PASSWORD))
    assert is_signed_in(mallory)
    walker.submit(sign_in(walker, acme), "/login/link/send")
    walker.submit(walker.follow(walker.get(mailed(parts))), "/login/link/mail")
    assert not is_signed_in(mallory)
    with parts.database.reading() as db:
        assert db.get(Password, alice) is None
        assert db.query(Email).filter_by(account_id=alice).one().verified_at is not None
        assert find_credentials(db, ALICE).hash is None
        assert db.query(AuditEvent).filter_by(event="person.reclaimed").count() == 1


def test_a_prepared_member_needs_no_proof(walker: Walker, acme: Customer, parts: Parts) -> None:
    prepared = add_carol(parts, ALICE, None)
    belong(parts.database, acme, prepared, now=parts.clock())
    with parts.database.transaction() as db:
        db.get_one(Member, prepared).prepared = True
    assert "code" in walker.answer_of(sign_in(walker, acme))
    assert proof(parts) == ["prepared"]
    with parts.database.reading() as db:
        assert not db.get_one(Member, prepared).prepared


# --- SA-37 -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_number(parts: Parts) -> Customer:
    """A company that names its people by numbers that last, as most do."""
    return add_customer(
        parts.database,
        parts.connections,
        CompanyIdp("https://idp.numbers.example/"),
        "numbers.example",
        name="Numbers",
        now=parts.clock(),
        random=parts.random,
        name_id_format=PERSISTENT,
        attributes={"email": "mail"},
    )


def arrive(walker: Walker, company: Customer, number: str, email: str = "alice@numbers.example") -> TestResponse:
    request = leave(walker, email)
    return come_back(walker, company, request, name_id=number, name_id_format=PERSISTENT, attributes={"mail": [email]})


def test_sa_37_a_new_person_with_an_old_address_does_not_get_the_account(
    walker: Walker, by_number: Customer, parts: Parts
) -> None:
    assert "code" in walker.answer_of(arrive(walker, by_number, "1001"))
    colleague = Walker(walker.app, parts)
    page = arrive(colleague, by_number, "2002")
    assert reason_of(page, parts) == "company_name_id_changed"
    assert not is_signed_in(colleague)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 1
        assert db.query(MailedLink).count() == 0


def test_sa_37_with_the_password_of_the_old_account_it_is_the_same_person(
    walker: Walker, by_number: Customer, parts: Parts
) -> None:
    alice = add_carol(parts, "alice@numbers.example")
    page = arrive(walker, by_number, "1001")
    walker.follow(walker.submit(page, "/login/link", password=PASSWORD))
    again = Walker(walker.app, parts)
    page = arrive(again, by_number, "2002")
    assert "/login/link/send" not in text(page)  # the mailbox may be the new colleague's
    handle = re.findall(r'name="p" value="([^"]*)"', text(page))[0]
    token = re.findall(r'name="csrf" value="([^"]*)"', text(page))[0]
    again.open("POST", "/login/link/send", data={"p": handle, "csrf": token})
    with parts.database.reading() as db:
        assert db.query(MailedLink).filter_by(purpose="link").count() == 0
    assert "code" in again.answer_of(again.follow(again.submit(page, "/login/link", password=PASSWORD)))
    with parts.database.reading() as db:
        assert {link.account_id for link in db.query(Link)} == {alice}


def test_sa_37_a_changed_address_stays_the_same_person(walker: Walker, by_number: Customer, parts: Parts) -> None:
    arrive(walker, by_number, "1001")
    married = Walker(walker.app, parts)
    assert "code" in married.answer_of(arrive(married, by_number, "1001", "alice.new@numbers.example"))
    with parts.database.reading() as db:
        assert db.query(Link).count() == 1

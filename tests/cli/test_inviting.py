"""``idp people invite`` and ``idp companies members invite``, ``resend``, and what the lists say of people."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from idp.accounts.lifecycle import suspend
from idp.cli.companies_command import companies_command
from idp.cli.people_command import people_command
from idp.errors import OperatorError
from idp.models import Account, Device, Member
from idp.parts import Parts
from tests.cli.conftest import Idp
from tests.conftest import Clock
from tests.guests import invitation, state, take
from tests.journey import Walker, add_carol
from tests.newcomers import mails, text
from tests.saml_parties import Customer, belong


@pytest.fixture
def people(run_on_parts: Callable[[click.Command], Idp]) -> Idp:
    return run_on_parts(people_command)


@pytest.fixture
def companies(run_on_parts: Callable[[click.Command], Idp]) -> Idp:
    return run_on_parts(companies_command)


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, OperatorError), result.exception
    return str(result.exception)


def account_of(parts: Parts, email: str) -> str:
    from idp.accounts.lifecycle import find_account

    with parts.database.reading() as db:
        account = find_account(db, email)
        assert account is not None
        return account.id


def test_an_operator_invites_somebody_who_then_has_the_account(people: Idp, walker: Walker, parts: Parts) -> None:
    said = done(people("invite", "Carol@example.org", "--name", "Carol Example", "--language", "fr"))
    assert said == "The invitation to Carol@example.org is on its way.\n"
    assert mails(parts) == [("invitation", "carol@example.org")]
    carol = account_of(parts, "carol@example.org")
    with parts.database.reading() as db:
        account = db.get_one(Account, carol)
        assert (account.profile, account.locale) == ({"name": "Carol Example"}, "fr")
    take(walker, invitation(parts))
    assert "Carol Example" in text(walker.get("/me"))


def test_once_more_by_resend_alone(people: Idp, parts: Parts) -> None:
    done(people("invite", "carol@example.org"))
    assert "was invited already" in refused(people("invite", "carol@example.org"))
    assert "(invite sent 2 times)" in done(people("resend", "carol@example.org"))
    assert len(mails(parts)) == 2
    assert "Nobody has the address" in refused(people("resend", "nobody@example.org"))
    add_carol(parts, "dora@example.org")
    assert "Nobody with this address waits" in refused(people("resend", "dora@example.org"))
    assert "uses an account" in refused(people("invite", "dora@example.org"))


@pytest.mark.parametrize(
    "words", [["not an address"], ["a@b.example", "--name", "a\nb"], ["a@b.example", "--role", "member"]]
)
def test_what_cannot_be_is_refused_and_nothing_made(people: Idp, parts: Parts, words: list[str]) -> None:
    assert refused(people("invite", *words))
    assert mails(parts) == []


def test_into_a_company_by_its_name_with_a_role(people: Idp, parts: Parts, acme: Customer) -> None:
    done(people("invite", "consultant@example.org", "--company", "Acme", "--role", "read_only"))
    with parts.database.reading() as db:
        member = db.get_one(Member, account_of(parts, "consultant@example.org"))
        assert (member.company_id, member.role, member.prepared) == (acme.company_id, "read_only", True)


def test_a_companys_members_are_invited(companies: Idp, parts: Parts, acme: Customer) -> None:
    done(companies("members", "invite", "acme.example", "alice@acme.example", "--role", "administrator"))
    assert "domain of the company" in refused(companies("members", "invite", "Acme", "bob@other.example"))
    done(companies("members", "invite", "Acme", "bob@other.example", "--vouch"))
    assert [name for name, _ in mails(parts)] == ["invitation", "invitation"]
    assert "(invite sent 2 times)" in done(companies("members", "resend", "Acme", "alice@acme.example"))


def test_who_was_added_without_a_mail_is_sent_one(companies: Idp, parts: Parts, acme: Customer, walker: Walker) -> None:
    done(companies("members", "add", "Acme", "alice@acme.example"))
    assert mails(parts) == []
    assert "(invite sent once)" in done(companies("members", "resend", "Acme", "alice@acme.example"))
    take(walker, invitation(parts))
    assert state(parts, account_of(parts, "alice@acme.example")) == ("active", 1)


def test_the_lists_say_what_has_become_of_people(
    people: Idp, companies: Idp, parts: Parts, acme: Customer, clock: Clock
) -> None:
    clock.advance(-200 * 86400)
    names = ("asleep", "awake", "suspended")
    asleep, awake, suspended = (add_carol(parts, f"{name}@acme.example") for name in names)
    for one in (asleep, awake, suspended):
        belong(parts.database, acme, one, now=clock())
    clock.advance(200 * 86400)
    with parts.database.transaction() as db:
        for account_id, days in ((asleep, 91), (awake, 89)):
            at = int(clock()) - days * 86400
            device = Device(account_id=account_id, secret_hash=account_id, label="x", first_seen_at=at, last_seen_at=at)
            db.add(device)
        suspend(db, db.get_one(Account, suspended), actor="operator:test", now=clock())
    done(people("invite", "guest@acme.example", "--company", "Acme"))
    done(people("resend", "guest@acme.example"))
    listed = done(companies("members", "list", "Acme"))
    for line in (
        "asleep@acme.example  inactive",
        "awake@acme.example  active",
        "guest@acme.example  invite sent 2 times",
        "suspended@acme.example  suspended",
    ):
        assert line in listed
    assert "awake@acme.example  inactive" in done(companies("members", "list", "Acme", "--inactive-after", "30"))
    [row] = [
        one for one in json.loads(done(people("list", "--json")))["people"] if one["email"] == "guest@acme.example"
    ]
    assert (row["state"], row["sent"], row["last_sign_in"]) == ("invited", 2, None)
    assert "invite sent 2 times   guest@acme.example" in done(people("list"))
    [row] = [one for one in json.loads(done(companies("members", "list", "Acme", "--json"))) if one["sent"]]
    assert (row["address"], row["state"]) == ("guest@acme.example", "invited")


def test_whoever_has_not_been_here_for_long_and_never_signed_in_is_inactive(parts: Parts, clock: Clock) -> None:
    carol = add_carol(parts)
    assert state(parts, carol) == ("active", 0)
    clock.advance(90 * 86400)
    assert state(parts, carol) == ("inactive", 0)

"""``idp people``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from idp.accounts import lifecycle
from idp.accounts.passwords import PasswordHasher, check_password, find_credentials
from idp.accounts.sessions import find_session
from idp.accounts.standard_claims import RESERVED
from idp.cli.people_command import people_command
from idp.config import Config
from idp.errors import OperatorError
from idp.models import Account, AuditEvent, HeldAddress
from idp.parts import Parts
from tests import canaries
from tests.cli.conftest import Idp
from tests.journey import add_carol
from tests.people import access_is_alive, give, open_for, refresh_is_alive


@pytest.fixture
def idp(run_on_parts: Callable[[click.Command], Idp]) -> Idp:
    return run_on_parts(people_command)


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, OperatorError), result.exception
    message = str(result.exception)
    assert all(letter.isprintable() or letter == "\n" for letter in message)
    return message


def shown(idp: Idp, email: str = "carol@example.org") -> dict[str, Any]:
    result = idp("show", email, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def can_sign_in(parts: Parts, password: str, email: str = "carol@example.org") -> bool:
    with parts.database.reading() as db:
        credentials = find_credentials(db, email)
    return check_password(credentials, password, PasswordHasher(1, 1)).account_id is not None


# --- add -------------------------------------------------------------------------------------------------------------


def test_add_makes_an_account_and_shows_its_password_once(idp: Idp, parts: Parts) -> None:
    result = idp("add", "Carol@Example.org", "--name", "Carol Example")
    assert result.exit_code == 0
    password = re.search(r"Password: (\S+)", result.stdout)
    assert password is not None
    assert len(password[1]) == 20
    assert can_sign_in(parts, password[1])
    assert password[1] not in idp("show", "carol@example.org").stdout
    account = shown(idp)
    assert account["claims"]["name"] == "Carol Example"
    assert account["claims"]["email"] == "Carol@example.org"
    assert account["claims"]["email_verified"] is False  # nobody has proved it yet


def test_add_tells_machines_in_json(idp: Idp, parts: Parts) -> None:
    account = json.loads(idp("add", "carol@example.org", "--json").stdout)
    assert can_sign_in(parts, account["password"])
    assert {"id", "sub", "email", "state"} <= set(account)


def test_add_takes_a_password_from_a_file_or_from_standard_input(idp: Idp, parts: Parts, tmp_path: Path) -> None:
    secret = canaries.register("a password of carol", "password")
    file = tmp_path / "password"
    file.write_text(secret + "\n", encoding="utf-8")
    result = idp("add", "carol@example.org", "--password-file", str(file))
    assert "Password" not in result.stdout
    idp("add", "bob@example.org", "--password-stdin", given=secret + "\r\n")
    assert can_sign_in(parts, secret)
    assert can_sign_in(parts, secret, "bob@example.org")
    assert "once" in refused(idp("add", "x@example.org", "--password-stdin", "--password-file", str(file)))


def test_add_refuses_a_short_password_and_makes_nothing(idp: Idp) -> None:
    assert "too short" in refused(idp("add", "carol@example.org", "--password-stdin", given="1234567\n"))
    assert "Nobody has the address" in refused(idp("show", "carol@example.org"))


def test_an_address_that_was_left_lately_is_said_to_be_held(idp: Idp, parts: Parts) -> None:
    assert idp("add", "carol@example.org").exit_code == 0
    with parts.database.transaction() as db:
        account = db.query(Account).one()
        db.add(HeldAddress(canonical="left@example.org", account_id=account.id, until=2**40))
    for command in ("add", "invite"):
        assert "may take it back" in refused(idp(command, "left@example.org"))
    assert "Nobody has the address" in refused(idp("show", "left@example.org"))


def test_add_refuses_an_address_that_has_an_account_in_any_spelling(idp: Idp) -> None:
    assert idp("add", "carol@example.org").exit_code == 0
    assert "has an account already" in refused(idp("add", "CAROL@example.ORG"))


@pytest.mark.parametrize(
    "email", ["carol", "", "a@b", "a@b@c.org", "carol@example.org\r\nBcc: x", "x" * 10_000 + "@example.org"]
)
def test_add_refuses_what_is_not_an_address(idp: Idp, email: str) -> None:
    assert len(refused(idp("add", email))) < 400


def test_add_refuses_a_wrong_name(idp: Idp) -> None:
    assert "U+202E" in refused(idp("add", "carol@example.org", "--name", "Carol \u202elorac"))


def test_add_refuses_a_password_that_is_no_text_empty_too_long_or_not_to_be_read(idp: Idp, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"pass\xffword-\xe9")
    for words, given, message in (
        (("--password-file", str(file)), b"", "is not text in UTF-8"),
        (("--password-stdin",), b"pass\xffword-\xe9", "is not text in UTF-8"),
        (("--password-stdin",), b"", "too short"),  # nothing was piped in: no password that nobody knows is made
        (("--password-stdin",), b"x" * 1025, "longer than any that we accept"),
        (("--password-stdin",), "\ufdfa".encode() * 1024, "longer than any that we accept"),
        (("--password-file", str(tmp_path / "none")), b"", "cannot be read (No such file or directory)"),
        (("--password-file", str(tmp_path)), b"", "cannot be read (Is a directory)"),
    ):
        assert message in refused(idp("add", "carol@example.org", *words, given=given))
    assert "Nobody has the address" in refused(idp("show", "carol@example.org"))


def test_add_takes_a_password_in_any_script_whatever_the_locale(parts: Parts, config: Config) -> None:
    secret = canaries.register("ключ 🗝 clé très longue", "password")
    environ = {"IDP_ISSUER": config.issuer, "IDP_DATA": str(config.data), "LC_ALL": "C", "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "idp", "people", "add", "carol@example.org", "--password-stdin"]
    subprocess.run(words, env=environ, input=secret.encode(), check=True, capture_output=True)
    assert can_sign_in(parts, secret)


# --- set-password ----------------------------------------------------------------------------------------------------


def test_set_password_shows_a_new_one_once_and_ends_what_the_old_one_opened(idp: Idp, parts: Parts) -> None:
    old = canaries.register("a password of carol", "password")
    carol = add_carol(parts, password=old)
    session, cookie = open_for(parts, carol)
    issued = give(parts, session, offline=True)
    result = idp("set-password", "Carol@example.org")
    password = re.search(r"Password: (\S{20})\n", result.stdout)
    assert password is not None
    assert can_sign_in(parts, password[1])
    assert not can_sign_in(parts, old)
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert not access_is_alive(parts, issued)
    assert not refresh_is_alive(parts, issued)
    assert password[1] not in idp("show", "carol@example.org").stdout
    with parts.database.reading() as db:
        event, actor, account_id = db.execute(
            select(AuditEvent.event, AuditEvent.actor, AuditEvent.account_id).order_by(AuditEvent.id.desc())
        ).first()
    assert (event, account_id) == ("person.password_set", carol)
    assert actor.startswith("operator:")


def test_set_password_takes_a_given_one_and_gives_a_first_one(idp: Idp, parts: Parts, tmp_path: Path) -> None:
    secret = canaries.register("a password of carol", "password")
    add_carol(parts, password=None)
    file = tmp_path / "password"
    file.write_text(secret + "\n", encoding="utf-8")
    assert idp("set-password", "carol@example.org", "--password-file", str(file)).exit_code == 0
    assert can_sign_in(parts, secret)
    told = json.loads(idp("set-password", "carol@example.org", "--json").stdout)
    assert can_sign_in(parts, told["password"])
    assert "too short" in refused(idp("set-password", "carol@example.org", "--password-stdin", given="short"))
    assert can_sign_in(parts, told["password"])


# --- set -------------------------------------------------------------------------------------------------------------


def test_set_fills_all_standard_claims_in_the_right_types(idp: Idp, parts: Parts) -> None:
    add_carol(parts)
    result = idp(
        "set",
        "carol@example.org",
        "name=Carol Example",
        "given_name=Carol",
        "family_name=Example",
        "middle_name=M",
        "nickname=caz",
        "preferred_username=carol",
        "profile=https://example.org/carol",
        "picture=https://example.org/carol.png?a=b",
        "website=https://carol.example.org/",
        "gender=female",
        "birthdate=1990-05-17",
        "zoneinfo=Europe/Paris",
        "locale=fr-FR",
        "email_verified=true",
        "phone_number=+33123456789",
        "phone_number_verified=false",
        'address={"street_address": "1 rue de la Paix\\n2e étage", "locality": "Paris", "country": "FR"}',
    )
    assert result.exit_code == 0, result.output
    claims = shown(idp)["claims"]
    claims.pop("updated_at")
    assert claims == {
        "name": "Carol Example",
        "given_name": "Carol",
        "family_name": "Example",
        "middle_name": "M",
        "nickname": "caz",
        "preferred_username": "carol",
        "profile": "https://example.org/carol",
        "picture": "https://example.org/carol.png?a=b",
        "website": "https://carol.example.org/",
        "gender": "female",
        "birthdate": "1990-05-17",
        "zoneinfo": "Europe/Paris",
        "locale": "fr-FR",
        "email": "carol@example.org",
        "email_verified": True,
        "phone_number": "+33123456789",
        "phone_number_verified": False,
        "address": {"street_address": "1 rue de la Paix\n2e étage", "locality": "Paris", "country": "FR"},
    }


def test_set_removes_a_claim_that_is_given_empty(idp: Idp, parts: Parts) -> None:
    add_carol(parts)
    assert idp("set", "carol@example.org", "name=").exit_code == 0
    assert "name" not in shown(idp)["claims"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("birthdate=17.05.1990", "birthdate: must be YYYY-MM-DD"),
        ("email_verified=yes", "email_verified: must be true or false"),
        ("phone_number_verified=1", "phone_number_verified: must be true or false"),
        ("phone_number=0123", "phone_number: must be international"),
        ("zoneinfo=Paris", "zoneinfo: must be a name of the time zone database"),
        ("locale=french", "locale: must be a language tag"),
        ("website=javascript:alert(1)", "website: must be a web address"),
        ("address=Paris", "address: must be an object"),
        ('address={"locality": 5}', "address.locality: must be a text"),
        ('address={"planet": "Earth"}', "address: may hold only"),
        ("address=" + "[" * 100_000, "address: must be an object"),
        ("name=" + "x" * 1_000_000, "name: is longer than 255"),
        ("name=a\x1b[31m", "name: holds the character U+001B"),
        ("email=nonsense", "email: "),
        ("email=", "email: cannot be removed"),
        ("email_verified=", "email_verified: must be true or false"),
        ("shoe_size=39", "shoe_size: is not a standard claim"),
        ("name", "must be KEY=VALUE"),
        ("=x", "is not a standard claim"),
    ],
)
def test_rs_13_set_refuses_wrong_values_with_a_clear_message(idp: Idp, parts: Parts, change: str, message: str) -> None:
    add_carol(parts)
    before = shown(idp)
    assert message in refused(idp("set", "carol@example.org", "nickname=caz", change))
    assert shown(idp) == before


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_tk_22_p_07_p_08_rs_14_set_refuses_names_that_secure_a_token(idp: Idp, parts: Parts, name: str) -> None:
    add_carol(parts)
    assert f"{name}: is reserved" in refused(idp("set", "carol@example.org", f"{name}=x"))


def test_set_refuses_a_claim_given_twice_and_an_address_of_somebody_else(idp: Idp, parts: Parts) -> None:
    add_carol(parts)
    add_carol(parts, "bob@example.org")
    assert "each KEY once" in refused(idp("set", "carol@example.org", "name=a", "name=b"))
    assert "belongs to another account" in refused(idp("set", "carol@example.org", "email=BOB@example.org"))


def test_set_reaches_open_sessions_at_once(idp: Idp, parts: Parts) -> None:
    _, cookie = open_for(parts, add_carol(parts))
    assert idp("set", "carol@example.org", "name=Carol Ruiz").exit_code == 0
    session = find_session(parts.store, cookie, parts.clock())
    assert session is not None
    assert session.person["name"] == "Carol Ruiz"


# --- suspend, reactivate, withdraw-consent, list ----------------------------------------------------------------------


def test_tk_19_suspend_ends_sessions_at_once_and_reactivate_lets_sign_in_again(idp: Idp, parts: Parts) -> None:
    secret = canaries.register("a password of carol", "password")
    carol = add_carol(parts, password=secret)
    _, cookie = open_for(parts, carol)
    assert idp("suspend", "carol@example.org").exit_code == 0
    assert find_session(parts.store, cookie, parts.clock()) is None
    assert shown(idp)["state"] == "suspended"
    assert not can_sign_in(parts, secret)
    assert idp("reactivate", "carol@example.org").exit_code == 0
    assert shown(idp)["state"] == "active"
    assert can_sign_in(parts, secret)
    with parts.database.reading() as db:
        rows = db.execute(select(AuditEvent.event, AuditEvent.actor).order_by(AuditEvent.id)).all()
    assert [event for event, _ in rows[-2:]] == ["person.suspended", "person.reactivated"]
    assert all(actor.startswith("operator:") for _, actor in rows)


def test_a_suspension_is_written_even_when_redis_does_not_answer(config: Config, parts: Parts) -> None:
    add_carol(parts)
    environ = {"IDP_ISSUER": config.issuer, "IDP_DATA": str(config.data), "IDP_CLIENTS": str(config.clients)}
    environ["IDP_REDIS_URL"] = "redis://127.0.0.1:1"
    result = CliRunner().invoke(people_command, ["suspend", "carol@example.org"], env=environ)
    assert result.exit_code == 0
    assert "Redis does not answer" in result.stderr
    with parts.database.reading() as db:
        assert find_credentials(db, "carol@example.org").state == "suspended"


@pytest.mark.parametrize("content", [None, "clients: [", "clients:\n  x: {type: web}\n"])
def test_a_suspension_stands_and_says_so_even_when_clients_yaml_is_wrong(
    idp: Idp, parts: Parts, tmp_path: Path, content: str | None
) -> None:
    _, cookie = open_for(parts, add_carol(parts))
    file = tmp_path / "wrong.yaml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    result = idp("suspend", "carol@example.org", IDP_CLIENTS=str(file))
    assert result.exit_code == 0
    assert result.stdout == "carol@example.org is suspended.\n"
    assert "This stands, but open sessions do not know it yet" in result.stderr
    assert "wrong.yaml" in result.stderr
    assert find_session(parts.store, cookie, parts.clock()) is not None
    lifecycle.apply_revocations(parts.database, parts.store, parts.clients, parts.clock())  # as a provider does
    assert find_session(parts.store, cookie, parts.clock()) is None


def test_withdraw_consent_says_when_there_is_nothing_to_take_back(idp: Idp, parts: Parts) -> None:
    add_carol(parts)
    assert "has allowed 'C2' nothing" in refused(idp("withdraw-consent", "carol@example.org", "C2"))


def test_list_shows_everybody_by_address(idp: Idp, parts: Parts) -> None:
    assert "Nobody yet" in idp("list").stdout
    add_carol(parts)
    add_carol(parts, "bob@example.org")
    assert [line.split()[:2] for line in idp("list").stdout.splitlines()] == [
        ["active", "bob@example.org"],
        ["active", "carol@example.org"],
    ]
    listed = json.loads(idp("list", "--json").stdout)
    assert [row["email"] for row in listed["people"]] == ["bob@example.org", "carol@example.org"]
    assert listed["after"] is None


def test_list_looks_for_people_and_goes_on_where_it_ended(idp: Idp, parts: Parts) -> None:
    for email in ("bob@example.org", "carol@example.org", "cato@example.net"):
        add_carol(parts, email)
    idp("set", "bob@example.org", "name=Cas Ca")
    idp("suspend", "cato@example.net")
    assert [row["email"] for row in looked_for(idp, "--search", "CA")["people"]] == [
        "carol@example.org",
        "cato@example.net",
        "bob@example.org",
    ]
    assert "Cas Ca" in idp("list", "--search", "bob").stdout
    assert [row["email"] for row in looked_for(idp, "--state", "suspended")["people"]] == ["cato@example.net"]
    assert idp("list", "--search", "nobody").stdout == "Nobody.\n"
    assert "No company has" in refused(idp("list", "--company", "Acme"))
    first = looked_for(idp, "--limit", "2")
    assert len(first["people"]) == 2
    assert f"--after {first['after']}" in idp("list", "--limit", "2").stdout
    rest = looked_for(idp, "--limit", "2", "--after", first["after"])
    assert ([row["email"] for row in rest["people"]], rest["after"]) == (["cato@example.net"], None)
    assert "--after takes what a list before has said" in refused(idp("list", "--after", "x"))


def looked_for(idp: Idp, *words: str) -> dict[str, Any]:
    return dict(json.loads(idp("list", "--json", *words).stdout))


@pytest.mark.parametrize("command", ["show", "set-password", "suspend", "reactivate"])
def test_every_command_says_when_nobody_has_the_address(idp: Idp, command: str) -> None:
    assert "Nobody has the address" in refused(idp(command, "nobody@example.org"))


def test_a_seat_is_given_shown_and_taken_away(idp: Idp, parts: Parts) -> None:
    account_id = add_carol(parts)
    assert idp("seat", "carol@example.org", "--product", "C1", "--role", "attendee").exit_code == 0
    assert "is organizer in C1 now" in idp("seat", "carol@example.org", "--product", "C1", "--role", "organizer").stdout
    assert "already" in idp("seat", "carol@example.org", "--product", "C1", "--role", "organizer").stdout

    assert shown(idp)["claims"]["seats"]["C1"]["role"] == "organizer"
    assert idp("seat", "carol@example.org", "--product", "C1", "--remove").exit_code == 0
    assert "seats" not in shown(idp)["claims"]
    assert "no seat" in refused(idp("seat", "carol@example.org", "--product", "C1", "--remove"))
    with parts.database.reading() as db:
        acts = db.scalars(select(AuditEvent).where(AuditEvent.account_id == account_id)).all()
    assert [act.facts["role"] for act in acts if act.event.startswith("person.seat")] == [
        *("attendee", "organizer", "organizer")
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--product", "C1"),
        ("--product", "C1", "--role", "organizer", "--remove"),
        ("--product", "nothing", "--role", "organizer"),
    ],
)
def test_a_seat_that_is_not_clear_is_refused(idp: Idp, parts: Parts, words: tuple[str, ...]) -> None:
    add_carol(parts)

    refused(idp("seat", "carol@example.org", *words))

"""Promises of connections.py: from draft to live and back, each connection with its own names, keys and certificates."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from idp.certificates import ends, fingerprint
from idp.companies import create_company
from idp.connections import (
    METADATA_EVERY,
    MOST_CONNECTIONS,
    NAME_ID_EMAIL,
    NAME_ID_PERSISTENT,
    ConnectionRefused,
    Connections,
    Description,
    SamlConnection,
    differences,
    keep_document,
)
from idp.database import Database
from idp.doors.saml_refresh import warn_of_certificates
from idp.errors import OperatorError
from idp.models import AuditEvent, Company, Connection, ConnectionKey, ConnectionMetadata
from idp.parts import Parts
from idp.reasons import REASONS
from idp.sealing import Sealer
from tests.backends import running_postgres
from tests.fakes.company_idp import certificate_for, key_pair, pem

WHO = {"actor": "operator:test"}
ACME = key_pair("rsa")[1]
NEWER = key_pair("ec", "newer")[1]


def described(**changes: Any) -> Description:
    values: dict[str, Any] = {
        "entity_id": "https://idp.acme.example/saml",
        "sso_url": "https://idp.acme.example/sso?idpid=C01",
        "sso_binding": "redirect",
        "slo_url": "https://idp.acme.example/slo",
        "slo_binding": "post",
        "slo_response_url": None,
        "certificates": (ACME,),
    }
    return Description(**(values | changes))


def company(parts: Parts, name: str = "Acme") -> str:
    with parts.database.transaction() as db:
        return create_company(db, name, **WHO, now=parts.clock(), random=parts.random).id


def added(parts: Parts, company_id: str, description: Description | None = None, **named: Any) -> SamlConnection:
    with parts.database.transaction() as db:
        return parts.connections.add(
            db,
            company_id,
            description or described(),
            **({"name": "Entra", "vendor": "entra", **named}),
            **WHO,
            now=parts.clock(),
            random=secrets.token_bytes,
        )


def do(parts: Parts, what: Callable[..., Any], *given: Any, **named: Any) -> Any:
    with parts.database.transaction() as db:
        return what(db, *given, **WHO, now=parts.clock(), **named)


def refused(parts: Parts, what: Callable[..., Any], *given: Any, **named: Any) -> str:
    with pytest.raises(ConnectionRefused) as error:
        do(parts, what, *given, **named)
    assert error.value.reason in REASONS
    return error.value.reason


def loaded(parts: Parts, connection_id: str) -> SamlConnection:
    with parts.database.reading() as db:
        found = parts.connections.load(db, connection_id)
    assert found is not None
    return found


def told(parts: Parts, connection_id: str) -> list[str]:
    """The audit of a connection, the oldest first."""
    with parts.database.reading() as db:
        rows = db.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert all(row.actor == "operator:test" for row in rows)
    return [row.event for row in rows if row.facts.get("connection") == connection_id]


# --- on both databases -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def anywhere(request: pytest.FixtureRequest, parts: Parts) -> Iterator[Parts]:
    if request.param == "sqlite":
        yield parts
        return
    with running_postgres() as server:
        database = Database(parts.config.model_copy(update={"database_url": server.new_database()}))
        database.upgrade()
        yield dataclasses.replace(parts, database=database)
        database.close()


def test_the_whole_life_of_a_connection_on_both_databases(anywhere: Parts) -> None:
    parts = anywhere
    acme = company(parts)
    made = added(parts, acme, metadata_url="https://idp.acme.example/md", document="<x/>", source="url")
    do(parts, parts.connections.note_tested, made.id)
    do(parts, parts.connections.go_live, made.id)
    do(parts, parts.connections.roll_key, made.id, random=secrets.token_bytes)
    do(parts, parts.connections.add_certificate, made.id, [NEWER])
    do(parts, parts.connections.remove_certificate, made.id, fingerprint(ACME))
    with parts.database.transaction() as db:
        parts.connections.note_administrator_signed_in(db, made.id, now=parts.clock())
        number = keep_document(
            db, made.id, "<y/>", source="url", state="kept_aside", changes={"sso_url": {"was": "a", "is": "b"}},
            now=parts.clock(),
        ).id  # fmt: skip
    taken = do(parts, parts.connections.take_kept_aside, number, described(slo_url=None, slo_binding=None))

    assert (taken.state, taken.slo_url, taken.certificates) == ("live", None, (ACME,))
    assert [key.state for key in loaded(parts, made.id).keys] == ["signing", "next"]
    with parts.database.transaction() as db:
        db.get_one(Company, acme).contacts = ["it@acme.example"]
    warn_of_certificates(parts.database, parts.sealer, ends(ACME) - 86400 / 2)
    with parts.database.reading() as db:
        assert [one.warned_days for one in parts.connections.certificates(db, made.id)] == [1]
    do(parts, parts.connections.remove, made.id)
    with parts.database.reading() as db:
        assert parts.connections.load(db, made.id) is None


def test_of_two_who_add_the_same_at_once_one_is_refused(anywhere: Parts) -> None:
    parts = anywhere
    acme = company(parts)
    ends_of: list[str] = []

    def work() -> None:
        try:
            ends_of.append(added(parts, acme).state)
        except ConnectionRefused as error:
            ends_of.append(error.reason)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends_of) == ["connection_entity_id_taken", "connection_entity_id_taken", "draft"]


def test_two_who_take_the_last_two_back_at_once_leave_one(anywhere: Parts) -> None:
    parts = anywhere
    acme = company(parts)
    made = [added(parts, acme, described(entity_id=f"urn:{number}")) for number in range(2)]
    for one in made:
        do(parts, parts.connections.note_tested, one.id)
        do(parts, parts.connections.go_live, one.id)
    with parts.database.transaction() as db:
        db.get_one(Company, acme).sso = "required"

    def work(number: int) -> None:
        with suppress(ConnectionRefused):
            do(parts, parts.connections.back_to_draft, made[number].id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(loaded(parts, one.id).state for one in made) == ["draft", "live"]


# --- making one ------------------------------------------------------------------------------------------------------------------


def test_a_connection_has_names_and_keys_of_its_own(parts: Parts) -> None:
    acme = company(parts)

    one, two = added(parts, acme), added(parts, acme, described(entity_id="urn:another"), name="Okta", vendor="okta")

    for connection in (one, two):
        assert connection.state == "draft"
        assert len(connection.id) == 16
        assert connection.entity_id == f"https://login.example/saml/{connection.id}/metadata"
        assert connection.acs == f"https://login.example/saml/{connection.id}/acs"
        assert connection.slo == f"https://login.example/saml/{connection.id}/slo"
        [key] = connection.keys
        assert key.state == "signing"
        assert key.private.key_size == 3072
        assert key.certificate.public_key() == key.private.public_key()
        assert loaded(parts, connection.id) == dataclasses.replace(connection, keys=loaded(parts, connection.id).keys)
        assert told(parts, connection.id) == ["connection.added"]
    assert one.keys[0].certificate != two.keys[0].certificate
    assert (one.certificates, one.sso_binding, one.slo_binding) == ((ACME,), "redirect", "post")
    with parts.database.reading() as db:
        assert [row.name for row in parts.connections.of_company(db, acme)] == ["Entra", "Okta"]
        assert parts.connections.of_company(db, "nobody") == []


def test_what_is_said_beside_the_description_is_kept(parts: Parts) -> None:
    contexts = {"urn:mfa": {"acr": "2", "amr": ["mfa"]}}
    made = added(
        parts, company(parts), name_id_format=NAME_ID_PERSISTENT, attributes={"email": "mail"}, contexts=contexts,
        hint="login_hint", metadata_url="https://idp.acme.example/md", document="<x/>", source="url",
    )  # fmt: skip

    assert (made.name_id_format, made.hint) == (NAME_ID_PERSISTENT, "login_hint")
    assert (made.attributes, made.contexts) == ({"email": "mail"}, contexts)
    with parts.database.reading() as db:
        row = db.get_one(Connection, made.id)
        assert (row.metadata_read_at, row.metadata_due_at) == (parts.clock(), parts.clock() + METADATA_EVERY)
        [kept] = db.scalars(select(ConnectionMetadata))
        assert (kept.state, kept.source, kept.document) == ("taken", "url", "<x/>")
        assert [one.source for one in parts.connections.certificates(db, made.id)] == ["metadata"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), "unspecified"),
        (("x", NAME_ID_PERSISTENT), "persistent"),
        ((NAME_ID_PERSISTENT, NAME_ID_EMAIL), "emailAddress"),
    ],
)
def test_the_best_name_id_format_on_offer_is_asked_for(parts: Parts, offered: tuple[str, ...], chosen: str) -> None:
    assert added(parts, company(parts), described(name_id_formats=offered)).name_id_format.endswith(f":{chosen}")


def test_private_keys_stand_sealed_in_sql_for_their_connection_alone(parts: Parts) -> None:
    acme = company(parts)
    one, two = added(parts, acme), added(parts, acme, described(entity_id="urn:another"))
    written = one.keys[0].private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    with parts.database.reading() as db:
        everything = str(db.execute(text("SELECT * FROM connection_keys")).all())
    assert "PRIVATE" not in everything
    assert written.splitlines()[5] not in everything
    assert "RSAPrivateKey" not in repr(one)

    with parts.database.transaction() as db:  # who can write to SQL gives one connection the key of another
        first, second = db.scalars(select(ConnectionKey).order_by(ConnectionKey.id))
        second.sealed_key = first.sealed_key
    fresh = Connections(parts.config.issuer, Sealer(parts.keys.derive("connections"), parts.random))
    with parts.database.reading() as db:
        assert fresh.load(db, one.id) is not None
        with pytest.raises(OperatorError, match="keys/"):
            fresh.load(db, two.id)


def test_sa_12_an_entity_id_is_unique_within_a_company_only(parts: Parts) -> None:
    acme, other = company(parts), company(parts, "Other")
    first = added(parts, acme)

    with pytest.raises(ConnectionRefused) as error:
        added(parts, acme)
    assert error.value.reason == "connection_entity_id_taken"
    theirs = added(parts, other, described(certificates=(NEWER,)))

    assert loaded(parts, first.id).certificates == (ACME,)
    assert loaded(parts, theirs.id).certificates == (NEWER,)
    assert {first.acs, first.entity_id}.isdisjoint({theirs.acs, theirs.entity_id})
    second = added(parts, acme, described(entity_id="urn:second"))
    assert refused(parts, parts.connections.change, second.id, description=described()) == "connection_entity_id_taken"


def test_there_is_a_bound_to_a_companys_connections(parts: Parts) -> None:
    acme = company(parts)
    first = added(parts, acme)
    with parts.database.transaction() as db:
        row = {c.name: getattr(db.get_one(Connection, first.id), c.name) for c in Connection.__table__.columns}
        for number in range(MOST_CONNECTIONS - 1):
            db.add(Connection(**(row | {"id": f"more{number}", "idp_entity_id": f"urn:{number}"})))

    with pytest.raises(ConnectionRefused) as error:
        added(parts, acme, described(entity_id="urn:one too many"))
    assert error.value.reason in ("connection_too_many", "connection_entity_id_wrong")
    with pytest.raises(ConnectionRefused, match="connection_too_many"):
        added(parts, acme, described(entity_id="urn:one-too-many"))


def test_nothing_is_made_for_a_company_that_is_not_there(parts: Parts) -> None:
    with pytest.raises(ConnectionRefused, match="company_unknown"):
        added(parts, "0" * 32)


@pytest.mark.parametrize("unknown", ["", "a" * 16, "a" * 17, "\x00", "../x", "A" * 16, "é"])
def test_what_is_no_connection_is_none(parts: Parts, unknown: str) -> None:
    with parts.database.reading() as db:
        assert parts.connections.load(db, unknown) is None
    for what in (parts.connections.note_tested, parts.connections.go_live, parts.connections.back_to_draft):
        assert refused(parts, what, unknown) == "connection_unknown"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": ""}, "field_wrong"),
        ({"name": "x" * 121}, "field_wrong"),
        ({"name": "a\nb"}, "field_wrong"),
        ({"vendor": "Entra ID"}, "field_wrong"),
        ({"vendor": None}, "field_wrong"),
        ({"hint": "cookie"}, "field_wrong"),
        ({"hint": ["none"]}, "field_wrong"),
        ({"attributes": {"sub": "uid"}}, "field_wrong"),
        ({"attributes": {"email": ""}}, "field_wrong"),
        ({"attributes": {"email": "m" * 257}}, "field_wrong"),
        ({"attributes": ["email"]}, "field_wrong"),
        ({"contexts": {"urn:x": {"role": "admin"}}}, "field_wrong"),
        ({"contexts": {"urn:x": {"amr": "mfa"}}}, "field_wrong"),
        ({"contexts": {"urn:x": ["2"]}}, "field_wrong"),
        ({"contexts": ["urn:x"]}, "field_wrong"),
        ({"contexts": {f"urn:{number}": {"acr": "2"} for number in range(21)}}, "field_wrong"),
        ({"name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "name_id_format_wrong"),
        ({"name_id_format": "email"}, "name_id_format_wrong"),
        ({"metadata_url": "http://idp.acme.example/md"}, "address_wrong"),
        ({"metadata_url": "file:///etc/passwd"}, "address_wrong"),
        ({"metadata_url": 7}, "field_wrong"),
        ({"metadata_certificate": "nothing"}, "certificate_missing"),
        ({"metadata_certificate": pem(ACME) + pem(NEWER)}, "certificate_other"),
    ],
)
def test_wrong_settings_are_refused_and_change_nothing(parts: Parts, settings: dict[str, Any], reason: str) -> None:
    made = added(parts, company(parts))

    assert refused(parts, parts.connections.change, made.id, **settings) == f"connection_{reason}"
    assert loaded(parts, made.id).name == "Entra"
    assert told(parts, made.id) == ["connection.added"]


def test_ad_02_nothing_else_can_be_set(parts: Parts) -> None:
    made = added(parts, company(parts))

    for name in ("company_id", "state", "id", "tested_at", "administrator_signed_in_at", "idp_entity_id"):
        with pytest.raises(KeyError):
            do(parts, parts.connections.change, made.id, **{name: "live"})


# --- from draft to live ------------------------------------------------------------------------------------------------------------


def test_only_what_was_tested_goes_live(parts: Parts) -> None:
    made = added(parts, company(parts))
    connections = parts.connections

    assert refused(parts, connections.go_live, made.id) == "connection_untested"
    assert do(parts, connections.note_tested, made.id).state == "tested"
    assert do(parts, connections.go_live, made.id).state == "live"
    assert do(parts, connections.go_live, made.id).state == "live"
    assert do(parts, connections.note_tested, made.id).state == "live"
    assert loaded(parts, made.id).state == "live"
    assert do(parts, connections.back_to_draft, made.id).state == "draft"
    assert do(parts, connections.back_to_draft, made.id).state == "draft"
    assert refused(parts, connections.go_live, made.id) == "connection_untested"
    events = ["connection.added", "connection.tested", "connection.live", "connection.draft"]
    assert told(parts, made.id) == events


def test_a_change_of_what_was_tested_is_to_be_tested_again(parts: Parts) -> None:
    made = added(parts, company(parts))
    do(parts, parts.connections.note_tested, made.id)

    assert do(parts, parts.connections.change, made.id, name="Our IdP").state == "tested"
    assert do(parts, parts.connections.change, made.id, attributes={"email": "mail"}).state == "draft"
    do(parts, parts.connections.note_tested, made.id)
    assert do(parts, parts.connections.change, made.id, description=described(sso_binding="post")).state == "draft"


def test_a_live_connection_is_changed_where_it_stands_but_never_becomes_another_identity_provider(parts: Parts) -> None:
    made = added(parts, company(parts))
    do(parts, parts.connections.note_tested, made.id)
    do(parts, parts.connections.go_live, made.id)
    moved = described(sso_url="https://idp2.acme.example/sso", certificates=(NEWER,))

    changed = do(parts, parts.connections.change, made.id, description=moved)

    assert (changed.state, changed.sso_url, changed.certificates) == ("live", moved.sso_url, (NEWER,))
    other = described(entity_id="urn:other")
    assert refused(parts, parts.connections.change, made.id, description=other) == "connection_entity_id_fixed"
    assert loaded(parts, made.id).idp_entity_id == described().entity_id
    assert changed.keys[0].certificate == made.keys[0].certificate


def test_another_identity_provider_must_prove_itself_to_an_administrator_anew(parts: Parts) -> None:
    made = added(parts, company(parts))
    with parts.database.transaction() as db:
        parts.connections.note_administrator_signed_in(db, made.id, now=parts.clock())
    with parts.database.reading() as db:
        assert db.get_one(Connection, made.id).administrator_signed_in_at == parts.clock()

    do(parts, parts.connections.change, made.id, description=described(entity_id="urn:other"))

    with parts.database.reading() as db:
        assert db.get_one(Connection, made.id).administrator_signed_in_at is None


def test_the_last_live_connection_stays_while_sso_is_required(parts: Parts) -> None:
    acme = company(parts)
    first, second = added(parts, acme), added(parts, acme, described(entity_id="urn:second"))
    for made in (first, second):
        do(parts, parts.connections.note_tested, made.id)
        do(parts, parts.connections.go_live, made.id)
    with parts.database.transaction() as db:
        db.get_one(Company, acme).sso = "required"

    do(parts, parts.connections.remove, second.id)

    assert refused(parts, parts.connections.back_to_draft, first.id) == "connection_last_live"
    assert refused(parts, parts.connections.remove, first.id) == "connection_last_live"
    assert loaded(parts, first.id).state == "live"
    with parts.database.transaction() as db:
        db.get_one(Company, acme).sso = "optional"
    do(parts, parts.connections.remove, first.id)
    with parts.database.reading() as db:
        assert parts.connections.load(db, first.id) is None
        assert db.execute(text("SELECT count(*) FROM connection_keys")).scalar() == 0


# --- certificates and keys -----------------------------------------------------------------------------------------------------------


def test_several_certificates_count_at_once(parts: Parts) -> None:
    made = added(parts, company(parts))

    both = do(parts, parts.connections.add_certificate, made.id, pem(NEWER).replace("\n", "\\n"))
    again = do(parts, parts.connections.add_certificate, made.id, pem(ACME) + pem(NEWER))

    assert both.certificates == again.certificates == (ACME, NEWER)
    with parts.database.reading() as db:
        rows = parts.connections.certificates(db, made.id)
        assert [(row.fingerprint, row.not_after) for row in rows] == [(fingerprint(c), ends(c)) for c in (ACME, NEWER)]
    shown = ":".join(fingerprint(ACME).upper()[at : at + 2] for at in range(0, 64, 2))
    left = do(parts, parts.connections.remove_certificate, made.id, shown)
    assert left.certificates == (NEWER,)
    last = fingerprint(NEWER)
    assert refused(parts, parts.connections.remove_certificate, made.id, last) == "connection_last_certificate"
    assert refused(parts, parts.connections.remove_certificate, made.id, "00") == "connection_certificate_unknown"
    assert told(parts, made.id)[1:] == ["connection.certificate_added", "connection.certificate_removed"]


def test_certificates_are_checked_whoever_adds_them(parts: Parts) -> None:
    made = added(parts, company(parts))
    private = key_pair("rsa")[0]
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    old = certificate_for(private, days=1, begins=parts.clock() - 90 * 86400)
    weak = certificate_for(key_pair("rsa1024")[0])
    many = [certificate_for(key_pair("ec")[0], str(number)) for number in range(10)]

    for given, reason in (
        ("words", "missing"),
        (key, "private_key"),
        (pem(old), "ended"),
        (pem(weak), "weak"),
        ([weak], "weak"),
        (many, "other"),
        ([], "missing"),
    ):
        refusal = refused(parts, parts.connections.add_certificate, made.id, given)
        assert refusal == f"connection_certificate_{reason}"
    assert loaded(parts, made.id).certificates == (ACME,)


def test_a_description_replaces_the_certificates_and_keeps_what_is_known_of_those_that_stay(parts: Parts) -> None:
    made = added(parts, company(parts), source="file", document="<x/>")
    third = key_pair("rsa3072")[1]
    do(parts, parts.connections.add_certificate, made.id, pem(NEWER))

    both = described(certificates=(third, ACME))
    changed = do(parts, parts.connections.change, made.id, description=both, source="form")

    assert changed.certificates == (ACME, third)
    with parts.database.reading() as db:
        assert [one.source for one in parts.connections.certificates(db, made.id)] == ["metadata", "person"]


def test_our_key_goes_from_next_to_signing_to_retired(parts: Parts) -> None:
    made = added(parts, company(parts))
    first = made.keys[0].certificate
    steps = []
    for _ in range(4):
        rolled = do(parts, parts.connections.roll_key, made.id, random=secrets.token_bytes)
        steps.append([(key.state, key.certificate == first) for key in rolled.keys])
        assert loaded(parts, made.id).keys[0].state == "signing"

    assert steps[0] == [("signing", True), ("next", False)]
    assert steps[1] == [("signing", False), ("retired", True)]
    assert steps[2] == [("signing", False), ("next", False)]
    assert steps[3] == [("signing", False), ("retired", False)]
    assert told(parts, made.id)[1:] == ["connection.key_rolled"] * 4


# --- loading -------------------------------------------------------------------------------------------------------------------------


def statements(parts: Parts, work: Callable[[Session], Any]) -> list[str]:
    found: list[str] = []

    def note(_c: Any, _k: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    with parts.database.reading() as db:
        engine = db.get_bind().engine  # type: ignore[union-attr]  # a bound session
        event.listen(engine, "before_cursor_execute", note)
        try:
            work(db)
        finally:
            event.remove(engine, "before_cursor_execute", note)
    return [one for one in found if one.startswith("SELECT")]


def test_a_connection_that_did_not_change_is_loaded_by_one_small_query(parts: Parts) -> None:
    made = added(parts, company(parts))
    first = loaded(parts, made.id)

    asked = statements(parts, lambda db: parts.connections.load(db, made.id))

    assert len(asked) == 1
    assert loaded(parts, made.id) is first


def test_a_change_is_seen_at_once_also_within_the_same_second(parts: Parts) -> None:
    made = added(parts, company(parts))
    for number in range(3):
        loaded(parts, made.id)
        do(parts, parts.connections.change, made.id, name=f"Name {number}")
        assert loaded(parts, made.id).name == f"Name {number}"


def test_what_is_rolled_back_is_not_remembered(parts: Parts) -> None:
    made = added(parts, company(parts))

    class Stop(Exception):
        pass

    with pytest.raises(Stop), parts.database.transaction() as db:
        parts.connections.change(db, made.id, name="Never", **WHO, now=parts.clock())
        assert parts.connections.load(db, made.id).name == "Never"  # type: ignore[union-attr]  # it is there
        raise Stop
    do(parts, parts.connections.change, made.id, name="Real")

    assert loaded(parts, made.id).name == "Real"


def test_loads_do_not_grow_with_a_thousand_companies_of_three_domains(parts: Parts) -> None:
    made = added(parts, company(parts))
    with parts.database.transaction() as db:
        row = {c.name: getattr(db.get_one(Connection, made.id), c.name) for c in Connection.__table__.columns}
        for number in range(1000):
            at = {"created_at": 1, "updated_at": 1}
            db.add(Company(id=f"{number:032}", name=f"Company {number}", sso="optional", jit=False, **at))
            db.flush()
            db.add(Connection(**(row | {"id": f"c{number}", "company_id": f"{number:032}"})))

    for query in (
        f"SELECT updated_at FROM connections WHERE id = '{made.id}'",
        f"SELECT * FROM connection_keys WHERE connection_id = '{made.id}'",
        f"SELECT * FROM connection_certificates WHERE connection_id = '{made.id}' ORDER BY id",
        f"SELECT * FROM connections WHERE company_id = '{made.company_id}'",
        "SELECT id FROM connections WHERE metadata_due_at <= 5 ORDER BY metadata_due_at LIMIT 10",
        "SELECT id FROM connection_certificates WHERE not_after > 1 AND not_after <= 5 ORDER BY not_after",
    ):
        with parts.database.reading() as db:
            plan = str(db.execute(text(f"EXPLAIN QUERY PLAN {query}")).all())
        assert "SEARCH" in plan, query
        assert "SCAN" not in plan, query


def test_the_cache_is_bounded_and_safe_for_threads(parts: Parts) -> None:
    acme = company(parts)
    made = [added(parts, acme, described(entity_id=f"urn:{number}")) for number in range(3)]
    wrong: list[str] = []

    def work() -> None:
        for _ in range(30):
            for one in made:
                if loaded(parts, one.id).id != one.id:
                    wrong.append(one.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- what was read --------------------------------------------------------------------------------------------------------------------


def test_differences_are_told_member_by_member(parts: Parts) -> None:
    made = added(parts, company(parts))

    assert differences(made, described()) == {}
    changed = differences(made, described(slo_url=None, certificates=(NEWER,)))
    assert changed == {
        "slo_url": {"was": "https://idp.acme.example/slo", "is": None},
        "certificates": {"was": [fingerprint(ACME)], "is": [fingerprint(NEWER)]},
    }


def test_only_the_newest_documents_are_kept(parts: Parts) -> None:
    made = added(parts, company(parts))
    with parts.database.transaction() as db:
        for number in range(15):
            keep_document(
                db, made.id, f"<n{number}/>", source="url", state="kept_aside" if number == 1 else "taken", changes={},
                now=parts.clock(),
            )  # fmt: skip
        kept = [row.document for row in db.scalars(select(ConnectionMetadata).order_by(ConnectionMetadata.id))]

    assert kept == ["<n1/>", *(f"<n{number}/>" for number in range(5, 15))]


def test_a_person_decides_about_what_was_kept_aside(parts: Parts) -> None:
    made = added(parts, company(parts))
    with parts.database.transaction() as db:
        first, second = (
            keep_document(db, made.id, f"<{name}/>", source="url", state="kept_aside", changes={}, now=parts.clock()).id
            for name in ("a", "b")
        )

    do(parts, parts.connections.dismiss_kept_aside, first)
    taken = do(parts, parts.connections.take_kept_aside, second, described(certificates=(NEWER,)))

    assert taken.certificates == (NEWER,)
    with parts.database.reading() as db:
        assert parts.connections.kept_aside(db, made.id) == []
        rows = db.execute(select(ConnectionMetadata.document, ConnectionMetadata.state).order_by(ConnectionMetadata.id))
        assert [tuple(row) for row in rows][1:] == [("<a/>", "dismissed"), ("<b/>", "taken")]
    for number in (first, second, 999):
        assert refused(parts, parts.connections.dismiss_kept_aside, number) == "connection_metadata_unknown"
        again = refused(parts, parts.connections.take_kept_aside, number, described())
        assert again == "connection_metadata_unknown"
    assert told(parts, made.id)[1:] == ["connection.metadata_dismissed", "connection.changed"]

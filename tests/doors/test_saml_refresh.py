"""Promises of saml_refresh.py: added certificates are taken, everything else waits for a person; nobody is told twice."""

from __future__ import annotations

import dataclasses
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from lxml import etree
from sqlalchemy import select

from idp.certificates import fingerprint, to_pem
from idp.companies import create_company
from idp.config import read_config
from idp.connections import METADATA_EVERY, SamlConnection
from idp.doors.saml_metadata import read_metadata
from idp.doors.saml_refresh import (
    AGAIN,
    DAY,
    LEASE,
    PATIENCE,
    ROWS_AT_ONCE,
    Reader,
    acceptable,
    warn_of_certificates,
)
from idp.fetch import Fetcher
from idp.languages import Languages
from idp.mail import MOST_ALIKE_PER_HOUR, Mailer
from idp.models import AuditEvent, Company, Connection, ConnectionCertificate, ConnectionMetadata, OutboxMail
from idp.parts import Parts
from tests.conftest import Clock
from tests.fakes.company_idp import MD, CompanyIdp, certificate_for, key_pair
from tests.fakes.product_server import ProductServer, product_server, reply
from tests.saml_parties import connection_to

HERE = read_config({"IDP_ISSUER": "http://localhost:8000"})
ACME = CompanyIdp()
NEWER = key_pair("rsa", "newer")[1]
Edit = Callable[[etree._Element], Any]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def host(authority: trustme.CA) -> Iterator[ProductServer]:
    """Where the company publishes its metadata."""
    with product_server(authority) as server:
        publish(server)
        yield server
        server.released.set()


@pytest.fixture
def reader(parts: Parts, authority: trustme.CA) -> Reader:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    outgoing = Fetcher(HERE, lambda _host, _port: ["127.0.0.1"], trusted)
    return Reader(parts.database, parts.connections, outgoing, parts.sealer, parts.clock, loopback=False)


def publish(host: ProductServer, *certificates: Any, edit: Edit | None = None, sign: bool = False) -> None:
    host.answer = reply(200, ACME.metadata(certificates=certificates or None, edit=edit, sign=sign))


def connect(parts: Parts, host: ProductServer, state: str = "live", **settings: Any) -> str:
    """A connection whose metadata was read from ``host`` just now, of a company whose IT has an address; its id."""
    now = parts.clock()
    with parts.database.transaction() as db:
        company = create_company(db, "Acme", actor="operator:test", now=now, random=parts.random)
        company.contacts = ["it@acme.example"]
        found = read_metadata(ACME.metadata(), now, loopback=False)
        made = parts.connections.add(
            db, company.id, found, name="Entra", vendor="entra", metadata_url=host.url("/md"), document="<x/>",
            source="url", actor="operator:test", now=now, random=secrets.token_bytes, **settings,
        )  # fmt: skip
    with parts.database.transaction() as db:
        db.get_one(Connection, made.id).state = state
        db.get_one(Connection, made.id).updated_at += 1
    return made.id


def due(reader: Reader, clock: Clock, seconds: float = METADATA_EVERY) -> None:
    """Let time pass, and all that is due be read."""
    clock.advance(seconds)
    while reader.refresh_due():
        pass


def loaded(parts: Parts, connection_id: str) -> SamlConnection:
    with parts.database.reading() as db:
        found = parts.connections.load(db, connection_id)
    assert found is not None
    return found


def row(parts: Parts, connection_id: str) -> Connection:
    with parts.database.transaction() as db:
        return db.get_one(Connection, connection_id)


def documents(parts: Parts) -> list[tuple[str, dict[str, Any]]]:
    with parts.database.reading() as db:
        rows = db.scalars(select(ConnectionMetadata).order_by(ConnectionMetadata.id)).all()
        return [(one.state, one.changes) for one in rows][1:]


def mails(parts: Parts) -> list[str]:
    with parts.database.reading() as db:
        return [one.name for one in db.scalars(select(OutboxMail).order_by(OutboxMail.id))]


def by_system(parts: Parts) -> list[str]:
    with parts.database.reading() as db:
        return [one.event for one in db.scalars(select(AuditEvent).order_by(AuditEvent.id)) if one.actor == "system"]


def move(root: etree._Element) -> None:
    for endpoint in root.iter(f"{{{MD}}}SingleSignOnService"):
        endpoint.set("Location", "https://idp.evil.example/sso")


# --- reading again ---------------------------------------------------------------------------------------------------------------


def test_what_says_the_same_changes_nothing(parts: Parts, clock: Clock, reader: Reader, host: ProductServer) -> None:
    one = connect(parts, host)
    before = loaded(parts, one)
    reader.refresh_due()
    assert host.asked == []  # not due yet

    due(reader, clock)

    assert len(host.asked) == 1
    assert loaded(parts, one) is before
    assert row(parts, one).metadata_read_at == int(clock())
    assert row(parts, one).metadata_due_at == int(clock()) + METADATA_EVERY
    assert (documents(parts), mails(parts), by_system(parts)) == ([], [], [])


def test_an_added_certificate_is_taken(parts: Parts, clock: Clock, reader: Reader, host: ProductServer) -> None:
    one = connect(parts, host)
    publish(host, ACME.certificate, NEWER)

    due(reader, clock)
    due(reader, clock)

    assert loaded(parts, one).certificates == (ACME.certificate, NEWER)
    added = {"certificates": {"was": [], "is": [fingerprint(NEWER)]}}
    assert (documents(parts), mails(parts)) == ([("taken", added)], [])
    assert by_system(parts) == ["connection.certificate_added"]
    assert loaded(parts, one).state == "live"


def test_a_rollover_needs_nobody_until_the_old_certificate_goes(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    third = key_pair("rsa", "third")[1]
    publish(host, ACME.certificate, NEWER)
    due(reader, clock)

    publish(host, NEWER, third)  # one goes while another comes
    due(reader, clock)

    assert set(loaded(parts, one).certificates) == {ACME.certificate, NEWER, third}
    assert [state for state, _ in documents(parts)] == ["taken", "taken", "kept_aside"]
    assert documents(parts)[-1][1]["certificates"]["is"] == sorted([fingerprint(NEWER), fingerprint(third)])
    assert mails(parts) == ["metadata_changed"]


def test_a_persons_own_certificate_and_one_that_has_ended_need_not_be_in_it(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    ending = certificate_for(key_pair("rsa", "ending")[0], days=2, begins=clock() - DAY)
    publish(host, ACME.certificate, ending)
    due(reader, clock)
    with parts.database.transaction() as db:
        parts.connections.add_certificate(db, one, [NEWER], actor="operator:test", now=clock())
    publish(host, ACME.certificate)

    due(reader, clock, 2 * DAY)

    assert set(loaded(parts, one).certificates) == {ACME.certificate, ending, NEWER}
    assert mails(parts) == []


CHANGES: dict[str, Callable[[ProductServer], None]] = {
    "entity_id": lambda host: publish(host, edit=lambda root: root.set("entityID", "urn:other")),
    "sso_url": lambda host: publish(host, edit=move),
    "certificates": lambda host: publish(host, NEWER),
}


@pytest.mark.parametrize("member", CHANGES)
def test_sa_34_any_other_change_is_kept_aside_and_told_once(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer, member: str
) -> None:
    one = connect(parts, host)
    before = loaded(parts, one)
    CHANGES[member](host)

    for _ in range(4):
        CHANGES[member](host)  # another document each time, which says the same
        due(reader, clock)

    assert loaded(parts, one) is before
    [(state, changes)] = documents(parts)
    assert (state, list(changes)) == ("kept_aside", [member])
    assert mails(parts) == ["metadata_changed"]
    assert by_system(parts) == ["connection.metadata_kept_aside"]
    assert row(parts, one).metadata_problem is None


def test_a_weaker_key_is_kept_aside(parts: Parts, clock: Clock, reader: Reader, host: ProductServer) -> None:
    strong = key_pair("rsa3072", "strong")[1]
    one = connect(parts, host)
    with parts.database.transaction() as db:
        description = read_metadata(ACME.metadata(certificates=[strong]), clock(), loopback=False)
        parts.connections.change(
            db, one, description=description, source="url", actor="operator:test", now=clock()
        )  # fmt: skip
    publish(host, strong, NEWER)

    due(reader, clock)

    assert loaded(parts, one).certificates == (strong,)
    assert documents(parts)[-1][0] == "kept_aside"


def test_what_somebody_dismissed_is_not_told_again_but_something_new_is(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    publish(host, edit=move)
    due(reader, clock)
    with parts.database.transaction() as db:
        [kept] = parts.connections.kept_aside(db, one)
        parts.connections.dismiss_kept_aside(db, kept.id, actor="operator:test", now=clock())
    due(reader, clock)
    assert mails(parts) == ["metadata_changed"]

    publish(host, NEWER)
    due(reader, clock)
    publish(host, key_pair("rsa", "third")[1])
    due(reader, clock)

    assert mails(parts) == ["metadata_changed"] * 3
    assert [state for state, _ in documents(parts)] == ["dismissed", "outdated", "kept_aside"]


def test_what_is_taken_back_cannot_be_accepted_any_more(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    publish(host, edit=move)
    due(reader, clock)
    publish(host)
    due(reader, clock)

    with parts.database.reading() as db:
        assert parts.connections.kept_aside(db, one) == []
    assert documents(parts)[-1][0] == "outdated"
    assert by_system(parts) == ["connection.metadata_kept_aside", "connection.metadata_dismissed"]

    publish(host, edit=move)  # it is a change again, that nobody has decided
    due(reader, clock)
    assert [state for state, _ in documents(parts)] == ["outdated", "kept_aside"]
    assert mails(parts) == ["metadata_changed"] * 2


def test_a_change_that_nobody_could_be_told_of_is_told_later(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    several = [connect(parts, host) for _ in range(MOST_ALIKE_PER_HOUR + 1)]
    draft = connect(parts, host, "draft")
    publish(host, edit=move)
    due(reader, clock)
    assert len(mails(parts)) == MOST_ALIKE_PER_HOUR

    due(reader, clock)
    assert len(mails(parts)) == len(several)
    with parts.database.transaction() as db:
        db.get_one(Connection, draft).state = "live"
    for _ in range(3):
        due(reader, clock)
    assert len(mails(parts)) == len(several) + 1
    assert [state for state, _ in documents(parts)].count("outdated") == 0


def test_nobody_to_tell_is_not_told(parts: Parts, clock: Clock, reader: Reader, host: ProductServer) -> None:
    """A company without contacts and administrators hears of everything as soon as it has one."""
    changed = ending_connection(parts, clock, host, 5)
    refused = connect(parts, host)
    contacts_of(parts)
    publish(host, edit=move)
    due(reader, clock)
    with parts.database.transaction() as db:
        db.get_one(Connection, refused).metadata_due_at = 1
        db.get_one(Connection, changed).metadata_due_at = None
    publish(host, certificate_for(key_pair("rsa1024")[0]))
    due(reader, clock)
    warn_of_certificates(parts.database, parts.sealer, clock())
    assert mails(parts) == []

    contacts_of(parts, "it@acme.example")
    due(reader, clock)
    warn_of_certificates(parts.database, parts.sealer, clock())
    assert mails(parts) == ["metadata_problem", "certificate_ends"]
    publish(host, edit=move)
    with parts.database.transaction() as db:
        db.get_one(Connection, changed).metadata_due_at = 1
    due(reader, clock)
    assert mails(parts).count("metadata_changed") == 2


def contacts_of(parts: Parts, *addresses: str) -> None:
    """Give every company these contacts."""
    with parts.database.transaction() as db:
        for company in db.scalars(select(Company)):
            company.contacts = list(addresses)


def test_who_cannot_be_told_holds_up_nobody_else(parts: Parts, clock: Clock, host: ProductServer) -> None:
    ending_connection(parts, clock, host, 5)
    contacts_of(parts)
    with parts.database.transaction() as db:
        [ending] = db.scalars(select(ConnectionCertificate).where(ConnectionCertificate.not_after < clock() + 6 * DAY))
        for number in range(ROWS_AT_ONCE):
            db.add(
                ConnectionCertificate(
                    connection_id=ending.connection_id, pem=ending.pem, fingerprint=str(number), not_before=0,
                    not_after=ending.not_after, source="person", added_at=0,
                )
            )  # fmt: skip
    told = ending_connection(parts, clock, host, 5)
    with parts.database.transaction() as db:
        company = db.get_one(Company, db.get_one(Connection, told).company_id)
        company.contacts = ["it@bolt.example"]
    warn_of_certificates(parts.database, parts.sealer, clock())
    assert mails(parts) == ["certificate_ends"]


def test_what_was_kept_aside_can_be_taken(parts: Parts, clock: Clock, reader: Reader, host: ProductServer) -> None:
    one = connect(parts, host)
    publish(host, NEWER)
    due(reader, clock)
    with parts.database.transaction() as db:
        [kept] = parts.connections.kept_aside(db, one)
        found = read_metadata(kept.document.encode(), clock(), loopback=False)
        parts.connections.take_kept_aside(db, kept.id, found, actor="operator:test", now=clock())

    due(reader, clock)

    assert loaded(parts, one).certificates == (NEWER,)
    assert mails(parts) == ["metadata_changed"]


def test_acceptable_is_bounded_and_never_takes_what_has_ended() -> None:
    now = 1_800_000_000.0
    connection = connection_to(ACME, sso_binding="redirect", slo_binding="redirect")
    more = [certificate_for(key_pair("rsa", "many")[0], str(number), begins=now) for number in range(10)]
    old = certificate_for(key_pair("rsa", "many")[0], days=1, begins=now - 3 * DAY)

    def offered(*certificates: Any) -> int:
        found = read_metadata(ACME.metadata(certificates=[ACME.certificate, *certificates]), now, loopback=False)
        return len(acceptable(connection, found, now))

    assert offered(*more[:9]) == 9
    assert offered(old) == 0
    assert (
        len(acceptable(dataclasses.replace(connection, certificates=tuple(more[:5])), connection_description(), now))
        == 0
    )


def connection_description() -> Any:
    return read_metadata(ACME.metadata(certificates=[ACME.certificate]), 1_800_000_000.0, loopback=False)


# --- failures ------------------------------------------------------------------------------------------------------------------


def test_a_failure_is_noted_at_once_and_mailed_after_days_once(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    host.answer = reply(503)

    due(reader, clock)
    assert row(parts, one).metadata_problem == "saml_metadata_unreachable"
    assert row(parts, one).metadata_due_at == int(clock()) + AGAIN
    for _ in range(5):
        due(reader, clock, AGAIN)
    assert mails(parts) == []
    for _ in range(3):
        due(reader, clock, PATIENCE)
    assert mails(parts) == ["metadata_problem"]
    assert loaded(parts, one).certificates == (ACME.certificate,)

    publish(host)
    due(reader, clock, AGAIN)
    assert row(parts, one).metadata_problem is None
    host.answer = reply(404)
    due(reader, clock, METADATA_EVERY)
    due(reader, clock, PATIENCE)
    assert mails(parts) == ["metadata_problem"] * 2


def test_a_document_that_is_refused_is_told_at_once(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    publish(host, certificate_for(key_pair("rsa1024")[0]))

    due(reader, clock)
    due(reader, clock)

    assert row(parts, one).metadata_problem == "connection_certificate_weak"
    assert mails(parts) == ["metadata_problem"]


def test_a_draft_is_read_and_nobody_is_written_to(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host, "draft")
    publish(host, certificate_for(key_pair("rsa1024")[0]))
    due(reader, clock)
    publish(host, edit=move)
    due(reader, clock)

    assert mails(parts) == []
    assert [state for state, _ in documents(parts)] == ["kept_aside"]
    assert row(parts, one).metadata_problem is None


# --- several workers, slow hosts ---------------------------------------------------------------------------------------------


def test_several_workers_read_a_document_once(parts: Parts, clock: Clock, reader: Reader, host: ProductServer) -> None:
    for _ in range(3):
        connect(parts, host)
    clock.advance(METADATA_EVERY)

    def work() -> None:
        while reader.refresh_due():
            pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(host.asked) == 3


def test_a_host_that_never_answers_holds_up_nobody_else(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer, authority: trustme.CA
) -> None:
    asked = threading.Event()

    def never(_asked: object, _write: object) -> None:
        asked.set()
        host.released.wait(30)

    host.answer = never
    slow = connect(parts, host)
    with product_server(authority) as other:
        publish(other, ACME.certificate, NEWER)
        quick = connect(parts, other)
        clock.advance(METADATA_EVERY)
        with parts.database.transaction() as db:  # the slow one comes first
            db.get_one(Connection, slow).metadata_due_at = 1
        first = threading.Thread(target=reader.refresh_due)
        first.start()
        assert asked.wait(10)

        assert reader.refresh_due()  # nothing is held while the first one waits
        assert loaded(parts, quick).certificates == (ACME.certificate, NEWER)

        host.released.set()
        first.join(20)
    assert row(parts, slow).metadata_problem == "saml_metadata_unreachable"


def test_what_was_read_for_too_long_or_of_an_older_address_does_not_count(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host)
    document = ACME.metadata(certificates=[ACME.certificate, NEWER])

    def late(_asked: object, write: Callable[[bytes], None]) -> None:
        clock.advance(LEASE)
        host.answer = reply(200, ACME.metadata())
        assert reader.refresh_due()  # another worker has it now
        reply(200, document)(_asked, write)  # type: ignore[arg-type]  # it looks at nothing

    host.answer = late
    due(reader, clock)
    assert loaded(parts, one).certificates == (ACME.certificate,)

    def moved(_asked: object, write: Callable[[bytes], None]) -> None:
        with parts.database.transaction() as db:
            parts.connections.change(db, one, metadata_url=None, actor="operator:test", now=clock())
        reply(200, document)(_asked, write)  # type: ignore[arg-type]  # it looks at nothing

    host.answer = moved
    due(reader, clock)
    assert loaded(parts, one).certificates == (ACME.certificate,)
    assert row(parts, one).metadata_due_at is None


# --- certificates that end -----------------------------------------------------------------------------------------------------


def ending_connection(parts: Parts, clock: Clock, host: ProductServer, days: int, state: str = "live") -> str:
    one = connect(parts, host, state)
    certificate = certificate_for(key_pair("rsa", "ends")[0], days=days, begins=clock())
    with parts.database.transaction() as db:
        parts.connections.add_certificate(db, one, [certificate], actor="operator:test", now=clock())
    return one


def warned(parts: Parts) -> list[int | None]:
    with parts.database.reading() as db:
        return [one.warned_days for one in db.scalars(select(ConnectionCertificate).order_by(ConnectionCertificate.id))]


def test_the_end_of_a_certificate_is_told_at_60_30_14_7_and_1_days_each_once(
    parts: Parts, clock: Clock, host: ProductServer
) -> None:
    ending_connection(parts, clock, host, 100)
    told = {}
    for day in range(105):
        before = len(mails(parts))
        for _ in range(2):
            warn_of_certificates(parts.database, parts.sealer, clock())
        if len(mails(parts)) > before:
            told[100 - day] = warned(parts)[-1]
            assert len(mails(parts)) == before + 1
        clock.advance(DAY)

    assert told == {60: 60, 30: 30, 14: 14, 7: 7, 1: 1}
    assert set(mails(parts)) == {"certificate_ends"}


def test_who_was_not_warned_in_time_is_warned_once(parts: Parts, clock: Clock, host: ProductServer) -> None:
    ending_connection(parts, clock, host, 5)

    for _ in range(3):
        warn_of_certificates(parts.database, parts.sealer, clock())

    assert mails(parts) == ["certificate_ends"]
    assert warned(parts)[-1] == 7


def test_of_a_draft_nobody_is_warned(parts: Parts, clock: Clock, host: ProductServer) -> None:
    ending_connection(parts, clock, host, 5, "draft")

    warn_of_certificates(parts.database, parts.sealer, clock())

    assert mails(parts) == []


def test_two_workers_warn_once(parts: Parts, clock: Clock, host: ProductServer) -> None:
    ending_connection(parts, clock, host, 5)
    work = [
        threading.Thread(target=warn_of_certificates, args=(parts.database, parts.sealer, clock())) for _ in range(6)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()

    assert mails(parts) == ["certificate_ends"]


def test_a_warning_that_found_the_mailbox_full_comes_later(parts: Parts, clock: Clock, host: ProductServer) -> None:
    for _ in range(7):
        ending_connection(parts, clock, host, 5)

    warn_of_certificates(parts.database, parts.sealer, clock())
    assert len(mails(parts)) == 5
    clock.advance(3601)
    warn_of_certificates(parts.database, parts.sealer, clock())
    assert len(mails(parts)) == 7


# --- the mails -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_mails_are_written_in_both_languages(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer, language: str
) -> None:
    ending_connection(parts, clock, host, 20)
    warn_of_certificates(parts.database, parts.sealer, clock())
    publish(host, NEWER, edit=lambda root: (move(root), root.set("entityID", "urn:other")))
    due(reader, clock)
    host.answer = reply(200, b"<!DOCTYPE x>")
    due(reader, clock)
    mailer = Mailer(parts.config.model_copy(update={"smtp": "localhost:25"}), Languages())

    with parts.database.reading() as db:
        queued = {one.name: one for one in db.scalars(select(OutboxMail))}
    assert sorted(queued) == ["certificate_ends", "metadata_changed", "metadata_problem"]
    for mail in queued.values():
        mail.language = language
        message = mailer.write(mail, {}, clock())
        bodies = [part.get_content() for part in message.walk() if not part.is_multipart()]
        assert len(bodies) == 2
        for body in (message["Subject"], *bodies):
            assert "mail." not in body.replace("mail.py", "")
            assert "reason." not in body
        assert all("Acme" in body and "Entra" in body for body in bodies)
    subjects = {name: mailer.write(mail, {}, clock())["Subject"] for name, mail in queued.items()}
    assert ("métadonnées" in subjects["metadata_changed"]) == (language == "fr")


def test_the_mail_says_whether_another_certificate_lasts_longer(
    parts: Parts, clock: Clock, host: ProductServer
) -> None:
    ending_connection(parts, clock, host, 20)
    warn_of_certificates(parts.database, parts.sealer, clock())
    with parts.database.reading() as db:
        [mail] = db.scalars(select(OutboxMail)).all()

    assert mail.values["later"] == int(ACME.certificate.not_valid_after_utc.timestamp())
    assert mail.recipient == "it@acme.example"


# --- metadata that must be signed ------------------------------------------------------------------------------------------------


def test_with_a_pinned_certificate_only_signed_metadata_counts(
    parts: Parts, clock: Clock, reader: Reader, host: ProductServer
) -> None:
    one = connect(parts, host, metadata_certificate=to_pem(ACME.certificate))
    publish(host, ACME.certificate, NEWER)

    due(reader, clock)
    assert row(parts, one).metadata_problem == "saml_metadata_unsigned"
    assert loaded(parts, one).certificates == (ACME.certificate,)

    publish(host, ACME.certificate, NEWER, sign=True)
    due(reader, clock)
    assert row(parts, one).metadata_problem is None
    assert loaded(parts, one).certificates == (ACME.certificate, NEWER)

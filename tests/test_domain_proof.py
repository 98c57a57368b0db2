"""Promises of domain_proof.py: what proves a domain, what is said when it does not, and the life of a claim until its end."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from idp import domain_evidence, domain_proof
from idp.companies import COOLING_OFF, CompanyRefused, remove_company
from idp.company_policy import policy_of_domain, set_policy
from idp.dns_lookup import TxtAnswer, txt_lookup
from idp.domain_evidence import FILE, SHOWN, Proof, look
from idp.domain_proof import (
    CODE_LIFETIME,
    DAY,
    HOUR,
    LOST_AFTER,
    check,
    check_due,
    claim,
    claims,
    note,
    read_domain,
    record_of,
    release,
)
from idp.fetch import FetchError
from idp.languages import Languages
from idp.mail import MOST_ALIKE_PER_HOUR, Mailer
from idp.models import CompanyDomain
from idp.parts import Parts
from idp.reasons import REASONS
from tests.company_records import add_company, add_person, events, mails, no_such_name, nothing_there, prove
from tests.conftest import Clock
from tests.fakes.dns_server import DnsServer, dns_server

CODE = "3f0b1c52-7d0e-4b1a-9c41-0d2f5e6a7b8c"
OLD = "11111111-2222-4333-8444-555555555555"
WANTED = f"idp-verification-code={CODE}"
URL = f"https://acme.example{FILE}"


@dataclass
class World:
    """The DNS and the web of a test. What stands nowhere does not exist."""

    txt: dict[str, TxtAnswer | list[str]] = field(default_factory=dict)
    files: dict[str, tuple[int, bytes] | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def lookup(self, name: str) -> TxtAnswer:
        self.asked.append(name)
        there = self.txt.get(name, TxtAnswer((), "NXDOMAIN"))
        return there if isinstance(there, TxtAnswer) else TxtAnswer(tuple(there))

    def get(self, url: str, limit: int) -> tuple[int, bytes]:
        there = self.files.get(url)
        if there is None:
            return nothing_there(url, limit)
        if isinstance(there, Exception):
            raise there
        return there[0], there[1][:limit]

    def put(self, row: CompanyDomain) -> None:
        self.txt[row.domain] = ["v=spf1 -all", record_of(row)]


@pytest.fixture
def world() -> World:
    return World()


# --- what may be claimed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("acme.example", "acme.example"),
        (" ACME.Example. ", "acme.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BU\u0308CHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),  # IDNA 2008, not the "fass" of IDNA 2003
        ("acme。example", "acme.example"),  # UTS 46: the ideographic full stop
        ("ＡＣＭＥ.example", "acme.example"),
        ("acme.co.uk", "acme.co.uk"),
        ("a.b.acme.example", "a.b.acme.example"),
        ("acme.github.io", "acme.github.io"),
    ],
)
def test_a_domain_is_read_into_one_form(text: str, domain: str) -> None:
    assert read_domain(text) == domain


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "domain_malformed") for text in (
            "", ".", "..", "acme", "localhost", "acme..example", "acme.example..", "-acme.example", "acme-.example",
            "a_b.example", "acme example", "alice@acme.example", "@acme.example", "https://acme.example", "acme.example/",
            "acme.example:443", "*.acme.example", "127.0.0.1", "[127.0.0.1]", "2130706433", "0x7f.1", "::1", "[::1]",
            "１２７.0.0.1", "xn--a.example", "acme.example\x00", "acme.example\nevil.example", "\u202eacme.example",
            "a" * 64 + ".example", "a." * 140 + "example", "acme.local", "acme.onion", "1.2.3.in-addr.arpa",
        )),
        *((text, "domain_public_suffix") for text in ("co.uk", "CO.UK.", "github.io", "kawasaki.jp", "s3.amazonaws.com")),
        *((text, "domain_public_mail") for text in ("gmail.com", "GMail.com.", "mail.gmail.com", "web.de", "orange.fr")),
    ],
)  # fmt: skip
def test_sa_35_what_belongs_to_nobody_or_everybody_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CompanyRefused) as error:
        read_domain(text)
    assert error.value.reason == reason


# --- looking ---------------------------------------------------------------------------------------------------------------------


def test_the_record_at_the_exact_name_is_enough(world: World) -> None:
    world.txt["acme.example"] = ["v=spf1 -all", f"idp-verification-code={OLD}", WANTED]
    proof = look("acme.example", CODE, world.lookup, world.get)
    assert (proof.ok, proof.method, proof.reasons) == (True, "dns", ())
    assert f"TXT acme.example: {WANTED}" in proof.found
    assert world.asked == ["acme.example"]


@pytest.mark.parametrize("body", [WANTED, f"{WANTED}\n", f"{WANTED}\r\n"])
def test_the_file_is_enough(world: World, body: str) -> None:
    world.files[URL] = (200, body.encode())
    proof = look("acme.example", CODE, world.lookup, world.get)
    assert (proof.ok, proof.method, proof.reasons) == (True, "file", ())
    assert proof.found[0] == "TXT acme.example: NXDOMAIN"
    assert proof.found[1].startswith(f"{URL}: {WANTED}")


@pytest.mark.parametrize(
    ("txt", "reason", "seen"),
    [
        ({}, "domain_name_unknown", "TXT acme.example: NXDOMAIN"),
        ({"acme.example": []}, "domain_record_missing", "TXT acme.example: –"),
        ({"acme.example": ["v=spf1 -all", "google-site=1"]}, "domain_record_missing", "TXT acme.example: v=spf1 -all"),
        ({"acme.example": [f"idp-verification-code={OLD}"]}, "domain_record_old", OLD),
        ({"acme.example": ["idp-verification-code="]}, "domain_record_old", "idp-verification-code="),
        ({"acme.example": [f'"{WANTED}"']}, "domain_record_malformed", f'"{WANTED}"'),
        ({"acme.example": [f"“{WANTED}”"]}, "domain_record_malformed", WANTED),
        ({"acme.example": [f" {WANTED}"]}, "domain_record_malformed", WANTED),
        ({"acme.example": [f"{WANTED} "]}, "domain_record_malformed", WANTED),
        ({"acme.example": [f"idp-verification-code = {CODE}"]}, "domain_record_malformed", CODE),
        ({"acme.example": [WANTED.upper()]}, "domain_record_malformed", CODE.upper()),
        ({"acme.example": [CODE]}, "domain_record_malformed", CODE),
        ({"acme.example": [f"{WANTED};x"]}, "domain_record_malformed", WANTED),
        ({"acme.example": TxtAnswer((), "SERVFAIL")}, "domain_dns_failing", "TXT acme.example: SERVFAIL"),
        ({"acme.example": TxtAnswer((), "timeout")}, "domain_dns_failing", "TXT acme.example: timeout"),
        ({"acme.example": TxtAnswer((), "CNAME")}, "domain_record_alias", "TXT acme.example: CNAME"),
        ({"acme.example.acme.example": [WANTED]}, "domain_record_elsewhere", "TXT acme.example.acme.example:"),
        ({"www.acme.example": [WANTED]}, "domain_record_elsewhere", "TXT www.acme.example:"),
        ({"_idp-verification-code.acme.example": [CODE]}, "domain_record_elsewhere", "TXT _idp-verification-code"),
    ],
)
def test_what_was_found_is_shown_and_why_it_is_not_enough(
    world: World, txt: Mapping[str, TxtAnswer | list[str]], reason: str, seen: str
) -> None:
    world.txt |= txt
    proof = look("acme.example", CODE, world.lookup, world.get)
    assert not proof.ok
    assert proof.reason == reason
    assert any(seen in line for line in proof.found)
    assert proof.unsure == (reason == "domain_dns_failing")


def test_looking_elsewhere_ends_with_the_first_name_server_that_does_not_answer(world: World) -> None:
    world.txt |= {"acme.example": [], "idp-verification-code.acme.example": TxtAnswer((), "timeout")}
    assert look("acme.example", CODE, world.lookup, world.get).reason == "domain_record_missing"
    assert world.asked == ["acme.example", "idp-verification-code.acme.example"]


def test_a_record_at_the_domain_above_proves_nothing_of_the_one_below(world: World) -> None:
    world.txt |= {"acme.example": [WANTED], "mail.acme.example": []}
    proof = look("mail.acme.example", CODE, world.lookup, world.get)
    assert proof.reason == "domain_record_elsewhere"
    assert f"TXT acme.example: {WANTED}" in proof.found
    world.asked.clear()
    look("a.b.acme.co.uk", CODE, world.lookup, world.get)
    assert {"b.acme.co.uk", "acme.co.uk"} <= set(world.asked)
    assert "co.uk" not in world.asked and "uk" not in world.asked


@pytest.mark.parametrize(
    ("answer", "reason", "seen"),
    [
        ((200, f"{WANTED}\n\n".encode()), "domain_file_wrong", WANTED),
        ((200, f" {WANTED}".encode()), "domain_file_wrong", WANTED),
        ((200, b"\xef\xbb\xbf" + WANTED.encode()), "domain_file_wrong", WANTED),
        ((200, f"<p>{WANTED}</p>".encode()), "domain_file_wrong", "<p>"),
        ((200, WANTED.replace(CODE, OLD).encode()), "domain_file_wrong", OLD),
        ((200, CODE.encode()), "domain_file_wrong", CODE),
        ((200, WANTED.encode("utf-16")), "domain_file_wrong", "\\x00"),
        ((200, b"<!doctype html><title>Welcome</title>"), "domain_file_missing", "Welcome"),
        ((200, b""), "domain_file_missing", URL),
        ((301, WANTED.encode()), "domain_file_redirected", f"{URL}: 301"),
        ((302, b""), "domain_file_redirected", f"{URL}: 302"),
        ((404, WANTED.encode()), "domain_file_missing", f"{URL}: 404"),
        ((500, WANTED.encode()), "domain_file_missing", f"{URL}: 500"),
        (FetchError("outgoing_failed", detail="the deadline passed"), "domain_file_unreachable", "the deadline passed"),
        (FetchError("outgoing_refused", detail="loopback"), "domain_file_unreachable", "loopback"),
    ],
    ids=str,
)
def test_a_file_that_is_not_enough_is_shown(
    world: World, answer: tuple[int, bytes] | Exception, reason: str, seen: str
) -> None:
    world.files[URL] = answer
    proof = look("acme.example", CODE, world.lookup, world.get)
    assert not proof.ok
    assert reason in proof.reasons
    assert any(seen in line for line in proof.found)
    # A file that somebody has put there is what they want to hear of; else most people make the record.
    assert (proof.reason == reason) == (reason == "domain_file_wrong")


def test_a_bad_certificate_is_told_apart(world: World) -> None:
    error = FetchError("outgoing_failed", detail="SSLCertVerificationError: certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    world.files[URL] = error
    assert "domain_file_tls" in look("acme.example", CODE, world.lookup, world.get).reasons


def test_hostile_names_servers_and_pages_are_shown_as_short_plain_lines(world: World) -> None:
    world.txt["acme.example"] = [f"{WANTED}\r\n\x1b[2J\u202e" + "x" * 400] * 60
    world.files[URL] = (200, f"{WANTED}\r\n\x00\u202e".encode() + b"\xff" * 5000)
    proof = look("acme.example", CODE, world.lookup, world.get)
    assert not proof.ok and len(proof.found) <= 21
    for line in proof.found:
        assert line.isprintable() and len(line) <= SHOWN + len(URL) + 20


def test_every_reason_of_a_proof_stands_in_the_table() -> None:
    files = [Path(module.__file__) for module in (domain_proof, domain_evidence)]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r'"(domain_[a-z_]+)"', code)) - {"domain_back", "domain_lost", "domain_missing"}
    assert len(named) > 15
    assert named <= REASONS.keys()


# --- the life of a claim ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def acme(parts: Parts) -> str:
    company = add_company(parts)
    add_person(parts, company, "dora@other.example", "administrator")
    return company


def claimed(parts: Parts, company_id: str, domain: str = "acme.example") -> CompanyDomain:
    with parts.database.transaction() as db:
        return claim(db, company_id, domain, actor="operator:test", now=parts.clock(), random=parts.random)


def looked(parts: Parts, company_id: str, world: World, domain: str = "acme.example") -> Proof:
    return check(
        parts.database, company_id, domain, world.lookup, world.get,
        sealer=parts.sealer, actor="operator:test", now=parts.clock(),
    )  # fmt: skip


def row_of(parts: Parts, domain: str = "acme.example", company_id: str | None = None) -> CompanyDomain:
    with parts.database.reading() as db:
        query = select(CompanyDomain).where(CompanyDomain.domain == domain)
        if company_id:
            query = query.where(CompanyDomain.company_id == company_id)
        row = db.scalars(query).one()
        db.expunge(row)
        return row


def work(parts: Parts, world: World) -> int:
    """Let the worker do all that is due; how much that was."""
    done = 0
    while check_due(parts.database, world.lookup, world.get, parts.sealer, parts.clock):
        done += 1
        assert done < 50
    return done


def leads(parts: Parts, domain: str = "acme.example") -> bool:
    with parts.database.reading() as db:
        return policy_of_domain(db, domain) is not None


def refusal(what: Callable[[], object]) -> str:
    with pytest.raises(CompanyRefused) as error:
        what()
    return error.value.reason


def test_a_claim_is_pending_until_its_code_is_found(parts: Parts, acme: str, world: World) -> None:
    row = claimed(parts, acme)
    assert re.fullmatch(
        r"idp-verification-code=[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", record_of(row)
    )
    assert (row.status, row.code_expires_at) == ("pending", int(parts.clock()) + CODE_LIFETIME)
    assert claimed(parts, acme, "ACME.example.").code == row.code
    assert not looked(parts, acme, world).ok
    kept = row_of(parts)
    assert (kept.status, kept.held, kept.found[0]) == ("pending", None, "TXT acme.example: NXDOMAIN")
    assert not leads(parts)
    world.put(row)
    assert looked(parts, acme, world).ok
    kept = row_of(parts)
    assert (kept.status, kept.method, kept.held, kept.tree) == ("verified", "dns", "acme.example", "example.acme.")
    assert leads(parts)
    assert events(parts)[-2:] == ["company.domain_claimed", "company.domain_verified"]
    with parts.database.reading() as db:
        assert [one.domain for one in claims(db, acme)] == ["acme.example"]


def test_a_code_ends_after_ten_days_and_a_new_one_is_given(parts: Parts, acme: str, world: World, clock: Clock) -> None:
    first = claimed(parts, acme)
    world.put(first)
    clock.advance(CODE_LIFETIME - 1)
    assert work(parts, world) == 0
    clock.advance(1)
    assert refusal(lambda: looked(parts, acme, world)) == "domain_code_expired"
    assert work(parts, world) == 1
    assert row_of(parts).status == "expired"
    assert refusal(lambda: looked(parts, acme, world)) == "domain_code_expired"
    second = claimed(parts, acme)
    assert second.code != first.code and second.status == "pending"
    assert looked(parts, acme, world).reason == "domain_record_old"
    world.put(second)
    assert looked(parts, acme, world).ok


def test_a_code_that_ended_while_it_was_looked_for_proves_nothing(parts: Parts, acme: str, clock: Clock) -> None:
    row = claimed(parts, acme)
    clock.advance(CODE_LIFETIME)
    found = Proof("dns", (), ())
    with parts.database.transaction() as db:
        note(db, row.id, row.code, found, sealer=parts.sealer, actor="x", now=clock())
    assert row_of(parts).status == "expired"


def test_what_was_found_for_an_older_code_counts_for_nothing(parts: Parts, acme: str, clock: Clock) -> None:
    first = claimed(parts, acme)
    clock.advance(CODE_LIFETIME)
    claimed(parts, acme)
    with parts.database.transaction() as db:
        note(db, first.id, first.code, Proof("dns", (), ()), sealer=parts.sealer, actor="x", now=clock())
    assert row_of(parts).status == "pending"


def test_a_verified_domain_is_looked_at_daily(parts: Parts, acme: str, world: World, clock: Clock) -> None:
    row = claimed(parts, acme)
    world.put(row)
    looked(parts, acme, world)
    world.asked.clear()
    assert work(parts, world) == 0
    for _ in range(3):
        clock.advance(DAY)
        assert work(parts, world) == 1
    assert world.asked == ["acme.example"] * 3
    assert row_of(parts).status == "verified"
    assert mails(parts, "domain_missing") == []


def test_a_missing_proof_is_told_every_day_and_the_domain_lost_after_seven(
    parts: Parts, acme: str, world: World, clock: Clock
) -> None:
    row = claimed(parts, acme)
    world.put(row)
    looked(parts, acme, world)
    world.txt.clear()
    began = int(clock()) + DAY
    for day in range(7):
        clock.advance(DAY)
        assert work(parts, world) == 1
        assert leads(parts)
        assert len(mails(parts, "domain_missing")) == day + 1
    told = mails(parts, "domain_missing")[0]
    assert told.recipient == "dora@other.example"
    assert (told.values["domain"], told.values["at"]) == ("acme.example", began + LOST_AFTER)
    assert told.values["record"] == record_of(row)
    clock.advance(DAY)
    assert work(parts, world) == 1
    assert not leads(parts)
    kept = row_of(parts)
    assert (kept.status, kept.held, kept.free_at) == ("lost", "acme.example", int(clock()) + COOLING_OFF)
    assert len(mails(parts, "domain_lost")) == 1
    assert events(parts)[-2:] == ["company.domain_missed", "company.domain_lost"]
    # Found again while it is held, everything is repaired.
    clock.advance(DAY)
    world.put(row)
    assert work(parts, world) == 1
    assert leads(parts)
    assert row_of(parts).free_at is None
    assert len(mails(parts, "domain_back")) == 1


def several(parts: Parts, acme: str, world: World, count: int) -> list[CompanyDomain]:
    """Proved domains of one company; then their records go."""
    rows = []
    for number in range(count):
        with parts.database.transaction() as db:
            row = claim(db, acme, f"d{number}.example", actor="operator:test", now=parts.clock(), random=parts.random)
        world.put(row)
        with parts.database.transaction() as db:
            note(db, row.id, row.code, Proof("dns", (), ()), sealer=parts.sealer, actor="x", now=parts.clock())
        rows.append(row)
    world.txt.clear()
    return rows


def test_of_many_domains_each_is_told(parts: Parts, acme: str, world: World, clock: Clock) -> None:
    """Missing, lost and back: what finds the mailbox full comes later."""
    rows = several(parts, acme, world, MOST_ALIKE_PER_HOUR + 2)
    clock.advance(DAY)
    work(parts, world)
    assert len(mails(parts, "domain_missing")) == MOST_ALIKE_PER_HOUR
    clock.advance(HOUR + 1)
    work(parts, world)
    assert len(mails(parts, "domain_missing")) == len(rows)
    assert events(parts).count("company.domain_missed") == len(rows)
    for _ in range(7 * 24):
        clock.advance(HOUR + 1)
        work(parts, world)
    assert sorted(str(mail.values["domain"]) for mail in mails(parts, "domain_lost")) == [row.domain for row in rows]
    assert events(parts).count("company.domain_lost") == len(rows)
    for row in rows:
        world.put(row)
    for _ in range(4):
        clock.advance(DAY)
        work(parts, world)
    assert sorted(str(mail.values["domain"]) for mail in mails(parts, "domain_back")) == [row.domain for row in rows]


def test_where_there_is_nobody_to_tell_the_first_one_is_told(parts: Parts, world: World, clock: Clock) -> None:
    empty = add_company(parts, "Empty")
    several(parts, empty, world, 1)
    for _ in range(9):
        clock.advance(DAY)
        work(parts, world)
    assert events(parts).count("company.domain_missed") == 1
    with parts.database.transaction() as db:
        set_policy(db, empty, {"contacts": ["it@e.example"]}, config=parts.config, actor="x", now=clock())
    for _ in range(2):
        clock.advance(DAY)
        work(parts, world)
    assert [mail.recipient for mail in mails(parts, "domain_lost")] == ["it@e.example"]


def test_a_lost_domain_is_free_after_thirty_days(parts: Parts, acme: str, world: World, clock: Clock) -> None:
    world.put(claimed(parts, acme))
    looked(parts, acme, world)
    world.txt.clear()
    bolt = add_company(parts, "Bolt")
    for _ in range(8 + 30):
        assert refusal(lambda: claimed(parts, bolt)) == "domain_taken"
        clock.advance(DAY)
        work(parts, world)
    kept = row_of(parts)
    assert (kept.status, kept.held, kept.tree, kept.next_check_at) == ("expired", None, None, None)
    assert events(parts)[-1] == "company.domain_freed"
    world.put(claimed(parts, bolt))
    assert looked(parts, bolt, world).ok
    assert refusal(lambda: claimed(parts, acme)) == "domain_taken"


def test_name_servers_may_have_a_bad_moment(parts: Parts, acme: str, world: World, clock: Clock) -> None:
    row = claimed(parts, acme)
    world.put(row)
    looked(parts, acme, world)
    world.txt["acme.example"] = TxtAnswer((), "SERVFAIL")
    clock.advance(DAY)
    work(parts, world)
    assert mails(parts, "domain_missing") == []
    world.put(row)
    clock.advance(HOUR)
    assert work(parts, world) == 1
    assert (row_of(parts).missed_since, mails(parts, "domain_back")) == (None, [])
    world.txt["acme.example"] = TxtAnswer((), "timeout")
    clock.advance(DAY)
    work(parts, world)
    clock.advance(HOUR)
    work(parts, world)
    assert len(mails(parts, "domain_missing")) == 1


def test_a_moved_proof_counts(parts: Parts, acme: str, world: World, clock: Clock) -> None:
    row = claimed(parts, acme)
    world.put(row)
    looked(parts, acme, world)
    world.txt.clear()
    world.files[URL] = (200, record_of(row).encode())
    clock.advance(DAY)
    work(parts, world)
    assert (row_of(parts).status, row_of(parts).method, row_of(parts).missed_since) == ("verified", "file", None)


def test_a_released_domain_cools_off_for_all_but_its_company(
    parts: Parts, acme: str, world: World, clock: Clock
) -> None:
    first = claimed(parts, acme)
    world.put(first)
    looked(parts, acme, world)
    with parts.database.transaction() as db:
        release(db, acme, "Acme.example", actor="operator:test", now=clock())
    assert not leads(parts)
    assert refusal(lambda: looked(parts, acme, world)) == "domain_released"
    bolt = add_company(parts, "Bolt")
    for name in ("acme.example", "sub.acme.example"):
        assert refusal(lambda: claimed(parts, bolt, name)) == "domain_taken"  # noqa: B023 called at once
    again = claimed(parts, acme)
    assert again.code != first.code
    assert not looked(parts, acme, world).ok  # the old record proves nothing any more
    assert refusal(lambda: claimed(parts, bolt)) == "domain_taken"
    world.put(again)
    assert looked(parts, acme, world).ok
    assert (row_of(parts).free_at, leads(parts)) == (None, True)
    with parts.database.transaction() as db:
        release(db, acme, "acme.example", actor="operator:test", now=clock())
    clock.advance(COOLING_OFF)
    assert claimed(parts, bolt).status == "pending"  # even before the worker came by
    work(parts, world)
    with parts.database.reading() as db:
        assert claims(db, acme) == []


def test_an_unproved_claim_is_released_without_a_trace(parts: Parts, acme: str) -> None:
    claimed(parts, acme)
    with parts.database.transaction() as db:
        release(db, acme, "acme.example", actor="operator:test", now=0)
    with parts.database.reading() as db:
        assert claims(db, acme) == []
    for text in ("acme.example", "gmail.com", "…"):
        with parts.database.transaction() as db:
            assert refusal(lambda: release(db, acme, text, actor="x", now=0)) == "domain_unclaimed"  # noqa: B023 at once


def test_a_company_that_goes_leaves_its_domains_to_cool_off(
    parts: Parts, acme: str, world: World, clock: Clock
) -> None:
    prove(parts, acme, "acme.example")
    with parts.database.transaction() as db:
        remove_company(db, acme, actor="operator:test", now=clock())
    bolt = add_company(parts, "Bolt")
    assert refusal(lambda: claimed(parts, bolt, "mail.acme.example")) == "domain_taken"
    clock.advance(COOLING_OFF)
    assert work(parts, world) == 1
    with parts.database.reading() as db:
        assert db.scalars(select(CompanyDomain)).all() == []
    assert claimed(parts, bolt).status == "pending"


def test_a_company_that_goes_while_it_is_looked_for_is_nobodys_trouble(parts: Parts, acme: str, world: World) -> None:
    row = claimed(parts, acme)
    with parts.database.transaction() as db:
        remove_company(db, acme, actor="operator:test", now=parts.clock())
    with parts.database.transaction() as db:
        note(db, row.id, row.code, Proof("dns", (), ()), sealer=parts.sealer, actor="x", now=parts.clock())
    assert refusal(lambda: claimed(parts, acme)) == "company_unknown"


# --- mails, and the real thing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_mail_names_the_domain_as_it_is_written_in_the_dns(
    parts: Parts, acme: str, world: World, clock: Clock, language: str
) -> None:
    with parts.database.transaction() as db:
        change = {"contacts": ["it@acme.example"]}
        set_policy(db, acme, change, config=parts.config, actor="operator:test", now=clock())
    row = claimed(parts, acme)
    world.put(row)
    looked(parts, acme, world)
    world.txt["acme.example"] = [f"idp-verification-code={OLD}"]
    clock.advance(DAY)
    work(parts, world)
    [mail] = mails(parts, "domain_missing")
    assert mail.recipient == "it@acme.example"
    mail.language = language
    config = parts.config.model_copy(update={"smtp": "localhost:9"})
    body = Mailer(config, Languages()).write(mail, {}, clock()).get_body(("plain",))
    assert body is not None
    words = str(body.get_content())
    assert "acme.example" in words and record_of(row) in words
    assert Languages().text(language, "reason.domain_record_old.says") in words


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with dns_server() as running:
        yield running


def test_a_domain_is_verified_through_a_real_name_server(parts: Parts, acme: str, server: DnsServer) -> None:
    row = claimed(parts, acme, "bücher.example")
    lookup = txt_lookup(server.address)

    def verify() -> Proof:
        return check(
            parts.database, acme, "bücher.example", lookup, nothing_there,
            sealer=parts.sealer, actor="operator:test", now=parts.clock(),
        )  # fmt: skip

    assert verify().reason == "domain_name_unknown"
    server.records["xn--bcher-kva.example"] = ['"v=spf1 -all"', f'"{record_of(row)[:20]}" "{record_of(row)[20:]}"']
    assert verify().ok
    assert leads(parts, "xn--bcher-kva.example")


def test_nobody_there_is_told(parts: Parts, acme: str) -> None:
    assert look("acme.example", CODE, no_such_name, nothing_there).reasons == (
        "domain_name_unknown",
        "domain_file_unreachable",
    )

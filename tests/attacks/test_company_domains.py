"""attacks.md SA-35: a company reaches the addresses of a domain only after the DNS has proved it, and only while it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from idp.companies import COOLING_OFF, CompanyRefused, owns_domain
from idp.company_policy import policy_of_domain
from idp.dns_lookup import Lookup, txt_lookup
from idp.domain_evidence import Proof
from idp.domain_proof import (
    CODE_LIFETIME,
    DAY,
    LOST_AFTER,
    MOST_CLAIMS,
    check,
    check_due,
    claim,
    read_domain,
    record_of,
    release,
)
from idp.models import CompanyDomain
from idp.parts import Parts
from tests.company_records import add_company, nothing_there, prove
from tests.conftest import Clock
from tests.fakes.dns_server import DnsServer, dns_server

DOMAIN = "a.example"
OTHERS = (DOMAIN, "sub.a.example", "deep.sub.a.example", "A.EXAMPLE.", "ａ.example")


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server() as running:
        yield running


@pytest.fixture
def lookup(dns: DnsServer) -> Lookup:
    return txt_lookup(dns.address)


def claimed(parts: Parts, company: str, domain: str = DOMAIN) -> CompanyDomain:
    with parts.database.transaction() as db:
        return claim(db, company, domain, actor="operator:test", now=parts.clock(), random=parts.random)


def verify(parts: Parts, company: str, lookup: Lookup, domain: str = DOMAIN) -> Proof:
    return check(
        parts.database,
        company,
        domain,
        lookup,
        nothing_there,
        sealer=parts.sealer,
        actor="operator:test",
        now=parts.clock(),
    )


def publish(dns: DnsServer, row: CompanyDomain, at: str | None = None) -> None:
    dns.records.setdefault(at or row.domain, []).append(f'"{record_of(row)}"')


def reached_by(parts: Parts, domain: str = DOMAIN) -> str | None:
    """Whose company an address of the domain leads to."""
    with parts.database.reading() as db:
        policy = policy_of_domain(db, domain)
        assert policy is None or owns_domain(db, policy.company_id, domain)
        return policy and policy.company_id


def refusal(parts: Parts, company: str, domain: str) -> str:
    with pytest.raises(CompanyRefused) as error:
        claimed(parts, company, domain)
    return error.value.reason


def test_sa_35_a_claim_alone_leads_nobody_anywhere(parts: Parts, dns: DnsServer, lookup: Lookup) -> None:
    a = add_company(parts, "A")
    row = claimed(parts, a)
    assert reached_by(parts) is None
    dns.records[DOMAIN] = ['"v=spf1 -all"']
    assert not verify(parts, a, lookup).ok
    assert reached_by(parts) is None
    publish(dns, row)
    assert verify(parts, a, lookup).ok
    assert reached_by(parts) == a
    for other in ("sub.a.example", "example", "b.example", "xa.example"):
        assert reached_by(parts, other) is None


def test_sa_35_one_company_claims_so_many_and_no_more(parts: Parts) -> None:
    """Whoever has a set-up link could else fill the page, and the list of what is looked for, without end."""
    a, b = add_company(parts, "A"), add_company(parts, "B")
    for number in range(MOST_CLAIMS):
        claimed(parts, a, f"n{number}.example")
    with pytest.raises(CompanyRefused) as refused:
        claimed(parts, a, "one-more.example")
    assert refused.value.reason == "domain_too_many"
    claimed(parts, a, "n0.example")
    claimed(parts, b, "one-more.example")
    with parts.database.transaction() as db:
        release(db, a, "n0.example", actor="operator:test", now=parts.clock())
    claimed(parts, a, "n0.org")


def test_sa_35_another_companys_code_proves_nothing_for_mine(parts: Parts, dns: DnsServer, lookup: Lookup) -> None:
    """B reads A's record, which is public, and has a claim of its own on the same domain."""
    a, b = add_company(parts, "A"), add_company(parts, "B")
    mine, theirs = claimed(parts, a), claimed(parts, b)
    assert mine.code != theirs.code
    publish(dns, mine)
    assert verify(parts, b, lookup).reason == "domain_record_old"
    assert reached_by(parts) is None
    assert verify(parts, a, lookup).ok
    assert reached_by(parts) == a


def test_sa_35_a_pending_claim_of_a_stranger_keeps_nobody_out(parts: Parts, dns: DnsServer, lookup: Lookup) -> None:
    a, b = add_company(parts, "A"), add_company(parts, "B")
    for domain in (DOMAIN, "sub.a.example", "deep.sub.a.example"):
        claimed(parts, b, domain)
    publish(dns, claimed(parts, a))
    assert verify(parts, a, lookup).ok
    # And when the stranger then gets hold of the DNS of a sub-domain, it is too late.
    with parts.database.reading() as db:
        row = db.scalars(select(CompanyDomain).where(CompanyDomain.domain == "sub.a.example")).one()
    publish(dns, row)
    with pytest.raises(CompanyRefused) as error:
        verify(parts, b, lookup, "sub.a.example")
    assert error.value.reason == "domain_taken"
    assert reached_by(parts, "sub.a.example") is None


@pytest.mark.parametrize("domain", OTHERS)
def test_sa_35_a_held_domain_and_those_below_it_are_closed_to_others(parts: Parts, domain: str) -> None:
    a, b = add_company(parts, "A", DOMAIN), add_company(parts, "B")
    assert refusal(parts, b, domain) == "domain_taken"
    assert claimed(parts, a, "sub.a.example").status == "pending"  # its own company may have both


@pytest.mark.parametrize("below", ["sub.a.example", "deep.sub.a.example"])
def test_sa_35_the_domain_above_a_held_one_is_closed_to_others(parts: Parts, below: str) -> None:
    add_company(parts, "A", below)
    assert refusal(parts, add_company(parts, "B"), DOMAIN) == "domain_taken"
    prove(parts, add_company(parts, "C"), "xa.example")


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("co.uk", "domain_public_suffix"),
        ("CO.UK.", "domain_public_suffix"),
        ("com", "domain_malformed"),
        ("github.io", "domain_public_suffix"),
        ("gmail.com", "domain_public_mail"),
        ("ＧＭＡＩＬ.com", "domain_public_mail"),
        ("gmail.com.", "domain_public_mail"),
        ("gmail。com", "domain_public_mail"),
        ("anything.gmail.com", "domain_public_mail"),
        ("192.0.2.1", "domain_malformed"),
        ("a.example/../b.example", "domain_malformed"),
        ("a.example\x00.b.example", "domain_malformed"),
        ("%", "domain_malformed"),
        ("*.example", "domain_malformed"),
    ],
)
def test_sa_35_what_is_everybodys_is_nobodys(parts: Parts, domain: str, reason: str) -> None:
    assert refusal(parts, add_company(parts, "A"), domain) == reason


def test_sa_35_letters_that_look_alike_are_another_domain(parts: Parts) -> None:
    a = add_company(parts, "A", "acme.example")
    lookalike = "аcme.example"  # begins with a Cyrillic letter
    b = add_company(parts, "B", lookalike)
    assert reached_by(parts, "acme.example") == a
    assert read_domain(lookalike).startswith("xn--")
    assert reached_by(parts, read_domain(lookalike)) == b
    for spelling in ("bücher.example", "BÜCHER.example.", "xn--bcher-kva.example", "bu\u0308cher.example"):
        claimed(parts, a, spelling)
    with parts.database.reading() as db:
        rows = db.scalars(select(CompanyDomain.domain).where(CompanyDomain.status == "pending")).all()
    assert rows == ["xn--bcher-kva.example"]


def test_sa_35_a_record_by_way_of_an_alias_or_elsewhere_proves_nothing(
    parts: Parts, dns: DnsServer, lookup: Lookup
) -> None:
    """Who runs the shop that shop.a.example points to, or the zone above, or below, does not own the domain."""
    b = add_company(parts, "B")
    row = claimed(parts, b, "shop.a.example")
    dns.aliases["shop.a.example"] = "a.shops.example"
    publish(dns, row, "a.shops.example")
    assert verify(parts, b, lookup, "shop.a.example").reason == "domain_record_alias"
    del dns.aliases["shop.a.example"]
    for place in (DOMAIN, "x.shop.a.example", "www.shop.a.example"):
        dns.records = {"shop.a.example": []}
        publish(dns, row, place)
        assert not verify(parts, b, lookup, "shop.a.example").ok
    assert reached_by(parts, "shop.a.example") is None


def test_sa_35_a_proof_that_goes_away_takes_the_domain_with_it(
    parts: Parts, dns: DnsServer, lookup: Lookup, clock: Clock
) -> None:
    """The domain was sold: its new owner publishes nothing of ours."""
    a, b = add_company(parts, "A"), add_company(parts, "B")
    publish(dns, claimed(parts, a))
    assert verify(parts, a, lookup).ok
    dns.records[DOMAIN] = ['"v=spf1 -all"']
    for _ in range(1 + LOST_AFTER // DAY):
        assert reached_by(parts) == a
        clock.advance(DAY)
        while check_due(parts.database, lookup, nothing_there, parts.sealer, clock):
            pass
    assert reached_by(parts) is None
    assert refusal(parts, b, DOMAIN) == "domain_taken"
    clock.advance(COOLING_OFF)
    while check_due(parts.database, lookup, nothing_there, parts.sealer, clock):
        pass
    publish(dns, claimed(parts, b))
    assert verify(parts, b, lookup).ok
    assert reached_by(parts) == b


def test_sa_35_an_old_record_is_worth_nothing_to_whoever_finds_it(
    parts: Parts, dns: DnsServer, lookup: Lookup, clock: Clock
) -> None:
    a = add_company(parts, "A")
    row = claimed(parts, a)
    publish(dns, row)
    clock.advance(CODE_LIFETIME)
    with pytest.raises(CompanyRefused) as error:
        verify(parts, a, lookup)
    assert error.value.reason == "domain_code_expired"
    claimed(parts, a)
    assert verify(parts, a, lookup).reason == "domain_record_old"
    assert reached_by(parts) is None


def test_sa_35_what_one_company_claims_another_can_neither_check_nor_release(
    parts: Parts, dns: DnsServer, lookup: Lookup
) -> None:
    a, b = add_company(parts, "A", DOMAIN), add_company(parts, "B")
    for what in (
        lambda: verify(parts, b, lookup),
        lambda: release_of(parts, b),
    ):
        with pytest.raises(CompanyRefused) as error:
            what()
        assert error.value.reason == "domain_unclaimed"
    assert reached_by(parts) == a


def release_of(parts: Parts, company: str) -> None:
    with parts.database.transaction() as db:
        release(db, company, DOMAIN, actor="operator:test", now=parts.clock())

"""One company's broken, slow or hostile identity provider changes nothing for another company. ``make test-long``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from idp.models import CompanyDomain, Connection
from idp.parts import Parts, build
from tests.backends import wait_until
from tests.bench.measuring import memory
from tests.fakes.dns_server import DnsServer, dns_server
from tests.fakes.product_server import ProductServer, product_server, reply
from tests.hostile_company import FLOODING, HONEST, HOSTILE, flooded, honest_people
from tests.many_companies import Crowded, add_companies, add_template
from tests.registrations import REFERENCES
from tests.running import running_provider

PEOPLE = 200
AT_ONCE = 4
SLOW_CONNECTIONS = 12


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_company_that_floods_trickles_and_hangs_changes_nothing_for_another(tmp_path: Path, made_once: Path) -> None:
    with dns_server() as names, product_server(None) as slow, product_server(None) as honest:
        settings = {
            "IDP_TRUSTED_PROXIES": "127.0.0.0/8",
            "IDP_LOG_LEVEL": "WARNING",
            "IDP_DNS_SERVER": names.address,
        }
        with running_provider(tmp_path / "idp", keys=made_once / "keys", settings=settings) as provider:
            parts = build(provider.config, REFERENCES)
            try:
                add_companies(parts, add_template(parts), range(2))
                everything_is_due(parts, names, slow, honest)
                begun = time.time()
                provider.stop()
                provider.start()  # with all of it due at once, the hostile company's first
                quiet = honest_people(provider, 20)
                [worker] = provider.family().workers
                before = memory(worker).rss
                sizes: list[float] = []
                with flooded(provider):
                    took = honest_people(provider, PEOPLE, AT_ONCE, each=lambda: sizes.append(memory(worker).rss))
                    wait_until(
                        lambda: all_is_done(parts, begun), "the honest company's metadata and domains are read", 60
                    )
                assert len(took) == PEOPLE
                assert provider.family().workers == (worker,)
                assert max(sizes) < before + 10 * (FLOODING + AT_ONCE), (
                    sizes
                )  # some megabytes for each that is being answered
                assert len([one for one in slow.asked if one.line.startswith("GET /metadata")]) >= 4
                print(
                    f"quiet: {sorted(quiet)[10]:.2f} s; flooded: {sorted(took)[PEOPLE // 2]:.2f} s, {max(took):.2f} s"
                )
                print(
                    f"memory: {before} → {max(sizes)} MB; metadata and domains after {time.time() - begun:.0f} s at most"
                )
            finally:
                slow.released.set()
                parts.close()


def everything_is_due(parts: Parts, names: DnsServer, slow: ProductServer, honest: ProductServer) -> None:
    """The hostile company's metadata host trickles, its name servers are silent; the honest company's work as they should."""
    hostile_one, honest_one = (Crowded(number, parts.config.issuer) for number in (HOSTILE, HONEST))

    def trickle(_: object, write: Callable[[bytes], None]) -> None:
        write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
        while not slow.released.wait(0.1):
            write(b" ")

    slow.answer = trickle
    honest_one.idp.sso_url, honest_one.idp.slo_url = (
        f"https://idp.{honest_one.domain}/sso",
        "https://idp.acme.example/slo",
    )
    honest.answer = reply(200, honest_one.idp.metadata())
    with parts.database.transaction() as db:
        for server, company in ((slow, hostile_one), (honest, honest_one)):
            row = db.get_one(Connection, company.connection_id)
            row.metadata_url = f"http://127.0.0.1:{server.port}/metadata"
            row.metadata_due_at = 1 if company is hostile_one else 2
        row = db.get_one(Connection, hostile_one.connection_id)
        columns = {column.name: getattr(row, column.name) for column in Connection.__table__.columns}
        for number in range(SLOW_CONNECTIONS - 1):
            db.add(Connection(**(columns | {"id": f"slow{number}"})))
        for number in range(SLOW_CONNECTIONS):
            domain = f"d{number}.{hostile_one.domain}"
            db.add(
                CompanyDomain(
                    company_id=row.company_id, domain=domain, held=domain, status="verified", code="x", found=[],
                    tree=".".join([*reversed(domain.split(".")), ""]), code_expires_at=1, created_at=1, next_check_at=1,
                )
            )  # fmt: skip
            names.failures[domain] = "silence"
        db.execute(
            update(CompanyDomain)
            .where(CompanyDomain.domain.endswith(honest_one.domain))
            .values(next_check_at=2, code="the-code-of-the-honest-company")
        )
        for domain in db.scalars(select(CompanyDomain.domain).where(CompanyDomain.domain.endswith(honest_one.domain))):
            names.records[domain] = ['"idp-verification-code=the-code-of-the-honest-company"']


def all_is_done(parts: Parts, since: float) -> bool:
    """Whether the honest company's metadata and its domains were looked at, and found as they should be."""
    company = Crowded(HONEST, parts.config.issuer)
    with parts.database.reading() as db:
        row = db.get_one(Connection, company.connection_id)
        domains = db.scalars(select(CompanyDomain).where(CompanyDomain.domain.endswith(company.domain))).all()
        read = (row.metadata_read_at or 0) >= int(since) and row.metadata_problem is None
        return read and all((one.checked_at or 0) >= int(since) and one.missed_since is None for one in domains)

"""A thousand companies, three domains and a live connection each, written as rows; and their people at a running provider."""

from __future__ import annotations

import base64
import http.client
import re
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from sqlalchemy import insert, select

from idp.models import Company, CompanyDomain, Connection, ConnectionCertificate, ConnectionKey, Table
from idp.parts import Parts
from tests.fakes.company_idp import CompanyIdp
from tests.journey import challenge_of
from tests.running import Provider
from tests.saml_parties import Customer, add_customer

DOMAINS = ("", "mail.", "eu.")  # of each company, before its name
TEMPLATE = "template.example"


@dataclass(frozen=True)
class Crowded:
    """The company with this number. All of them sign with one key: what is counted is ours, not theirs."""

    number: int
    issuer: str

    @property
    def domain(self) -> str:
        return f"c{self.number}.example"

    @property
    def connection_id(self) -> str:
        return f"c{self.number}"

    @property
    def acs(self) -> str:
        return f"{self.issuer}/saml/{self.connection_id}/acs"

    @cached_property
    def idp(self) -> CompanyIdp:
        return CompanyIdp(f"https://idp.{self.domain}/saml")

    def answer(self, request_id: str, email: str, **changes: Any) -> str:
        """Its response, in base64."""
        return self.idp.response(
            **{
                "request_id": request_id,
                "acs": self.acs,
                "audience": f"{self.issuer}/saml/{self.connection_id}/metadata",
                "name_id": email,
                **changes,
            }
        )


def add_template(parts: Parts) -> Customer:
    """The company whose connection all others are copies of, but for their names: making a thousand keys takes minutes."""
    idp = CompanyIdp("https://idp.template.example/saml")
    return add_customer(
        parts.database, parts.connections, idp, TEMPLATE, name="Template", now=parts.clock(), random=parts.random
    )


def add_companies(parts: Parts, template: Customer, numbers: range) -> None:
    """Write the companies with these numbers."""
    at, like, sealer = int(parts.clock()), template.connection.id, parts.connections._sealer
    with parts.database.transaction() as db:
        connection = _row(db.get_one(Connection, like))
        certificate = _row(
            db.scalars(select(ConnectionCertificate).where(ConnectionCertificate.connection_id == like)).one()
        )
        key = _row(db.scalars(select(ConnectionKey).where(ConnectionKey.connection_id == like)).one())
        secrets = sealer.open(key["sealed_key"], f"connection {like}")
        rows: dict[type[Table], list[dict[str, Any]]] = {
            Company: [], CompanyDomain: [], Connection: [], ConnectionCertificate: [], ConnectionKey: []
        }  # fmt: skip
        for one in (Crowded(number, parts.config.issuer) for number in numbers):
            company_id = f"{one.number:032x}"
            rows[Company].append(
                {"id": company_id, "name": f"Company {one.number}", "sso": "optional", "jit": True, "doors": []}
                | {"contacts": [], "created_at": at, "updated_at": at}
            )
            rows[CompanyDomain] += [
                {"company_id": company_id, "domain": domain, "held": domain, "status": "verified", "verified_at": at}
                | {"tree": ".".join([*reversed(domain.split(".")), ""]), "code": f"{one.number}{before}", "found": []}
                | {"code_expires_at": at, "created_at": at, "next_check_at": at + 86400}
                for before in DOMAINS
                for domain in [before + one.domain]
            ]
            mine = {"connection_id": one.connection_id}
            rows[Connection].append(
                connection
                | {"id": one.connection_id, "company_id": company_id, "idp_entity_id": one.idp.entity_id}
                | {"sso_url": f"https://idp.{one.domain}/sso", "name": "Its own"}
            )
            rows[ConnectionCertificate].append(certificate | mine)
            sealed = sealer.seal(secrets, f"connection {one.connection_id}")
            rows[ConnectionKey].append(key | mine | {"sealed_key": sealed})
        for table, several in rows.items():
            db.execute(insert(table), several)


def _row(row: Table) -> dict[str, Any]:
    """Its columns, without a number that the database gives."""
    columns = {column.name: getattr(row, column.name) for column in row.__table__.columns}
    return {name: value for name, value in columns.items() if name != "id" or isinstance(value, str)}


class Refused(AssertionError):
    """The way through the company ended elsewhere than at the product."""


@dataclass
class CompanyVisitor:
    """A browser at a running provider, thrown away after each person. As lean as it can be: it shares the machine.

    :ivar host: address and port to speak to; ``issuer``: what the provider calls itself.
    :ivar network: where it seems to come from; the provider must trust us as its proxy.
    """

    host: str
    issuer: str
    network: str = "192.0.2.7"
    client_id: str = "C1"
    redirect_uri: str = "https://rp1.example/cb"
    cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._line = http.client.HTTPConnection(self.host, timeout=60)

    def sign_in(self, company: Crowded, email: str) -> str:
        """The whole way; the code."""
        self.cookies.clear()
        request_id = self.leave(email)
        return self.come_back(company, company.answer(request_id, email))

    def leave(self, email: str) -> str:
        """From the product's request to the company: the id of our request to it."""
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": "openid email",
            "redirect_uri": self.redirect_uri,
            "state": "s",
            "nonce": "n",
            "code_challenge": challenge_of("a-verifier-that-nobody-uses-but-that-is-long-enough"),
            "code_challenge_method": "S256",
            "login_hint": email,
        }
        status, location, body = self._follow("GET", f"/authorize?{urlencode(query)}")
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', body)
        if status != 200 or found is None:
            raise Refused(f"{status} {location} {body[-1500:]}")
        packed = parse_qs(urlsplit(unescape(found[1])).query)["SAMLRequest"][0]
        request = zlib.decompress(base64.b64decode(packed), -15).decode()
        return str(re.search(r'\bID="([^"]+)"', request)[1])  # type: ignore[index]  # a request has one

    def come_back(self, company: Crowded, response: str) -> str:
        """With the company's response, to the product: the code."""
        status, location, body = self.post(company, response)
        if status != 303:
            raise Refused(f"{status} {body[-1500:]}")
        status, location, body = self._follow("GET", location)
        if status != 303 or "code=" not in location:
            raise Refused(f"{status} {location} {body[-1500:]}")
        return parse_qs(urlsplit(location).query)["code"][0]

    def post(self, company: Crowded, response: str) -> tuple[int, str, str]:
        """A POST from the company's site, which brings no cookies of ours: status, location, page."""
        path = f"/saml/{company.connection_id}/acs"
        return self._send("POST", path, urlencode({"SAMLResponse": response}), {"Origin": "https://idp.example"})

    def _follow(self, method: str, url: str) -> tuple[int, str, str]:
        while True:
            cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            status, location, body = self._send(method, url, None, cookies)
            url = location.removeprefix(self.issuer)
            if status != 303 or not url.startswith("/"):
                return status, location, body

    def _send(self, method: str, url: str, form: str | None, headers: dict[str, str]) -> tuple[int, str, str]:
        headers = {
            "Host": urlsplit(self.issuer).netloc,
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "X-Forwarded-For": self.network,
            **headers,
        }
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            self._line.request(method, url, form, headers)
            answer = self._line.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # it was idle for too long; nothing was answered yet
            self._line.close()
            self._line.request(method, url, form, headers)
            answer = self._line.getresponse()
        body = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, answer.headers.get("Location", ""), body

    def close(self) -> None:
        self._line.close()


def people_sign_in(
    provider: Provider,
    numbers: range,
    company_of: Callable[[int], int],
    *,
    at_once: int = 4,
    each: Callable[[], object] = lambda: None,
) -> list[float]:
    """Everybody with a number signs in once, from a network of their own; the seconds that each took.

    ``company_of``: person's number → company's; ``each`` is called after each of them.

    :raises Refused: somebody did not get through.
    """

    def some(mine: range) -> list[float]:
        took = []
        with closing(CompanyVisitor(f"127.0.0.1:{provider.port}", provider.issuer)) as visitor:
            for number in mine:
                company = Crowded(company_of(number), provider.issuer)
                visitor.network = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
                begun = time.perf_counter()
                visitor.sign_in(company, f"person{number}@{company.domain}")
                took.append(time.perf_counter() - begun)
                each()
        return took

    with ThreadPoolExecutor(at_once) as people:
        several = people.map(some, (numbers[place::at_once] for place in range(at_once)))
        return [one for took in several for one in took]

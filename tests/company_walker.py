"""A person on foot at a company's door: the same browser at our pages and at the company's own, which is played here."""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lxml import etree
from werkzeug.test import Client, TestResponse

from idp.attempts import drain
from idp.parts import Parts
from idp.receipts import find_attempt
from tests.fakes.company_idp import EMAIL
from tests.journey import Walker
from tests.saml_parties import Customer

MFA = "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"  # what the company of the fixture calls two factors


@dataclass
class Request:
    """An AuthnRequest as the company's identity provider reads it."""

    document: etree._Element
    relay_state: str

    @property
    def id(self) -> str:
        return str(self.document.get("ID"))

    @property
    def acs(self) -> str:
        return str(self.document.get("AssertionConsumerServiceURL"))

    @property
    def issuer(self) -> str:
        return str(self.document.findtext("{urn:oasis:names:tc:SAML:2.0:assertion}Issuer"))

    @property
    def contexts(self) -> list[str]:
        return [
            str(ref.text) for ref in self.document.iter("{urn:oasis:names:tc:SAML:2.0:assertion}AuthnContextClassRef")
        ]


def request_at(response: TestResponse) -> Request:
    """The AuthnRequest with which an answer of ours sends the browser away."""
    html = response.get_data(as_text=True)
    if response.status_code == 303:
        fields = {name: values[0] for name, values in parse_qs(urlsplit(response.location).query).items()}
        packed = True
    elif found := re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', html):
        fields = {name: values[0] for name, values in parse_qs(urlsplit(unescape(found[1])).query).items()}
        packed = True
    else:
        fields = dict(re.findall(r'name="(SAMLRequest|RelayState)" value="([^"]*)"', html))
        packed = False
    assert "SAMLRequest" in fields, html
    raw = base64.b64decode(fields["SAMLRequest"])
    return Request(etree.fromstring(zlib.decompress(raw, -15) if packed else raw), fields.get("RelayState", ""))


def answer(
    customer: Customer, request: Request, now: float, name_id: str = "alice@acme.example", **changes: Any
) -> str:
    """The company's response to a request, in base64."""
    return customer.idp.response(
        **{
            "request_id": request.id,
            "acs": request.acs,
            "audience": request.issuer,
            "name_id": name_id,
            "name_id_format": EMAIL,
            "now": now,
            **changes,
        }
    )


def post(walker: Walker, customer: Customer, response: str, **fields: str) -> TestResponse:
    """Post a response to our ACS address as a browser does from another site: without cookies, and with the answer's ones."""
    answered = Client(walker.app).open(
        f"/saml/{customer.connection.id}/acs",
        method="POST",
        base_url="https://login.example",
        data={"SAMLResponse": response, **fields},
        headers={"User-Agent": walker.user_agent, "Origin": "https://idp.acme.example"},
        environ_base={"REMOTE_ADDR": walker.address},
    )
    assert not answered.headers.getlist("Set-Cookie") or answered.status_code != 303
    return answered


def leave(walker: Walker, email: str = "alice@acme.example", **parameters: str | None) -> Request:
    """From the product to the company's page: type the address, and go."""
    page = walker.follow(walker.az(**parameters))
    if 'name="username"' in page.get_data(as_text=True):
        page = walker.follow(walker.submit(page, "/login", username=email))
    return request_at(page)


def come_back(walker: Walker, customer: Customer, request: Request, **changes: Any) -> TestResponse:
    """The company signs the person in; follow the browser as long as it stays with us."""
    now = walker.parts.clock()
    return walker.follow(post(walker, customer, answer(customer, request, now, **changes)))


def sign_in(walker: Walker, customer: Customer, email: str = "alice@acme.example", **changes: Any) -> TestResponse:
    """The whole way, to the redirect back to the product (or to the page that stands in between)."""
    return come_back(walker, customer, leave(walker, email), **{"name_id": email, **changes})


def text(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def reason_of(page: TestResponse, parts: Parts) -> str:
    """The reason in the receipt that a page shows."""
    [code] = re.findall(r'<code id="receipt-code"[^>]*>([^<]*)<', text(page))
    parts.attempts.flush()
    drain(parts.store, parts.database)
    with parts.database.reading() as db:
        attempt = find_attempt(db, code)
        assert attempt is not None
        return str(attempt.reason)

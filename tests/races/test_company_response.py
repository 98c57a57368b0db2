"""One answer of a company's identity provider, shown twenty times in the same moment to four processes: one sign-in."""

from __future__ import annotations

import re
import secrets
import time
import zlib
from base64 import b64decode
from collections import Counter
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree
from sqlalchemy import func, select

from idp.cli.company_arguments import connections_of
from idp.database import Database
from idp.models import Account, AuditEvent, Email, Link
from tests.fakes.company_idp import CompanyIdp
from tests.party import Party, at_once, cookies_of, form_request, page_request
from tests.running import Provider
from tests.saml_parties import Customer, add_customer
from tests.visitor import Visitor

TIMES = 20


@pytest.fixture(scope="module")
def company(provider: Provider) -> Customer:
    database = Database(provider.config)
    customer = add_customer(
        database, connections_of(provider.config), CompanyIdp(), now=time.time(), random=secrets.token_bytes
    )
    database.close()
    return customer


def leave(browser: Visitor, party: Party, email: str) -> str:
    """Go as far as the company's page; return the id of the request."""
    page = browser.submit(browser.open(party.url()), username=email)
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page.text)
    assert found, page.text
    packed = parse_qs(urlsplit(unescape(found[1])).query)["SAMLRequest"][0]
    return str(etree.fromstring(zlib.decompress(b64decode(packed), -15)).get("ID"))


def response(company: Customer, request: str, email: str) -> dict[str, str]:
    connection = company.connection
    encoded = company.idp.response(request_id=request, acs=connection.acs, audience=connection.entity_id, name_id=email)
    return {"SAMLResponse": encoded}


def path_of(location: str) -> str:
    split = urlsplit(location)
    return f"{split.path}?{split.query}"


def signed_in(provider: Provider, email: str) -> tuple[int, int, int]:
    """How many accounts, links and sign-ins there are of an address."""
    database = Database(provider.config)
    with database.reading() as db:
        accounts = db.scalars(select(Account.id).join(Email).where(Email.canonical == email)).all()
        links = db.scalar(select(func.count()).where(Link.account_id.in_(accounts))) or 0
        events = select(func.count()).where(AuditEvent.event == "person.signed_in", AuditEvent.account_id.in_(accounts))
        entered = db.scalar(events) or 0
    database.close()
    return len(accounts), links, entered


def test_sa_16_one_response_twenty_times_is_one_sign_in(provider: Provider, party: Party, company: Customer) -> None:
    assert len(provider.family().workers) == 4
    email = "alice@acme.example"
    browser = Visitor(provider)
    form = response(company, leave(browser, party, email), email)
    acs = f"/saml/{company.connection.id}/acs"
    posted = at_once(provider, [form_request(provider, acs, form)] * TIMES)
    assert {reply.status for reply in posted} == {303}
    cookies = cookies_of(browser.http)
    back = [page_request(provider, path_of(reply.headers["location"]), **cookies) for reply in posted]
    replies = at_once(provider, back)
    landed = Counter(urlsplit(reply.headers["location"]).path for reply in replies)
    assert landed == {"/authorize/resume": 1, "/login/company/failed": TIMES - 1}
    assert signed_in(provider, email) == (1, 1, 1)


def test_sa_16_what_was_parked_is_fetched_once(provider: Provider, party: Party, company: Customer) -> None:
    email = "bob@acme.example"
    browser = Visitor(provider)
    form = response(company, leave(browser, party, email), email)
    [posted] = at_once(provider, [form_request(provider, f"/saml/{company.connection.id}/acs", form)])
    request = page_request(provider, path_of(posted.headers["location"]), **cookies_of(browser.http))
    replies = at_once(provider, [request] * TIMES)
    assert Counter(reply.status for reply in replies) == {303: 1, 400: TIMES - 1}
    assert signed_in(provider, email) == (1, 1, 1)


def test_sa_16_no_response_signs_in_again_after_a_restart(provider: Provider, party: Party, company: Customer) -> None:
    email = "erin@acme.example"
    browser = Visitor(provider)
    form = response(company, leave(browser, party, email), email)
    acs = form_request(provider, f"/saml/{company.connection.id}/acs", form)
    first, second = at_once(provider, [acs]) + at_once(provider, [acs])  # the second is parked until after the restart
    cookies = cookies_of(browser.http)
    [entered] = at_once(provider, [page_request(provider, path_of(first.headers["location"]), **cookies)])
    assert urlsplit(entered.headers["location"]).path == "/authorize/resume"
    provider.stop()
    provider.start()
    [posted] = at_once(provider, [acs])
    for reply in [second, posted]:
        if reply.status == 303:
            [reply] = at_once(provider, [page_request(provider, path_of(reply.headers["location"]), **cookies)])
        # a page that refuses, or the way to the company with a new request: never the way on to the product
        there = urlsplit(reply.headers.get("location", "")).path
        assert reply.status == 400 or there in ("/login/company/failed", "/login/company/start")
    assert signed_in(provider, email) == (1, 1, 1)


def test_a_newcomer_in_many_browsers_at_once_gets_one_account(
    provider: Provider, party: Party, company: Customer
) -> None:
    email = "dora@acme.example"
    requests = []
    for _ in range(8):
        browser = Visitor(provider)
        form = response(company, leave(browser, party, email), email)
        [posted] = at_once(provider, [form_request(provider, f"/saml/{company.connection.id}/acs", form)])
        requests.append(page_request(provider, path_of(posted.headers["location"]), **cookies_of(browser.http)))
    replies = at_once(provider, requests)
    assert {reply.status for reply in replies} == {303}, [reply.text for reply in replies if reply.status != 303]
    assert signed_in(provider, email) == (1, 1, 8)

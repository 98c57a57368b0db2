"""attacks.md SA-29 and SA-30, through the pages: what comes to /saml/<connection>/slo ends only the sessions that a genuine
request names, and a sign-out here never depends on what the company does."""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from lxml import etree
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from idp.accounts.sessions import CompanySession, Session, find_session
from idp.companies import create_company
from idp.connections import NAME_ID_EMAIL, NAME_ID_PERSISTENT, Description, SamlConnection
from idp.models import AuditEvent, LogoutNotice
from idp.parts import Parts
from tests.conftest import Clock
from tests.fakes.company_idp import SAML, SAMLP, SUCCESS, CompanyIdp
from tests.journey import Walker, add_carol
from tests.people import access_is_alive, give, open_for

ALICE = "alice@acme.example"
BYE = "https://rp1.example/bye"
NO_INDEX: Any = None


@dataclass
class Company:
    """An identity provider and our connection to it."""

    idp: CompanyIdp
    connection: SamlConnection

    def sends(self, walker: Walker, document: bytes, *, relay_state: str = "") -> TestResponse:
        """Its message comes through the browser, by the Redirect binding."""
        query = self.idp.redirect_query(document, relay_state=relay_state)
        return walker.get(f"/saml/{self.connection.id}/slo?{query}")

    def posts(self, document: bytes, walker: Walker, *, relay_state: str = "") -> TestResponse:
        """Its message comes by the POST binding: from another site, so without our cookies."""
        name = "SAMLRequest" if b"LogoutRequest" in document else "SAMLResponse"
        fields = {name: base64.b64encode(document).decode(), "RelayState": relay_state}
        return Walker(walker.app, walker.parts).open("POST", f"/saml/{self.connection.id}/slo", data=fields)

    def request(self, now: float, *, sign: bool = False, **changes: str) -> bytes:
        given = {"destination": self.connection.slo, "name_id": ALICE, "session_index": "_s1"} | changes
        return self.idp.logout_request(now=now, sign=sign, **given)

    def response(self, now: float, in_response_to: str, *, sign: bool = False, **changes: Any) -> bytes:
        given = {"destination": self.connection.slo, "in_response_to": in_response_to} | changes
        return self.idp.logout_response(now=now, sign=sign, **given)


def connect(parts: Parts, idp: CompanyIdp, name: str, **changes: Any) -> Company:
    facts: dict[str, Any] = {
        "entity_id": idp.entity_id,
        "sso_url": idp.sso_url,
        "sso_binding": "redirect",
        "slo_url": idp.slo_url,
        "slo_binding": "redirect",
        "slo_response_url": None,
        "certificates": (idp.certificate,),
    }
    with parts.database.transaction() as db:
        company = create_company(db, name, actor="operator:test", now=parts.clock(), random=parts.random)
        connection = parts.connections.add(
            db,
            company.id,
            Description(**(facts | changes)),
            name=name,
            vendor="other",
            actor="operator:test",
            now=parts.clock(),
            random=parts.random,
        )
    return Company(idp, connection)


@pytest.fixture
def acme(parts: Parts) -> Company:
    return connect(parts, CompanyIdp(), "Acme")


@pytest.fixture
def alice(parts: Parts) -> str:
    return add_carol(parts, ALICE)


def session_of(
    parts: Parts, company: Company, account_id: str, index: str | None = "_s1", name_id: str = ALICE, **changes: Any
) -> tuple[Session, str]:
    """A session that was opened through a company's door, and its cookie."""
    source = CompanySession(company.connection.id, name_id, NAME_ID_EMAIL, index)
    return open_for(parts, account_id, company=source, **changes)


def sign_in(walker: Walker, cookie: str) -> None:
    walker.browser.set_cookie("__Host-idp_session", cookie, domain="login.example", secure=True)


def is_alive(parts: Parts, cookie: str) -> bool:
    return find_session(parts.store, cookie, parts.clock()) is not None


def message_in(url: str, name: str) -> tuple[etree._Element, str | None]:
    query = parse_qs(urlsplit(url).query, strict_parsing=True)
    return etree.fromstring(zlib.decompress(base64.b64decode(query[name][0]), -15)), query.get("RelayState", [None])[0]


def text_of(page: TestResponse) -> str:
    return page.get_data(as_text=True)


# --- the company ends a session -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_sa_29_a_genuine_request_ends_exactly_the_sessions_that_it_names(
    walker: Walker, parts: Parts, acme: Company, alice: str, binding: str
) -> None:
    named, cookie = session_of(parts, acme, alice)
    others = [
        session_of(parts, acme, alice, "_s2")[1],
        session_of(parts, acme, add_carol(parts), name_id="carol@acme.example")[1],
        open_for(parts, alice)[1],  # by password
    ]
    issued = give(parts, named)
    document = acme.request(parts.clock(), sign=binding == "post")
    answer = (
        acme.posts(document, walker, relay_state="theirs")
        if binding == "post"
        else acme.sends(walker, document, relay_state="theirs")
    )
    assert answer.status_code == 303, text_of(answer)
    response, relay_state = message_in(answer.location, "SAMLResponse")
    assert answer.location.startswith(f"{acme.idp.slo_url}?")
    assert relay_state == "theirs"
    assert response.get("InResponseTo") == etree.fromstring(document).get("ID")
    assert response.findall(f"{{{SAMLP}}}Status/{{{SAMLP}}}StatusCode")[0].get("Value") == SUCCESS
    assert not is_alive(parts, cookie)
    assert not access_is_alive(parts, issued)
    assert all(is_alive(parts, other) for other in others)
    with parts.database.reading() as db:
        notices = db.scalars(select(LogoutNotice.sid)).all()
        events = db.execute(select(AuditEvent.event, AuditEvent.actor).where(AuditEvent.account_id == alice)).all()
    assert list(notices) == [named.sid("C1")]
    assert ("person.signed_out", f"connection:{acme.connection.id}") in [tuple(event) for event in events]


def test_sa_29_a_request_without_an_index_ends_all_sessions_of_the_person_at_this_connection(
    walker: Walker, parts: Parts, acme: Company, alice: str
) -> None:
    cookies = [session_of(parts, acme, alice, index)[1] for index in ("_s1", "_s2", None)]
    assert acme.sends(walker, acme.request(parts.clock(), session_index="")).status_code == 303
    assert not any(is_alive(parts, cookie) for cookie in cookies)


def test_sa_29_a_request_that_names_nobody_here_ends_nothing_and_is_answered_alike(
    walker: Walker, parts: Parts, acme: Company, alice: str
) -> None:
    _, cookie = session_of(parts, acme, alice)
    for changes in (
        {"name_id": "bob@acme.example"},
        {"session_index": "_s9"},
        {"name_id_format": NAME_ID_PERSISTENT},
    ):
        answer = acme.sends(walker, acme.request(parts.clock(), **changes))
        assert message_in(answer.location, "SAMLResponse")[0].find(f".//{{{SAMLP}}}StatusCode").get("Value") == SUCCESS  # type: ignore[union-attr] # it is there  # fmt: skip
        assert is_alive(parts, cookie)


def test_an_address_in_other_capitals_names_the_same_person_and_any_other_name_counts_to_the_letter(
    walker: Walker, parts: Parts, acme: Company, alice: str
) -> None:
    _, by_address = session_of(parts, acme, alice)
    opaque = CompanySession(acme.connection.id, "a1b2@acme.example", NAME_ID_PERSISTENT, "_s2")
    _, by_name = open_for(parts, alice, company=opaque)
    acme.sends(walker, acme.request(parts.clock(), name_id="ALICE@Acme.example", session_index=""))
    request = {"name_id": "A1B2@acme.example", "name_id_format": NAME_ID_PERSISTENT, "session_index": ""}
    acme.sends(walker, acme.request(parts.clock(), **request))
    assert not is_alive(parts, by_address)
    assert is_alive(parts, by_name)


def test_sa_29_another_company_cannot_end_a_session(walker: Walker, parts: Parts, acme: Company, alice: str) -> None:
    globex = connect(parts, CompanyIdp("https://idp.globex.example/saml", name="Globex"), "Globex")
    _, cookie = session_of(parts, acme, alice)
    # its own genuine request at its own address, for a person of Acme
    assert globex.sends(walker, globex.request(parts.clock())).status_code == 303
    assert is_alive(parts, cookie)
    # the same at Acme's address, with Acme's name
    forged = Company(globex.idp, acme.connection)
    for changes in ({}, {"Issuer": acme.idp.entity_id}):
        for page in (
            forged.sends(walker, forged.request(parts.clock(), **changes)),
            forged.posts(forged.request(parts.clock(), sign=True, **changes), walker),
        ):
            assert page.status_code == 400
            assert 'id="error-page"' in text_of(page)
    assert is_alive(parts, cookie)


def test_sa_29_an_unsigned_or_misdirected_request_ends_nothing(
    walker: Walker, parts: Parts, acme: Company, alice: str, clock: Clock
) -> None:
    _, cookie = session_of(parts, acme, alice)
    query = acme.idp.redirect_query(acme.request(clock()))
    old = acme.idp.redirect_query(acme.request(clock() - 3600))
    for bad in (
        query.partition("&SigAlg")[0],
        query.partition("&Signature")[0],
        f"{query}&RelayState=added",
        acme.idp.redirect_query(acme.request(clock(), Destination="")),
        acme.idp.redirect_query(acme.request(clock(), Issuer="https://nobody.example/")),
        old,
    ):
        page = walker.get(f"/saml/{acme.connection.id}/slo?{bad}")
        assert page.status_code == 400
        assert is_alive(parts, cookie)
    assert acme.posts(acme.request(clock()), walker).status_code == 400
    assert is_alive(parts, cookie)


@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_sa_29_a_request_counts_once(
    walker: Walker, parts: Parts, acme: Company, alice: str, clock: Clock, binding: str
) -> None:
    document = acme.request(clock(), sign=binding == "post")

    def send() -> TestResponse:
        return acme.posts(document, walker) if binding == "post" else acme.sends(walker, document)

    assert send().status_code == 303
    _, cookie = session_of(parts, acme, alice)  # signed in again
    clock.advance(60)
    assert send().status_code == 400
    assert is_alive(parts, cookie)
    clock.advance(3600)
    assert send().status_code == 400
    assert is_alive(parts, cookie)


def test_a_request_that_met_an_accident_can_be_sent_again(
    walker: Walker, parts: Parts, acme: Company, alice: str
) -> None:
    """SQL fails in the middle: who reloads the page is signed out, and not told that this was done before."""
    _, cookie = session_of(parts, acme, alice)
    document = acme.request(parts.clock())
    with parts.database.transaction() as db:
        db.execute(text("ALTER TABLE audit_events RENAME TO audit_away"))
    assert acme.sends(walker, document).status_code == 500
    assert is_alive(parts, cookie)
    with parts.database.transaction() as db:
        db.execute(text("ALTER TABLE audit_away RENAME TO audit_events"))
    assert acme.sends(walker, document).status_code == 303
    assert not is_alive(parts, cookie)


def test_a_company_without_a_sign_out_address_can_end_sessions_too(walker: Walker, parts: Parts, alice: str) -> None:
    quiet = connect(parts, CompanyIdp(), "Quiet", slo_url=None, slo_binding=None)
    _, cookie = session_of(parts, quiet, alice)
    page = quiet.sends(walker, quiet.request(parts.clock()))
    assert 'id="logged-out"' in text_of(page)
    assert not is_alive(parts, cookie)


def test_answers_go_to_their_own_address_by_a_form_if_the_company_wants_it(
    walker: Walker, parts: Parts, alice: str
) -> None:
    company = connect(
        parts, CompanyIdp(), "Acme", slo_binding="post", slo_response_url="https://idp.acme.example/slo/done"
    )
    page = company.sends(walker, company.request(parts.clock()), relay_state="theirs")
    html = text_of(page)
    assert 'action="https://idp.acme.example/slo/done"' in html
    assert 'name="SAMLResponse"' in html
    assert 'name="RelayState" value="theirs"' in html
    assert "form-action 'self' https:;" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/saml/nobody/slo", "/saml/%00/slo", f"/saml/{'x' * 200}/slo"])
def test_there_is_no_address_for_a_connection_that_does_not_exist(walker: Walker, path: str) -> None:
    assert walker.get(path).status_code == 404
    assert walker.open("POST", path, data={"SAMLRequest": "x"}).status_code == 404


def test_the_address_without_a_message_explains_itself(walker: Walker, acme: Company) -> None:
    for page in (
        walker.get(f"/saml/{acme.connection.id}/slo"),
        walker.open("POST", f"/saml/{acme.connection.id}/slo"),
        walker.open("POST", f"/saml/{acme.connection.id}/slo", data=b"\xff<x/>", content_type="text/xml"),
    ):
        assert page.status_code == 400
        assert 'id="error-page"' in text_of(page)
    assert walker.open("HEAD", f"/saml/{acme.connection.id}/slo").status_code == 405


# --- a person signs out here, and at the company -----------------------------------------------------------------------------


def to_company(page: TestResponse) -> tuple[str, etree._Element]:
    """Where the page that a sign-out leads to sends the browser by itself, and the request that it carries."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', text_of(page))
    assert found is not None, text_of(page)
    url = unescape(found[1])
    return url, message_in(url, "SAMLRequest")[0]


def sign_out_at_me(walker: Walker) -> TestResponse:
    return walker.follow(walker.submit(walker.get("/me"), "/me/sign-out"))


def test_signing_out_here_goes_on_at_the_company_and_comes_back_to_the_product(
    walker: Walker, parts: Parts, acme: Company, alice: str
) -> None:
    _, cookie = session_of(parts, acme, alice)
    sign_in(walker, cookie)
    token = walker.tokens()["id_token"]
    left = walker.get("/logout", query_string={"id_token_hint": token, "post_logout_redirect_uri": BYE, "state": "s9"})
    assert not is_alive(parts, cookie)  # before the company hears of it
    assert token not in left.location
    url, message = to_company(walker.follow(left))
    assert url.startswith(f"{acme.idp.slo_url}?SAMLRequest=")
    assert message.get("Destination") == acme.idp.slo_url
    assert message.findtext(f"{{{SAML}}}NameID") == ALICE
    assert message.findtext(f"{{{SAMLP}}}SessionIndex") == "_s1"
    assert message.findtext(f"{{{SAML}}}Issuer") == acme.connection.entity_id
    back = acme.sends(walker, acme.response(parts.clock(), message.get("ID")), relay_state=message_in(url, "SAMLRequest")[1])  # type: ignore[arg-type] # both are there  # fmt: skip
    assert back.status_code == 303
    assert walker.get(back.location).location == f"{BYE}?state=s9"


def test_the_answer_may_come_by_post_without_our_cookies(
    walker: Walker, parts: Parts, acme: Company, alice: str
) -> None:
    _, cookie = session_of(parts, acme, alice)
    sign_in(walker, cookie)
    token = walker.tokens()["id_token"]
    left = walker.get("/logout", query_string={"id_token_hint": token, "post_logout_redirect_uri": BYE})
    _, message = to_company(walker.follow(left))
    back = acme.posts(acme.response(parts.clock(), str(message.get("ID")), sign=True), walker)
    assert walker.get(back.location).location == BYE


def test_after_the_question_the_way_is_the_same(walker: Walker, parts: Parts, acme: Company, alice: str) -> None:
    _, cookie = session_of(parts, acme, alice)
    sign_in(walker, cookie)
    question = walker.follow(walker.get("/logout"))
    page = walker.follow(walker.submit(question, "/logout/confirm"))
    assert not is_alive(parts, cookie)
    _, message = to_company(page)
    back = acme.sends(walker, acme.response(parts.clock(), str(message.get("ID"))))
    assert 'id="logged-out"' in text_of(walker.follow(back))


@pytest.mark.parametrize("action", ["/me/sign-out", "/me/sign-out-everywhere"])
def test_signing_out_on_ones_own_page_goes_on_at_the_company(
    walker: Walker, parts: Parts, acme: Company, alice: str, action: str
) -> None:
    _, cookie = session_of(parts, acme, alice)
    sign_in(walker, cookie)
    page = walker.follow(walker.submit(walker.get("/me"), action))
    assert not is_alive(parts, cookie)
    _, message = to_company(page)
    back = acme.sends(walker, acme.response(parts.clock(), str(message.get("ID"))))
    assert 'id="logged-out"' in text_of(walker.follow(back))


def test_a_company_that_takes_requests_by_post_gets_a_form(walker: Walker, parts: Parts, alice: str) -> None:
    company = connect(parts, CompanyIdp(), "Acme", slo_binding="post")
    _, cookie = session_of(parts, company, alice)
    sign_in(walker, cookie)
    page = sign_out_at_me(walker)
    assert f'action="{company.idp.slo_url}"' in text_of(page)
    assert 'name="SAMLRequest"' in text_of(page)
    assert "form-action 'self' https:;" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("kind", ["password", "company without address", "company that is gone"])
def test_without_a_companys_address_the_sign_out_ends_here(walker: Walker, parts: Parts, alice: str, kind: str) -> None:
    company = connect(parts, CompanyIdp(), "Quiet", slo_url=None, slo_binding=None)
    if kind == "company that is gone":
        with parts.database.transaction() as db:
            parts.connections.remove(db, company.connection.id, actor="operator:test", now=parts.clock())
    _, cookie = open_for(parts, alice) if kind == "password" else session_of(parts, company, alice)
    sign_in(walker, cookie)
    assert 'id="logged-out"' in text_of(sign_out_at_me(walker))
    assert not is_alive(parts, cookie)


# --- SA-30: what the company answers ----------------------------------------------------------------------------------------------


@pytest.fixture
def asked(walker: Walker, parts: Parts, acme: Company, alice: str) -> tuple[str, str]:
    """A sign-out that waits for Acme's answer: the request's id, and the RelayState."""
    _, cookie = session_of(parts, acme, alice)
    sign_in(walker, cookie)
    url, message = to_company(sign_out_at_me(walker))
    relay_state = message_in(url, "SAMLRequest")[1]
    assert relay_state is not None
    return str(message.get("ID")), relay_state


def test_s_30_the_relay_state_is_a_short_random_handle(asked: tuple[str, str]) -> None:
    assert re.fullmatch("[0-9a-f]{40}", asked[1])


def test_sa_30_an_answer_that_does_not_count_confirms_nothing_and_leads_on_from_a_page(
    walker: Walker, parts: Parts, acme: Company, asked: tuple[str, str]
) -> None:
    id, relay_state = asked
    globex = connect(parts, CompanyIdp("https://idp.globex.example/saml", name="Globex"), "Globex")
    forged = Company(globex.idp, acme.connection)
    now = parts.clock()
    unsigned = acme.idp.redirect_query(acme.response(now, id), relay_state=relay_state).partition("&SigAlg")[0]
    for answer in (
        walker.get(f"/saml/{acme.connection.id}/slo?{unsigned}"),
        acme.posts(acme.response(now, id), walker, relay_state=relay_state),  # without a signature
        forged.sends(walker, forged.response(now, id), relay_state=relay_state),
        forged.sends(walker, forged.response(now, id, Issuer=acme.idp.entity_id), relay_state=relay_state),
        acme.sends(walker, acme.response(now, "_" + "0" * 40), relay_state=relay_state),
        acme.sends(walker, acme.response(now, id, status=["urn:oasis:names:tc:SAML:2.0:status:Responder"])),
    ):
        assert answer.location == f"/logout/company/unconfirmed?l={relay_state}"
        page = walker.get(answer.location)
        assert "did not confirm" in text_of(page)
        assert 'href="/logout"' in text_of(page)
    # The genuine answer still counts, once.
    genuine = acme.response(now, id)
    assert acme.sends(walker, genuine).location == "/logout"
    assert acme.sends(walker, genuine).status_code == 400


def test_sa_30_an_answer_of_another_company_about_our_request_leads_nowhere(
    walker: Walker, parts: Parts, asked: tuple[str, str]
) -> None:
    id, relay_state = asked
    globex = connect(parts, CompanyIdp("https://idp.globex.example/saml", name="Globex"), "Globex")
    page = globex.sends(walker, globex.response(parts.clock(), id), relay_state=relay_state)
    assert page.status_code == 400
    assert 'id="error-page"' in text_of(page)


def test_sa_30_an_answer_that_nobody_asked_for_leads_nowhere(walker: Walker, parts: Parts, acme: Company) -> None:
    for relay_state in ("", "https://evil.example/", "0" * 40):
        page = acme.sends(walker, acme.response(parts.clock(), "_x"), relay_state=relay_state)
        assert page.status_code == 400
        assert "Location" not in page.headers


def test_sa_30_another_browser_gets_nowhere_with_somebody_elses_answer(
    walker: Walker, app: Flask, parts: Parts, acme: Company, alice: str
) -> None:
    _, cookie = session_of(parts, acme, alice)
    sign_in(walker, cookie)
    token = walker.tokens()["id_token"]
    left = walker.get("/logout", query_string={"id_token_hint": token, "post_logout_redirect_uri": BYE})
    _, message = to_company(walker.follow(left))
    other = Walker(app, parts)
    page = other.follow(acme.sends(other, acme.response(parts.clock(), str(message.get("ID")))))
    assert page.status_code == 400
    assert 'id="error-page"' in text_of(page)


def test_a_silent_company_keeps_nobody_signed_in(
    walker: Walker, parts: Parts, acme: Company, asked: tuple[str, str], clock: Clock
) -> None:
    assert walker.get("/me").location == "/login"
    clock.advance(15 * 60)
    late = acme.sends(walker, acme.response(clock(), asked[0]), relay_state=asked[1])
    assert late.status_code == 400
    assert walker.get(f"/logout/company?l={asked[1]}").status_code == 400
    assert walker.get(f"/logout/company/unconfirmed?l={asked[1]}").status_code == 400


def test_what_waits_for_the_company_has_an_end_and_no_name_in_its_key(parts: Parts, asked: tuple[str, str]) -> None:
    keys = parts.store.command("KEYS", "company-sign-out:*")
    assert len(keys) == 1
    assert asked[1] not in keys[0]
    assert 0 < parts.store.command("PTTL", keys[0]) <= 16 * 60 * 1000

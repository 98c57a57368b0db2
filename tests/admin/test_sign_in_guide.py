"""A company's own sign-in, set up by the pages alone: domain, identity provider, try, live, required; by an administrator and by a colleague."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import Client, TestResponse

from idp.admin import set_up_links
from idp.members import name_break_glass
from idp.models import AuditEvent, Company, CompanyDomain, Connection, Member
from idp.parts import Parts
from tests.administrator import ISSUER, ORIGIN, Administrator, add_company, add_person
from tests.company_walker import EMAIL, request_at
from tests.conftest import Clock
from tests.fakes.company_idp import CompanyIdp, pem
from tests.saml_parties import Customer

At = Callable[[str], Administrator]


@pytest.fixture
def company(parts: Parts) -> str:
    made = add_company(parts)
    add_person(parts, "ada@acme.example", company=made, role="administrator")
    return made


@pytest.fixture
def ada(administrator: At, company: str) -> Administrator:
    browser = administrator("ada@acme.example")
    browser.sign_in()
    return browser


def text(page: TestResponse) -> str:
    return unescape(page.get_data(as_text=True))


def prove(parts: Parts, company: str) -> None:
    """The worker, or a press of the button, has found the record."""
    with parts.database.transaction() as db:
        row = db.scalars(select(CompanyDomain).where(CompanyDomain.company_id == company)).one()
        row.status, row.held, row.tree = "verified", row.domain, ".".join([*reversed(row.domain.split(".")), ""])
        row.verified_at = int(parts.clock())


def connection_of(parts: Parts, company: str) -> Connection:
    with parts.database.reading() as db:
        found = db.scalars(select(Connection).where(Connection.company_id == company)).one()
        db.expunge(found)
        return found


def connect(browser: Administrator, company: str, idp: CompanyIdp) -> TestResponse:
    at = f"/companies/{company}/sign-in"
    document = idp.metadata().decode()
    return browser.submit(browser.get(at), f"{at}/connections", vendor="other", how="file", document=document)


def trip(app: Flask, parts: Parts, page: TestResponse, idp: CompanyIdp, person: str = "ada@acme.example") -> str:
    """The test trip that a page offers, to its end; what is shown there."""
    found = re.search(r'id="trial" href="([^"]*)"', page.get_data(as_text=True))
    assert found is not None
    browser = Client(app)
    started = browser.get(unescape(found[1]).removeprefix(ISSUER), base_url=ISSUER)
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', started.get_data(as_text=True)))
    left = browser.post("/login/company/try", base_url=ISSUER, data=fields)
    request = request_at(left)
    response = idp.response(
        request_id=request.id,
        acs=request.acs,
        audience=request.issuer,
        name_id=person,
        name_id_format=EMAIL,
        now=parts.clock(),
    )
    path = request.acs.removeprefix(ISSUER)
    answered = Client(app).post(
        path, base_url=ISSUER, data={"SAMLResponse": response, "RelayState": request.relay_state}
    )
    return text(browser.get(answered.location.removeprefix(ISSUER), base_url=ISSUER))


def test_from_nothing_to_required_by_the_pages_alone(
    ada: Administrator, app: Flask, parts: Parts, company: str
) -> None:
    at, idp = f"/companies/{company}/sign-in", CompanyIdp()
    page = ada.submit(ada.get(at), f"{at}/domains", domain="Acme.Example")
    assert "idp-verification-code=" in text(page) and "Acme.Example" not in text(page)
    prove(parts, company)

    page = connect(ada, company, idp)
    connection = connection_of(parts, company)
    assert page.request.path == f"{at}/{connection.id}" and connection.state == "draft"
    here = f"{at}/{connection.id}"
    assert f"{ISSUER}/saml/{connection.id}" in text(page)  # what is to be entered there

    refused = ada.submit(page, f"{here}/live", state="live")
    assert refused.status_code == 409 and connection_of(parts, company).state == "draft"
    shown = trip(app, parts, ada.submit(ada.get(here), f"{here}/try"), idp)
    assert 'id="try-result"' in shown
    assert connection_of(parts, company).state == "tested"
    ada.submit(ada.get(here), f"{here}/live", state="live")
    assert connection_of(parts, company).state == "live"

    refused = ada.submit(ada.get(at), f"{at}/require", sso="required")
    assert refused.status_code == 409 and 'role="alert"' in text(refused)
    with parts.database.transaction() as db:
        account = db.scalars(select(Member.account_id).where(Member.company_id == company)).one()
        name_break_glass(db, company, account, named=True, actor="operator:test", now=parts.clock())
        parts.connections.note_administrator_signed_in(db, connection.id, now=parts.clock())
    bob = add_person(parts, "bob@acme.example", company=company)
    page = ada.get(at)
    assert "bob@acme.example" in text(page)  # who is affected, by name
    ada.submit(page, f"{at}/require", sso="required", end_sessions="yes")
    with parts.database.reading() as db:
        assert db.get_one(Company, company).sso == "required"
        event = db.scalars(select(AuditEvent).where(AuditEvent.event == "company.sso_required")).one()
        assert event.actor == f"person:{account}" and bob != account
    ada.submit(ada.get(at), f"{at}/require", sso="optional")
    with parts.database.reading() as db:
        assert db.get_one(Company, company).sso == "optional"


@pytest.mark.parametrize(
    "domain", ["", "gmail.com", "co.uk", "not a domain", "acme", "a" * 300 + ".example", "x\x00.example"]
)
def test_a_domain_that_cannot_be_claimed_is_said_so(ada: Administrator, company: str, domain: str) -> None:
    at = f"/companies/{company}/sign-in"
    page = ada.submit(ada.get(at), f"{at}/domains", domain=domain)
    assert page.status_code == 409 and 'role="alert"' in text(page)


def test_what_was_found_at_the_domain_is_shown(ada: Administrator, parts: Parts, company: str) -> None:
    """No name server answers here: that, too, is said in words."""
    at = f"/companies/{company}/sign-in"
    ada.submit(ada.get(at), f"{at}/domains", domain="acme.example")
    page = ada.submit(ada.get(at), f"{at}/domains/check", domain="acme.example")
    assert page.status_code == 200 and 'role="alert"' in text(page)
    with parts.database.reading() as db:
        assert db.scalars(select(CompanyDomain.status)).one() == "pending"


@pytest.mark.parametrize(
    "fields",
    [
        {"how": ""},
        {"how": "url", "metadata_url": ""},
        {"how": "url", "metadata_url": "http://169.254.169.254/latest"},
        {"how": "url", "metadata_url": "https://127.0.0.1/"},
        {"how": "url", "metadata_url": "javascript:alert(1)"},
        {"how": "file", "document": "<not-xml"},
        {"how": "file", "document": "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>"},
        {"how": "form", "entity_id": "x", "sso_url": "javascript:alert(1)", "certificate": "x"},
        {
            "how": "form",
            "entity_id": "https://idp.example",
            "sso_url": "https://idp.example/sso",
            "certificate": "nothing",
        },
    ],
)
def test_rg_05_sa_32_what_describes_no_identity_provider_is_refused_in_words(
    ada: Administrator, parts: Parts, company: str, fields: dict[str, str]
) -> None:
    at = f"/companies/{company}/sign-in"
    page = ada.submit(ada.get(at), f"{at}/connections", vendor="okta", **fields)
    assert page.status_code in (400, 409, 502) and 'role="alert"' in text(page)
    with parts.database.reading() as db:
        assert db.query(Connection).count() == 0


def test_a_broken_certificate_is_found_explained_and_mended(
    ada: Administrator, app: Flask, parts: Parts, company: str, clock: Clock
) -> None:
    """The identity provider signs with another key than it told us: the page says what, and where it is mended."""
    at, idp = f"/companies/{company}/sign-in", CompanyIdp()
    ada.submit(ada.get(at), f"{at}/domains", domain="acme.example")
    prove(parts, company)
    connect(ada, company, idp)
    here = f"{at}/{connection_of(parts, company).id}"
    broken = CompanyIdp(name="Acme next year")
    shown = trip(app, parts, ada.submit(ada.get(here), f"{here}/try"), broken)
    assert 'class="failed"' in shown and 'role="alert"' in shown
    page = ada.submit(ada.get(here), f"{here}/certificates", certificate=pem(broken.certificate))
    assert "certificate_added" in page.request.url
    shown = trip(app, parts, ada.submit(ada.get(here), f"{here}/try"), broken)
    assert connection_of(parts, company).state == "tested"
    prints = re.findall(r'name="fingerprint" value="([^"]*)"', ada.get(here).get_data(as_text=True))
    assert len(prints) == 2
    ada.submit(ada.get(here), f"{here}/certificates/remove", fingerprint=prints[0])
    last = ada.open(
        "POST", f"{here}/certificates/remove", data={"csrf": ada.token(ada.get(here)), "fingerprint": prints[1]}
    )
    assert last.status_code in (400, 409)


def test_a_failed_attempt_is_shared_by_a_link_that_shows_nothing_else(
    ada: Administrator, app: Flask, center: Flask, parts: Parts, acme: Customer, clock: Clock
) -> None:
    from idp.attempts import drain
    from tests.company_walker import sign_in as company_sign_in
    from tests.journey import Walker

    add_person(parts, "ann@example.org", company=acme.company_id, role="administrator")
    company_sign_in(Walker(app, parts), acme, "alice@acme.example", audience="https://other.example")
    parts.attempts.flush()
    while drain(parts.store, parts.database):
        pass
    ann = Administrator(app, center, parts, "ann@example.org")
    here = f"/companies/{acme.company_id}/sign-in/{acme.connection.id}"
    page = ann.sign_in(here)
    assert "https://other.example" in text(page)  # received
    made = ann.submit(page, f"{here}/share")
    found = re.search(r'<code id="shared"[^>]*>([^<]*)</code>', made.get_data(as_text=True))
    assert found is not None
    path = unescape(found[1]).removeprefix(ORIGIN)
    stranger = Client(center)
    assert 'id="shared-attempt-page"' in text(stranger.get(path, base_url=ORIGIN))
    assert "alice@acme.example" not in text(stranger.get(path, base_url=ORIGIN))
    for wrong in (path[:-2] + ("AA" if not path.endswith("AA") else "BB"), "/shared/x", "/shared/" + "A" * 100):
        assert stranger.get(wrong, base_url=ORIGIN).status_code == 400
    clock.advance(7 * 86400)
    assert stranger.get(path, base_url=ORIGIN).status_code == 400


# --- a set-up link -------------------------------------------------------------------------------------------------------


def link_for(browser: Administrator, company: str) -> str:
    at = f"/companies/{company}/sign-in"
    page = browser.submit(browser.get(at), f"{at}/links")
    found = re.search(r'<code id="link"[^>]*>([^<]*)</code>', page.get_data(as_text=True))
    assert found is not None
    return unescape(found[1])


def colleague(app: Flask, center: Flask, parts: Parts, link: str) -> tuple[Administrator, TestResponse]:
    browser = Administrator(app, center, parts, "")
    return browser, browser.submit(browser.get(link), "/set-up")


def test_a_colleague_does_it_by_a_link_without_an_account(
    ada: Administrator, app: Flask, center: Flask, parts: Parts, company: str
) -> None:
    browser, page = colleague(app, center, parts, link_for(ada, company))
    at = f"/companies/{company}/sign-in"
    assert page.request.path == at and 'id="sign-in-guide-page"' in text(page)
    browser.submit(page, f"{at}/domains", domain="acme.example")
    prove(parts, company)
    idp = CompanyIdp()
    connect(browser, company, idp)
    here = f"{at}/{connection_of(parts, company).id}"
    trip(app, parts, browser.submit(browser.get(here), f"{here}/try"), idp)
    browser.submit(browser.get(here), f"{here}/live", state="live")
    assert connection_of(parts, company).state == "live"
    with parts.database.reading() as db:
        actors = set(db.scalars(select(AuditEvent.actor).where(AuditEvent.event.startswith("connection."))))
        assert any(actor.startswith("link:") for actor in actors)


def test_opening_a_link_begins_nothing_and_its_secret_leaves_the_address(
    ada: Administrator, app: Flask, center: Flask, parts: Parts, company: str
) -> None:
    link = link_for(ada, company)
    browser = Administrator(app, center, parts, "")
    page = browser.get(link)
    assert page.request.query_string == b""
    assert browser.open("GET", f"/companies/{company}/sign-in").status_code == 303
    with parts.database.reading() as db:
        assert db.query(AuditEvent).filter_by(event="setup.link_opened").count() == 0


def test_a_link_is_good_for_its_company_and_for_nothing_but_the_guide(
    ada: Administrator, app: Flask, center: Flask, parts: Parts, company: str
) -> None:
    other = add_company(parts, "Other")
    browser, page = colleague(app, center, parts, link_for(ada, company))
    token = browser.token(page)
    for path in (
        f"/companies/{other}/sign-in",
        f"/companies/{company}",
        f"/companies/{company}/people",
        "/operator",
        "/support",
        "/",
    ):
        assert browser.open("GET", path).status_code in (303, 404), path
    for path in (
        f"/companies/{other}/sign-in/domains",
        f"/companies/{company}/sign-in/links",
        f"/companies/{company}/policies",
    ):
        assert browser.open("POST", path, data={"csrf": token, "domain": "evil.example"}).status_code in (303, 404), (
            path
        )
    with parts.database.reading() as db:
        assert db.query(CompanyDomain).count() == 0
        assert len(set_up_links.links_of(db, company, parts.clock())) == 1


def test_a_link_that_was_withdrawn_or_is_a_week_old_works_no_more(
    ada: Administrator, app: Flask, center: Flask, parts: Parts, company: str, clock: Clock
) -> None:
    at = f"/companies/{company}/sign-in"
    first = link_for(ada, company)
    browser, _ = colleague(app, center, parts, first)
    ada.submit(ada.get(at), f"{at}/links/revoke")
    assert browser.open("GET", at).status_code == 303
    assert Administrator(app, center, parts, "").get(first).status_code == 400
    second = link_for(ada, company)
    late, _ = colleague(app, center, parts, second)
    clock.advance(7 * 86400)
    assert late.open("GET", at).status_code == 303


def test_who_may_only_look_sees_the_guide_and_changes_nothing(administrator: At, parts: Parts, company: str) -> None:
    add_person(parts, "rosa@acme.example", company=company, role="read_only")
    rosa = administrator("rosa@acme.example")
    page = rosa.sign_in(f"/companies/{company}/sign-in")
    assert page.status_code == 200 and 'id="claim"' not in text(page)
    for act in ("domains", "domains/check", "domains/release", "connections", "require", "links", "links/revoke"):
        answer = rosa.open("POST", f"/companies/{company}/sign-in/{act}", data={"csrf": rosa.token(page)})
        assert answer.status_code == 403, act


def test_sa_12_a_connection_of_another_company_is_not_there(
    ada: Administrator, parts: Parts, company: str, acme: Customer
) -> None:
    token = ada.token(ada.get(f"/companies/{company}/sign-in"))
    for owner in (company, acme.company_id):
        here = f"/companies/{owner}/sign-in/{acme.connection.id}"
        assert ada.open("GET", here).status_code == 404
        for act in (
            "try",
            "dry-run",
            "live",
            "settings",
            "certificates",
            "certificates/remove",
            "changes",
            "roll-key",
            "remove",
            "share",
        ):
            assert ada.open("POST", f"{here}/{act}", data={"csrf": token, "state": "draft"}).status_code == 404
    with parts.database.reading() as db:
        assert db.get_one(Connection, acme.connection.id).state == "live"


def test_a_captured_answer_is_looked_at_and_nothing_is_written(
    ada: Administrator, app: Flask, parts: Parts, company: str
) -> None:
    at, idp = f"/companies/{company}/sign-in", CompanyIdp()
    connect(ada, company, idp)
    here = f"{at}/{connection_of(parts, company).id}"
    for response in ("", "nonsense", "<x/>", "A" * 100_000):
        page = ada.submit(ada.get(here), f"{here}/dry-run", response=response)
        assert page.status_code == 200 and 'id="dry-run-result"' in text(page)
    assert connection_of(parts, company).state == "draft"

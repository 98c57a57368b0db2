"""The company's door: there, back, and what stands in between."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree
from werkzeug.test import TestResponse

from idp.models import Account, AttemptStep, Connection, Link, Member
from idp.parts import Parts
from tests.company_walker import MFA, answer, come_back, leave, post, reason_of, request_at, sign_in, text
from tests.conftest import Clock
from tests.fakes.company_idp import CompanyIdp
from tests.journey import Walker, add_carol, claims_of
from tests.saml_parties import Customer, add_connection, add_customer, belong, decide_for

NO_PASSIVE = ("urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:oasis:names:tc:SAML:2.0:status:NoPassive")
ALICE = "alice@acme.example"


@pytest.fixture
def subsidiary(parts: Parts, acme: Customer) -> Customer:
    idp = CompanyIdp("https://idp.subsidiary.example/", name="Subsidiary")
    made = add_connection(
        parts.database, parts.connections, acme.company_id, idp, name="Subsidiary", now=parts.clock(), random=parts.random
    )  # fmt: skip
    return Customer(acme.company_id, made, idp)


def claims(walker: Walker, done: TestResponse) -> dict[str, object]:
    response = walker.tk(walker.answer_of(done)["code"])
    assert response.status_code == 200, text(response)
    return dict(claims_of(response.get_json()["id_token"]))


# --- S4: there and back ----------------------------------------------------------------------------------------------------


def test_s4_alice_signs_in_through_her_company(walker: Walker, acme: Customer, parts: Parts) -> None:
    first = claims(walker, sign_in(walker, acme))
    assert first["acr"] == "1"
    assert "amr" not in first  # the company has not said how
    with parts.database.reading() as db:
        account = db.query(Account).one()
        member = db.get_one(Member, account.id)
        assert (member.company_id, member.role) == (acme.company_id, "member")
        linked = db.query(Link).one()
        assert linked.issuer == f"company:{acme.connection.id}:{acme.idp.entity_id}"
        assert linked.proof["by"] == "company"
        assert account.emails[0].verified_at is not None
    again = Walker(walker.app, parts)
    assert claims(again, sign_in(again, acme))["sub"] == first["sub"]


def test_the_way_to_the_company_by_a_form_of_ours(walker: Walker, parts: Parts) -> None:
    """The POST binding: a page with a form that a script sends, or a button."""
    acme = add_customer(
        parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random, binding="post"
    )  # fmt: skip
    page = walker.follow(walker.az(login_hint=ALICE))
    assert f'action="{acme.idp.sso_url}"' in text(page)
    assert "form-action 'self' https:" in page.headers["Content-Security-Policy"]
    assert "code" in walker.answer_of(come_back(walker, acme, request_at(page)))


def test_the_page_that_leads_to_the_company_begins_anew(walker: Walker, acme: Customer) -> None:
    """Chromium holds form-action against every redirect after a form: so none follows."""
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username=ALICE))
    assert page.status_code == 200
    assert 'http-equiv="refresh"' in text(page)
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("parameters", [{"domain_hint": "acme.example"}, {"domain_hint": "ACME.example."}])
def test_a_product_may_name_the_domain(walker: Walker, acme: Customer, parameters: dict[str, str]) -> None:
    request = request_at(walker.follow(walker.az(**parameters)))
    assert "code" in walker.answer_of(come_back(walker, acme, request))


def test_a_product_may_name_the_connection(walker: Walker, acme: Customer, subsidiary: Customer) -> None:
    for customer in (acme, subsidiary):
        request = request_at(walker.follow(walker.az(idp_hint=customer.connection.id)))
        assert request.issuer == customer.connection.entity_id


@pytest.mark.parametrize(
    "parameters",
    [{"idp_hint": "nobody"}, {"idp_hint": "../../x"}, {"domain_hint": "nobody.example"}, {"domain_hint": "@"}, {}],
)
def test_a_hint_that_leads_nowhere_is_no_hint(walker: Walker, acme: Customer, parameters: dict[str, str]) -> None:
    assert 'id="login-page"' in text(walker.follow(walker.az(**parameters)))


def test_a_draft_is_nobodys_way(walker: Walker, acme: Customer, parts: Parts) -> None:
    request = leave(walker)
    with parts.database.transaction() as db:
        row = db.get_one(Connection, acme.connection.id)
        row.state = "draft"
        row.updated_at += 1
    page = walker.follow(walker.az(idp_hint=acme.connection.id, domain_hint="acme.example", login_hint=ALICE))
    assert 'id="password"' in text(page)
    page = come_back(walker, acme, request)  # who was under way when it was taken back
    assert 'id="error-page"' in text(page)
    assert reason_of(page, parts) == "connection_not_live"


def test_a_company_with_several_pages_asks_which(walker: Walker, acme: Customer, subsidiary: Customer) -> None:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username=ALICE))
    links = re.findall(r'href="(/login/company/start\?[^"]*)"', text(page))
    issuers = {request_at(walker.get(link.replace("&amp;", "&"))).issuer for link in links}
    assert issuers == {acme.connection.entity_id, subsidiary.connection.entity_id}


# --- S3, S5: the wrong door --------------------------------------------------------------------------------------------------


def test_s3_a_failed_password_offers_the_company(walker: Walker, acme: Customer) -> None:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username="carol@example.org"))
    page = walker.submit(page, "/login/password", username="alice@elsewhere.example", password="wrong")
    assert "It may require you to use My Company ID." in text(page)
    [link] = re.findall(r'id="company-id-link" href="([^"]*)"', text(page))
    other = walker.get(link)
    assert 'value="alice@elsewhere.example"' in text(other)  # as it was typed last
    assert request_at(walker.follow(walker.submit(other, "/login/company", username=ALICE)))


def test_s5_an_address_without_a_company_is_told_and_led_back(walker: Walker, acme: Customer) -> None:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username="carol@e", door="company"))
    assert 'value="carol@e"' in text(page)  # however little was typed
    page = walker.submit(page, "/login/company", username="carol@example.org")
    assert page.status_code == 400
    assert "Single sign-on may not be set up for this address." in text(page)
    back = walker.follow(walker.submit(page, "/login/company", username="carol@example.org", door="own"))
    assert 'id="password"' in text(back)
    assert 'value="carol@example.org"' in text(back)


def test_my_own_address_stays_open_for_every_address_of_the_company(walker: Walker, acme: Customer) -> None:
    page = walker.get(walker.follow(walker.az()).request.full_path.replace("/login?", "/login/company?"))
    back = walker.follow(walker.submit(page, "/login/company", username=ALICE, door="own"))
    assert 'id="password"' in text(back)


# --- what the product asks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "force"), [({"prompt": "login"}, "true"), ({"max_age": "60"}, "true"), ({}, None), ({"prompt": "consent"}, None)]
)  # fmt: skip
def test_a_fresh_proof_is_asked_of_the_company(
    walker: Walker, acme: Customer, asked: dict[str, str], force: str | None
) -> None:
    request = leave(walker, **asked)
    assert request.document.get("ForceAuthn") == force
    assert request.document.get("IsPassive") is None


def test_sa_39_an_old_proof_does_not_do_where_a_fresh_one_was_asked(
    walker: Walker, acme: Customer, parts: Parts, clock: Clock
) -> None:
    page = come_back(walker, acme, leave(walker, prompt="login"), authn_instant=clock() - 3600)
    assert 'id="error-page"' in text(page)
    # Clocks differ a little; the proof came after the request all the same.
    page = come_back(walker, acme, leave(walker, prompt="login"), authn_instant=clock() - 5)
    assert claims(walker, page)["auth_time"] == int(clock())


def test_auth_time_is_when_the_company_has_seen_the_person(walker: Walker, acme: Customer, clock: Clock) -> None:
    page = come_back(walker, acme, leave(walker), authn_instant=clock() - 3600)
    assert claims(walker, page)["auth_time"] == int(clock()) - 3600


def test_two_factors_are_asked_of_the_company_and_told_on(walker: Walker, acme: Customer) -> None:
    request = leave(walker, acr_values="2")
    assert request.contexts == [MFA]
    told = claims(walker, come_back(walker, acme, request, context=MFA))
    assert (told["acr"], told["amr"]) == ("2", ["otp", "mfa"])


@pytest.mark.parametrize("wanted", ["1", "2 1", "9", ""])
def test_what_every_sign_in_meets_is_not_asked(walker: Walker, acme: Customer, wanted: str) -> None:
    assert leave(walker, acr_values=wanted).contexts == []


def test_an_essential_strength_that_was_not_reached_is_refused(walker: Walker, acme: Customer) -> None:
    wanted = '{"id_token": {"acr": {"essential": true, "values": ["9"]}}}'
    answered = walker.answer_of(come_back(walker, acme, leave(walker, claims=wanted)))
    assert answered["error"] == "unmet_authentication_requirements"


# --- prompt=none -------------------------------------------------------------------------------------------------------------


def silent(walker: Walker, **parameters: str) -> TestResponse:
    page = walker.az(prompt="none", domain_hint="acme.example", **parameters)
    while page.status_code == 303 and page.location.startswith("/"):
        page = walker.get(page.location)
    return page


def test_a_silent_request_asks_the_company_silently(walker: Walker, acme: Customer) -> None:
    page = silent(walker)
    assert page.status_code == 303  # no page of ours in between
    request = request_at(page)
    assert (request.document.get("IsPassive"), request.document.get("ForceAuthn")) == ("true", None)
    assert "code" in walker.answer_of(come_back(walker, acme, request))


@pytest.mark.parametrize("lie", [{"status": NO_PASSIVE, "assertion": False}, {"audience": "https://other.example"}])
def test_a_silent_request_comes_to_an_end_whatever_the_company_says(
    walker: Walker, acme: Customer, lie: dict[str, object]
) -> None:
    answered = walker.answer_of(come_back(walker, acme, request_at(silent(walker)), **lie))
    assert answered["error"] == "login_required"
    assert answered["state"] == "s1"


def test_a_silent_request_never_asks_a_person_to_prove_an_account(walker: Walker, acme: Customer, parts: Parts) -> None:
    belong(parts.database, acme, add_carol(parts, ALICE), now=parts.clock())
    answered = walker.answer_of(come_back(walker, acme, request_at(silent(walker))))
    assert answered["error"] == "login_required"


def test_a_silent_request_of_somebody_signed_in_does_not_travel(walker: Walker, acme: Customer) -> None:
    sign_in(walker, acme)
    assert "code" in walker.answer_of(silent(walker))


def test_several_pages_are_nothing_silent(walker: Walker, acme: Customer, subsidiary: Customer) -> None:
    assert walker.answer_of(silent(walker))["error"] == "login_required"


# --- answers that are none -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["AuthnFailed", "NoPassive", "RequestDenied", "NoAuthnContext", ""])
def test_sa_28_a_refusal_of_the_company_is_explained(walker: Walker, acme: Customer, parts: Parts, inner: str) -> None:
    status = ["urn:oasis:names:tc:SAML:2.0:status:Responder"]
    status += [f"urn:oasis:names:tc:SAML:2.0:status:{inner}"] if inner else []
    for assertion in (True, False):
        visitor = Walker(walker.app, parts)
        page = come_back(visitor, acme, leave(visitor), status=status, assertion=assertion)
        assert page.status_code == 403
        for door in ('id="company-id-link"', 'id="own-email-link"', 'id="receipt-code"', "/login/company/start?"):
            assert door in text(page)
        assert "session" not in str(page.headers.getlist("Set-Cookie"))
    assert reason_of(page, parts).startswith("saml_status")


def test_what_was_expected_and_what_came_stands_in_the_receipt(walker: Walker, acme: Customer, parts: Parts) -> None:
    page = come_back(walker, acme, leave(walker), audience="https://other.example/metadata")
    assert reason_of(page, parts) == "saml_audience_wrong"
    with parts.database.reading() as db:
        [step] = db.query(AttemptStep).filter_by(name="response_refused")
        assert step.facts["expected"] == acme.connection.entity_id
        assert step.facts["received"] == "https://other.example/metadata"
        # the person reads nothing of it
        assert "other.example" not in text(page)


@pytest.mark.parametrize("garbage", ["", "!!!", "PHg+", "A" * 1000])
def test_what_is_no_response_gets_an_error_page(walker: Walker, acme: Customer, garbage: str) -> None:
    page = post(walker, acme, garbage)
    assert page.status_code == 400
    assert 'id="error-page"' in text(page)


def test_the_acs_address_alone_takes_long_forms(walker: Walker, acme: Customer) -> None:
    """SA-26: 256 kB of base64, and not one more; 64 kB stay the limit elsewhere."""
    assert post(walker, acme, "A" * 256 * 1024).status_code == 400  # looked at
    assert post(walker, acme, "A" * (256 * 1024 + 1)).status_code == 413
    assert post(walker, acme, "PHg+", RelayState="x" * 400 * 1024).status_code == 413
    page = walker.follow(walker.az())
    assert walker.submit(page, "/login", username="x" * 65 * 1024).status_code == 413


def test_an_unknown_connection_has_no_address(walker: Walker, acme: Customer) -> None:
    for path in ("/saml/nobody/metadata", "/saml/%00/metadata", f"/saml/{acme.connection.id}x/metadata"):
        assert walker.get(path).status_code == 404
    assert walker.open("POST", "/saml/nobody/acs", data={"SAMLResponse": "PHg+"}).status_code == 404
    assert walker.get(f"/saml/{acme.connection.id}/acs").status_code == 405


def test_our_metadata_can_be_downloaded(walker: Walker, acme: Customer) -> None:
    document = walker.get(f"/saml/{acme.connection.id}/metadata")
    assert document.content_type == "application/samlmetadata+xml"
    assert etree.fromstring(document.data).get("entityID") == acme.connection.entity_id


# --- the identity provider begins -------------------------------------------------------------------------------------------------


def unsolicited(walker: Walker, customer: Customer, **fields: str) -> TestResponse:
    response = customer.idp.response(
        request_id="", acs=customer.connection.acs, audience=customer.connection.entity_id, name_id=ALICE,
        now=walker.parts.clock(),
    )  # fmt: skip
    return walker.follow(post(walker, customer, response, **fields))


@pytest.mark.parametrize(
    ("relay_state", "end"),
    [
        ("C2", "https://rp2.example/login"),
        ("https://rp2.example/", "https://rp2.example/login"),
        ("https://rp2.example/login?from=elsewhere", "https://rp2.example/login"),
        ("C1", "/me"),  # this one has no address where a sign-in may begin
        ("https://evil.example/", "/me"),
        ("//evil.example/", "/me"),
        ("OFF", "/me"),
        ("", "/me"),
    ],
)
def test_sa_20_idp_initiated_becomes_sp_initiated_and_ends_at_a_registered_product(
    walker: Walker, acme: Customer, relay_state: str, end: str
) -> None:
    page = unsolicited(walker, acme, RelayState=relay_state)
    assert walker.get("/me").status_code == 303  # nobody is signed in by it
    done = post(walker, acme, answer(acme, request_at(page), walker.parts.clock()))
    arrived = walker.get(done.location)
    assert arrived.status_code == 303
    assert arrived.location.partition("?")[0] == end
    if end != "/me":
        assert parse_qs(urlsplit(arrived.location).query) == {"from": ["elsewhere"], "iss": ["https://login.example"]}
    assert walker.get("/me").status_code == 200


def test_sa_20_an_identity_provider_that_never_answers_does_not_send_the_browser_round_for_ever(
    walker: Walker, acme: Customer, parts: Parts
) -> None:
    for _ in range(3):
        assert request_at(unsolicited(walker, acme))
    page = unsolicited(walker, acme)
    assert 'id="error-page"' in text(page)
    assert reason_of(page, parts) == "saml_unsolicited_again"


@pytest.mark.parametrize(("before", "there"), [(0, 16), (10, 8)], ids=["request over", "pending login over"])
def test_sa_20_who_took_long_at_the_company_begins_anew_by_themselves(
    before: int, there: int, walker: Walker, acme: Customer, parts: Parts, clock: Clock
) -> None:
    page = walker.follow(walker.az())
    clock.advance(before * 60)
    request = request_at(walker.follow(walker.submit(page, "/login", username=ALICE)))
    clock.advance(there * 60)
    late = answer(acme, request, clock())
    again = request_at(walker.follow(post(walker, acme, late)))
    assert again.id != request.id
    assert walker.get("/me").status_code == 303  # nobody is signed in by what came too late
    come_back(walker, acme, again)
    assert walker.get("/me").status_code == 200
    for _ in range(2):
        assert request_at(walker.follow(post(walker, acme, late)))
    assert reason_of(walker.follow(post(walker, acme, late)), parts) == "saml_unsolicited_again"  # not for ever


def test_sa_20_an_answer_that_was_used_or_that_is_wrong_begins_nothing(
    walker: Walker, acme: Customer, parts: Parts, clock: Clock
) -> None:
    request = leave(walker)
    used = answer(acme, request, clock())
    walker.follow(post(walker, acme, used))
    assert reason_of(walker.follow(post(walker, acme, used)), parts) == "saml_request_unknown"
    for changes in ({"audience": "https://another.example"}, {"issue_instant": clock() - 700}, {"sign": "none"}):
        page = post(walker, acme, answer(acme, request, clock(), **changes))
        assert page.status_code == 400


# --- who it is ------------------------------------------------------------------------------------------------------------------


def test_without_jit_nobody_new_comes_in(walker: Walker, acme: Customer, parts: Parts) -> None:
    decide_for(parts.database, acme, jit=False)
    page = sign_in(walker, acme)
    assert reason_of(page, parts) == "company_member_missing"
    with parts.database.reading() as db:
        assert db.query(Account).count() == 0
        assert db.query(Link).count() == 0


def test_an_administrator_who_has_come_in_is_noted(walker: Walker, acme: Customer, parts: Parts) -> None:
    sign_in(walker, acme)
    with parts.database.transaction() as db:
        assert db.get_one(Connection, acme.connection.id).administrator_signed_in_at is None
        db.query(Member).one().role = "administrator"
    sign_in(Walker(walker.app, parts), acme)
    with parts.database.reading() as db:
        assert db.get_one(Connection, acme.connection.id).administrator_signed_in_at == int(parts.clock())


def test_the_company_shortens_sessions(walker: Walker, acme: Customer, parts: Parts, clock: Clock) -> None:
    decide_for(parts.database, acme, session_idle=300, session_lifetime=3600)
    sign_in(walker, acme)
    for _ in range(14):
        clock.advance(240)
        assert walker.get("/me").status_code == 200
    clock.advance(250)
    assert walker.get("/me").status_code == 303
    sign_in(walker, acme)
    clock.advance(301)
    assert walker.get("/me").status_code == 303


def test_the_company_shortens_its_peoples_sessions_whatever_the_door(
    walker: Walker, acme: Customer, parts: Parts, clock: Clock
) -> None:
    belong(parts.database, acme, add_carol(parts), now=parts.clock())
    decide_for(parts.database, acme, session_idle=300, session_lifetime=3600)
    for kept in ("", "yes"):
        assert "code" in walker.answer_of(walker.sign_in(walker.az(prompt="login"), keep=kept))
        for _ in range(14):
            clock.advance(240)
            assert walker.get("/me").status_code == 200
        clock.advance(250)
        assert walker.get("/me").status_code == 303
        walker.sign_in(walker.az(), keep=kept)
        clock.advance(301)
        assert walker.get("/me").status_code == 303


def test_sa_45_the_identity_provider_ends_the_session(walker: Walker, acme: Customer, clock: Clock) -> None:
    sign_in(walker, acme, session_not_on_or_after=clock() + 300)
    clock.advance(240)
    assert walker.get("/me").status_code == 200
    clock.advance(120)
    assert walker.get("/me").status_code == 303


def test_sa_45_what_products_were_given_ends_with_the_session(walker: Walker, acme: Customer, clock: Clock) -> None:
    done = sign_in(walker, acme, session_not_on_or_after=clock() + 300)
    tokens = walker.tk(walker.answer_of(done)["code"]).get_json()
    assert tokens["expires_in"] == 300
    clock.advance(299)
    assert walker.userinfo(tokens["access_token"]).status_code == 200
    clock.advance(1)
    assert walker.userinfo(tokens["access_token"]).status_code == 401


# --- kept signed in --------------------------------------------------------------------------------------------------------------


def test_who_asks_to_be_kept_signed_in_is_and_is_remembered(walker: Walker, acme: Customer, clock: Clock) -> None:
    page = walker.follow(walker.submit(walker.follow(walker.az()), "/login", username=ALICE, keep="yes"))
    done = come_back(walker, acme, request_at(page))
    assert "code" in walker.answer_of(done)
    clock.advance(20 * 86400)
    assert walker.get("/me").status_code == 200
    clock.advance(20 * 86400)
    # The session is over; the address is remembered, and so is the wish.
    request = request_at(walker.follow(walker.az()))
    come_back(walker, acme, request)
    clock.advance(20 * 86400)
    assert walker.get("/me").status_code == 200
    # A product that may not ask gets an answer by way of the company.
    clock.advance(20 * 86400)
    page = walker.az(prompt="none")
    while page.status_code == 303 and page.location.startswith("/"):
        page = walker.get(page.location)
    assert request_at(page).document.get("IsPassive") == "true"


def test_who_does_not_is_not(walker: Walker, acme: Customer, clock: Clock) -> None:
    sign_in(walker, acme)
    clock.advance(20 * 86400)
    assert walker.get("/me").status_code == 303
    assert 'value=""' in text(walker.follow(walker.az()))


def test_the_domain_that_a_product_names_counts_more_than_who_is_remembered(
    walker: Walker, acme: Customer, parts: Parts, clock: Clock
) -> None:
    add_carol(parts)
    walker.sign_in(walker.follow(walker.az()), keep="yes")
    clock.advance(40 * 86400)
    request = request_at(walker.follow(walker.az(domain_hint="acme.example")))
    assert request.issuer == acme.connection.entity_id


def test_a_company_is_told_no_address_but_its_own(walker: Walker, parts: Parts) -> None:
    acme = add_customer(
        parts.database, parts.connections, CompanyIdp(), now=parts.clock(), random=parts.random, hint="subject"
    )  # fmt: skip
    for address, told in ((ALICE, [ALICE]), ("carol@example.org", [])):
        page = walker.follow(walker.az(idp_hint=acme.connection.id, login_hint=address))
        names = request_at(page).document.iter("{urn:oasis:names:tc:SAML:2.0:assertion}NameID")
        assert [name.text for name in names] == told

"""/me, and the mailed link "this was not me"."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.consents import remember_consent
from idp.accounts.lifecycle import apply_revocations
from idp.accounts.sessions import sessions_of
from idp.config import Config
from idp.models import AuditEvent, LogoutNotice, MailedLink, OutboxMail, ProductUse
from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import Walker, add_carol
from tests.registrations import CLIENTS, SECRET_2
from tests.saml_parties import Customer, belong

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


@pytest.fixture
def phone(app: Flask, parts: Parts) -> Walker:
    """Another browser of the same person."""
    return Walker(app, parts, user_agent=PHONE, address="198.51.100.9")


def text_of(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def sign_in(walker: Walker) -> TestResponse:
    page = walker.sign_in(walker.get("/me"))
    assert page.status_code == 200
    assert page.request.path == "/me"
    return page


def csrf_of(page: TestResponse) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text_of(page))
    assert found is not None
    return found[1]


def events(parts: Parts, account_id: str) -> list[str]:
    with parts.database.reading() as db:
        return list(
            db.scalars(select(AuditEvent.event).where(AuditEvent.account_id == account_id).order_by(AuditEvent.id))
        )


def mailed_link(parts: Parts) -> str:
    """The link of the newest mail, as its reader sees it."""
    with parts.database.reading() as db:
        mail = db.scalars(select(OutboxMail).order_by(OutboxMail.id.desc())).first()
        assert mail is not None
        return parts.sealer.open(mail.values["sealed"], f"{mail.name} {mail.recipient}")["link"]


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/me", "/me?notice=ended"])
def test_without_a_session_me_leads_to_the_sign_in(walker: Walker, path: str) -> None:
    response = walker.get(path)
    assert response.status_code == 303
    assert response.location == "/login"


@pytest.mark.parametrize("path", ["/me/profile", "/me/products/withdraw", "/me/sessions/end"])
def test_without_a_session_nothing_can_be_changed(walker: Walker, carol: str, path: str) -> None:
    page = walker.follow(walker.get("/me"))
    response = walker.open("POST", path, data={"csrf": csrf_of(page), "locale": "fr"})
    assert (response.status_code, response.location) == (303, "/login")


@pytest.mark.parametrize(
    "path",
    [
        "/me/profile",
        "/me/products/withdraw",
        "/me/sessions/end",
        "/me/sign-out",
        "/me/sign-out-everywhere",
        "/me/not-me",
    ],
)
def test_another_site_cannot_press_a_button_of_ours(parts: Parts, walker: Walker, carol: str, path: str) -> None:
    sign_in(walker)
    for data in ({}, {"csrf": "x"}, {"csrf": csrf_of(sign_in(Walker(walker.app, parts)))}):
        assert walker.open("POST", path, data=data).status_code == 400
    assert walker.get("/me").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/me/products/withdraw", "/me/sessions/end", "/me/sign-out", "/me/sign-out-everywhere"],
)
def test_nothing_happens_by_get(walker: Walker, carol: str, path: str) -> None:
    sign_in(walker)
    assert walker.get(path).status_code == 405
    assert walker.get("/me").status_code == 200


def test_me_shows_the_person_and_the_session_of_this_browser(walker: Walker, carol: str) -> None:
    page = text_of(sign_in(walker))
    for words in ("Carol Example", "carol@example.org", "Firefox · Linux", "192.0.2.7", "This browser"):
        assert words in page, words
    assert carol not in page


ADMIN_CENTER = """
  admin-center:
    name: Admin Center
    type: spa
    redirect_uris: [https://admin.example/cb]
    initiate_login_uri: https://admin.example/login
"""


@pytest.fixture
def admin_center(config: Config) -> None:
    assert config.clients is not None
    config.clients.write_text(CLIENTS + ADMIN_CENTER, encoding="utf-8")


@pytest.mark.usefixtures("admin_center")
@pytest.mark.parametrize(("role", "opens"), [("administrator", True), ("read_only", True), ("member", False)])
def test_administrators_of_a_company_find_the_admin_center(
    walker: Walker, parts: Parts, carol: str, acme: Customer, role: str, opens: bool
) -> None:
    assert "admin.example" not in text_of(sign_in(walker))  # nobody's, as long as they belong to no company
    belong(parts.database, acme, carol, role, now=parts.clock())
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    page = text_of(walker.get("/me"))
    assert ('id="to-admin-center" href="https://admin.example/login?iss=https%3A%2F%2Flogin.example"' in page) is opens


def test_where_no_admin_center_is_registered_none_is_shown(
    walker: Walker, parts: Parts, carol: str, acme: Customer
) -> None:
    belong(parts.database, acme, carol, "administrator", now=parts.clock())
    assert "to-admin-center" not in text_of(sign_in(walker))


def test_me_is_not_cached_and_shows_no_secret(walker: Walker, parts: Parts, carol: str) -> None:
    page = sign_in(walker)
    assert page.headers["Cache-Control"] == "no-store"
    cookie = walker.browser.get_cookie("__Host-idp_session", "login.example")
    assert cookie is not None
    assert cookie.value not in text_of(page)
    (session,) = sessions_of(parts.store, carol, parts.clock())
    assert session.key not in text_of(page)


def test_what_is_typed_as_a_name_is_shown_as_text(walker: Walker, parts: Parts) -> None:
    add_carol(parts, name="<script>alert(1)</script>{{7*7}}")
    page = text_of(sign_in(walker))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page
    assert "<script>alert" not in page


def test_products_that_were_used_are_listed_the_latest_first(walker: Walker, parts: Parts, carol: str) -> None:
    with parts.database.transaction() as db:
        db.add(ProductUse(account_id=carol, client_id="P1", first_at=1, last_at=1_000_000))
        db.add(ProductUse(account_id=carol, client_id="gone", first_at=1, last_at=2_000_000))
    walker.tokens()  # C1, which no worker has brought to SQL yet
    page = text_of(walker.get("/me"))
    assert page.index("Rendezvous One") < page.index("Public One")
    assert "gone" not in page


# --- consent taken back ----------------------------------------------------------------------------------------------


@pytest.fixture
def third(app: Flask, parts: Parts, carol: str) -> Walker:
    """A browser in which carol has allowed the third-party product C2 to know her."""
    walker = Walker(app, parts, client_id="C2", secret=SECRET_2, redirect_uri="https://rp2.example/cb")
    walker.answer_of(walker.submit(walker.sign_in(walker.az()), "/consent", decision="allow"))
    return walker


def buttons(page: TestResponse) -> list[str]:
    return re.findall(r'name="client_id" value="([^"]*)"', text_of(page))


def test_a_person_takes_back_what_a_third_party_product_was_allowed(third: Walker, parts: Parts, carol: str) -> None:
    theirs = third.tokens()
    ours = Walker(third.app, parts).tokens()
    page = third.get("/me")
    assert "Withdraw access" in text_of(page)
    assert buttons(page) == ["C2"]
    page = third.follow(third.submit(page, "/me/products/withdraw"))
    assert "That product has no access to your account any more." in text_of(page)
    assert buttons(page) == []
    assert third.userinfo(theirs["access_token"]).status_code == 401
    assert third.userinfo(ours["access_token"]).status_code == 200
    assert events(parts, carol)[-1] == "person.consent_withdrawn"
    assert 'id="consent-allow"' in text_of(third.follow(third.az()))  # it has to ask again


def test_only_third_party_products_that_were_allowed_something_have_the_button(walker: Walker, carol: str) -> None:
    walker.tokens()
    page = walker.get("/me")
    assert "Rendezvous One" in text_of(page)
    assert buttons(page) == []


def test_a_product_that_was_allowed_something_is_listed_when_its_use_is_unknown(
    walker: Walker, parts: Parts, carol: str
) -> None:
    with parts.database.transaction() as db:
        remember_consent(db, carol, "C2", ["openid"], parts.clock())
    assert buttons(sign_in(walker)) == ["C2"]


@pytest.mark.parametrize("client_id", ["C1", "", "nobody", "\0", "x" * 5000, "' OR 1=1 --"])
def test_taking_back_what_was_not_allowed_changes_nothing(
    third: Walker, parts: Parts, carol: str, client_id: str
) -> None:
    add_carol(parts, "mallory@example.org")
    mallory = Walker(third.app, parts)
    page = mallory.sign_in(mallory.get("/me"), "mallory@example.org")
    for chosen in (client_id, "C2"):
        answer = mallory.open("POST", "/me/products/withdraw", data={"csrf": csrf_of(page), "client_id": chosen})
        assert (answer.status_code, answer.location) == (303, "/me")
    assert third.submit(third.get("/me"), "/me/products/withdraw", client_id=client_id).location == "/me"
    assert buttons(third.get("/me")) == ["C2"]


# --- endings ---------------------------------------------------------------------------------------------------------


def test_another_session_can_be_ended_and_this_one_stays(
    walker: Walker, phone: Walker, parts: Parts, carol: str
) -> None:
    sign_in(phone)
    page = sign_in(walker)
    assert "Mobile Safari · iOS" in text_of(page)
    assert "198.51.100.9" in text_of(page)
    page = walker.follow(walker.submit(page, "/me/sessions/end"))
    assert "That session is over." in text_of(page)
    assert "Mobile Safari" not in text_of(page)
    assert phone.get("/me").status_code == 303
    assert walker.get("/me").status_code == 200
    assert events(parts, carol)[-1] == "person.signed_out"


def test_nobody_can_end_another_persons_session(walker: Walker, phone: Walker, parts: Parts, carol: str) -> None:
    add_carol(parts, "mallory@example.org")
    sign_in(walker)
    (victim,) = sessions_of(parts.store, carol, parts.clock())
    page = phone.sign_in(phone.get("/me"), "mallory@example.org")
    for name in (victim.id, victim.key, "", "*"):
        phone.open("POST", "/me/sessions/end", data={"csrf": csrf_of(page), "session": name})
    assert walker.get("/me").status_code == 200


def test_signing_out_ends_the_session_here_and_leaves_the_others(
    walker: Walker, phone: Walker, parts: Parts, carol: str
) -> None:
    sign_in(phone)
    page = sign_in(walker)
    stolen = walker.browser.get_cookie("__Host-idp_session", "login.example")
    assert stolen is not None
    page = walker.submit(page, "/me/sign-out")
    assert 'id="logged-out"' in text_of(page)
    assert walker.browser.get_cookie("__Host-idp_session", "login.example") is None
    walker.browser.set_cookie(stolen.key, stolen.value, domain="login.example", secure=True)
    assert walker.get("/me").status_code == 303  # dead on the server too
    assert phone.get("/me").status_code == 200


def test_signing_out_tells_the_products_that_were_used(walker: Walker, parts: Parts, carol: str) -> None:
    tokens = walker.tokens()
    walker.submit(walker.get("/me"), "/me/sign-out")
    assert walker.userinfo(tokens["access_token"]).status_code == 401
    with parts.database.reading() as db:
        assert db.scalars(select(LogoutNotice.client_id)).all() == ["C1"]


def test_signing_out_everywhere_ends_all_sessions_and_what_was_granted_offline(
    walker: Walker, phone: Walker, parts: Parts, carol: str
) -> None:
    tokens = walker.tokens(scope="openid offline_access")
    sign_in(phone)
    page = walker.submit(walker.get("/me"), "/me/sign-out-everywhere")
    assert 'id="logged-out"' in text_of(page)
    for browser in (walker, phone):
        assert browser.get("/me").status_code == 303
    assert walker.refresh(tokens["refresh_token"]).status_code == 400
    assert walker.userinfo(tokens["access_token"]).status_code == 401
    assert sessions_of(parts.store, carol, parts.clock()) == []
    assert events(parts, carol)[-1] == "person.signed_out_everywhere"
    with parts.database.reading() as db:
        assert db.scalars(select(LogoutNotice.client_id)).all() == ["C1"]
    sign_in(phone)  # the owner can sign in again at once


def test_signing_out_twice_is_signed_out(walker: Walker, carol: str) -> None:
    page = sign_in(walker)
    form = {"csrf": csrf_of(page)}
    for path in ("/me/sign-out", "/me/sign-out", "/me/sign-out-everywhere"):
        assert 'id="logged-out"' in text_of(walker.open("POST", path, data=form))


# --- this was not me -------------------------------------------------------------------------------------------------


@pytest.fixture
def told(walker: Walker, phone: Walker, carol: str) -> None:
    """Carol has signed in at two browsers, and was told of the second by mail."""
    sign_in(walker)
    sign_in(phone)


def say_not_me(reader: Walker, parts: Parts) -> TestResponse:
    page = reader.follow(reader.get(mailed_link(parts)))
    assert page.status_code == 200
    return reader.open("POST", "/me/not-me", data={"csrf": csrf_of(page)})


@pytest.mark.usefixtures("told")
def test_saying_that_it_was_not_me_ends_every_session(
    app: Flask, walker: Walker, phone: Walker, parts: Parts, carol: str
) -> None:
    tokens = phone.tokens(scope="openid offline_access")
    done = say_not_me(Walker(app, parts), parts)
    assert done.status_code == 200
    assert "Nobody is signed in to your account any more" in text_of(done)
    assert '<a class="button" href="/help">Contact support</a>' in text_of(done)
    for browser in (walker, phone):
        assert browser.get("/me").status_code == 303
    assert phone.refresh(tokens["refresh_token"]).status_code == 400
    assert events(parts, carol)[-1] == "person.disowned_sign_in"


@pytest.mark.usefixtures("told")
def test_a_disowned_device_is_a_strangers_again(app: Flask, phone: Walker, parts: Parts, carol: str) -> None:
    say_not_me(Walker(app, parts), parts)
    sign_in(phone)
    with parts.database.reading() as db:
        assert len(db.scalars(select(OutboxMail)).all()) == 2  # it was told again


@pytest.mark.usefixtures("told")
def test_rc_08_scanners_that_open_the_link_change_nothing(app: Flask, walker: Walker, parts: Parts) -> None:
    link = mailed_link(parts)
    scanner = Walker(app, parts)
    for method in ("HEAD", "GET", "HEAD", "GET", "GET"):
        scanner.follow(scanner.open(method, link))
    assert walker.get("/me").status_code == 200
    assert say_not_me(Walker(app, parts), parts).status_code == 200


@pytest.mark.usefixtures("told")
def test_rc_04_the_secret_leaves_the_url_at_once(app: Flask, parts: Parts) -> None:
    reader = Walker(app, parts)
    link = mailed_link(parts)
    secret = link.partition("?t=")[2]
    response = reader.get(link)
    assert (response.status_code, response.location) == (303, "/me/not-me")
    cookie = response.headers["Set-Cookie"]
    for flag in ("__Host-idp_mailed_link=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"):
        assert flag in cookie
    page = reader.get(response.location)
    assert secret not in text_of(page)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text_of(page))  # nothing is loaded from anywhere else
    for words in ("Mobile Safari · iOS", "198.51.100.9"):
        assert words in text_of(page)


@pytest.mark.usefixtures("told")
def test_rc_02_the_link_works_once_and_for_a_month(app: Flask, parts: Parts, clock: Clock) -> None:
    first, second = Walker(app, parts), Walker(app, parts)
    page = second.follow(second.get(mailed_link(parts)))
    assert say_not_me(first, parts).status_code == 200
    assert second.open("POST", "/me/not-me", data={"csrf": csrf_of(page)}).status_code == 400
    assert first.get("/me/not-me").status_code == 400


@pytest.mark.usefixtures("told")
def test_a_link_that_is_too_old_is_over(app: Flask, parts: Parts, clock: Clock) -> None:
    clock.advance(30 * 86400)
    reader = Walker(app, parts)
    page = reader.follow(reader.get(mailed_link(parts)))
    assert page.status_code == 400
    assert 'id="error-page"' in text_of(page)


@pytest.mark.parametrize(
    "secret", ["", "x", "A" * 43, "A" * 44, "x" * 8000, "x%0d%0aSet-Cookie:%20a=b", "%00" * 43, "é"]
)
def test_what_is_no_link_of_ours_leads_nowhere(walker: Walker, secret: str) -> None:
    page = walker.follow(walker.get(f"/me/not-me?t={secret}"))
    assert page.status_code == 400
    assert 'id="error-page"' in text_of(page)
    assert "a=b" not in str(page.headers)


@pytest.mark.usefixtures("told")
def test_rc_09_sql_holds_neither_the_secret_nor_the_link(parts: Parts) -> None:
    secret = mailed_link(parts).partition("?t=")[2]
    with parts.database.reading() as db:
        dump = str(db.execute(select(MailedLink.__table__)).all()) + str(db.execute(select(OutboxMail.__table__)).all())
    assert secret not in dump

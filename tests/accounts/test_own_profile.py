"""/me/profile: names, language and time zone, and that products hear of them."""

from __future__ import annotations

import html
import re

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.models import Account, AuditEvent
from idp.parts import Parts
from tests.journey import Walker, add_carol

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"


@pytest.fixture
def carol(parts: Parts) -> str:
    return add_carol(parts)


def open_profile(walker: Walker) -> TestResponse:
    walker.sign_in(walker.get("/me"))
    return walker.get("/me/profile")


def save(walker: Walker, page: TestResponse, **fields: str) -> TestResponse:
    filled = {"name": "Carol Example", "given_name": "", "family_name": "", "locale": "en", "zoneinfo": ""}
    return walker.submit(page, "/me/profile", **filled | fields)


def text_of(page: TestResponse) -> str:
    return html.unescape(page.get_data(as_text=True))


def test_without_a_session_it_leads_to_the_sign_in(walker: Walker) -> None:
    assert walker.get("/me/profile").location == "/login"


def test_what_is_written_is_told_to_products_that_have_tokens_already(walker: Walker, parts: Parts, carol: str) -> None:
    tokens = walker.tokens(scope="openid profile")
    before = walker.userinfo(tokens["access_token"]).json
    page = walker.get("/me/profile")
    saved = walker.follow(
        save(
            walker,
            page,
            name="  Caroline   Ångström ",
            given_name="Caroline",
            family_name="Ångström",
            zoneinfo="Europe/Paris",
        )
    )
    assert 'role="status"' in text_of(saved)
    assert 'value="Caroline Ångström"' in text_of(saved)
    assert re.search(r'<option value="Europe/Paris" selected>Paris<', text_of(saved))
    told = walker.userinfo(tokens["access_token"]).json
    assert told is not None and before is not None
    assert (told["name"], told["given_name"], told["family_name"]) == ("Caroline Ångström", "Caroline", "Ångström")
    assert told["zoneinfo"] == "Europe/Paris"
    assert told["sub"] == before["sub"]
    assert "Caroline Ångström" in text_of(walker.get("/me"))
    with parts.database.reading() as db:
        assert db.scalars(select(AuditEvent.event).order_by(AuditEvent.id.desc())).first() == "person.changed"


def test_a_name_that_is_left_empty_is_told_no_more(walker: Walker, parts: Parts, carol: str) -> None:
    tokens = walker.tokens(scope="openid profile")
    page = walker.follow(save(walker, walker.get("/me/profile"), given_name="Carol", zoneinfo="Asia/Tokyo"))
    save(walker, page, name="")
    told = walker.userinfo(tokens["access_token"]).json
    assert told is not None
    assert not {"name", "given_name", "zoneinfo"} & told.keys()


@pytest.mark.parametrize("name", ["\u202eCarol", "Ca\u0000rol", "x" * 256])
def test_what_cannot_be_a_name_is_said_and_nothing_is_lost(walker: Walker, parts: Parts, carol: str, name: str) -> None:
    answer = save(walker, open_profile(walker), name=name, given_name="Caroline", locale="fr", zoneinfo="Asia/Tokyo")
    assert answer.status_code == 400
    page = text_of(answer)
    assert re.search(r'id="name"[^>]* aria-invalid="true"', page)
    assert 'value="Caroline"' in page
    assert re.search(r'value="Asia/Tokyo" selected', page)
    assert re.search(r'value="fr"[^>]* selected', page)
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).profile["name"] == "Carol Example"


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../../etc/passwd", "PARIS", "posixrules"])
def test_a_zone_that_is_none_is_refused(walker: Walker, parts: Parts, carol: str, zone: str) -> None:
    assert save(walker, open_profile(walker), zoneinfo=zone).status_code == 400
    with parts.database.reading() as db:
        assert "zoneinfo" not in db.get_one(Account, carol).profile


def test_an_old_name_of_a_zone_that_an_operator_has_written_stays(walker: Walker, parts: Parts) -> None:
    account_id = add_carol(parts, zoneinfo="Asia/Calcutta")
    page = open_profile(walker)
    assert "<option selected>Asia/Calcutta</option>" in text_of(page)
    save(walker, page, zoneinfo="Asia/Calcutta", given_name="Carol")
    with parts.database.reading() as db:
        assert db.get_one(Account, account_id).profile["zoneinfo"] == "Asia/Calcutta"


def test_the_language_is_remembered_for_the_person_and_changes_the_page_at_once(
    walker: Walker, parts: Parts, carol: str
) -> None:
    page = open_profile(walker)
    assert '<html lang="en"' in text_of(page)
    page = walker.follow(save(walker, page, locale="fr"))
    assert '<html lang="fr"' in text_of(page)
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).locale == "fr"
    phone = Walker(walker.app, parts, user_agent=PHONE, address="198.51.100.9")
    assert '<html lang="fr"' in text_of(open_profile(phone))  # another browser, the same person


def test_a_language_with_a_country_is_shown_as_its_language_and_keeps_its_country(walker: Walker, parts: Parts) -> None:
    account_id = add_carol(parts, locale="fr-CA")
    page = open_profile(walker)
    assert re.search(r'<option value="fr"[^>]* selected', text_of(page))
    save(walker, page, locale="fr", given_name="Carol")
    with parts.database.reading() as db:
        assert db.get_one(Account, account_id).locale == "fr-CA"


@pytest.mark.parametrize("language", ["xx", "", "../../etc", "fr\r\nSet-Cookie: x=1"])
def test_a_language_that_we_do_not_have_is_refused(walker: Walker, parts: Parts, carol: str, language: str) -> None:
    assert save(walker, open_profile(walker), locale=language).status_code == 400
    with parts.database.reading() as db:
        assert db.get_one(Account, carol).locale is None

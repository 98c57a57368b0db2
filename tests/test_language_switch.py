from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.journey import Walker


def test_the_switch_changes_the_language_and_comes_back_to_the_same_page(walker: Walker) -> None:
    page = walker.follow(walker.az(login_hint=None))
    assert '<html lang="en">' in page.text
    switch = page.text.split('<a href="/language?to=fr&amp;')[1].split('"')[0]
    switched = walker.get("/language?to=fr&" + switch.replace("&amp;", "&"))
    assert switched.status_code == 303
    assert switched.location == page.request.full_path
    assert '<html lang="fr">' in walker.get(switched.location).text


def test_the_switch_outranks_what_the_product_asks_for(walker: Walker) -> None:
    assert '<html lang="fr">' in walker.follow(walker.az(ui_locales="fr-CA fr")).text
    walker.get("/language?to=en&back=/login")
    assert '<html lang="en">' in walker.follow(walker.az(ui_locales="fr-CA fr")).text


def test_after_a_form_the_switch_leads_to_the_page_with_the_form(walker: Walker) -> None:
    page = walker.submit(walker.follow(walker.az()), "/login", username="no address")
    assert page.status_code == 400
    back = page.text.split("/language?to=fr&amp;back=")[1].split('"')[0]
    assert back.startswith("/login%3Fp%3D")
    assert 'id="username"' in walker.follow(walker.get(f"/language?to=fr&back={back}")).text


def test_where_a_page_cannot_be_asked_for_again_the_switch_leads_to_one_that_can(walker: Walker) -> None:
    page = walker.open("POST", "/me/sign-out", data={})
    assert "/language?to=fr&amp;back=/me&quot;" in page.text or '/language?to=fr&amp;back=/me"' in page.text


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/ok\r\nSet-Cookie: x=1",
        "/é",
        "evil.example",
        "",
    ],
)
def test_az_03_the_switch_never_leads_away_from_us(walker: Walker, back: str) -> None:
    assert walker.get(f"/language?to=fr&back={quote(back)}").location == "/me"


@pytest.mark.parametrize("to", ["de", "", "../../etc", "fr;", "en-GB"])
def test_an_unknown_language_changes_nothing(walker: Walker, to: str) -> None:
    answer = walker.get(f"/language?to={quote(to)}&back=/login")
    assert answer.location == "/login"
    assert "Set-Cookie" not in answer.headers

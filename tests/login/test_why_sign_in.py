"""``/help/why-sign-in``: what it says to whom; and that nobody gets an account by a product that needs organizers."""

from __future__ import annotations

import pytest

from idp.config import Config
from idp.models import Account
from idp.parts import Parts
from tests.journey import Walker, add_carol
from tests.newcomers import begin, come, google, handle_in, opened, text, with_newcomers
from tests.registrations import CLIENTS


@pytest.fixture
def walker(parts: Parts) -> Walker:
    return Walker(with_newcomers(parts), parts)


@pytest.fixture
def organizers_only(config: Config) -> None:
    """Asked for before the parts are built: C1 is a product for organizers."""
    assert config.clients is not None
    written = CLIENTS.replace("    name: Rendezvous One\n", "    name: Rendezvous One\n    needs: organizer\n", 1)
    assert written != CLIENTS
    config.clients.write_text(written, encoding="utf-8")


def accounts(parts: Parts) -> int:
    with parts.database.reading() as db:
        return db.query(Account).count()


def test_the_sign_in_page_leads_there_and_it_leads_back(walker: Walker) -> None:
    start = walker.follow(walker.az())
    assert "/help/why-sign-in?p=" in text(start)
    page = walker.get(f"/help/why-sign-in?p={begin(walker)}")
    assert page.status_code == 200 and 'id="why-page"' in text(page) and 'id="another-account"' in text(page)


@pytest.mark.parametrize("query", ["", "?p=", "?p=unknown", "?p=%00", "?p=" + "x" * 4000])
def test_it_explains_also_when_no_sign_in_is_under_way(walker: Walker, query: str) -> None:
    page = walker.get(f"/help/why-sign-in{query}")
    assert page.status_code == 200
    start = walker.follow(walker.submit(page, "/help/why-sign-in"))
    assert start.request.path == "/login" and 'id="login-page"' in text(start)


def test_another_account_begins_anew_without_the_address(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.sign_in(walker.az())
    typed = walker.follow(walker.submit(walker.follow(walker.az(prompt="login")), username="carol@example.org"))
    page = walker.get(f"/help/why-sign-in?p={handle_in(typed)}")
    start = walker.follow(walker.submit(page, "/help/why-sign-in"))
    assert 'id="login-page"' in text(start) and 'value="carol@example.org"' not in text(start)
    bob = add_carol(parts, "bob@example.org")
    assert opened(walker, walker.follow(walker.sign_in(start, "bob@example.org")))
    assert bob


def test_it_says_which_account_this_browser_holds(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    walker.sign_in(walker.az())
    assert "carol@example.org" in text(walker.get("/help/why-sign-in"))
    assert "carol@example.org" not in text(Walker(walker.app, parts).get("/help/why-sign-in"))


def test_nobody_new_gets_an_account_by_a_product_that_needs_organizers(
    organizers_only: None, walker: Walker, parts: Parts
) -> None:
    handle = begin(walker)
    page = come(walker, google(), handle)
    assert page.request.path == "/help/why-sign-in"
    assert "carol@example.org" in text(page) and "Google" in text(page)
    assert walker.follow(walker.get(f"/login/welcome?p={handle}")).request.path == "/help/why-sign-in"
    assert accounts(parts) == 0


def test_who_has_an_account_signs_in_there_as_ever(organizers_only: None, walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    assert opened(walker, walker.follow(walker.sign_in(walker.az())))

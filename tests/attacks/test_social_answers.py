"""Hostile and odd answers at the social doors: what the browser can write into one, what a provider can, and what may change
while we ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from idp.accounts.identity import Identity
from idp.accounts.lifecycle import apply_revocations, end_everything, wipe_unproven
from idp.audit import Event
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.providers import Registered, read_oauth2, read_openid_connect_by_claim
from idp.doors.social_errors import SocialError
from idp.models import Link, Password
from idp.parts import Parts
from tests.attacks.test_social_door import asked_by_page, form_of_ours, links
from tests.doors.test_oauth import CODE as GIVEN
from tests.doors.test_oauth import NOW, SECRET, Party, Site, at, documents, provider_at, sign, site
from tests.fakes.product_server import Asked, reply
from tests.journey import Walker, add_carol
from tests.newcomers import come, facebook, google, handle_in, is_signed_in, unverify, with_newcomers
from tests.social_walker import (
    ACCESS_TOKEN,
    CODE,
    Sites,
    application,
    asked_of,
    begin,
    come_back,
    leave,
    link_carol,
    reason_of,
    social_sites,
)

__all__ = ["documents", "site"]


@pytest.fixture
def sites() -> Iterator[Sites]:
    with social_sites() as running:
        yield running


@pytest.fixture
def walker(parts: Parts, sites: Sites) -> Walker:
    link_carol(parts)
    return Walker(application(parts, sites), parts)


# --- what the browser writes into an answer ------------------------------------------------------------------------------------


def test_what_the_browser_adds_never_says_who_it_is(site: Site, documents: ProviderDocuments) -> None:
    """``user`` beside the code is Apple's; at a provider whose userinfo has a member of that name it must change nothing."""
    read = read_oauth2("user", "user", "user")
    provider = provider_at(site, "github", read=read, emails_endpoint=None)
    party = Party(site, documents, Registered(provider, "us", SECRET))
    party.gives()
    site.answers["/userinfo"] = {"user": "mallory"}
    assert party.redeem(user_field='"carol"').subject == "mallory"


# --- what a provider says ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [10**255, 10**400, 10**4000], ids=["256 digits", "401 digits", "4001 digits"])
def test_a_number_longer_than_any_subject_names_nobody(site: Site, documents: ProviderDocuments, number: int) -> None:
    party = at(site, documents, "github")
    party.gives()
    site.answers["/userinfo"], site.answers["/emails"] = {"id": number}, []
    assert party.reason() == "social_answer_wrong"
    party = Party(site, documents, Registered(provider_at(site), "us", SECRET))
    party.gives(sign(party.claims(sub=number)))
    assert party.reason() == "social_answer_wrong"


def test_the_longest_number_of_a_subject_names_somebody(site: Site, documents: ProviderDocuments) -> None:
    party = at(site, documents, "github")
    party.gives()
    site.answers["/userinfo"], site.answers["/emails"] = {"id": 2**64 - 1}, []
    assert party.redeem().subject == "18446744073709551615"


@pytest.mark.parametrize(
    ("claims", "userinfo", "believed"),
    [
        ({"email_verified": True}, {"email": "carol@example.org", "email_verified": False}, False),
        ({"email_verified": True}, {"email": "carol@example.org"}, False),
        ({"email": "carol@example.org"}, {"email": "mallory@evil.example", "email_verified": True}, False),
        ({"email": "carol@example.org"}, {"email_verified": True}, False),
        ({"email_verified": False}, {"email": "carol@example.org", "email_verified": True}, True),
        ({"email": "carol@example.org", "email_verified": True}, {"email_verified": False}, True),
    ],
)
def test_an_address_is_believed_only_by_the_place_that_names_it(
    site: Site, documents: ProviderDocuments, claims: dict[str, object], userinfo: dict[str, object], believed: bool
) -> None:
    provider = provider_at(site, read=read_openid_connect_by_claim, userinfo_endpoint=site.address + "/userinfo")
    party = Party(site, documents, Registered(provider, "us", SECRET))
    party.gives(sign(party.claims(**claims)))
    site.answers["/userinfo"] = {"sub": "1001", **userinfo}
    found = party.redeem()
    assert (found.email, found.email_verified) == ("carol@example.org", believed)


@pytest.mark.parametrize("line", ["{}", "HTTP/1.1 {}", "HTTP/9.9 200 {}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: {}"])
def test_a_provider_that_repeats_what_we_sent_brings_no_secret_into_the_receipt(
    site: Site, documents: ProviderDocuments, line: str
) -> None:
    """I4: what is not even HTTP is not quoted, for it may be our own request."""
    party = Party(site, documents, Registered(provider_at(site), "us", SECRET))

    def echo(asked: Asked, write: Callable[[bytes], None]) -> None:
        write(line.format(asked.body.decode()).encode() + b"\r\n\r\n")

    site.answers["/token"] = echo
    with pytest.raises(SocialError) as error:
        party.redeem()
    assert GIVEN in site.form()["code"]
    assert GIVEN not in error.value.detail
    assert SECRET not in error.value.detail
    assert len(error.value.detail) < 100


# --- a sign-in that must be fresh ------------------------------------------------------------------------------------------------


def test_who_must_prove_anew_cannot_choose_to_be_asked_silently(walker: Walker) -> None:
    """The product demands it, and the address of the way there stands in the browser."""
    for request in ({"prompt": "login"}, {"max_age": "0"}):
        asked = asked_of(walker.get(f"/login/social/alpha?p={begin(walker, **request)}&silent=yes"))
        assert asked["prompt"] == "login"


def test_who_must_prove_anew_cannot_leave_that_out_on_the_way(site: Site, documents: ProviderDocuments) -> None:
    """A provider that was asked with max_age says auth_time (OpenID Connect Core 2): without it the request was changed."""
    provider = provider_at(site, fresh={"prompt": "login", "max_age": "0"})
    party = Party(site, documents, Registered(provider, "us", SECRET))
    party.gives(sign(party.claims()))
    assert party.reason(fresh=True) == "social_not_fresh"
    party.gives(sign(party.claims(auth_time=int(NOW))))
    assert party.redeem(fresh=True).at == NOW


# --- while we ask ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
def test_lk_01_a_session_that_ends_while_the_provider_is_asked_is_given_nothing(
    walker: Walker, parts: Parts, sites: Sites, told: bool
) -> None:
    """Who is thrown out of an account in that moment (its owner took it back) has not left a way in. ``told``: Redis knows."""
    assert "code" in walker.answer_of(walker.follow(come_back(walker, leave(walker, prompt="login"))))
    with parts.database.reading() as db:
        account_id = db.query(Link).one().account_id
    asked = asked_by_page(form_of_ours(walker))

    def thrown_out(request: Asked, write: Callable[[bytes], None]) -> None:
        with parts.database.transaction() as db:
            end_everything(db, account_id, event=Event.person_reclaimed, actor="test", now=parts.clock())
        if told:
            apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
        answer = {"access_token": f"{ACCESS_TOKEN}.{CODE}", "token_type": "bearer"}
        reply(200, json.dumps(answer).encode(), Content_Type="application/json")(request, write)

    sites.token = thrown_out
    page = walker.follow(come_back(walker, asked, "beta"))
    assert reason_of(parts, page) == "social_link_session"
    assert links(parts) == 1


# --- what is kept of a provider --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [{}, {"keys": None}, {"keys": "x"}, {"error": "maintenance"}])
def test_keys_that_are_none_are_not_kept(site: Site, documents: ProviderDocuments, odd: dict[str, object]) -> None:
    """One odd answer in a maintenance must not close the door for an hour."""
    party = Party(site, documents, Registered(provider_at(site), "us", SECRET))
    party.gives(sign(party.claims()))
    good, site.answers["/keys"] = site.answers["/keys"], odd
    assert party.reason() == "social_answer_wrong"
    site.answers["/keys"] = good
    assert party.redeem().subject == "1001"


@pytest.mark.parametrize("odd", [{}, {"issuer": "https://evil.example"}, {"issuer": None}, {"token_endpoint": 7}])
def test_so_08_a_discovery_document_that_is_not_the_providers_is_not_kept(
    site: Site, documents: ProviderDocuments, odd: dict[str, object]
) -> None:
    provider = provider_at(site, authorization_endpoint="", token_endpoint="", jwks_uri=None)
    party = Party(site, documents, Registered(provider, "us", SECRET))
    party.gives(sign(party.claims()))
    good = {"issuer": site.address, "authorization_endpoint": f"{site.address}/authorize"}
    good |= {"token_endpoint": f"{site.address}/token", "jwks_uri": f"{site.address}/keys"}
    where = "/.well-known/openid-configuration"
    site.answers[where] = (good | odd) if odd else {}
    assert party.reason() == "social_answer_wrong"
    site.answers[where] = good
    assert party.redeem().subject == "1001"


# --- an address that is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local", ["İ" * 60, "İ" * 33])
def test_an_address_that_grows_in_lower_case_is_malformed_and_no_mistake_of_ours(parts: Parts, local: str) -> None:
    walker = Walker(with_newcomers(parts), parts)
    page = walker.submit(come(walker, facebook(email=None)), "/login/address", username=f"{local}@example.org")
    assert page.status_code == 400


# --- an account that is taken back ------------------------------------------------------------------------------------------------


def test_a_password_that_was_taken_out_while_it_was_looked_at_opens_nothing(parts: Parts) -> None:
    """Pre-hijacking: its owner takes the account back in the moment between the check of the old password and the session."""
    walker = Walker(with_newcomers(parts), parts)
    account_id = add_carol(parts)
    issuer = parts.config.issuer
    own = Identity("password", issuer, account_id, "carol@example.org", True, None, ("pwd",), int(parts.clock()))
    unverify(parts, account_id)
    with parts.database.transaction() as db:
        assert wipe_unproven(db, account_id, "carol@example.org", now=parts.clock())
    apply_revocations(parts.database, parts.store, parts.clients, parts.clock())
    page = come(walker, own)
    assert page.status_code == 403
    assert not is_signed_in(walker)
    with parts.database.transaction() as db:
        db.add(Password(account_id=account_id, hash="another", changed_at=int(parts.clock())))
    come(walker, own)
    assert is_signed_in(walker)


# --- mails ------------------------------------------------------------------------------------------------------------------------


def test_who_adds_ways_for_ever_must_wait(walker: Walker, parts: Parts) -> None:
    """Each link that is made is announced, whatever was sent before: so there are not many."""
    walker.follow(come_back(walker, leave(walker, prompt="login")))
    answers = [form_of_ours(walker) for _ in range(12)]
    assert [one.status_code for one in answers] == [200] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0


# --- two tabs ---------------------------------------------------------------------------------------------------------------------


def test_an_account_is_made_for_whom_the_page_has_named_and_nobody_else(parts: Parts) -> None:
    """In another tab of the same sign-in somebody else has come meanwhile."""
    walker = Walker(with_newcomers(parts), parts)
    first = come(walker, google("g-1", "carol@example.org"))
    second = come(walker, google("g-2", "dave@example.org"), handle_in(first))
    page = walker.follow(walker.submit(first, "/login/welcome", terms="yes"))
    assert 'id="welcome-page"' in page.get_data(as_text=True)
    assert "dave@example.org" in page.get_data(as_text=True)
    with parts.database.reading() as db:
        assert db.query(Link).count() == 0
    walker.submit(second, "/login/welcome", terms="yes")
    with parts.database.reading() as db:
        assert [link.subject for link in db.query(Link)] == ["g-2"]

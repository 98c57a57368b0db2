"""Ways to sign in: what /me says of them, taking one away, undoing a link from its mail; and that both identities come back whole."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import TestResponse

from idp.accounts.sessions import find_session
from idp.accounts.ways import LastWay, NoSuchLink, Unlinked, Way, unlink, ways_in
from idp.models import Account, AuditEvent, Connection, Email, EmailChange, Link, MailedLink, OutboxMail, Password
from idp.parts import Parts
from tests.conftest import Clock
from tests.journey import PASSWORD, Walker, add_carol
from tests.newcomers import come, google, is_signed_in, links, mailed, mails, opened, text, with_newcomers
from tests.people import access_is_alive, give, open_for, refresh_is_alive
from tests.saml_parties import Customer, belong, decide_for

PROVIDERS = ("google", "facebook", "github")
DAY = 86400


@pytest.fixture
def walker(parts: Parts) -> Walker:
    return Walker(with_newcomers(parts), parts)


def link_google(walker: Walker, subject: str = "g-1") -> None:
    """Carol comes from Google and proves by her password that the account is hers."""
    assert opened(walker, walker.follow(walker.submit(come(walker, google(subject)), "/login/link", password=PASSWORD)))


def way_out(page: TestResponse) -> str:
    """Where the page of one's own leads to take the first link away."""
    found = re.search(r"/me/links/remove\?link=\w+", text(page))
    assert found is not None
    return found[0]


def ways(parts: Parts, account_id: str) -> list[Way]:
    with parts.database.reading() as db:
        return ways_in(db, account_id, PROVIDERS)


def name_of(parts: Parts, account_id: str, door: str = "google") -> str:
    return next(way.name for way in ways(parts, account_id) if way.door == door)


def take_away(parts: Parts, account_id: str, name: str) -> Unlinked | LastWay | NoSuchLink:
    with parts.database.transaction() as db:
        return unlink(db, account_id, name, PROVIDERS, now=parts.clock())


def sub_of(parts: Parts, account_id: str) -> str:
    with parts.database.reading() as db:
        return db.get_one(Account, account_id).sub


def test_my_page_lists_the_ways_and_offers_the_others(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    link_google(walker)
    page = text(walker.get("/me"))
    assert "Password" in page and "/me/links/remove?link=" in page
    assert 'id="add-facebook"' in page and 'id="add-google"' not in page


def test_a_link_is_taken_away_after_a_question_and_its_sessions_end(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    sub = sub_of(parts, carol)
    link_google(walker)
    by_google, cookie = open_for(parts, carol, door="google")
    issued = give(parts, by_google)
    offline = give(parts, by_google, offline=True)
    mine = Walker(walker.app, parts)
    mine.sign_in(mine.get("/me"))
    question = mine.get(way_out(mine.get("/me")))
    assert 'id="unlink-page"' in text(question) and links(parts) == [("google", "g-1", "password")]
    assert mine.submit(question, "/me/links/remove").location == "/me?notice=unlinked"
    assert links(parts) == []
    assert find_session(parts.store, cookie, parts.clock()) is None and not access_is_alive(parts, issued)
    assert not refresh_is_alive(parts, offline)
    assert is_signed_in(mine)  # who came otherwise stays
    assert not is_signed_in(walker)  # who came by Google does not
    # Both are whole: the account opens as before, under the same name, and Google's person is somebody to be proved again.
    assert sub_of(parts, carol) == sub
    assert 'id="link-page"' in text(come(Walker(walker.app, parts), google()))
    with parts.database.reading() as db:
        assert db.query(AuditEvent).filter_by(event="person.unlinked", account_id=carol).one().facts["by"] == "person"
        told = db.query(OutboxMail).filter_by(name="unlinked", recipient="carol@example.org").one()
        assert told.values["provider"] == "Google" and not told.values.get("by_support")


@pytest.mark.parametrize("act", ["add", "remove"])
def test_whoever_has_not_proved_lately_who_they_are_does_so_before_a_way_changes(
    walker: Walker, parts: Parts, clock: Clock, act: str
) -> None:
    add_carol(parts)
    link_google(walker)
    mine = Walker(walker.app, parts)
    mine.sign_in(mine.get("/me"))
    page = mine.get("/me")
    clock.advance(16 * 60)
    if act == "add":
        anew = mine.submit(page, "/login/social/facebook/link")
    else:
        anew = mine.get(way_out(page))
    assert anew.location == "/login?again=%2Fme"
    back = mine.submit(mine.follow(anew), "/login/password", username="carol@example.org", password=PASSWORD)
    assert back.location == "/me" and links(parts) == [("google", "g-1", "password")]


def test_each_form_undoes_the_link_that_its_page_shows(walker: Walker, parts: Parts) -> None:
    """Two mails are open in two tabs; the browser remembers the one that was opened last."""
    add_carol(parts)
    link_google(Walker(walker.app, parts))
    first = walker.follow(walker.get(mailed(parts, "linked")))
    link_google(Walker(walker.app, parts), "g-2")
    walker.follow(walker.get(mailed(parts, "linked")))
    shown = walker.submit(first, "/me/links/undo")
    assert (shown.status_code, shown.location) == (
        303,
        "/me/links/undo",
    )  # the page of the other one, and nothing is undone
    assert [subject for _, subject, _ in links(parts)] == ["g-1", "g-2"]
    assert walker.submit(walker.follow(shown), "/me/links/undo").status_code == 200
    assert [subject for _, subject, _ in links(parts)] == ["g-1"]


def test_the_last_way_in_stays_and_the_page_says_the_way_out(walker: Walker, parts: Parts) -> None:
    assert opened(walker, walker.follow(walker.submit(come(walker, google()), "/login/welcome", terms="yes")))
    question = walker.get(way_out(walker.get("/me")))
    assert question.status_code == 403 and 'href="/me#ways"' in text(question)
    carol = links_owner(parts)
    assert take_away(parts, carol, name_of(parts, carol)) == LastWay()
    assert len(links(parts)) == 1
    assert is_signed_in(walker)


def links_owner(parts: Parts) -> str:
    with parts.database.reading() as db:
        return db.query(Link).one().account_id


@pytest.mark.parametrize("closing", ["password", "social"])
def test_a_way_that_a_company_has_closed_opens_nothing(
    parts: Parts, walker: Walker, acme: Customer, closing: str
) -> None:
    alice = add_carol(parts, "alice@acme.example")
    with parts.database.transaction() as db:
        db.add(Link(account_id=alice, issuer="https://g.example", subject="1", door="google", created_at=0))
    decide_for(parts.database, acme, doors=[door for door in ("password", "social") if door != closing])
    shut = {way.door for way in ways(parts, alice) if not way.opens}
    assert shut == {"password" if closing == "password" else "google"}
    if closing == "password":
        assert take_away(parts, alice, name_of(parts, alice)) == LastWay()


def test_a_companys_sign_in_is_a_way_while_its_connection_is_live(parts: Parts, acme: Customer) -> None:
    alice = add_carol(parts, "alice@acme.example", None)
    belong(parts.database, acme, alice, now=parts.clock())
    with parts.database.transaction() as db:
        db.add(Link(account_id=alice, issuer="https://g.example", subject="1", door="google", created_at=0))
    assert [(way.door, way.opens, bool(way.name)) for way in ways(parts, alice)] == [
        ("company", True, False),
        ("google", True, True),
    ]
    with parts.database.transaction() as db:
        db.query(Connection).one().state = "draft"
    assert take_away(parts, alice, name_of(parts, alice)) == LastWay()


def test_a_provider_that_is_configured_no_more_opens_nothing(parts: Parts) -> None:
    carol = add_carol(parts, password=None)
    with parts.database.transaction() as db:
        for door in ("google", "gone"):
            db.add(Link(account_id=carol, issuer=f"https://{door}.example", subject="1", door=door, created_at=0))
    assert take_away(parts, carol, name_of(parts, carol)) == LastWay()
    assert take_away(parts, carol, name_of(parts, carol, "gone")) == Unlinked("gone")


def test_nobody_takes_anothers_link_away_and_a_name_is_never_given_out_again(walker: Walker, parts: Parts) -> None:
    carol, bob = add_carol(parts), add_carol(parts, "bob@example.org")
    link_google(walker)
    name = name_of(parts, carol)
    assert take_away(parts, bob, name) == NoSuchLink()
    assert take_away(parts, carol, name) == Unlinked("google")
    with parts.database.transaction() as db:  # which gets the same number
        db.add(Link(account_id=carol, issuer="https://f.example", subject="1", door="facebook", created_at=0))
    assert take_away(parts, carol, name) == NoSuchLink()
    assert [door for door, _, _ in links(parts)] == ["facebook"]


def test_without_a_session_and_without_our_form_nothing_is_taken_away(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    link_google(walker)
    name = name_of(parts, carol)
    assert Walker(walker.app, parts).get(f"/me/links/remove?link={name}").location == "/login"
    assert walker.post("/me/links/remove", {"link": name}).status_code in (400, 403)
    assert len(links(parts)) == 1


# --- from the mail -----------------------------------------------------------------------------------------------------------


def test_the_mail_undoes_a_link_for_thirty_days_once_and_ends_everything(
    walker: Walker, parts: Parts, clock: Clock
) -> None:
    carol = add_carol(parts)
    sub = sub_of(parts, carol)
    link_google(walker)
    link = mailed(parts, "linked")
    clock.advance(30 * DAY - 60)
    cookie = open_for(parts, carol)[1]
    owner = Walker(walker.app, parts)
    for _ in range(3):
        owner.open("HEAD", link)
    page = owner.follow(owner.get(link))
    assert 'id="undo-page"' in text(page) and "t=" not in page.request.full_path
    assert len(links(parts)) == 1 and find_session(parts.store, cookie, clock()) is not None
    done = owner.submit(page, "/me/links/undo")
    assert done.status_code == 200 and "undone" in text(done)
    assert links(parts) == [] and find_session(parts.store, cookie, clock()) is None
    assert sub_of(parts, carol) == sub
    with parts.database.reading() as db:
        assert db.get(Password, carol) is not None
        assert db.query(Email).filter_by(account_id=carol).one().verified_at is not None
    again = owner.follow(owner.get(link))
    assert again.status_code == 400


def test_what_whoever_made_the_link_has_asked_for_ends_with_it(walker: Walker, parts: Parts) -> None:
    """Their sessions end, and so do the mails by which they would come back."""
    carol = add_carol(parts)
    link_google(walker)
    walker.submit(walker.get("/me/recovery"), "/me/recovery", username="mallory@evil.example")
    walker.submit(walker.get("/me/email"), "/me/email", username="mallory@evil.example")
    asked = mailed(parts, "prove_recovery"), mailed(parts, "email_new")
    owner = Walker(walker.app, parts)
    owner.submit(owner.follow(owner.get(mailed(parts, "linked"))), "/me/links/undo")
    for link in asked:
        assert owner.follow(owner.get(link)).status_code == 400
    with parts.database.reading() as db:
        assert db.get(EmailChange, carol) is None


def test_the_mail_stops_counting_after_thirty_days(walker: Walker, parts: Parts, clock: Clock) -> None:
    add_carol(parts)
    link_google(walker)
    clock.advance(30 * DAY + 1)
    owner = Walker(walker.app, parts)
    assert owner.follow(owner.get(mailed(parts, "linked"))).status_code == 400
    assert len(links(parts)) == 1


def test_the_mail_undoes_also_the_last_way_in(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    link_google(walker)
    with parts.database.transaction() as db:
        db.query(Password).delete()
    owner = Walker(walker.app, parts)
    assert owner.submit(owner.follow(owner.get(mailed(parts, "linked"))), "/me/links/undo").status_code == 200
    assert links(parts) == [] and ways(parts, carol) == []


def test_an_old_mail_never_undoes_another_link(walker: Walker, parts: Parts) -> None:
    carol = add_carol(parts)
    link_google(walker)
    old = mailed(parts, "linked")
    assert take_away(parts, carol, name_of(parts, carol)) == Unlinked("google")
    link_google(Walker(walker.app, parts), "g-2")  # gets the number that the first one had
    owner = Walker(walker.app, parts)
    assert owner.follow(owner.get(old)).status_code == 400
    assert [subject for _, subject, _ in links(parts)] == ["g-2"]


def test_the_secret_of_another_purpose_undoes_nothing(walker: Walker, parts: Parts) -> None:
    add_carol(parts)
    link_google(walker)
    with parts.database.transaction() as db:
        db.query(MailedLink).update({"purpose": "not_me"})
    owner = Walker(walker.app, parts)
    assert owner.follow(owner.get(mailed(parts, "linked"))).status_code == 400
    assert mails(parts) and len(links(parts)) == 1

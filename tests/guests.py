"""Somebody who is invited: an account is made, a mail comes, its link is opened, the account is taken."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from werkzeug.test import TestResponse

from idp.accounts.identity import read_address
from idp.accounts.invitations import Guest, Host, State, invite, send_again, standings
from idp.accounts.lifecycle import find_account
from idp.parts import Parts
from tests import canaries
from tests.journey import Walker
from tests.newcomers import mailed

FIRST = canaries.register("seven quiet bicycles in the rain", "password")


def host_of(parts: Parts, account_id: str | None = None) -> Host:
    """An operator; or a person, who invites for their company."""
    actor = "operator:test" if account_id is None else f"person:{account_id}"
    return Host(actor, parts.sealer, parts.clock(), parts.random, account_id)


def invited(
    parts: Parts,
    email: str = "carol@example.org",
    company_id: str | None = None,
    role: str = "member",
    *,
    by: str | None = None,
    vouched: bool = False,
    **claims: str,
) -> str:
    """Invite somebody; the account's id."""
    with parts.database.transaction() as db:
        guest = Guest(read_address(email), claims, company_id, role, vouched=vouched)
        invite(db, guest, host_of(parts, by))
        account = find_account(db, guest.address.canonical)
        assert account is not None
        return account.id


def again(parts: Parts, account_id: str, company_id: str | None = None, *, by: str | None = None) -> int:
    """Send the invitation once more; how many times it has been sent by now."""
    with parts.database.transaction() as db:
        return send_again(db, account_id, host_of(parts, by), company_id=company_id)


def invitation(parts: Parts) -> str:
    """The path in the newest invitation."""
    return mailed(parts, "invitation")


def come_by(walker: Walker, link: str) -> TestResponse:
    """Open an invitation."""
    return walker.follow(walker.get(link))


def take(walker: Walker, link: str, password: str = FIRST, **fields: str) -> TestResponse:
    """Open an invitation and choose a password; wherever that leads."""
    page = come_by(walker, link)
    assert 'id="invite-page"' in page.get_data(as_text=True), page.get_data(as_text=True)
    return walker.follow(walker.submit(page, "/invite", password=password, **fields))


def to_provider(walker: Walker, link: str, door: str = "google") -> str:
    """Open an invitation and choose a social provider; the handle of the sign-in that leads there."""
    page = walker.submit(come_by(walker, link), "/invite", door=door)
    found = re.search(rf"/login/social/{door}\?p=([^\"&]*)", page.get_data(as_text=True))
    assert found is not None, page.get_data(as_text=True)
    return unescape(found[1])


def state(parts: Parts, account_id: str, **options: Any) -> tuple[State, int]:
    """What has become of an account, and how many times it was invited."""
    with parts.database.reading() as db:
        standing = standings(db, now=parts.clock(), **options)[account_id]
    return standing.state, standing.sent

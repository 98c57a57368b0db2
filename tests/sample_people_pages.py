"""A company's people, as samples of pages."""

from __future__ import annotations

from typing import Any

from idp.accounts.invitations import Standing, State
from idp.accounts.people_search import Found
from idp.admin.factor_removal import Asked
from tests.sample_admin_pages import COMPANY, Sample, Text, frame

NOW = 1_795_000_000


def _found(x: Text, place: int, name: str, address: str, state: State, last: int | None = None) -> Found:
    return Found(f"{place}" * 32, x(address), x(name), COMPANY, x("Acme"), Standing(state, 2, last))


def _people(x: Text, **more: Any) -> dict[str, Any]:
    people = [
        (_found(x, 1, "Ada Minster", "ada@acme.example", "active", NOW - 90), "administrator", ["password", "passkey"]),
        (_found(x, 2, "", "a.person.with.a.very.long.name@subsidiary.acme.example", "invited"), "member", []),
        (_found(x, 3, "Bob", "bob@acme.example", "suspended", NOW - 86400 * 40), "read_only", ["company", "google"]),
    ]
    states = ("invited", "active", "inactive", "suspended", "closed")
    values = {"people": people, "q": x("a"), "state": "", "states": states, "after": x("place"), "later": True}
    return frame(x, "people") | values | more


def _person(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "account_id": "1" * 32,
        "address": x("bob@acme.example"),
        "verified": True,
        "name": x("Bob Builder"),
        "role": "member",
        "roles": ("administrator", "read_only", "member"),
        "break_glass": False,
        "standing": Standing("active", 1, NOW - 3600),
        "ways": [("password", "", True), ("google", x("Google"), False)],
        "factors": ["passkey", "totp"],
        "asked": None,
        "by_oneself": False,
        "seats": [(x("gotowebinar"), x("GoToWebinar"), "organizer"), (x("C2"), x("GoToMeeting"), "none")],
        "oneself": False,
        "notice": "seat",
        "problem": None,
    }
    return frame(x, "people") | values | more


PEOPLE_PAGES: dict[str, Sample] = {
    "admin-people": ("admin/people.html", _people),
    "admin-people-none": ("admin/people.html", lambda x: _people(x, people=[], after="", later=False)),
    "admin-person": ("admin/person.html", _person),
    "admin-person-asked": (
        "admin/person.html",
        lambda x: _person(
            x,
            asked=Asked("person:x", x("She called from her desk phone."), NOW),
            notice=None,
            problem="company_last_administrator",
            break_glass=True,
            standing=Standing("suspended", 1, None),
        ),
    ),
    "admin-person-read-only": (
        "admin/person.html",
        lambda x: (
            _person(x, standing=Standing("invited", 3, None), verified=False) | frame(x, "people", role="read_only")
        ),
    ),
}

"""Further pages of a company and of support in the admin center, as samples."""

from __future__ import annotations

from typing import Any

from idp.accounts.standard_claims import zones_by_region
from idp.admin.bulk_invitations import Progress, State
from idp.company_settings import Brand
from idp.models import BulkLine
from idp.reasons import REASONS
from tests.sample_admin_pages import COMPANY, Sample, Text, frame

NOW = 1_795_000_000


def _audit(x: Text, **more: Any) -> dict[str, Any]:
    facts = [(x("was"), x("member")), (x("role"), x("administrator"))]
    events = [
        {
            "at": "2026-11-22 10:00:00",
            "event": "company.role_changed",
            "known": True,
            "by": "",
            "who": x("ada@acme.example"),
            "whom": x("bob@acme.example"),
            "facts": facts,
        },
        {
            "at": "2026-11-22 09:00:00",
            "event": "person.signed_in",
            "known": True,
            "by": "somebody",
            "who": x("bob@acme.example"),
            "whom": "",
            "facts": [],
        },
    ]
    typed = {"event": "", "person": x("bob@acme.example"), "since": "", "until": ""}
    values = {
        "at": f"/companies/{COMPANY}/audit",
        "events": events,
        "kinds": ["person.signed_in", "company.role_changed"],
    }
    return (
        frame(x, "audit")
        | values
        | {"typed": typed, "before": x("1 2"), "later": True, "zone": x("Europe/Paris")}
        | more
    )


def _progress(state: State, *, held_up: bool = False, **counts: int) -> Progress:
    every = dict.fromkeys(("waiting", "invited", "failed", "undone", "kept"), 0) | counts
    return Progress("0123456789abcdef", state, NOW - 90, every, held_up)


def _invite(x: Text, **more: Any) -> dict[str, Any]:
    typed = {"people": x("gus@acme.example"), "role": "member", "language": "en"}
    lists = [_progress("running", waiting=300, invited=40, failed=2), _progress("undone", undone=12, kept=1)]
    return frame(x, "people") | {"typed": typed, "most": 5000, "lists": lists, "problem": ""} | more


def _list(x: Text, state: State, **counts: int) -> dict[str, Any]:
    def line(number: int, written: str, name: str, role: str, state: str, wrong: str = "") -> BulkLine:
        return BulkLine(number=number, written=x(written), name=x(name), role=role, state=state, wrong=wrong)

    others = [line(1, "gus@acme.example", "Gus Guest", "member", "waiting" if state == "draft" else "invited")]
    others.append(line(3, "a.person.with.a.very.long.name@subsidiary.acme.example", "", "administrator", "waiting"))
    wrong = [line(2, "nonsense", "", "member", "failed", "invite.no_address")]
    if state == "undone":
        wrong.append(line(5, "bob@acme.example", "Bob", "member", "kept", "invite.kept"))
    held_up = counts.pop("held_up", 0) == 1
    values = {"progress": _progress(state, held_up=held_up, **counts), "wrong": wrong, "others": others, "shown": 100}
    return frame(x, "people") | values


def _settings(x: Text, **more: str) -> dict[str, str]:
    return {"name": x("Acme"), "contacts": "", "language": "fr", "time_zone": "", "colour": ""} | more


def _case(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "receipt": "K7QX-2M4P",
        "provider": "login.example",
        "started_at": NOW - 240,
        "outcome": "failed",
        "reason": REASONS["saml_audience_wrong"],
        "product": x("GoToWebinar"),
        "door": "company",
        "connection": x("Okta"),
        "menu": x("Okta Admin Console › Applications"),
        "person": x("a…@acme.example"),
        "state": "active",
        "proved": True,
        "steps": [
            ("10:00:00", "response_refused", "saml_audience_wrong", [(x("expected"), x("https://login.example"))])
        ],
        "acts": ["mail", "throttle", "invitation", "company", "unlink"],
        "ways": [
            {"door": "password", "provider": "", "opens": False, "name": ""},
            {"door": "google", "provider": x("Google"), "opens": True, "name": x("w1")},
        ],
        "mails": [("invitation", "bounced", NOW - 500)],
        "factors": ["agree", "withdraw"],
        "minutes": 29,
        "notice": "company",
    }
    return frame(x, "support", staff="support", company=None) | values | more


COMPANY_PAGES: dict[str, Sample] = {
    "admin-audit": ("admin/audit.html", _audit),
    "admin-audit-none": ("admin/audit.html", lambda x: _audit(x, events=[], before="", later=False)),
    "admin-settings": (
        "admin/settings.html",
        lambda x: frame(
            x,
            "settings",
            typed=_settings(x, contacts=x("it@acme.example"), time_zone="Europe/Paris", colour="#8a1538"),
            zones=zones_by_region("en"),
            brand=Brand("0" * 32, 120, 48, "#8a1538"),
            saved=True,
            problem=None,
        ),
    ),
    "admin-settings-wrong": (
        "admin/settings.html",
        lambda x: frame(
            x,
            "settings",
            typed=_settings(x, contacts=x("it"), colour=x("green")),
            zones=zones_by_region("en"),
            saved=False,
            problem="company_colour_wrong",
        ),
    ),
    "admin-invite": ("admin/invite.html", _invite),
    "admin-invite-nobody": ("admin/invite.html", lambda x: _invite(x, lists=[], problem="invite.nobody")),
    "admin-list-draft": ("admin/invitation_list.html", lambda x: _list(x, "draft", waiting=2, failed=1)),
    "admin-list-running": (
        "admin/invitation_list.html",
        lambda x: _list(x, "running", waiting=400, invited=120, failed=1),
    ),
    "admin-list-held-up": (
        "admin/invitation_list.html",
        lambda x: _list(x, "running", waiting=400, invited=999, failed=1, held_up=1),
    ),
    "admin-list-done": ("admin/invitation_list.html", lambda x: _list(x, "done", invited=2, failed=1)),
    "admin-list-undone": ("admin/invitation_list.html", lambda x: _list(x, "undone", undone=2, failed=1, kept=1)),
    "admin-support": (
        "admin/support.html",
        lambda x: frame(x, "support", staff="support", company=None, typed=x("K7"), problem="support.no_code"),
    ),
    "admin-support-case": ("admin/support_case.html", _case),
    "admin-support-case-typed": ("admin/support_case.html", lambda x: _case(x, proved=False, factors=[], notice=None)),
    "admin-support-case-open": (
        "admin/support_case.html",
        lambda x: _case(
            x,
            reason=None,
            person="",
            state="",
            acts=[],
            ways=[],
            mails=[],
            factors=[],
            outcome="open",
            menu="",
            notice=None,
        ),
    ),
}

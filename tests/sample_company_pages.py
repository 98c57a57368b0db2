"""Further pages of a company and of support in the admin center, as samples."""

from __future__ import annotations

from typing import Any

from idp.accounts.identity import read_address
from idp.admin.invitation_list import Line
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
    return frame(x, "audit") | values | {"typed": typed, "before": x("1 2"), "later": True} | more


def _invite(x: Text, **more: Any) -> dict[str, Any]:
    address = read_address("gus@acme.example")
    lines = [
        (Line(1, "", address, {"name": x("Gus Guest")}, "member", ""), ""),
        (Line(2, x("nonsense"), None, {}, "member", "invite.no_address"), "invite.no_address"),
    ]
    values = {"typed": {"people": x("gus@acme.example"), "role": "member", "language": "en"}, "roles": (), "most": 200}
    return frame(x, "people") | values | {"lines": lines, "good": 1, "done": False, "problem": ""} | more


def _case(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "receipt": "K7QX-2M4P",
        "started_at": NOW - 240,
        "outcome": "failed",
        "reason": REASONS["saml_audience_wrong"],
        "product": x("GoToWebinar"),
        "door": "company",
        "connection": x("Okta"),
        "menu": x("Okta Admin Console › Applications"),
        "person": x("a…@acme.example"),
        "state": "active",
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
            x, "settings", typed={"name": x("Acme"), "contacts": x("it@acme.example")}, saved=True, problem=None
        ),
    ),
    "admin-settings-wrong": (
        "admin/settings.html",
        lambda x: frame(
            x, "settings", typed={"name": x("Acme"), "contacts": x("it")}, saved=False, problem="company_field_wrong"
        ),
    ),
    "admin-invite": ("admin/invite.html", lambda x: _invite(x, lines=[], problem="invite.nobody")),
    "admin-invite-preview": ("admin/invite.html", _invite),
    "admin-invite-done": ("admin/invite.html", lambda x: _invite(x, done=True)),
    "admin-support": (
        "admin/support.html",
        lambda x: frame(x, "support", staff="support", company=None, typed=x("K7"), problem="support.no_code"),
    ),
    "admin-support-case": ("admin/support_case.html", _case),
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

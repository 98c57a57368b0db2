"""The way to a company's own sign-in, as samples of pages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from idp.admin.connection_health import Day
from idp.admin.policy_preview import Effect
from idp.admin.sign_in_guide import FIELDS
from idp.admin.staff import set_up_actor
from tests.sample_admin_pages import COMPANY, Sample, Text, frame

NOW = 1_795_000_000
RECORD = "idp-verification-code=3f0b1c52-7d0e-4b1a-9c41-0d2f5e6a7b8c"


def _guide(x: Text, **more: Any) -> dict[str, Any]:
    domain = {"record": x(RECORD), "file": x("https://acme.example/idp-verification-code.txt"), "missed_since": None}
    domains = [
        domain | {"domain": x("acme.example"), "status": "verified", "found": [], "checked_at": NOW},
        domain | {"domain": x("acme-new.example"), "status": "pending", "found": [], "checked_at": NOW - 300},
    ]
    connections = [
        {"id": "c1", "name": x("Okta"), "state": "live", "problem": "", "administrator": True},
        {
            "id": "c2",
            "name": x("Entra"),
            "state": "draft",
            "problem": "saml_metadata_unreachable",
            "administrator": False,
        },
    ]
    values = {
        "domains": domains,
        "connections": connections,
        "vendors": [("entra", "Microsoft Entra ID"), ("okta", "Okta")],
        "sso": "optional",
        "affected": [Effect("password", 12, (x("alice@acme.example"), x("bob@acme.example")))],
        "named": 20,
        "break_glass": [x("ada@acme.example")],
        "links": [("l1", NOW - 3600, NOW + 86400, None), ("l2", NOW - 7200, NOW + 86400, NOW - 60)],
        "typed": {"domain": "", "vendor": "entra", **dict.fromkeys(FIELDS, "")},
        "looked": None,
        "made": "",
        "notice": None,
        "problem": None,
        "detail": "",
    }
    return frame(x, "company-sign-in") | values | more


def _by_link(x: Text) -> dict[str, Any]:
    actor = set_up_actor("l1", COMPANY, x("Acme"))
    more = {"actor": actor, "may": lambda right: actor.may(right, COMPANY)}
    looked = {"domain": x("acme-new.example"), "reasons": ("domain_record_missing",), "found": [x("v=spf1 -all")]}
    return _guide(x, looked=looked, break_glass=[], connections=[]) | more


def _connection(x: Text, **more: Any) -> dict[str, Any]:
    failed = {
        "reason": "saml_audience_wrong",
        "expected": x("https://login.example/saml/acme0001"),
        "received": x("https://other.example"),
        "menu": x("Okta Admin Console › Applications"),
    }
    connection = SimpleNamespace(
        id="acme0001",
        name=x("Okta"),
        state="tested",
        entity_id=x("https://login.example/saml/acme0001"),
        acs=x("https://login.example/saml/acme0001/acs"),
        name_id_format=x("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"),
    )
    attempts = [
        {
            "code": "K7QX-2M4P",
            "started_at": NOW - 60,
            "outcome": "failed",
            "reason": "saml_audience_wrong",
            "failed": [failed],
        },
        {"code": "K7QX-2M4Q", "started_at": NOW - 90, "outcome": "done", "reason": None, "failed": []},
    ]
    health = [Day(f"2026-11-{day:02}", day * 3, day % 4) for day in range(9, 23)]
    values = {
        "connection": connection,
        "vendor": x("Okta"),
        "menus": {
            "addresses": x("Okta › General"),
            "certificate": x("Okta › Sign On"),
            "people": x("Okta › Assignments"),
        },
        "next_key": False,
        "certificates": [
            ("a" * 64, "2024-01-01", "2026-11-30", "soon"),
            ("b" * 64, "2026-01-01", "2029-01-01", "good"),
        ],
        "aside": [
            {
                "number": 7,
                "read_at": NOW - 600,
                "changes": [(x("sso_url"), x("https://a.example"), x("https://b.example"))],
            }
        ],
        "attempts": attempts,
        "health": health,
        "tallest": 70,
        "days": 14,
        "trial": x("https://login.example/login/company/try?p=x"),
        "report": None,
        "menu": "",
        "phrase": lambda text: "",
        "shared": "",
        "settings": [
            ("email", x("mail")),
            ("name", ""),
            ("given_name", x("firstName")),
            ("family_name", x("lastName")),
        ],
        "metadata_url": x("https://acme.okta.example/metadata"),
        "metadata_read_at": NOW - 3600,
        "metadata_problem": "",
        "tested_at": NOW - 3600,
        "notice": "added",
        "problem": None,
        "detail": "",
    }
    return frame(x, "company-sign-in") | values | more


def _attempt(x: Text) -> dict[str, Any]:
    [attempt, _] = _connection(x)["attempts"]
    return {"connection": x("Okta"), "attempt": attempt, "phrase": lambda text: ""}


SIGN_IN_PAGES: dict[str, Sample] = {
    "admin-sign-in": ("admin/sign_in.html", _guide),
    "admin-sign-in-new": (
        "admin/sign_in.html",
        lambda x: _guide(
            x,
            domains=[],
            connections=[],
            links=[],
            affected=[],
            problem="connection_description_missing",
            detail=x("how"),
        ),
    ),
    "admin-sign-in-required": (
        "admin/sign_in.html",
        lambda x: _guide(x, sso="required", made=x("https://admin.example/set-up?t=x"), notice="required"),
    ),
    "admin-sign-in-by-link": ("admin/sign_in.html", _by_link),
    "admin-connection": ("admin/connection.html", _connection),
    "admin-connection-new": (
        "admin/connection.html",
        lambda x: _connection(
            x,
            aside=[],
            attempts=[],
            tallest=0,
            trial="",
            metadata_url="",
            tested_at=None,
            notice=None,
            shared=x("https://admin.example/shared/x"),
            problem="connection_untested",
            next_key=True,
        ),
    ),
    "admin-set-up": ("admin/set_up.html", lambda x: {"company": x("Acme")}),
    "admin-shared-attempt": ("admin/shared_attempt.html", _attempt),
}

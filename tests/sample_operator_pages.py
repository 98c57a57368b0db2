"""The operators' pages of the admin center with values to show them, as in ``sample_admin_pages``."""

from __future__ import annotations

from typing import Any

from idp.admin.client_pages import Secrets
from idp.admin.key_pages import Key, Ring
from idp.admin.mail_pages import Letter
from idp.admin.operator_page import Ailing
from idp.admin.reason_charts import BAR, DAYS, HEIGHT, LEFT, TOP, WIDTH, draw
from idp.admin.staff import STAFF_ROLES, Colleague
from idp.clients import Problem
from idp.company_search import Found
from tests.sample_admin_pages import COMPANY, Sample, Text, frame


def _frame(x: Text, here: str, staff: str = "operator", **more: Any) -> dict[str, Any]:
    return frame(x, "operator", staff=staff, company=None, here=here) | more


def _glance(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "ready": {"redis": "ok", "sql": "ok", "migrations": "behind", "keys": "down", "clients": "kept"},
        "counts": {"companies": "1204", "people": "10000+", "connections": "311", "clients": "12"},
        "ailing": [
            Ailing(COMPANY, x("Acme"), x("Acme's Entra"), until="2026-12-01 10:00 UTC"),
            Ailing(COMPANY, x("Globex"), x("Okta"), until="2026-11-01 10:00 UTC", over=True),
            Ailing(COMPANY, x("Initech"), x("Keycloak"), problem="saml_metadata_unreachable"),
        ],
        "late": "31",
        "stuck": "4",
        "wrong_files": ["clients"],
        "off": 1,
    }
    return _frame(x, "operator") | values | more


def _companies(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "wanted": x("ac"),
        "first": False,
        "found": [
            Found(COMPANY, x("Acme"), "required", (x("acme.example"), x("acme.net.example"))),
            Found("f" * 32, x("Accurate Widgets"), "optional", ()),
        ],
        "after": x('["name", "acme", "0123"]'),
        "name": "",
        "problem": "",
        "gone": False,
        "longest": 120,
    }
    return _frame(x, "companies") | values | more


def _removal(x: Text, **more: Any) -> dict[str, Any]:
    values = {"about": (COMPANY, x("Acme")), "typed": "", "why": "", "wrong": False, "longest": 200}
    return _frame(x, "companies") | values | more


def _problem(x: Text) -> Problem:
    return Problem(x("clients.yaml"), 12, x("web: redirect_uris is missing"), x("add `redirect_uris:`"))


def _clients(x: Text) -> dict[str, Any]:
    found = [
        (x("webinar"), x("GoToWebinar"), "web", True, 3),
        (x("meeting"), x("GoToMeeting"), "native", False, 21),
    ]
    values = {"file": x("/etc/idp/clients.yaml"), "read_at": 0.0, "found": found}
    return _frame(x, "clients") | values | {"problems": [_problem(x)], "warnings": [_problem(x)]}


def _client(x: Text) -> dict[str, Any]:
    settings = [
        ("type", ["web"], True),
        ("redirect_uris", [x("https://webinar.example/callback"), x("https://webinar.example/back")], True),
        ("code_lifetime", ["60"], False),
    ]
    values = {"client_id": x("webinar"), "name": x("GoToWebinar"), "on": False, "line": 3, "settings": settings}
    return _frame(x, "clients") | values | {"secrets": Secrets(2, ("2026-12-01 10:00 UTC",)), "problems": [_problem(x)]}


def _keys(x: Text) -> dict[str, Any]:
    dates = (("created", "2026-08-01 10:00 UTC"), ("signing", "2026-08-02 10:00 UTC"))
    keys = (
        Key("rs256-20260801-0123abcd", "signing", False, dates),
        Key("rs256-20261101-89ab0123", "next", False, dates[:1]),
        Key("rs256-20260501-aaaa0123", "retired", False, (*dates, ("public_until", "2026-12-02 10:00 UTC"))),
        Key("rs256-20260401-bbbb0123", "gone", True, (*dates, ("gone", "2026-05-02 10:00 UTC"))),
    )
    rings = [
        Ring("RS256", keys, "rotate", "", x("idp keys rotate --alg RS256"), x("idp keys prune")),
        Ring("ES256", keys[:2], "wait", "2026-11-24 10:00 UTC", x("idp keys rotate --alg ES256"), ""),
    ]
    return _frame(x, "keys") | {"rings": rings, "problem": x("ring.json: damaged")}


def _mail(x: Text, **more: Any) -> dict[str, Any]:
    one = Letter(
        7, "invitation", x("c•••l@example.org"), "bounced", 1, "2026-11-23 10:00 UTC", "", x("550 no such user")
    )
    other = Letter(8, "reset", x("d•••e@example.org"), "waiting", 2, "2026-11-23 10:00 UTC", "2026-11-23 11:00 UTC", "")
    counts = {"waiting": "3", "sent": "10000+", "bounced": "1", "given_up": "0"}
    values = {"counts": counts, "failed": [one], "waiting": [other], "server": False, "sent_again": 2}
    return _frame(x, "mail") | values | more


def _reasons(x: Text, counted: bool = True) -> dict[str, Any]:
    names = (
        "password_wrong",
        "throttled",
        "saml_signature_wrong",
        "password_missing",
        "",
        "consent_denied",
        "internal",
    )
    counts = {(day, name): (day * 7 + at * 3) % 11 * (9 - at) for day in range(DAYS) for at, name in enumerate(names)}
    values = {
        "chart": draw(counts if counted else {}, 0),
        "width": WIDTH,
        "height": TOP + HEIGHT + 24,
        "left": LEFT,
        "bar": BAR,
        "client_id": "webinar",
        "products": [(x("GoToMeeting"), "meeting"), (x("GoToWebinar"), "webinar")],
    }
    return _frame(x, "reasons") | values


def _staff(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "found": [
            Colleague("a" * 32, x("olga@example.org"), "operator", "active"),
            Colleague("b" * 32, x("sam@example.org"), "support", "suspended"),
        ],
        "roles": STAFF_ROLES,
        "typed": x("nobody@example.org"),
        "chosen": "support",
        "problem": "staff_person_unknown",
        "saved": False,
    }
    return _frame(x, "staff") | values | more


OPERATOR_PAGES: dict[str, Sample] = {
    "operator": ("admin/operator.html", _glance),
    "operator-quiet": (
        "admin/operator.html",
        lambda x: _glance(x, ailing=[], late="", stuck="", wrong_files=[], off=0),
    ),
    "operator-companies": ("admin/operator_companies.html", _companies),
    "operator-companies-wrong": (
        "admin/operator_companies.html",
        lambda x: _companies(x, problem="company_field_wrong", name=x("A\u202e"), found=[], after=None),
    ),
    "operator-companies-read-only": (
        "admin/operator_companies.html",
        lambda x: _companies(x, first=True, gone=True) | _frame(x, "companies", "operator_read_only"),
    ),
    "operator-company-remove": ("admin/operator_company_remove.html", _removal),
    "operator-company-remove-wrong": (
        "admin/operator_company_remove.html",
        lambda x: _removal(x, wrong=True, typed=x("Acne"), why=x("They left")),
    ),
    "operator-clients": ("admin/operator_clients.html", _clients),
    "operator-client": ("admin/operator_client.html", _client),
    "operator-keys": ("admin/operator_keys.html", _keys),
    "operator-mail": ("admin/operator_mail.html", _mail),
    "operator-mail-quiet": (
        "admin/operator_mail.html",
        lambda x: _mail(x, failed=[], waiting=[], server=True, sent_again=None),
    ),
    "operator-reasons": ("admin/operator_reasons.html", _reasons),
    "operator-reasons-none": ("admin/operator_reasons.html", lambda x: _reasons(x, counted=False)),
    "operator-staff": ("admin/operator_staff.html", _staff),
    "operator-staff-read-only": (
        "admin/operator_staff.html",
        lambda x: _staff(x, problem="", saved=True) | _frame(x, "staff", "operator_read_only"),
    ),
}

"""The pages of the admin center with values to show them; each page's values are functions of a text, as in ``sample_pages``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from idp.admin.policy_preview import Effect
from idp.admin.staff import Actor

Text = Callable[[str], str]
Sample = tuple[str, Callable[[Text], dict[str, Any]]]

COMPANY = "0123456789abcdef0123456789abcdef"


def frame(x: Text, place: str = "", *, role: str = "administrator", staff: str = "", **more: Any) -> dict[str, Any]:
    """What every page of the admin center is given: an administrator of Acme, or with ``staff`` somebody of the provider."""
    of_company = None if staff else COMPANY
    actor = Actor(
        account_id="a" * 32,
        address=x("ada@acme.example"),
        name=x("Ada Minster"),
        locale=None,
        company_id=of_company,
        company="" if staff else x("Acme"),
        role="" if staff else role,
        staff=staff,
    )
    company = (COMPANY, x("Acme"))
    values = {
        "actor": actor,
        "place": place,
        "company": company,
        "brand": None,
        "may": lambda right: actor.may(right, COMPANY),
    }
    return values | more


def _company(x: Text, **more: Any) -> dict[str, Any]:
    values = {
        "people": 1204,
        "domains": [x("acme.example"), x("acme.net.example")],
        "sso": "optional",
        "step": "require",
    }
    return frame(x, "company") | values | more


def _policies(x: Text, *, role: str = "administrator", **more: Any) -> dict[str, Any]:
    typed = {
        "doors": ["password"],
        "jit": True,
        "session_idle": x("60"),
        "session_lifetime": "",
        "shortest_password": x("15"),
        "second_factor_from": x("2027-01-01"),
    }
    longest = {"session_idle": 480, "session_lifetime": 1440}
    values = {"typed": typed, "sso": "optional", "saved": True, "problem": None, "wrong": (), "longest": longest}
    return frame(x, "policies", role=role) | values | more


def _policies_preview(x: Text) -> dict[str, Any]:
    names = tuple(x(name) for name in ("alice@acme.example", "a.person.with.a.long.name@subsidiary.acme.example"))
    effects = [Effect("second_factor", 10_001, names), Effect("password", 2, names)]
    return frame(x, "policies", fields=[("doors", x("social")), ("jit", "yes")], effects=effects)


ADMIN_PAGES: dict[str, Sample] = {
    "admin-policies": ("admin/policies.html", _policies),
    "admin-policies-wrong": (
        "admin/policies.html",
        lambda x: _policies(x, saved=False, problem="company_field_wrong", wrong=("second_factor_from",)),
    ),
    "admin-policies-read-only": ("admin/policies.html", lambda x: _policies(x, role="read_only", sso="required")),
    "admin-policies-preview": ("admin/policies_preview.html", _policies_preview),
    "admin-policies-nobody": ("admin/policies_preview.html", lambda x: frame(x, "policies", fields=[], effects=[])),
    "admin-prove": ("admin/prove_anew.html", lambda x: frame(x, "people", back=x("/companies/x/people"))),
    "admin-no-role": ("admin/no_role.html", lambda x: frame(x, company=None)),
    "admin-signed-out": ("admin/signed_out.html", lambda x: {}),
    "admin-company": ("admin/company.html", _company),
    "admin-company-new": ("admin/company.html", lambda x: _company(x, domains=[], step="domain", people=1)),
    "admin-company-read-only": (
        "admin/company.html",
        lambda x: _company(x, sso="required", step="done") | frame(x, "company", role="read_only"),
    ),
}

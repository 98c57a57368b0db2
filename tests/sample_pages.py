"""Every page of ours with values to show it: what founders and reviewers look at, and what tests try to break.

A value is a function of a text, so that the same page can be made with tame words and with hostile ones.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from flask import Flask, Response
from PIL import Image, ImageDraw

from idp.accounts.activity import Act
from idp.accounts.closing import Hindered
from idp.accounts.emails import Mailbox, OwnEmail
from idp.accounts.password_rules import Weak
from idp.accounts.recovery_address import Recovery
from idp.accounts.ways import Way
from idp.company_settings import Brand
from idp.login.asked_mails import AskedMail
from idp.reasons import REASONS
from idp.rendering import render_page
from tests.sample_admin_pages import ADMIN_PAGES
from tests.sample_company_pages import COMPANY_PAGES
from tests.sample_operator_pages import OPERATOR_PAGES
from tests.sample_people_pages import PEOPLE_PAGES
from tests.sample_sign_in_pages import SIGN_IN_PAGES

NOW = 1_795_000_000
RECEIPT = "K7QX-2M4P"

Text = Callable[[str], str]


def _client(x: Text, **without: None) -> SimpleNamespace:
    facts = {
        "name": x("GoToWebinar"),
        "logo_uri": x("https://login.example/sample/logo.svg"),
        "policy_uri": x("https://webinar.example/privacy"),
        "tos_uri": x("https://webinar.example/terms"),
        "client_uri": x("https://webinar.example/"),
    }
    return SimpleNamespace(**facts | without)


def _bare_client(x: Text) -> SimpleNamespace:
    client = _client(x, logo_uri=None, policy_uri=None, tos_uri=None, client_uri=None)
    client.name = x("Partner Analytics of an Organisation with a Long Name")
    return client


def _login(x: Text, **more: Any) -> dict[str, Any]:
    values = {"p": x("p1"), "client": _client(x), "username": x("carol@example.org"), "problem": None, "receipt": None}
    return values | {"wait": None, "keep": False, "reset": False, "social": (), **_passkeys(x)} | more


def _passkeys(x: Text, *, last: bool = False) -> dict[str, Any]:
    return {"passkey": x('{"challenge": "AQID", "rpId": "login.example"}'), "passkey_last": last}


def _help(x: Text, **more: Any) -> dict[str, Any]:
    values = {"p": "", "client": None, "back": None, "receipt": None, "reason": None, "signed_in": False}
    return values | {"contact": x("mailto:help@login.example?subject=Help")} | more


def _close(x: Text, **more: Any) -> dict[str, Any]:
    products = [x("GoToWebinar"), x("Partner Analytics of an Organisation with a Long Name")]
    values = {"address": x("carol@example.org"), "products": products, "hindered": None, "problem": None}
    return values | {"wait": None, "receipt": None, "days": 14} | more


def _own_profile(x: Text, **told: str) -> dict[str, Any]:
    zones = (
        ("america", (("America/New_York", "New York"),)),
        ("europe", (("Europe/Kyiv", "Kyiv"), ("Europe/Paris", "Paris"))),
    )
    empty = {"name": "", "given_name": "", "family_name": "", "zoneinfo": ""}
    told = empty | {name: x(text) for name, text in told.items()}
    return {"told": told, "chosen": "fr", "zones": zones, "wrong": [], "company": None, "saved": True, "longest": 255}


def _own_passkeys(x: Text, count: int, **more: Any) -> dict[str, Any]:
    names = ("Pixel 9", "The blue key on my key ring, which is also the one for the office door", "iCloud Keychain")
    passkeys = [
        {"mark": x(f"m{place}"), "name": x(name), "synced": place != 1, "since": NOW - 86400 * 40, "used": NOW - 90}
        for place, name in enumerate(names[:count])
    ]
    if passkeys:
        passkeys[-1]["used"] = None
    values = {"passkeys": passkeys, "employer": None, "options": x("{}"), "suggested": x("Firefox · Linux")}
    return values | {"reason": None, "receipt": x(RECEIPT), "notice": None} | more


def _second(x: Text, **more: Any) -> dict[str, Any]:
    values = {"p": x("p1"), "client": _client(x), "totp": True, "codes": True, "signed_in": False, "reason": None}
    values |= {"wait": None, "receipt": None, "social": (), "passkey": _passkeys(x)["passkey"]}
    return values | more


def _offered(x: Text) -> SimpleNamespace:
    return SimpleNamespace(
        size=29, squares=x("M4 4h7v1h-7zM4 5h1v1h-1z"), key=x("JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP")
    )


def _codes(x: Text) -> list[str]:
    return [x(f"{letter * 5}-K7Q2M") for letter in "ABCDEFGHJK"]


def _set_up(x: Text, **more: Any) -> dict[str, Any]:
    values = {"p": x("p1"), "client": _client(x), "offered": _offered(x), "signed_in": False, "reason": None}
    values["passkey"] = x('{"challenge": "AQID", "user": {"id": "AQID"}, "excludeCredentials": []}')
    return values | {"wait": None, "receipt": None} | more


def _factors(x: Text, **more: Any) -> dict[str, Any]:
    browsers = [
        {"mark": x("b1"), "agent": x("Firefox · Linux"), "last_seen": NOW - 90},
        {"mark": x("b2"), "agent": x("Safari · iOS"), "last_seen": NOW - 86400 * 3},
    ]
    values = {"since": NOW - 86400 * 20, "passkeys": 2, "codes": 7, "browsers": browsers, "employer": x("Acme")}
    return values | {"demanded_in": 0, "notice": None} | more


def _own_app(x: Text, **more: Any) -> dict[str, Any]:
    return {"offered": _offered(x), "reason": None, "wait": None, "receipt": None} | more


def _mailed_code(x: Text, **more: Any) -> dict[str, Any]:
    values = {"p": x("p1"), "client": _client(x), "email": x("c•••l@example.org"), "sent": False, "reason": None}
    return values | {"wait": None, "receipt": None, "signed_in": False} | more


def _social(x: Text, last: str = "") -> tuple[SimpleNamespace, ...]:
    names = {"google": "Google", "microsoft": "Microsoft", "apple": "Apple", "facebook": "Facebook"}
    names |= {"linkedin": "LinkedIn", "github": "GitHub", "uni": "University of Wrocław, Faculty of Social Sciences"}
    return tuple(SimpleNamespace(key=key, name=x(name), last=key == last) for key, name in names.items())


def _link(x: Text, **more: Any) -> dict[str, Any]:
    values = {"email": x("alice@acme.example"), "by_password": True, "by_mail": True, "problem": None, "receipt": None}
    values |= {"provider": None, "own": "company", "who": x("w1")}
    return {"p": x("p1"), "client": _client(x), "wait": None} | values | more


def _address(x: Text, **more: Any) -> dict[str, Any]:
    values = {"provider": x("Facebook"), "username": x("alice@acme.example"), "problem": None, "receipt": None}
    return {"p": x("p1"), "client": _client(x), "wait": None} | values | more


def _welcome(x: Text, **more: Any) -> dict[str, Any]:
    values = {"provider": x("Google"), "email": x("alice@acme.example"), "name": x("Alice Liddell"), "problem": None}
    terms = {"terms_url": x("https://example.org/terms"), "privacy_url": x("https://example.org/privacy")}
    more = {"version": x("2026-11"), "receipt": None} | more
    return {"p": x("p1"), "who": x("w1"), "client": _bare_client(x), "wait": None} | values | terms | more


def _invite(x: Text, **more: Any) -> dict[str, Any]:
    terms = {"terms_url": x("https://example.org/terms"), "privacy_url": x("https://example.org/privacy")}
    values = {
        "email": x("alice@acme.example"),
        "company": x("Acme"),
        "employer": x("Acme"),
        "by_password": True,
        "closed_by": "",
        "social": _social(x),
        "shortest": 8,
        "weak": None,
        "client": None,
    }
    return values | {"version": x("2026-11"), "problem": None, "wait": None, "receipt": None} | terms | more


def _invite_passkey(x: Text, **more: Any) -> dict[str, Any]:
    options = x('{"challenge": "AQID", "user": {"id": "AQID"}, "excludeCredentials": []}')
    kept = ("email", "version", "terms_url", "privacy_url", "problem", "wait", "receipt", "client")
    return {name: value for name, value in _invite(x).items() if name in kept} | {"options": options} | more


def _invite_social(x: Text, **more: Any) -> dict[str, Any]:
    values = {"provider": x("Google"), "email": x("alice@acme.example"), "account": x("alice@gmail.example")}
    return _welcome(x, **values, **more)


def _activity(x: Text) -> dict[str, Any]:
    acts = [
        (Act("K7QX-2M4P", 1_794_000_000, "session_opened", "password", "C1", ""), x("GoToWebinar"), "", ""),
        (
            Act("K7QX-2M4R", 1_793_990_000, "failed", "google", "C1", "social_cancelled"),
            "",
            x("Google"),
            "social_cancelled",
        ),
        (Act("K7QX-2M4S", 1_793_900_000, "factor_added", "", "", ""), "", "", ""),
    ]
    return {"rows": [{"act": a, "product": p, "provider": name, "reason": why} for a, p, name, why in acts]}


def _verify(x: Text, **more: Any) -> dict[str, Any]:
    terms = {"terms_url": x("https://example.org/terms"), "privacy_url": x("https://example.org/privacy")}
    values = {
        "username": x("carol@example.org"),
        "name": "",
        "shortest": 8,
        "weak": None,
        "problem": None,
        "wait": None,
    }
    return values | {"version": x("2026-11")} | terms | more


def _new_password(x: Text, *advice: str, reason: str = "") -> dict[str, Any]:
    weak = (
        SimpleNamespace(reason=reason, advice=tuple(f"new_password.advice.{one}" for one in advice)) if reason else None
    )
    return {"username": x("carol@example.org"), "shortest": 8, "weak": weak}


def _own_email(x: Text, *, wanted: bool = False, **more: Any) -> dict[str, Any]:
    new = x("carol.angstrom-of-a-long-name@a-company-with-a-long-name.example") if wanted else None
    agreed: frozenset[Mailbox] = frozenset({"new"} if wanted else ())
    values = {"own": OwnEmail(x("carol@example.org"), True, new, agreed, ""), "username": "", "company": None}
    return values | {"notice": None, "problem": None, "wait": None, "receipt": None} | more


def _email_answer(x: Text, stage: str, mailbox: str) -> dict[str, Any]:
    return {"stage": stage, "mailbox": mailbox, "old": x("carol@example.org"), "new": x("carol@home.example")}


def _recovery(x: Text, **more: Any) -> dict[str, Any]:
    values = {"recovery": Recovery(None, None, ""), "email": x("carol@example.org"), "username": "", "notice": None}
    return values | {"company": None, "sent": None, "problem": None, "wait": None, "receipt": None} | more


def _why(x: Text) -> dict[str, Any]:
    back = x("https://webinar.example/")
    nobody = {"provider": None, "email": None}
    return {"p": x("p1"), "client": _client(x), "back": back, "signed_in": x("carol@example.org")} | nobody


def _session(x: Text, agent: str, address: str, seconds: int, *, current: bool = False) -> dict[str, Any]:
    facts = {"key": x("k1"), "agent": x(agent), "address": x(address), "last_seen": NOW - seconds}
    return facts | {"current": current, "by_company": current}


def _product(x: Text, name: str, uri: str | None, seconds: int, allowed: str | None = None) -> dict[str, Any]:
    return {"name": x(name), "uri": uri and x(uri), "last_at": NOW - seconds, "allowed": allowed and x(allowed)}


def _trial(x: Text, *checks: SimpleNamespace, ok: bool, outcome: str, reason: str = "") -> dict[str, Any]:
    told = SimpleNamespace(
        name=x("GoToWebinar"),
        id_token={"iss": x("https://login.example"), "aud": x("gotowebinar"), "amr": [x("pwd")], "sid": None},
        userinfo={"sub": None, "email": x("a•••e@acme.example"), "email_verified": True},
    )
    attributes = (
        SimpleNamespace(name=x("firstName"), used_for="given_name", values=(x("A•••"),)),
        SimpleNamespace(name=x("groups"), used_for="", values=(x("E•••"), x("S•••"))),
    )
    report = SimpleNamespace(
        checks=checks, ok=ok, held=ok, reason=reason, name_id=x("a•••e@acme.example"), attributes=attributes,
        name_id_format=x("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"),
        outcome=SimpleNamespace(decision=outcome) if outcome else None, told=(told,) if outcome else (),
    )  # fmt: skip
    menu = x("Okta Admin Console › Applications") if reason else ""
    names = {"p": x("p1"), "connection": x("Acme’s Okta"), "company": x("Acme"), "receipt": x(RECEIPT)}
    said = {"of the Response": "saml.said.of_the_response"}
    return names | {"report": report, "menu": menu, "phrase": lambda text: said.get(text, "")}


def _check(x: Text, name: str, expected: str, received: str, reason: str = "") -> SimpleNamespace:
    return SimpleNamespace(name=name, ok=not reason, expected=x(expected), received=x(received), reason=reason)


SCOPES = ("openid", "profile", "email", "address", "phone", "company", "seat", "offline_access")

# name → (template, values made with a text function)
PAGES: dict[str, tuple[str, Callable[[Text], dict[str, Any]]]] = {
    "start": ("login/start.html", lambda x: _login(x, username="")),
    "start-without-product": ("login/start.html", lambda x: _login(x, client=None)),
    "start-problem": (
        "login/start.html",
        lambda x: _login(x, username=x("carol@"), problem="login.email_malformed", receipt=x(RECEIPT)),
    ),
    "start-social": ("login/start.html", lambda x: _login(x, username="", social=_social(x))),
    "start-social-again": ("login/start.html", lambda x: _login(x, social=_social(x, "apple")[:4])),
    "password-social": ("login/password.html", lambda x: _login(x, social=_social(x, "google"))),
    "company-social": ("login/company.html", lambda x: _login(x, username="", social=_social(x))),
    "own-passkeys": ("accounts/own_passkeys.html", lambda x: _own_passkeys(x, 3, notice="added")),
    "own-passkeys-none": ("accounts/own_passkeys.html", lambda x: _own_passkeys(x, 0, reason="passkey_wrong")),
    "own-passkeys-employer": ("accounts/own_passkeys.html", lambda x: _own_passkeys(x, 1, employer=x("Acme"))),
    "remove-passkey": (
        "accounts/remove_passkey.html",
        lambda x: {"name": x("Pixel 9"), "mark": x("m1"), "stays": "", "here": False},
    ),
    "remove-passkey-here": (
        "accounts/remove_passkey.html",
        lambda x: {"name": x("Pixel 9"), "mark": x("m1"), "stays": "", "here": True},
    ),
    "remove-passkey-last": (
        "accounts/remove_passkey.html",
        lambda x: {"name": x("Pixel 9"), "mark": x("m1"), "stays": "way", "here": True},
    ),
    "remove-passkey-demanded": (
        "accounts/remove_passkey.html",
        lambda x: {"name": x("Pixel 9"), "mark": x("m1"), "stays": "factor", "here": True},
    ),
    "disowned-added": (
        "accounts/disowned_factor.html",
        lambda x: {
            "done": False,
            "factor": "passkey",
            "added": True,
            "name": x("Pixel 9"),
            "mark": x("m1"),
            "agent": x("Firefox · Linux"),
            "address": x("192.0.2.7"),
            "at": NOW - 90,
        },
    ),
    "disowned-removed": (
        "accounts/disowned_factor.html",
        lambda x: {
            "done": False,
            "factor": "totp",
            "added": False,
            "name": "",
            "mark": "",
            "agent": "",
            "address": "",
            "at": NOW - 90,
        },
    ),
    "disowned-used": (
        "accounts/disowned_factor.html",
        lambda x: {
            "done": False,
            "factor": "recovery_codes",
            "used": True,
            "added": False,
            "name": "",
            "mark": "",
            "agent": "",
            "address": "",
            "at": NOW - 90,
        },
    ),
    "disowned-done": ("accounts/disowned_factor.html", lambda x: {"done": True}),
    "start-passkey": ("login/start.html", lambda x: _login(x, username="") | _passkeys(x, last=True)),
    "start-without-passkeys": ("login/start.html", lambda x: _login(x, passkey="")),
    "passkey": ("login/passkey.html", lambda x: _login(x, reason=None)),
    "passkey-failed": (
        "login/passkey.html",
        lambda x: _login(x, reason="passkey_unknown", receipt=x(RECEIPT), social=_social(x)[:4]),
    ),
    "passkey-wait": ("login/passkey.html", lambda x: _login(x, reason=None, receipt=x(RECEIPT), wait=75)),
    "passkey-closed": ("login/passkey.html", lambda x: _login(x, reason="company_sso_required", receipt=x(RECEIPT))),
    "second": ("login/second_step.html", _second),
    "second-problem": (
        "login/second_step.html",
        lambda x: _second(x, reason="second_code_wrong", receipt=x(RECEIPT), passkey="", codes=False),
    ),
    "second-wait": ("login/second_step.html", lambda x: _second(x, wait=75, receipt=x(RECEIPT), client=None)),
    "second-passkey": ("login/second_step.html", lambda x: _second(x, totp=False, codes=False, signed_in=True)),
    "second-codes": ("login/second_step.html", lambda x: _second(x, totp=False)),
    "factors": ("accounts/own_factors.html", _factors),
    "factors-none": (
        "accounts/own_factors.html",
        lambda x: _factors(x, since=None, passkeys=0, browsers=[], demanded_in=86400 * 20, notice="removed"),
    ),
    "factors-free": ("accounts/own_factors.html", lambda x: _factors(x, demanded_in=None, notice="forgotten")),
    "own-app": ("accounts/own_app.html", lambda x: _own_app(x)),
    "own-app-problem": (
        "accounts/own_app.html",
        lambda x: _own_app(x, reason="second_code_wrong", receipt=x(RECEIPT)),
    ),
    "remove-app": ("accounts/remove_app.html", lambda x: _own_app(x, last=True)),
    "remove-app-other": ("accounts/remove_app.html", lambda x: _own_app(x, last=False)),
    "remove-app-demanded": (
        "accounts/remove_app.html",
        lambda x: _own_app(x, last=True, reason="second_demanded", receipt=x(RECEIPT)),
    ),
    "own-codes": ("accounts/own_codes.html", lambda x: {"codes": _codes(x), "back": x("/me")}),
    "second-setup": ("login/second_setup.html", lambda x: _set_up(x)),
    "second-setup-problem": (
        "login/second_setup.html",
        lambda x: _set_up(x, signed_in=True, reason="second_code_wrong", receipt=x(RECEIPT)),
    ),
    "second-codes-once": (
        "login/second_codes.html",
        lambda x: {"p": x("p1"), "client": _client(x), "codes": _codes(x), "location": x("/authorize/resume?p=p1")},
    ),
    "second-mail": ("login/second_mail.html", lambda x: _mailed_code(x)),
    "second-mail-sent": ("login/second_mail.html", lambda x: _mailed_code(x, sent=True)),
    "second-mail-demanded": ("login/second_mail.html", lambda x: _mailed_code(x, signed_in=True)),
    "second-mail-problem": (
        "login/second_mail.html",
        lambda x: _mailed_code(x, reason="second_code_wrong", receipt=x(RECEIPT)),
    ),
    "to-provider": (
        "login/to_provider.html",
        lambda x: {"url": x("https://id.example/authorize?state=s1"), "name": x("Google")},
    ),
    "own-password": ("accounts/own_password.html", lambda x: _new_password(x) | {"first": False, "employer": None}),
    "own-password-first": (
        "accounts/own_password.html",
        lambda x: (
            _new_password(x, "sequence", "words", reason="password_about_you") | {"first": True, "employer": None}
        ),
    ),
    "own-password-employer": (
        "accounts/own_password.html",
        lambda x: _new_password(x) | {"first": True, "employer": x("Acme")},
    ),
    "social-failed": (
        "login/social_failed.html",
        lambda x: {
            "p": x("p1"),
            "client": _client(x),
            "reason": "social_unavailable",
            "receipt": x(RECEIPT),
            "key": "linkedin",
            "name": x("LinkedIn"),
            "cancelled": False,
            "social": _social(x),
        },
    ),
    "social-cancelled": (
        "login/social_failed.html",
        lambda x: {
            "p": x("p1"),
            "client": None,
            "reason": "social_cancelled",
            "receipt": x(RECEIPT),
            "key": "google",
            "name": x("Google"),
            "cancelled": True,
            "social": _social(x)[:1],
        },
    ),
    "password": ("login/password.html", lambda x: _login(x)),
    "password-reset": ("login/password.html", lambda x: _login(x, reset=True)),
    "password-wrong": (
        "login/password.html",
        lambda x: _login(x, problem="login.password_wrong", receipt=x(RECEIPT), keep=True),
    ),
    "password-wait": (
        "login/password.html",
        lambda x: _login(x, client=_bare_client(x), receipt=x(RECEIPT), wait=75),
    ),
    "try-start": (
        "admin/try_start.html",
        lambda x: {"p": x("p1"), "connection": x("Acme’s Okta"), "company": x("Acme")},
    ),
    "try-worked": (
        "admin/try_result.html",
        lambda x: _trial(x, _check(x, "signature", "a signature", "of the Response"), ok=True, outcome="new"),
    ),
    "try-failed": (
        "admin/try_result.html",
        lambda x: _trial(
            x,
            _check(x, "signature", "a signature", "of the Response"),
            _check(x, "audience", "https://login.example/saml/a1/metadata", "https://wrong", "saml_audience_wrong"),
            ok=False,
            outcome="",
            reason="saml_audience_wrong",
        ),
    ),
    "company": ("login/company.html", lambda x: _login(x, username="")),
    "company-problem": (
        "login/company.html",
        lambda x: _login(x, problem="company.not_set_up", receipt=x(RECEIPT)),
    ),
    "company-wait": ("login/company.html", lambda x: _login(x, client=None, wait=75, receipt=x(RECEIPT))),
    "company-choose": (
        "login/company_choose.html",
        lambda x: {
            "p": x("p1"),
            "client": _client(x),
            "connections": [(x("c1"), x("Acme")), (x("c2"), x("Acme Sp. z o.o. Wrocław"))],
        },
    ),
    "company-failed": (
        "login/company_failed.html",
        lambda x: {
            "p": x("p1"),
            "client": _client(x),
            "reason": "saml_response_repeated",
            "receipt": x(RECEIPT),
            "connection": x("c1"),
            "social": _social(x)[:2],
        },
    ),
    "link": ("login/link.html", lambda x: _link(x)),
    "link-wrong": ("login/link.html", lambda x: _link(x, problem="link.password_wrong", receipt=x(RECEIPT))),
    "link-by-mail": ("login/link.html", lambda x: _link(x, by_password=False)),
    "link-by-password": ("login/link.html", lambda x: _link(x, by_mail=False)),
    "link-sent": ("login/link_sent.html", lambda x: _link(x)),
    "link-provider": (
        "login/link.html",
        lambda x: _link(x, provider=x("Google"), own="google", social=_social(x)[:5]),
    ),
    "link-confirm": (
        "login/link_confirm.html",
        lambda x: {"company": x("Acme"), "provider": None, "email": x("alice@acme.example")},
    ),
    "link-confirm-provider": (
        "login/link_confirm.html",
        lambda x: {"company": None, "provider": x("Google"), "email": x("alice@acme.example")},
    ),
    "address": ("login/address.html", lambda x: _address(x)),
    "address-wrong": (
        "login/address.html",
        lambda x: _address(x, problem="login.email_malformed", receipt=x(RECEIPT)),
    ),
    "address-sent": ("login/address_sent.html", lambda x: _link(x)),
    "address-confirm": (
        "login/address_confirm.html",
        lambda x: {"provider": x("Facebook"), "email": x("alice@acme.example")},
    ),
    "welcome": ("login/welcome.html", lambda x: _welcome(x)),
    "welcome-no-terms": (
        "login/welcome.html",
        lambda x: _welcome(x, name=None, version="", terms_url="", privacy_url=""),
    ),
    "welcome-terms-missing": (
        "login/welcome.html",
        lambda x: _welcome(x, problem="welcome.terms_missing", receipt=x(RECEIPT)),
    ),
    "invite": ("login/invite.html", lambda x: _invite(x)),
    "invite-brand": (
        "login/invite.html",
        lambda x: _invite(x, brand=Brand("0" * 32, 120, 48, "#8a1538"), logos=x("https://login.example"), social=()),
    ),
    "invite-weak": (
        "login/invite.html",
        lambda x: _invite(x, company="", employer="", weak=Weak("password_short", ("new_password.advice.words",))),
    ),
    "invite-passkey": ("login/invite_passkey.html", lambda x: _invite_passkey(x)),
    "invite-passkey-no-terms": (
        "login/invite_passkey.html",
        lambda x: _invite_passkey(x, version="", problem="reason.passkey_wrong.says"),
    ),
    "invite-terms-missing": ("login/invite.html", lambda x: _invite(x, social=(), problem="welcome.terms_missing")),
    "invite-company-only": (
        "login/invite.html",
        lambda x: _invite(x, by_password=False, closed_by=x("Acme"), social=()),
    ),
    "invite-closed": (
        "login/invite.html",
        lambda x: _invite(x, by_password=False, closed_by=x("Acme"), employer="", social=()),
    ),
    "invite-social": ("login/invite_social.html", lambda x: _invite_social(x)),
    "invite-social-terms-missing": (
        "login/invite_social.html",
        lambda x: _invite_social(x, problem="welcome.terms_missing"),
    ),
    "social-closed": (
        "login/social_closed.html",
        lambda x: {
            "p": x("p1"),
            "client": _client(x),
            "company": x("Acme"),
            "by_address": True,
            "receipt": x(RECEIPT),
        },
    ),
    "switch": (
        "login/switch.html",
        lambda x: {
            "p": x("p1"),
            "client": _bare_client(x),
            "company": x("Acme"),
            "email": x("alice@acme.example"),
            "signed_in": x("carol@example.org"),
        },
    ),
    "consent": (
        "login/consent.html",
        lambda x: {"p": x("p1"), "client": _bare_client(x), "email": x("carol@example.org"), "scopes": SCOPES},
    ),
    "form-post": (
        "oidc/form_post.html",
        lambda x: {"action": x("https://rp.example/cb"), "fields": [(x("code"), x("c1")), (x("state"), x("s1"))]},
    ),
    "logout-confirm": (
        "oidc/logout_confirm.html",
        lambda x: {"l": x("l1"), "client": _client(x), "email": x("carol@example.org")},
    ),
    "logout-confirm-without-product": (
        "oidc/logout_confirm.html",
        lambda x: {"l": x("l1"), "client": None, "email": None},
    ),
    "logged-out": ("oidc/logged_out.html", lambda x: {"client": _client(x)}),
    "logged-out-without-product": ("oidc/logged_out.html", lambda x: {"client": None}),
    "to-company": (
        "doors/to_company.html",
        lambda x: {"url": x("https://idp.example/slo?SAMLRequest=a"), "fields": None},
    ),
    "to-company-by-form": (
        "doors/to_company.html",
        lambda x: {"url": x("https://idp.example/slo"), "fields": [(x("SAMLRequest"), x("a"))]},
    ),
    "company-unconfirmed": ("doors/company_unconfirmed.html", lambda x: {"back": x("/logout/done?l=l1")}),
    "own-profile": (
        "accounts/own_profile.html",
        lambda x: _own_profile(
            x, name="Carol Ångström", given_name="Carol", family_name="Ångström", zoneinfo="Europe/Kyiv"
        ),
    ),
    "help": ("login/help.html", lambda x: _help(x)),
    "help-reason": (
        "login/help.html",
        lambda x: (
            _help(x, client=_client(x), back=x("https://webinar.example/"), p=x("p1"), receipt=RECEIPT)
            | {"reason": REASONS["saml_audience_wrong"], "signed_in": True}
        ),
    ),
    "help-no-support": ("login/help.html", lambda x: _help(x, contact="", receipt=RECEIPT)),
    "mail-help": (
        "login/mail_help.html",
        lambda x: {
            "sender": x("no-reply@login.example"),
            "domain": x("login.example"),
            "issuer": x("https://login.example"),
        },
    ),
    "own-data": ("accounts/own_data.html", lambda x: {}),
    "close": ("accounts/close.html", lambda x: _close(x)),
    "close-other-address": ("accounts/close.html", lambda x: _close(x, problem="close.other_address")),
    "close-last-administrator": (
        "accounts/close.html",
        lambda x: _close(x, hindered=Hindered("last_administrator", x("Acme"))),
    ),
    "close-last-operator": ("accounts/close.html", lambda x: _close(x, hindered=Hindered("last_operator", ""))),
    "close-of-company": ("accounts/close.html", lambda x: _close(x, hindered=Hindered("company", x("Acme")))),
    "closed": ("accounts/closed.html", lambda x: {"address": x("carol@example.org"), "reopened": False}),
    "reopen": ("accounts/reopen.html", lambda x: {"address": x("carol@example.org")}),
    "reopened": ("accounts/closed.html", lambda x: {"address": x("carol@example.org"), "reopened": True}),
    "own-profile-wrong": (
        "accounts/own_profile.html",
        lambda x: (
            _own_profile(x, name="\u202eCarol", zoneinfo="Etc/UTC")
            | {"wrong": ["name"], "company": x("Acme"), "saved": False}
        ),
    ),
    "me": (
        "accounts/profile.html",
        lambda x: {
            "name": x("Carol Ångström"),
            "email": x("carol@example.org"),
            "company": x("Acme"),
            "admin_center": _product(x, "Admin Center", "https://admin.example/", 0),
            "zone": x("Europe/Paris"),
            "notice": "ended",
            "ways": [
                {"way": Way("password"), "provider": ""},
                {"way": Way("company", who=x("Acme"), opens=False), "provider": ""},
                {
                    "way": Way("google", "w1", who=x("carol@gmail.example"), since=NOW - 9 * 86400),
                    "provider": x("Google"),
                },
            ],
            "addable": [(door.key, door.name) for door in _social(x)[1:]],
            "sessions": [
                _session(x, "Firefox · Linux", "203.0.113.7", 5, current=True),
                _session(x, "Mobile Safari · iOS", "2001:db8:85a3:8d3:1319:8a2e:370:7348", 7200),
            ],
            "products": [
                _product(x, "GoToWebinar", "https://webinar.example/", 300),
                _product(x, "Partner Analytics of an Organisation with a Long Name", "https://p.example/", 900, "p1"),
                _product(x, "Summer Festival", None, 9 * 86400, "p2"),
                _product(x, "GoToMeeting", None, 9 * 86400),
            ],
        },
    ),
    "me-new": (
        "accounts/profile.html",
        lambda x: {
            "name": None,
            "email": x("carol@example.org"),
            "company": None,
            "admin_center": None,
            "zone": None,
            "notice": None,
            "ways": [{"way": Way("password"), "provider": ""}],
            "addable": [],
            "sessions": [_session(x, "Firefox · Linux", "203.0.113.7", 5, current=True)],
            "products": [],
        },
    ),
    "not-me": (
        "accounts/not_me.html",
        lambda x: {"done": False, "agent": x("Firefox · Linux"), "address": x("203.0.113.7"), "at": NOW - 4000},
    ),
    "activity": ("accounts/activity.html", _activity),
    "activity-none": ("accounts/activity.html", lambda x: {"rows": []}),
    "sign-up": ("login/sign_up.html", lambda x: _login(x, username="")),
    "sign-up-problem": (
        "login/sign_up.html",
        lambda x: _login(x, client=None, username=x("carol@"), problem="login.email_malformed"),
    ),
    "sign-up-wait": ("login/sign_up.html", lambda x: _login(x, wait=900, receipt=x(RECEIPT))),
    "sign-up-sent": ("login/sign_up_sent.html", lambda x: _login(x, email=x("carol@example.org"))),
    "verify": ("login/verify.html", lambda x: _verify(x)),
    "verify-weak": (
        "login/verify.html",
        lambda x: _verify(x, name=x("Carol"), weak=Weak("password_short", ("new_password.advice.words",))),
    ),
    "verify-terms-missing": ("login/verify.html", lambda x: _verify(x, problem="welcome.terms_missing")),
    "verify-no-terms": ("login/verify.html", lambda x: _verify(x, version="", terms_url="", privacy_url="")),
    "verify-over": ("login/verify_over.html", lambda x: {"reason": "verify_over", "receipt": x(RECEIPT)}),
    "forgot": ("login/forgot.html", lambda x: _login(x, username="")),
    "forgot-problem": (
        "login/forgot.html",
        lambda x: _login(x, p="", client=None, username=x("carol@"), problem="login.email_malformed"),
    ),
    "forgot-wait": ("login/forgot.html", lambda x: _login(x, wait=900, receipt=x(RECEIPT))),
    "forgot-sent": ("login/forgot_sent.html", lambda x: _login(x, email=x("carol@example.org"))),
    "reset": ("login/reset.html", lambda x: {"username": x("carol@example.org"), "shortest": 8, "weak": None}),
    "reset-weak": (
        "login/reset.html",
        lambda x: {
            "username": x("carol@example.org"),
            "shortest": 15,
            "weak": Weak("password_short", ("new_password.advice.words",)),
        },
    ),
    "reset-over": ("login/reset_over.html", lambda x: {"reason": "reset_over", "receipt": x(RECEIPT)}),
    "no-mail": (
        "login/no_mail.html",
        lambda x: {
            "p": x("p1"),
            "client": _client(x),
            "sender": x("no-reply@login.example"),
            "asked": [
                AskedMail(x("carol@example.org"), NOW - 60, "waiting"),
                AskedMail(x("carol.angstrom-of-a-long-name@a-company-with-a-long-name.example"), NOW - 4000, "delayed"),
                AskedMail(x("carol@example.net"), NOW - 5000, "sent"),
                AskedMail(x("carrol@example.org"), NOW - 6000, "refused"),
                AskedMail(x("carol@example.com"), NOW - 70000, "given_up"),
            ],
        },
    ),
    "no-mail-nothing": (
        "login/no_mail.html",
        lambda x: {"p": "", "client": None, "sender": x("no-reply@login.example"), "asked": []},
    ),
    "recovery": ("accounts/recovery.html", lambda x: _recovery(x)),
    "recovery-sent": ("accounts/recovery.html", lambda x: _recovery(x, sent=x("carol@home.example"))),
    "recovery-set": (
        "accounts/recovery.html",
        lambda x: _recovery(
            x,
            recovery=Recovery(x("carol@home.example"), NOW - 86400, ""),
            username=x("carol@"),
            problem="login.email_malformed",
        ),
    ),
    "recovery-hindered": (
        "accounts/recovery.html",
        lambda x: _recovery(x, recovery=Recovery(None, None, "company"), notice="removed"),
    ),
    "recovery-confirm": (
        "accounts/recovery_confirm.html",
        lambda x: {"undo": False, "done": False, "person": x("carol@example.org"), "address": x("carol@home.example")},
    ),
    "recovery-confirmed": ("accounts/recovery_confirm.html", lambda x: {"undo": False, "done": True}),
    "recovery-undo": (
        "accounts/recovery_confirm.html",
        lambda x: {"undo": True, "done": False, "person": "", "address": x("carol@home.example")},
    ),
    "recovery-undone": ("accounts/recovery_confirm.html", lambda x: {"undo": True, "done": True}),
    "own-email": ("accounts/own_email.html", lambda x: _own_email(x)),
    "own-email-asked": ("accounts/own_email.html", lambda x: _own_email(x, wanted=True, notice="asked")),
    "own-email-problem": (
        "accounts/own_email.html",
        lambda x: _own_email(x, username=x("carol@"), problem="login.email_malformed", notice="forgotten"),
    ),
    "own-email-of-company": (
        "accounts/own_email.html",
        lambda x: _own_email(x, username=x("carol@acme.example"), problem="email.of_company", company=x("Acme")),
    ),
    "own-email-hindered": (
        "accounts/own_email.html",
        lambda x: _own_email(x, own=OwnEmail(x("carol@acme.example"), True, None, frozenset(), "company")),
    ),
    "email-ask-new": ("accounts/email_confirm.html", lambda x: _email_answer(x, "ask", "new")),
    "email-ask-old": ("accounts/email_confirm.html", lambda x: _email_answer(x, "ask", "old")),
    "email-agreed": ("accounts/email_confirm.html", lambda x: _email_answer(x, "agreed", "new")),
    "email-changed": ("accounts/email_confirm.html", lambda x: _email_answer(x, "changed", "old")),
    "email-disowned": ("accounts/email_confirm.html", lambda x: _email_answer(x, "disowned", "old")),
    "email-revert": ("accounts/email_revert.html", lambda x: {"done": False, "address": x("carol@example.org")}),
    "email-reverted": ("accounts/email_revert.html", lambda x: {"done": True, "address": x("carol@example.org")}),
    "why-sign-in": ("login/why_sign_in.html", lambda x: _why(x)),
    "why-sign-in-newcomer": (
        "login/why_sign_in.html",
        lambda x: _why(x) | {"signed_in": None, "provider": x("Google"), "email": x("alice@acme.example")},
    ),
    "why-sign-in-nobody": (
        "login/why_sign_in.html",
        lambda x: _why(x) | {"p": None, "client": None, "back": None, "signed_in": None},
    ),
    "unlink": (
        "accounts/unlink.html",
        lambda x: {"provider": x("Google"), "who": x("carol@gmail.example"), "link": x("w1"), "last": False},
    ),
    "unlink-last": (
        "accounts/unlink.html",
        lambda x: {"provider": x("GitHub"), "who": "", "link": x("w1"), "last": True},
    ),
    "undo-link": (
        "accounts/undo_link.html",
        lambda x: {"done": False, "provider": x("Google"), "who": x("carol@gmail.example"), "at": NOW - 4000},
    ),
    "undo-link-done": ("accounts/undo_link.html", lambda x: {"done": True, "provider": x("Google")}),
    "not-me-done": ("accounts/not_me.html", lambda x: {"done": True}),
    "error": (
        "error.html",
        lambda x: {
            "reason": "redirect_uri_unregistered",
            "parameter": x("redirect_uri"),
            "receipt": x(RECEIPT),
            "doors": "",
        },
    ),
    "error-on-the-way": (
        "error.html",
        lambda x: {
            "reason": "link_taken",
            "parameter": "",
            "receipt": x(RECEIPT),
            "doors": x("h" * 24),
        },
    ),
    "error-general": (
        "error.html",
        lambda x: {"reason": None, "parameter": "", "receipt": None, "doors": ""},
    ),
    "busy": ("busy.html", lambda x: {"reason": "redis_down", "parameter": "", "receipt": x(RECEIPT)}),
    "busy-general": ("busy.html", lambda x: {"reason": None, "parameter": "", "receipt": None}),
    **ADMIN_PAGES,
    **PEOPLE_PAGES,
    **SIGN_IN_PAGES,
    **COMPANY_PAGES,
    **OPERATOR_PAGES,
}

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 56 56"><rect width="56" height="56" rx="14" fill="#e5642c"/>'
    '<circle cx="28" cy="28" r="12" fill="none" stroke="#fff" stroke-width="6"/></svg>'
)


def _company_logo() -> bytes:
    drawn, written = Image.new("RGBA", (240, 96)), io.BytesIO()
    pen = ImageDraw.Draw(drawn)
    pen.rounded_rectangle((0, 8, 80, 88), 16, fill="#8a1538")
    pen.polygon([(40, 24), (66, 76), (14, 76)], fill="white")
    pen.rounded_rectangle((100, 38, 236, 58), 8, fill="#8a1538")
    drawn.save(written, "PNG")
    return written.getvalue()


COMPANY_LOGO = _company_logo()


def show_samples(app: Flask) -> None:
    """Let ``app`` show the pages at ``/sample/<name>``."""

    @app.get("/sample/logo.svg")
    def sample_logo() -> Response:
        return Response(LOGO, content_type="image/svg+xml")

    @app.get("/logos/<name>")
    def sample_company_logo(name: str) -> Response:
        assert name == "0" * 32
        return Response(COMPANY_LOGO, content_type="image/png")

    @app.get("/sample/<name>")
    def sample(name: str) -> Response:
        template, values = PAGES[name]
        made = values(str)
        return render_page(template, form_targets=[made["action"]] if "action" in made else (), **made)

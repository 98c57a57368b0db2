"""Who may open which page of the admin center: asked of every view, before it runs. A companion of its pages.

Each view says what it needs, by ``needs``, ``signed_in`` or ``open_to_all``; an application with a view that does not say so cannot be
built. Whoever asks about a company that is not theirs reads that there is no such page, whether or not there is such a company.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Flask, Response, abort, current_app, g, request
from sqlalchemy.orm import Session as Transaction

from idp import cookies
from idp.accounts.invitations import Host
from idp.admin import admin_sessions, set_up_links
from idp.admin.admin_sessions import AdminSession
from idp.admin.own_client import OwnClient
from idp.admin.staff import COMPANY_RIGHTS, Actor, Right, find_actor, set_up_actor, thrown_out
from idp.companies import find_company
from idp.company_settings import Brand, brand_of
from idp.errors import PageError
from idp.parts import parts
from idp.redirects import go
from idp.rendering import render_page

FRESH = 15 * 60  # seconds for which a sign-in counts as proof before a risky act

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Need:
    """What a view asks of whoever opens it. ``right`` None: to be signed in, or with ``open`` nothing at all. ``guide``: a set-up link of
    the company will do as well."""

    right: Right | None = None
    open: bool = False
    fresh: bool = False
    guide: bool = False


def needs(right: Right, *, fresh: bool = False, guide: bool = False) -> Callable[[View], View]:
    """Mark a view: the actor must have this right, in the company that the address names as ``company_id`` if it names one.

    ``fresh``: and must have proved within a quarter of an hour who they are, because the act is risky. ``guide``: it is part of setting up
    a company's own sign-in, which somebody with a set-up link of that company may do too.
    """
    return _mark(Need(right, fresh=fresh, guide=guide))


def signed_in(view: View) -> View:
    """Mark a view that is for everybody who is signed in."""
    return _mark(Need())(view)


def open_to_all(view: View) -> View:
    """Mark a view that needs no sign-in here."""
    return _mark(Need(open=True))(view)


def need_of(view: Callable[..., Any]) -> Need:
    """What a view asks for.

    :raises LookupError: it does not say.
    """
    try:
        return cast("Need", view.__dict__["need"])
    except KeyError:
        raise LookupError(f"{view.__module__}.{view.__name__} does not say who may open it") from None


def check_views(app: Flask) -> None:
    """Look whether every view of ``app`` says what it needs; to be called when all are registered.

    :raises LookupError: one of them does not.
    """
    for view in app.view_functions.values():
        need_of(view)


def own_client() -> OwnClient:
    """The admin center as a client of the provider."""
    return cast("OwnClient", current_app.extensions["own_client"])


def session() -> AdminSession:
    """The session of whoever is signed in; only for views that need one."""
    return cast("AdminSession", g.admin_session)


def actor() -> Actor:
    """Whoever is signed in; only for views that need somebody."""
    return cast("Actor", g.actor)


def admin_page(
    template: str, status: int = 200, *, place: str = "", company: tuple[str, str] | None = None, **values: Any
) -> Response:
    """A page of the admin center for whoever is signed in. ``place``: which entry of the menu it belongs to; ``company``: id and name
    of the company that it is about."""
    one = actor()
    return render_page(
        template,
        status,
        language=one.locale,
        form_targets=(own_client().issuer,),  # where signing out leads
        actor=one,
        place=place,
        company=company,
        brand=_brand(company),
        may=_may(company),
        **values,
    )


def _brand(company: tuple[str, str] | None) -> Brand | None:
    if company is None:
        return None
    with parts().database.reading() as db:
        return brand_of(db, company[0])


def host(company_id: str) -> Host:
    """Whoever is signed in, as one who invites for a company."""
    here, one = parts(), actor()
    own = one.account_id if one.administers(company_id) else None
    return Host(one.who, here.sealer, here.clock(), here.random, own)


def _may(company: tuple[str, str] | None) -> Callable[[str], bool]:
    one, company_id = actor(), company[0] if company else None
    return lambda right: one.may(right, company_id)


def _mark(need: Need) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.__dict__["need"] = need
        return view

    return mark


def guard() -> Response | None:
    """What whoever asks for a page reads instead of it; None: they may open it. To be called before each request."""
    if request.endpoint is None:
        return None  # an unknown address: everybody reads the same
    need = need_of(current_app.view_functions[request.endpoint])
    if need.open:
        return None
    here = parts()
    found = _find_session()
    company_id = (request.view_args or {}).get("company_id")
    with here.database.reading() as db:
        one = find_actor(db, found.sub) if found is not None else None
        if one is not None and found is not None and thrown_out(db, one.account_id, found.opened):
            one = None
        there = company_id is None or find_company(db, company_id) is not None
        if need.guide and not (one is not None and _knows(one, company_id)):
            colleague = _colleague(db, company_id)
            if colleague is not None:
                g.actor = colleague
                return None
    if found is None or one is None:
        return _sign_in()
    g.admin_session, g.actor = found, one
    if need.right is None:
        return None
    if not there or (company_id is not None and not _knows(one, company_id)):
        abort(404)
    if not one.may(need.right, company_id):
        raise PageError("admin_forbidden", status=403, detail=f"{need.right} as {one.role or '-'}, {one.staff or '-'}")
    return prove_fresh() if need.fresh else None


def prove_fresh(back: str = "") -> Response | None:
    """The way to prove once more who one is, for a risky act; None for who has done so within a quarter of an hour.

    :param back: the page to come back to, unless it is the one that was asked for.
    """
    found: AdminSession = g.admin_session
    return _prove_anew(back or _address()) if parts().clock() - found.auth_time > FRESH else None


def _prove_anew(back: str) -> Response:
    """The way to sign in once more. From a form it is a link on a page: browsers follow no redirect of a form to whichever identity
    provider signs somebody in (form-action)."""
    if request.method == "GET":
        return go("/sign-in", back=back, fresh="yes")
    return admin_page("admin/prove_anew.html", 403, back=back)


def _colleague(db: Transaction, company_id: str | None) -> Actor | None:
    """Somebody of the company's IT who works with a set-up link; only views of the guide ask for them."""
    secret = cookies.find(cookies.SET_UP)
    link = set_up_links.find(db, secret, parts().clock()) if secret is not None else None
    company = find_company(db, link.company_id) if link is not None and link.company_id == company_id else None
    return set_up_actor(link.id, company.id, company.name) if link is not None and company is not None else None


def _find_session() -> AdminSession | None:
    cookie = cookies.find(cookies.SESSION)
    return None if cookie is None else admin_sessions.find_session(parts().store, cookie, parts().clock())


def _knows(one: Actor, company_id: str | None) -> bool:
    """Whether somebody may know that there is this company: it is theirs, or they see all of them."""
    return one.may(Right.see_operations) or (one.company_id == company_id and bool(COMPANY_RIGHTS.get(one.role)))


def _sign_in() -> Response:
    return go("/sign-in", back=_address())


def _address() -> str:
    """The page to come back to. A form that was filled in meanwhile is shown again empty."""
    routes = current_app.create_url_adapter(request)
    shown = request.method == "GET" or (routes is not None and routes.test(method="GET"))
    return request.path if shown else "/"

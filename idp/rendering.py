"""From a template and values to a page. A companion of every page.

Templates are compiled once per process. Everything printed is escaped; an undefined name is an error. Operators' own
templates (IDP_TEMPLATES) replace ours of the same name.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache, lru_cache
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from babel.dates import format_timedelta
from flask import Flask, Response, abort, current_app, request
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, Template, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context
from markupsafe import escape
from werkzeug.exceptions import HTTPException

from idp import cookies, csrf, opened_links
from idp.errors import IdpError, OAuthError, PageError, Unavailable
from idp.languages import Languages
from idp.parts import parts
from idp.security_headers import content_security_policy

PACKAGE = Path(__file__).parent
_HANDLE = re.compile(r"[A-Za-z0-9_-]{24}")  # of a pending login
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def prepare(app: Flask) -> None:
    """What ``app`` needs to show pages: static files, the browser cookie, and forms that only our own pages send."""
    app.add_url_rule("/static/<name>", "static", _static)
    app.before_request(csrf.check)
    app.before_request(opened_links.check)
    app.after_request(cookies.deliver)


def render_page(
    template: str,
    status: int = 200,
    *,
    language: str | None = None,
    form_targets: Sequence[str] = (),
    **values: Any,
) -> Response:
    """A page for a person.

    ``language``: what is known beyond the browser's own wish: the ``ui_locales`` of the request, else the person's
    locale. ``form_targets``: redirect URIs that a form of this page may lead to in the end. ``values``: what the
    template's first comment lists; every template also has ``t``, ``language``, ``languages``, ``csrf_field``, ``opened_field``,
    ``again`` (the address of this page), ``host``, ``home``, ``help_page`` and ``support``.
    """
    here = parts()
    chosen = choose_language(language)
    pages = pages_in(chosen, here.languages, here.config.templates, current_app.config["SITE"], here.config.support)
    html = pages.get_template(template).render(values, again=_this_page())
    response = Response(html, status, content_type="text/html; charset=utf-8")
    images = tuple(filter(None, (getattr(values.get("client"), "logo_uri", None), values.get("logos"))))
    response.headers["Content-Security-Policy"] = content_security_policy(tuple(form_targets), images)
    return response


def error_page(error: IdpError, receipt: str | None = None, *, language: str | None = None) -> Response:
    """What a person reads when something went wrong. Needs neither Redis nor SQL.

    The sentences come from the reasons table; a reason without sentences gets the general ones. ``receipt``: the code
    of the attempt. A sign-in that was refused somewhere on the way goes on by another door.
    """
    known = parts().languages.has(f"reason.{error.reason}.says")
    parameter = error.parameter if isinstance(error, OAuthError | PageError) else ""
    response = render_page(
        "busy.html" if isinstance(error, Unavailable) else "error.html",
        error.status,
        language=language,
        reason=error.reason if known else None,
        parameter=parameter,
        receipt=receipt,
        doors="" if error.reason.startswith("pending_") else _sign_in_under_way(),
    )
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _sign_in_under_way() -> str:
    """The handle of the pending login that this request belongs to; "" where there is none, or it cannot be read."""
    if not request.path.startswith("/login/"):
        return ""
    handle = request.args.get("p", "")
    with suppress(HTTPException):  # a form that is too large was the error perhaps
        handle = handle or request.form.get("p", "")
    return handle if _HANDLE.fullmatch(handle) else ""


def choose_language(known: str | None = None) -> str:
    """The language of the page that is being made. ``known``: as in :func:`render_page`."""
    return parts().languages.choose(
        ui_locales=known,
        cookie=cookies.find(cookies.LANGUAGE),
        accept_language=request.headers.get("Accept-Language"),
    )


@cache
def _static_files() -> dict[str, tuple[bytes, str]]:
    """The files that pages load, by name: content, a few kilobytes, and its fingerprint."""
    contents = {path.name: path.read_bytes() for path in (PACKAGE / "static").iterdir()}
    return {name: (content, hashlib.sha256(content).hexdigest()[:12]) for name, content in contents.items()}


def _static(name: str) -> Response:
    if name not in _static_files():
        abort(404)
    content, fingerprint = _static_files()[name]
    response = Response(content, content_type=_TYPES[Path(name).suffix])
    # A changed file has a new address. Under any other one it may not be kept: while versions change, a page of the new
    # one may ask the old one.
    kept = request.args.get("v") == fingerprint
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
    return response


class _Constants(Extension):
    """Puts what never changes, most of all the words, into a template when it is compiled."""

    CONSTANT = re.compile(r"\{\{ (t\('[\w.]+'\)|asset\['[\w.]+'\]|host|home|help_page|language) \}\}")

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return self.CONSTANT.sub(lambda found: escape(self.environment.compile_expression(found[1])()), source)


# After a start many ask for the same page at once. One of them compiles it, and the others wait: when all compiled it, they took
# turns with Python's lock for a second. It is taken again within itself where a template loads another one.
_compiling = RLock()


class _EachOnce(ChoiceLoader):
    """Loads each template once."""

    def __init__(self, loaders: Sequence[BaseLoader]) -> None:
        super().__init__(loaders)
        self._loaded: dict[str, Template] = {}

    def load(self, environment: Environment, name: str, globals: MutableMapping[str, Any] | None = None) -> Template:
        with _compiling:
            if name not in self._loaded:
                self._loaded[name] = super().load(environment, name, globals)
            return self._loaded[name]


class Site(NamedTuple):
    """Where pages stand: the ``host`` that they name, the path of ``home``, and the address of the page for ``help``."""

    host: str
    home: str
    help: str


def pages_in(language: str, languages: Languages, own: Path | None, site: Site, support: str) -> Environment:
    """The compiled templates in one language. ``own``: the operator's folder; ``support``: see the settings."""
    with _compiling:
        return _pages_in(language, languages, own, site, support)


@lru_cache(maxsize=32)
def _pages_in(language: str, languages: Languages, own: Path | None, site: Site, support: str) -> Environment:
    folders = [own, PACKAGE / "templates"] if own else [PACKAGE / "templates"]
    pages = Environment(
        loader=_EachOnce([FileSystemLoader(folder) for folder in folders]),
        extensions=[_Constants],
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals.update(
        t=languages.translator(language),
        language=language,
        languages=languages.names,
        csrf_field=csrf.CsrfField(),
        opened_field=opened_links.OpenedField(),
        host=site.host,
        home=site.home,
        help_page=site.help,
        support=support,
        asset={name: f"/static/{name}?v={fingerprint}" for name, (_, fingerprint) in _static_files().items()},
    )
    pages.filters.update(ago=_ago, duration=_duration)
    return pages


# What brings a page of a journey, or of help, back; no other parameter may stand in an address that we print.
HANDLES = ("p", "l", "receipt", "about")


def _this_page() -> str:
    """The path and query that ask for this page again; "" where nothing harmless does.

    A request of a product (``/authorize``, ``/logout``) holds what must not be repeated on a page or in an address of
    ours: tokens, and whatever else its sender has put there.
    """
    fields = request.args
    if request.method not in ("GET", "HEAD"):
        routes = current_app.create_url_adapter(request)
        if routes is None or not routes.test(method="GET"):
            return str(current_app.config["SITE"].home)
        try:
            fields = request.form
        except HTTPException:  # the form itself is what is wrong
            return quote(request.path)
    elif any(name not in HANDLES for name in fields):
        return ""
    handles = {name: fields[name] for name in HANDLES if name in fields}
    return f"{quote(request.path)}?{urlencode(handles)}" if handles else quote(request.path)


@pass_context
def _ago(context: Context, seconds: float) -> str:
    """How long ago an epoch second was, in words: independent of time zones, which we do not know."""
    passed = max(0.0, parts().clock() - seconds)
    if passed < 60:
        return str(context["t"]("time.now"))
    return format_timedelta(timedelta(seconds=-passed), add_direction=True, threshold=1.5, locale=context["language"])


@pass_context
def _duration(context: Context, seconds: float) -> str:
    """A waiting time in words, never shorter than it is."""
    whole = math.ceil(seconds) if seconds < 120 else 60 * math.ceil(seconds / 60)
    return format_timedelta(timedelta(seconds=whole), threshold=2, locale=context["language"])

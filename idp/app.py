"""The application: the one list of pages, and the machine endpoints in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, redirect, request
from werkzeug.exceptions import HTTPException

from idp import health, language_switch, security_headers
from idp.accounts import (
    disowned_factor,
    linked_ways,
    own_activity,
    own_closing,
    own_data,
    own_email,
    own_factors,
    own_passkeys,
    own_password,
    own_profile,
    profile,
    recovery,
)
from idp.admin import (
    access,
    admin_sign_in,
    audit_pages,
    client_pages,
    company_page,
    company_try,
    connection_page,
    home_page,
    invite_pages,
    key_pages,
    mail_pages,
    operator_companies,
    operator_page,
    people_pages,
    person_page,
    policy_page,
    reason_charts,
    set_up_page,
    settings_page,
    sign_in_guide,
    staff_pages,
    support_pages,
)
from idp.attempts import Step
from idp.cookies import ADMIN_CENTER, PROVIDER
from idp.doors import company, company_logout, passkey, password, social
from idp.errors import IdpError, PageError
from idp.login import (
    ask_for_help,
    consent,
    forgot,
    invite,
    link,
    mail_help,
    no_mail,
    proved_address,
    second_mail,
    second_setup,
    second_step,
    sign_up,
    start,
    switch,
    welcome,
    why_sign_in,
)
from idp.machine import wsgi_request
from idp.oidc import authorize, logout
from idp.parts import Parts, parts
from idp.rendering import Site, error_page, prepare

if TYPE_CHECKING:
    from types import ModuleType

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from idp.admin.own_client import OwnClient

PAGES = (
    *(
        authorize,
        start,
        password,
        passkey,
        company,
        social,
        link,
        proved_address,
        welcome,
        second_step,
        second_setup,
        second_mail,
        why_sign_in,
        ask_for_help,
        mail_help,
        sign_up,
        forgot,
        no_mail,
        invite,
        switch,
        company_logout,
        consent,
        logout,
        profile,
        own_profile,
        linked_ways,
        disowned_factor,
        own_passkeys,
        own_factors,
        own_password,
        own_email,
        recovery,
        own_activity,
        own_data,
        own_closing,
    ),
    *(company_try, language_switch, health),
)

ADMIN_PAGES = (
    admin_sign_in,
    home_page,
    company_page,
    policy_page,
    people_pages,
    person_page,
    sign_in_guide,
    connection_page,
    set_up_page,
    audit_pages,
    settings_page,
    invite_pages,
    support_pages,
    operator_page,
    operator_companies,
    client_pages,
    key_pages,
    mail_pages,
    reason_charts,
    staff_pages,
    *(language_switch, health),
)

MAX_FORM = 64 * 1024  # bytes: the largest form of ours is far smaller

MAX_UPLOAD = 512 * 1024  # bytes: of the admin center, where metadata, logos and lists of people are taken

_REASONS = {404: "page_unknown", 405: "method_not_allowed", 413: "request_too_large", 429: "throttled"}


class Application(Flask):
    """Flask, with the machine endpoints answered before its routing: they need none of it (docs/speed.md)."""

    @property
    def parts(self) -> Parts:
        """What it was built from."""
        return cast("Parts", self.extensions["idp"])

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        here = self.parts
        if self.config["PROGRAM"] == PROVIDER and here.endpoints.serves(environ["PATH_INFO"]):
            answer = here.endpoints.answer(wsgi_request(environ, here.config.trusted_proxies))
            if answer is not None:
                start_response(answer.status_line, answer.headers)
                return [answer.body]
        return self.pages(environ, start_response)

    def pages(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The pages alone."""
        return super().wsgi_app(environ, start_response)


def create_app(built: Parts) -> Application:
    """Build the provider's WSGI application from its parts."""
    app = _create(built, PAGES, PROVIDER, Site(built.config.host, home="/me", help="/help"))
    app.add_url_rule("/", "home", lambda: redirect("/me", 303))
    return app


def create_admin_app(built: Parts, client: OwnClient) -> Application:
    """Build the admin center's WSGI application: pages only, and each of them says who may open it.

    :param client: the admin center as a relying party of the provider.
    """
    site = Site(urlsplit(client.origin).hostname or "", home="/", help=f"{built.config.issuer}/help")
    # Who asks is known before a form is read: nobody else may send one that is large.
    app = _create(built, ADMIN_PAGES, ADMIN_CENTER, site, first=access.guard)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MAX_UPLOAD
    app.extensions["own_client"] = client
    for shared in ("static", "language_switch.switch_language", "health.live", "health.ready", "health.metrics"):
        access.open_to_all(app.view_functions[shared])
    access.check_views(app)
    return app


def _create(
    built: Parts,
    pages: Iterable[ModuleType],
    program: str,
    site: Site,
    *,
    first: Callable[[], Response | None] | None = None,
) -> Application:
    app = Application("idp", static_folder=None, template_folder=None)
    app.extensions["idp"] = built
    app.config["PROGRAM"] = program
    app.config["SITE"] = site
    app.debug = False  # whatever FLASK_DEBUG says: with it, errors would pass our pages by
    app.config["MAX_CONTENT_LENGTH"] = MAX_FORM
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM
    app.config["MAX_FORM_PARTS"] = 100
    app.url_map.merge_slashes = False
    app.before_request(_refuse_what_reads_in_two_ways)
    if first is not None:
        app.before_request(first)
    prepare(app)
    security_headers.protect(app)
    for page in pages:
        app.register_blueprint(page.bp)
    app.register_error_handler(IdpError, _failed)
    app.register_error_handler(HTTPException, _refused_by_flask)
    return app


def _refuse_what_reads_in_two_ways() -> None:
    """A Host given twice, which servers join with a comma, as ``machine.py`` refuses it; ``//login``, which the routing
    would take for ``/login`` although a rule of a proxy before us saw another path; and a NUL, which no database looks for."""
    if "," in request.environ.get("HTTP_HOST", ""):
        raise PageError("request_unreadable", detail="the Host header is given twice")
    if request.environ["PATH_INFO"].startswith("//") or "\x00" in request.environ["PATH_INFO"]:
        abort(404)


def _failed(error: IdpError) -> Response:
    """An error page with its receipt: that of the sign-in that failed, or one for this failure alone."""
    here = parts()
    receipt = g.get("receipt") or here.attempts.start()
    here.attempts.step(receipt, Step.page_failed, reason=error.reason, detail=error.detail)
    return error_page(error, receipt)


def _refused_by_flask(error: HTTPException) -> Response:
    status = error.code or 500
    reason = _REASONS.get(status, "request_unreadable" if status < 500 else "internal")
    failure = PageError(reason, status=status)
    # Scanners of addresses that do not exist, and floods, would fill the receipts.
    response = error_page(failure) if status in (404, 405, 429) else _failed(failure)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response

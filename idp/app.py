"""The application: the one list of pages, and the machine endpoints in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from idp import health, language_switch, security_headers
from idp.accounts import profile
from idp.doors import password
from idp.errors import IdpError, PageError
from idp.login import consent, start
from idp.machine import wsgi_request
from idp.oidc import authorize, logout
from idp.parts import Parts
from idp.rendering import error_page, prepare

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PAGES = (authorize, start, password, consent, logout, profile, language_switch, health)

MAX_FORM = 64 * 1024  # bytes: the largest form of ours is far smaller


class Provider(Flask):
    """Flask, with the machine endpoints answered before its routing: they need none of it (docs/speed.md)."""

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        parts: Parts = self.extensions["idp"]
        if parts.endpoints.serves(environ["PATH_INFO"]):
            answer = parts.endpoints.answer(wsgi_request(environ, parts.config.trusted_proxies))
            if answer is not None:
                start_response(answer.status_line, answer.headers)
                return [answer.body]
        return super().wsgi_app(environ, start_response)


def create_app(parts: Parts) -> Flask:
    """Build the provider's WSGI application from its parts."""
    app = Provider(__name__, static_folder=None, template_folder=None)
    app.extensions["idp"] = parts
    app.config["MAX_CONTENT_LENGTH"] = MAX_FORM
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM
    app.config["MAX_FORM_PARTS"] = 100
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    prepare(app)
    security_headers.protect(app)
    for page in PAGES:
        app.register_blueprint(page.bp)
    app.register_error_handler(IdpError, error_page)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    reason = {404: "page_unknown", 405: "method_not_allowed", 413: "request_too_large"}.get(
        status, "request_unreadable"
    )
    response = error_page(PageError(reason if status < 500 else "internal", status=status))
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

"""What every answer to a browser carries, so that a page of ours loads nothing foreign, is framed by nobody and kept by no cache.

A companion of every page. The machine endpoints have their own headers (``machine.py``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, Response, request

from idp.cookies import ADMIN_CENTER
from idp.parts import parts

_ALWAYS = (
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    (
        "Permissions-Policy",
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), publickey-credentials-get=(self)",
    ),
)


@lru_cache(maxsize=4096)
def content_security_policy(form_targets: tuple[str, ...] = (), images: tuple[str, ...] = ()) -> str:
    """The Content-Security-Policy of a page.

    ``form_targets``: URIs where a form of the page may end. Chromium applies form-action to the redirects after a form
    too, so a page from which a sign-in can finish names the relying party's redirect URI. ``images``: the URIs of
    the relying party's logo and the company's. Of each only the origin is named, or the scheme where it has no origin (native products).
    """
    forms = ["'self'", *filter(None, map(_source, form_targets))]
    shown = ["'self'", *filter(None, map(_source, images))]
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; "
        f"img-src {' '.join(shown)}; form-action {' '.join(forms)}; frame-ancestors 'none'; base-uri 'none'"
    )


def protect(app: Flask) -> None:
    """Let every answer of ``app`` carry the headers."""

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        headers = response.headers
        for name, value in _ALWAYS:
            headers[name] = value
        headers.setdefault("Content-Security-Policy", content_security_policy())
        headers.setdefault("Cache-Control", "no-store")  # only static files say otherwise
        if request.path == "/me" or request.path.startswith("/me/") or app.config["PROGRAM"] == ADMIN_CENTER:
            # Not on the way of a sign-in: single-page products open it in a window and wait for that very window,
            # which this header would cut off from them.
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if parts().config.secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        return response


def _source(uri: str) -> str:
    """The source expression (CSP level 3 section 2.3.1) for a URI: its origin, or its scheme."""
    split = urlsplit(uri)
    if split.scheme not in ("http", "https"):
        return f"{split.scheme}:" if split.scheme else ""
    # The grammar knows no IPv6 literals, and nothing else may slip into the header.
    return (
        f"{split.scheme}://{split.netloc}"
        if re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", split.netloc)
        else f"{split.scheme}:"
    )

"""The browser on its way to a company's identity provider, with a message of ours. A companion of the company's pages."""

from __future__ import annotations

from flask import Response

from idp.doors.saml import PostForm, Redirect
from idp.redirects import leave
from idp.rendering import render_page


def send(message: Redirect | PostForm) -> Response:
    """Send at once: by a redirect, or by a form that posts itself."""
    return leave(message.url) if isinstance(message, Redirect) else _page(message.url, message.fields)


def send_from_page(message: Redirect | PostForm) -> Response:
    """Send from a page of ours that does it by itself, for where a form of ours has led.

    Chromium applies form-action to every redirect that follows a form, and where a company sends its people nobody knows:
    such a page begins anew.
    """
    return _page(message.url, message.fields if isinstance(message, PostForm) else None)


def _page(url: str, fields: tuple[tuple[str, str], ...] | None) -> Response:
    scheme = url.partition(":")[0]
    return render_page("doors/to_company.html", form_targets=(f"{scheme}:",), url=url, fields=fields)

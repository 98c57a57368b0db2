"""Sending the browser on, always by 303 so that a form is never posted a second time. A companion of every page."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response


def go(path: str, **query: str) -> Response:
    """Go to a path of our own."""
    return leave(f"{path}?{urlencode(query)}" if query else path)


def leave(uri: str) -> Response:
    """Go to ``uri``, which the caller has checked: a registered redirect URI or a path of our own."""
    return Response(status=303, headers={"Location": uri})

"""Where a visitor comes from. A companion of every page."""

from __future__ import annotations

from flask import request

from idp.machine import client_address
from idp.parts import parts


def peer() -> str:
    """The visitor's network address; what proxies say of it counts only from IDP_TRUSTED_PROXIES."""
    return client_address(
        request.remote_addr or "", request.headers.get("X-Forwarded-For", ""), parts().config.trusted_proxies
    )

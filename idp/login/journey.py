"""The sign-in (or logout) that the browser is in the middle of. A companion of the pages where it begins, and on the way."""

from __future__ import annotations

from typing import Any

from flask import Response, g

from idp import cookies
from idp.login import pending as pendings
from idp.login.pending import Pending
from idp.parts import parts
from idp.rendering import render_page


def park(purpose: str, **asked: Any) -> str:
    """Park for this browser, with the receipt of this request, what ``asked`` says (see :func:`idp.login.pending.park`).

    :returns: the handle.
    """
    here = parts()
    return pendings.park(
        here.store,
        purpose=purpose,
        browser=cookies.browser(),
        receipt=g.receipt,
        now=here.clock(),
        random=here.random,
        **asked,
    )


def find_pending(handle: str, **notes: str) -> Pending:
    """The pending login of this browser; ``notes`` are written into it. Its receipt is shown if anything goes wrong.

    :raises PageError: ``pending_unknown``, ``pending_foreign_browser``.
    """
    here = parts()
    pending = pendings.find(here.store, handle, cookies.browser(), here.clock(), **notes)
    g.receipt = pending.receipt
    return pending


def show(template: str, pending: Pending, status: int = 200, *, locale: str | None = None, **values: Any) -> Response:
    """A page on the way: with the product's face, in the language that the product asked for, else the person's
    (``locale``), if we know who it is."""
    client = parts().clients.find(pending.client_id)
    return render_page(
        template,
        status,
        language=pending.ui_locales or locale,
        # A form of this page may end, redirect by redirect, at the product.
        form_targets=client.redirect_uris if client else (),
        p=pending.handle,
        client=client,
        **values,
    )

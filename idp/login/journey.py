"""The sign-in (or logout) that the browser is in the middle of. A companion of the pages where it begins, and on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, g

from idp import cookies
from idp.accounts.remembered import last_door, last_was_passkey
from idp.errors import PageError
from idp.login import pending as pendings
from idp.login.pending import Pending
from idp.parts import parts
from idp.rendering import render_page


@dataclass(frozen=True, slots=True)
class SocialDoor:
    """What a page shows of a social provider. ``last``: by it somebody signed in at this browser last."""

    key: str
    name: str
    last: bool


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


def find_if_any(handle: str) -> Pending | None:
    """The pending login of this browser; None when there is none, or it is over: whoever looks for help is given it all the same."""
    if not handle:
        return None
    try:
        return find_pending(handle)
    except PageError:
        return None


def resume(handle: str, *, email: str) -> Pending:
    """The pending login that a mailed link belongs to; when that is over, another one that ends at the person's own pages."""
    try:
        return find_pending(handle)
    except PageError:
        g.receipt = parts().attempts.start()
        return find_pending(park("me", email=email))


def needs_organizer(pending: Pending) -> bool:
    """Whether the product that a sign-in is for has no use for somebody who is nobody's organizer yet (``needs: organizer``)."""
    client = parts().clients.find(pending.client_id)
    return client is not None and client.needs == "organizer"


def provider_name(key: str) -> str:
    """What the social provider behind a door is called; its key, if it is configured no more."""
    registered = parts().providers.get(key)
    return registered.name if registered is not None else key


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
        social=social_doors(),
        **values,
    )


def with_passkeys(pending: Pending) -> dict[str, Any]:
    """What ``login/passkey_form.html`` and ``login/passkey_button.html`` show."""
    here = parts()
    options = here.passkeys.options_to_sign_in(passkey_purpose(pending), here.clock())
    return {"passkey": options, "passkey_last": last_was_passkey()}


def passkey_purpose(pending: Pending) -> str:
    """What the answer to these options belongs to: this very sign-in, as its first proof."""
    return f"sign-in {pending.handle}"


def social_doors() -> tuple[SocialDoor, ...]:
    """What ``login/social.html`` shows, in the order of providers.yaml."""
    providers = parts().providers
    if not providers:
        return ()
    last = last_door()
    return tuple(SocialDoor(key, registered.name, key == last) for key, registered in providers.items())


def lead_to_provider(url: str, name: str) -> Response:
    """Go on to a social provider, or to our address that leads there, from a page that does it by itself: where a form of
    ours has led. Chromium applies form-action to every redirect that follows a form; such a page begins anew.

    :param name: the provider's.
    """
    return render_page("login/to_provider.html", url=url, name=name)

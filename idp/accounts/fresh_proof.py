"""Before an act that a stranger at an open browser must not do, the person proves once more who they are. A companion."""

from __future__ import annotations

from flask import Response

from idp.accounts.sessions import Session
from idp.parts import parts
from idp.redirects import go

FRESH = 15 * 60  # seconds for which a sign-in counts as proof


def prove_anew(session: Session, path: str) -> Response | None:
    """None when the sign-in is recent enough; else the way to sign in once more, which comes back to ``path`` (``/me…``).

    A form that was filled in meanwhile is shown again empty: whatever was typed into it by somebody who cannot prove who they
    are is worth nothing.
    """
    if parts().clock() - session.proved_at <= FRESH:
        return None
    return go("/login", again=path)

"""Talking to a social provider: where to send the browser, and whom its answer names."""

from __future__ import annotations

from idp.accounts.identity import Identity
from idp.doors.provider_documents import ProviderDocuments
from idp.doors.providers import Registered
from idp.errors import IdpError

WHOLE_SECONDS = 10.0  # from the code to the person


class SocialError(IdpError):
    """A provider's answer that leads to nobody. ``detail`` never holds a code, a token or a secret."""

    status = 400


def authorization_url(
    registered: Registered,
    documents: ProviderDocuments,
    *,
    redirect_uri: str,
    state: str,
    nonce: str,
    verifier: str,
    silent: bool = False,
    fresh: bool = False,
    login_hint: str = "",
    ui_locales: str = "",
) -> str:
    """Where to send the browser. A provider known by its issuer alone may have to be asked first where that is.

    :raises SocialError: it does not tell.
    """
    raise NotImplementedError


def redeem(
    registered: Registered,
    documents: ProviderDocuments,
    *,
    code: str,
    iss: str | None,
    redirect_uri: str,
    nonce: str,
    verifier: str,
    sent_at: float,
    fresh: bool = False,
    user_field: str = "",
    now: float,
) -> Identity:
    """Whom a code names: the token request, every check of the ID token, what else the provider says. At most 10 s.

    :param iss: the ``iss`` parameter of the answer (RFC 9207), None when there was none.
    :param sent_at: when the browser was sent to the provider, in seconds since 1970.
    :param fresh: whether the person had to prove anew who they are.
    :param user_field: the ``user`` field of Apple's answer.
    :raises SocialError: it names nobody.
    """
    raise NotImplementedError


def read_error(registered: Registered, error: str, description: str = "") -> str:
    """The reason's code for the error that a provider answers with, at any of its endpoints."""
    raise NotImplementedError

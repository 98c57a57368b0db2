"""What goes wrong at a social provider, and whose it is: the codes of RFC 6749 and of each provider's own errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from idp.doors.providers import WrongAnswer
from idp.errors import IdpError
from idp.fetch import FetchError

_REASONS = {
    # RFC 6749 4.1.2.1 and 5.2; OpenID Connect Core 3.1.2.6
    "access_denied": "social_cancelled",
    "login_required": "social_login_required",
    "interaction_required": "social_login_required",
    "consent_required": "social_login_required",
    "account_selection_required": "social_login_required",
    "server_error": "social_unavailable",
    "temporarily_unavailable": "social_unavailable",
    "invalid_grant": "social_code_over",
    "invalid_request": "social_misconfigured",
    "invalid_client": "social_misconfigured",
    "unauthorized_client": "social_misconfigured",
    "invalid_scope": "social_misconfigured",
    "unsupported_response_type": "social_misconfigured",
    "unsupported_grant_type": "social_misconfigured",
    "request_not_supported": "social_misconfigured",
    "request_uri_not_supported": "social_misconfigured",
    "registration_not_supported": "social_misconfigured",
    # LinkedIn and Apple
    "user_cancelled_login": "social_cancelled",
    "user_cancelled_authorize": "social_cancelled",
    "unauthorized_scope_error": "social_misconfigured",
    "invalid_redirect_uri": "social_misconfigured",
    # Microsoft
    "invalid_resource": "social_misconfigured",
    # GitHub
    "bad_verification_code": "social_code_over",
    "incorrect_client_credentials": "social_misconfigured",
    "redirect_uri_mismatch": "social_misconfigured",
    "application_suspended": "social_misconfigured",
    "unverified_user_email": "social_unproved_there",
    # Facebook's Graph API: error.code and, where it decides, error.error_subcode
    "graph_1": "social_unavailable",
    "graph_2": "social_unavailable",
    "graph_4": "social_unavailable",
    "graph_10": "social_misconfigured",
    "graph_17": "social_unavailable",
    "graph_32": "social_unavailable",
    "graph_100_36007": "social_code_over",
    "graph_100_36008": "social_misconfigured",
    "graph_100_36009": "social_code_over",
    "graph_101": "social_misconfigured",
    "graph_190": "social_code_over",
    "graph_191": "social_misconfigured",
    "graph_200": "social_misconfigured",
    "graph_341": "social_unavailable",
    "graph_613": "social_unavailable",
}


class SocialError(IdpError):
    """A provider's answer that leads to nobody. ``detail`` never holds a code, a token or a secret."""

    status = 400


def read_error(error: str, description: str = "") -> str:
    """The reason's code for the error that a provider answers with, at any of its endpoints.

    :param description: error_description, or Facebook's error.message; only looked at where a code has two meanings.
    """
    if error == "graph_1" and "client secret" in description.lower():
        return "social_misconfigured"  # Facebook says it with the code of a passing fault
    if error == "invalid_request" and "expired" in description.lower():
        return "social_code_over"  # LinkedIn, of a code
    return _REASONS.get(error, "social_error_unknown")


@contextmanager
def problems(place: str) -> Iterator[None]:
    """What goes wrong on the way to a provider, as a SocialError that says where."""
    try:
        yield
    except FetchError as error:
        reason = "social_misconfigured" if error.refused else "social_unavailable"
        raise SocialError(reason, detail=f"{place}: {error.detail}") from None
    except WrongAnswer as error:
        raise SocialError("social_answer_wrong", detail=f"{place}: {error}") from None


def refusal(place: str, error: Any, description: Any) -> SocialError:
    """The error that a provider's endpoint answers with: a code and a description, or Facebook's object.

    :param place: which endpoint, for whoever reads the log.
    """
    if isinstance(error, dict):  # Facebook's
        description = error.get("message")
        numbers = [error.get("code"), error.get("error_subcode")]
        known = [str(number) for number in numbers if isinstance(number, int)]
        names = ["graph_" + "_".join(known[:length]) for length in range(len(known), 0, -1)]
        error = next((name for name in names if name in _REASONS), names[0] if names else "")
    text = error if isinstance(error, str) and re.fullmatch(r"[a-z0-9_]{1,64}", error) else "not an error code"
    reason = read_error(text, description if isinstance(description, str) else "")
    return SocialError(reason, detail=f"{place}: {text}")


def refused_status(place: str, status: int) -> SocialError:
    """An HTTP status that is no answer, where the body says no more."""
    reason = "social_unavailable" if status >= 500 or status == 429 else "social_answer_wrong"
    if place == "emails" and status in (403, 404):
        reason = "social_misconfigured"  # GitHub, to whom nobody has given leave to read addresses
    return SocialError(reason, detail=f"{place}: status {status}")

"""Every way in which the road can fail: its code, what caused it, who can mend it, and the status of its page.

What people read stands in the catalogue under ``reason.<code>.says`` (a plain sentence) and ``reason.<code>.next`` (the
next step). docs/reasons.md is made from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Owner = Literal["person", "product", "operator", "us"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One way to fail.

    :ivar owner: who can mend it: the person who signs in, the product that sent them, the operator of this provider, or
        we who wrote it.
    :ivar status: the HTTP status of the answer; of an error that is redirected, what its page would have.
    :ivar cause: for support and developers.
    """

    code: str
    owner: Owner
    status: int
    cause: str

    @property
    def says(self) -> str:
        """The catalogue key of the sentence that people read."""
        return f"reason.{self.code}.says"

    @property
    def next(self) -> str:
        """The catalogue key of what they can do now."""
        return f"reason.{self.code}.next"


_TABLE = (
    # The request that a product sends
    Reason(
        "client_unknown", "product", 400, "client_id is missing, not in clients.yaml, or its client is switched off."
    ),
    Reason(
        "redirect_uri_unregistered",
        "product",
        400,
        "redirect_uri is missing or not, byte for byte, one of the client's.",
    ),
    Reason("request_unreadable", "product", 400, "The request is too large, not UTF-8, or not a form."),
    Reason("parameter_repeated", "product", 400, "A parameter was given more than once."),
    Reason(
        "parameter_too_long",
        "product",
        400,
        "state or nonce is longer than 1024 characters or holds control characters.",
    ),
    Reason(
        "request_object_unsupported",
        "product",
        400,
        "request, request_uri or registration was sent; none is supported.",
    ),
    Reason("response_type_missing", "product", 400, "response_type was not sent."),
    Reason("response_type_unsupported", "product", 400, "response_type is not code."),
    Reason(
        "response_mode_unsupported", "product", 400, "response_mode is not query or form_post, or not this client's."
    ),
    Reason("scope_without_openid", "product", 400, "scope lacks openid or is malformed."),
    Reason("pkce_missing", "product", 400, "code_challenge was not sent, and this client must use PKCE."),
    Reason("pkce_method_unsupported", "product", 400, "code_challenge_method is not S256."),
    Reason("pkce_malformed", "product", 400, "code_challenge is not 43 characters of base64url."),
    Reason("prompt_wrong", "product", 400, "prompt holds an unknown value, or none beside another."),
    Reason("max_age_wrong", "product", 400, "max_age is not a whole number of seconds."),
    Reason("claims_wrong", "product", 400, "claims is not a claims request in JSON (OpenID Connect Core 5.5)."),
    # Us and what we stand on
    Reason("redis_down", "operator", 503, "Redis does not answer."),
    Reason("sql_down", "operator", 503, "The SQL database does not answer."),
)

REASONS = {reason.code: reason for reason in _TABLE}

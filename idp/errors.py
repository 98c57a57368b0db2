"""What can go wrong, as exceptions: one root, three things that each of them knows.

``public`` is what a visitor or a relying party may read, ``detail`` goes to the log and the receipt (never a secret),
``may_redirect`` tells whether the answer may leave to a relying party's redirect URI. Decisions are never exceptions:
they are values (see ``login/next_step.py``).
"""

from __future__ import annotations


class IdpError(Exception):
    """The root. ``reason`` is a code of the reasons table (``reasons.py``)."""

    may_redirect = False
    status = 500

    def __init__(self, reason: str, *, detail: str = "", public: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.public = public


class OAuthError(IdpError):
    """An error that a relying party reads: ``error`` is the exact code of the RFC, ``public`` its description.

    ``parameter`` names the request parameter at fault, if one is. Descriptions never echo input (RFC 6749 section 5.2
    limits the characters; P-29). ``may_redirect`` is true only for errors raised after client_id and redirect_uri passed.
    """

    def __init__(
        self,
        error: str,
        public: str,
        *,
        reason: str,
        status: int = 400,
        may_redirect: bool = False,
        parameter: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(reason, detail=detail, public=public)
        self.error = error
        self.status = status
        self.may_redirect = may_redirect
        self.parameter = parameter


class PageError(IdpError):
    """A failure that a person reads on an error page: the sentence comes from the reasons table by ``reason``."""

    def __init__(self, reason: str, *, status: int = 400, detail: str = "", parameter: str = "") -> None:
        super().__init__(reason, detail=detail)
        self.status = status
        self.parameter = parameter


class Unavailable(IdpError):
    """A part that we need (Redis, SQL, the hashing pool) does not answer: 503 with Retry-After, never an open door."""

    status = 503

    def __init__(self, reason: str, *, detail: str = "", retry_after: int = 5) -> None:
        super().__init__(reason, detail=detail)
        self.retry_after = retry_after


class OperatorError(IdpError):
    """Something that an operator must mend: ``str(error)`` says what, where and how. Commands print it and exit with 1."""

    def __init__(self, message: str) -> None:
        super().__init__("operator", detail=message)
        self.message = message

    def __str__(self) -> str:
        return self.message

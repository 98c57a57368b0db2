"""What a company's identity provider answered: every check of a SAML Response, with what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp.doors.saml_assertion import Assertion

if TYPE_CHECKING:
    from idp.connections import SamlConnection


@dataclass(frozen=True, slots=True)
class SentRequest:
    """An AuthnRequest that we sent, as far as its answer is measured by it.

    :ivar issued_at: seconds since 1970.
    :ivar max_age: seconds; how long ago the person may have proved who they are. None: as long as the company likes.
    :ivar contexts: the AuthnContextClassRefs that were asked for; empty: none.
    """

    id: str
    issued_at: int
    connection_id: str
    idp_entity_id: str
    force_authn: bool
    max_age: int | None
    contexts: tuple[str, ...]
    passive: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    :ivar name: what was looked at, as a key of the catalogues (``saml.check.<name>``).
    :ivar expected: printable, at most 200 characters, never a secret.
    :ivar received: likewise; addresses of people are masked.
    :ivar reason: a code of the reasons table; empty when the check holds.
    """

    name: str
    ok: bool
    expected: str
    received: str
    reason: str


@dataclass(frozen=True, slots=True)
class Examination:
    """The outcome of looking at a Response.

    :ivar checks: in the order in which they count: the first that does not hold is the reason to give.
    :ivar assertion: what to believe; None unless every check held.
    :ivar seen: what the verified bytes say although some check failed, to be shown in dry runs and never acted upon.
    :ivar unsolicited: genuine, but it answers no request of ours: the sign-in is to begin anew, here.
    :ivar status: the status codes that were sent, the outer one first, without their common prefix.
    """

    checks: tuple[Check, ...]
    assertion: Assertion | None
    seen: Assertion | None
    unsolicited: bool
    status: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The reason of the first check that failed; empty when all held."""
        return next((check.reason for check in self.checks if not check.ok), "")


def examine(
    encoded: bytes | str,
    connection: SamlConnection,
    request_of: Callable[[str], SentRequest | None],
    now: float,
) -> Examination:
    """Look at a Response as it was posted to our ACS address. Never raises for what was sent."""
    raise NotImplementedError

"""What a verified assertion says: read from verified bytes, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assertion of an identity provider (SAML 2.0 core section 2.3.3). Times are seconds since 1970.

    :ivar attributes: every value by the exact name of its attribute.
    :ivar not_on_or_after: when it stops counting: the earliest of what it says of itself.
    :ivar in_response_to: the request that it answers; None when it answers none.
    """

    issuer: str
    id: str
    name_id: str = field(repr=False)
    name_id_format: str
    session_index: str | None
    attributes: Mapping[str, tuple[str, ...]] = field(repr=False)
    authn_instant: int
    context: str | None
    not_on_or_after: int
    session_not_on_or_after: int | None
    in_response_to: str | None

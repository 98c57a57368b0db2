"""Each check of what a verified SAML Response says, with what was expected and what came (SAML profiles section 4.1.4).

Measured by our connection and our request. All of them are made, also after one has failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from idp.doors.saml_assertion import Assertion, Confirmation, ReadAssertion, read_instant
from idp.doors.saml_document import SAML, SAMLP, SamlRefused, children, shown, text_of

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp.connections import SamlConnection

SKEW = 60  # seconds that clocks may differ
OLDEST = 10 * 60  # seconds since a message was made; a browser carries it here at once
LONGEST = 24 * 3600  # seconds that an assertion may count; Entra ID says an hour, and can be told to say a day
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

_ISSUER = f"{{{SAML}}}Issuer"
_STATUS, _CODE = f"{{{SAMLP}}}Status", f"{{{SAMLP}}}StatusCode"
_MESSAGE, _DETAIL = f"{{{SAMLP}}}StatusMessage", f"{{{SAMLP}}}StatusDetail"
_CODES = "urn:oasis:names:tc:SAML:2.0:status:"
_DENIED = {"AuthnFailed", "RequestDenied"}
_REQUEST_ID = re.compile(r"[A-Za-z_][\w.-]{0,127}", re.ASCII)


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

    :ivar name: what was looked at, one word.
    :ivar expected: printable, at most 200 characters, never a secret.
    :ivar received: likewise; addresses of people are masked.
    :ivar reason: a code of the reasons table; empty when the check holds.
    """

    name: str
    ok: bool
    expected: str
    received: str
    reason: str


class Looked:
    """The checks so far."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def at(self, name: str, ok: bool, *, reason: str, expected: str, received: str) -> None:
        """Note one thing that was looked at; ``reason`` is given when it is not ``ok``."""
        self.checks.append(Check(name, ok, shown(expected), shown(received), "" if ok else reason))

    def refused(self, name: str, refused: SamlRefused) -> None:
        """Note that it went no further."""
        self.checks.append(Check(name, False, refused.expected, refused.received, refused.reason))

    @property
    def all_held(self) -> bool:
        return all(check.ok for check in self.checks)


def read_status(root: _Element) -> tuple[tuple[str, ...], str]:
    """The status codes (core section 3.2.2.2), and what the identity provider says about them."""
    parts = children(root.findall(_STATUS)[0], (_CODE, 1, 1), (_MESSAGE, 0, 1), (_DETAIL, 0, 1))
    codes: list[str] = []
    code: _Element | None = parts[_CODE][0]
    while code is not None:
        codes.append(code.get("Value", "").removeprefix(_CODES))
        inner = children(code, (_CODE, 0, 1))[_CODE]
        code = inner[0] if inner else None
    return tuple(codes), text_of(parts[_MESSAGE][0]) if parts[_MESSAGE] else ""


def check_status(looked: Looked, status: tuple[str, ...], message: str, inside: _Element | None) -> None:
    if status == ("Success",) and inside is None:
        looked.at(
            "assertion", False, reason="saml_structure_wrong", expected="an Assertion beside Success", received="none"
        )
        return
    received = ", ".join(status) + (f": {message}" if message else "")
    if "NoPassive" in status:
        reason = "saml_status_no_passive"
    else:
        reason = "saml_status_denied" if _DENIED & set(status) else "saml_status_failed"
    looked.at("status", status == ("Success",), reason=reason, expected="Success", received=received)


def check_request(
    looked: Looked,
    envelope: _Element,
    assertion: Assertion,
    connection: SamlConnection,
    request_of: Callable[[str], SentRequest | None],
) -> SentRequest | None:
    """Both InResponseTo name one request that we sent, to this identity provider, for this connection (S-06, SA-19)."""
    outer, inner = envelope.get("InResponseTo"), assertion.in_response_to
    request = request_of(inner) if inner is not None and _REQUEST_ID.fullmatch(inner) else None
    expected = "the id of a request of ours"
    if inner is None and outer is None:
        looked.at("request", False, reason="saml_unsolicited", expected=expected, received="no InResponseTo")
    elif inner != outer:
        received = f"InResponseTo {_short(outer)} outside, {_short(inner)} inside"
        looked.at("request", False, reason="saml_request_other", expected="the same id twice", received=received)
    elif request is None:
        looked.at("request", False, reason="saml_request_unknown", expected=expected, received=_short(inner))
    else:
        ours = (connection.id, connection.idp_entity_id)
        theirs = (request.connection_id, request.idp_entity_id)
        looked.at(
            "request",
            ours == theirs,
            reason="saml_request_other",
            expected=f"a request to {ours[1]} ({ours[0]})",
            received=f"a request to {theirs[1]} ({theirs[0]})",
        )
    return request


def check_parties(looked: Looked, envelope: _Element, read: ReadAssertion, connection: SamlConnection) -> None:
    """Who says it, to whom, and where (S-02, S-07, S-10, S-11, S-21)."""
    issuer = envelope.find(_ISSUER)
    outer, inner = "" if issuer is None else _issuer_text(issuer), read.assertion.issuer
    looked.at(
        "issuer",
        outer == inner == connection.idp_entity_id,
        reason="saml_issuer_wrong",
        expected=connection.idp_entity_id,
        received=inner if outer == inner else f"{outer or 'none'} outside, {inner} inside",
    )
    destination = envelope.get("Destination")
    looked.at(
        "destination",
        destination == connection.acs,
        reason="saml_destination_wrong",
        expected=connection.acs,
        received=destination or "none",
    )
    confirmation = _only_bearer(looked, read.confirmations)
    recipient = None if confirmation is None else confirmation.recipient
    looked.at(
        "recipient",
        recipient == connection.acs,
        reason="saml_recipient_wrong",
        expected=connection.acs,
        received=recipient or "none",
    )
    looked.at(
        "audience",
        bool(read.audiences) and all(connection.entity_id in several for several in read.audiences),
        reason="saml_audience_wrong",
        expected=connection.entity_id,
        received=", and ".join(" or ".join(several) for several in read.audiences) or "none",
    )
    looked.at(
        "conditions",
        read.version == "2.0" and not read.unknown_conditions,
        reason="saml_condition_unknown",
        expected="conditions that SAML 2.0 knows",
        received=", ".join(read.unknown_conditions) or f"Version {read.version}",
    )
    looked.at(
        "name_id",
        bool(read.assertion.name_id),
        reason="saml_name_id_missing",
        expected="a NameID",
        received="a NameID" if read.assertion.name_id else "none",
    )
    by, towards = read.qualifiers
    looked.at(
        "qualifiers",
        by in (None, "", connection.idp_entity_id) and towards in (None, "", connection.entity_id),
        reason="saml_name_id_qualified",
        expected=f"none, or {connection.idp_entity_id} and {connection.entity_id}",
        received=f"NameQualifier {by or 'none'}, SPNameQualifier {towards or 'none'}",
    )


def _only_bearer(looked: Looked, confirmations: tuple[Confirmation, ...]) -> Confirmation | None:
    """Exactly one SubjectConfirmation, of the method bearer, as the profile has it (profiles section 4.1.4.2)."""
    looked.at(
        "confirmation",
        [one.method for one in confirmations] == [BEARER] and confirmations[0].not_before is None,
        reason="saml_confirmation_wrong",
        expected="one bearer confirmation without NotBefore",
        received=", ".join(one.method.rpartition(":")[2] or "none" for one in confirmations) or "none",
    )
    return confirmations[0] if confirmations else None


def check_times(
    looked: Looked, envelope: _Element, read: ReadAssertion, request: SentRequest | None, now: float
) -> None:
    """When it was made and how long it counts, by a clock that may differ from ours by SKEW (S-10, S-21, SA-41)."""
    issued = [read.issue_instant]
    try:
        issued.append(read_instant(envelope.get("IssueInstant", ""), "IssueInstant"))
    except SamlRefused as refused:
        looked.refused("issue_instant", refused)
    earliest = now - OLDEST
    reason = "saml_expired"
    if request is not None and request.issued_at - SKEW > earliest:
        earliest, reason = request.issued_at - SKEW, "saml_clock_behind"
    if max(issued) > now + SKEW:
        reason = "saml_clock_ahead"
    looked.at(
        "issue_instant",
        earliest <= min(issued) and max(issued) <= now + SKEW,
        reason=reason,
        expected=f"{_instant(earliest)} to {_instant(now + SKEW)}",
        received=" and ".join(_instant(one) for one in sorted(set(issued))),
    )
    begins = read.not_before
    looked.at(
        "not_before",
        begins is None or begins <= now + SKEW,
        reason="saml_clock_ahead",
        expected=f"at most {_instant(now + SKEW)}",
        received="none" if begins is None else _instant(begins),
    )
    confirmed = read.confirmations[0].not_on_or_after if read.confirmations else None
    ends = [end for end in (read.not_on_or_after, confirmed) if end is not None]
    session_end = read.assertion.session_not_on_or_after
    late = [end for end in ends if end <= now - SKEW]
    if (
        session_end is not None and session_end <= now
    ):  # a session that is over when it begins would be asked for for ever
        late.append(session_end)
    looked.at(
        "not_on_or_after",
        confirmed is not None and not late and max(ends) <= now + LONGEST + SKEW,
        reason="saml_expired" if late else "saml_lifetime_wrong",
        expected=f"after {_instant(now - SKEW)}, at most {_instant(now + LONGEST + SKEW)}",
        received="none in the confirmation" if confirmed is None else " and ".join(_instant(one) for one in ends),
    )


def check_authentication(looked: Looked, assertion: Assertion, request: SentRequest | None, now: float) -> None:
    """That the person proved who they are when, and how, it was asked for (SA-39)."""
    earliest = 0.0
    if request is not None and request.force_authn:
        earliest = request.issued_at - SKEW
    elif request is not None and request.max_age is not None:
        earliest = request.issued_at - request.max_age - SKEW
    looked.at(
        "authn_instant",
        earliest <= assertion.authn_instant <= now + SKEW,
        reason="saml_clock_ahead" if assertion.authn_instant > now + SKEW else "saml_authn_old",
        expected=f"{_instant(earliest)} to {_instant(now + SKEW)}" if earliest else f"at most {_instant(now + SKEW)}",
        received=_instant(assertion.authn_instant),
    )
    if request is not None and request.contexts:
        looked.at(
            "context",
            assertion.context in request.contexts,
            reason="saml_context_unmet",
            expected=" or ".join(request.contexts),
            received=assertion.context or "none",
        )


def _issuer_text(issuer: _Element) -> str:
    """Its text; nothing when it holds anything else."""
    return "" if len(issuer) else issuer.text or ""


def _short(identifier: str | None) -> str:
    """As much of an id as helps to find it in a log."""
    return "none" if identifier is None else f"{identifier[:9]}…"


def _instant(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return "another age"

"""What a company's identity provider answered: every check of a SAML Response, with what was expected and what came.

In this order: the document is plain; it is a Response in the structure that SAML prescribes; a pinned key has signed it or its
assertion; and then everything that the verified bytes say is measured by our connection and our request (SAML profiles section
4.1.4). All those checks are made, also after one has failed, so that a dry run shows everything at once.

What is not signed of a message (the envelope of a signed assertion) can only make us refuse it; nothing is believed of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from idp.doors.saml_assertion import ASSERTION, Assertion, Confirmation, ReadAssertion, read_assertion, read_instant
from idp.doors.saml_document import DS, SAML, SAMLP, XENC, SamlRefused, children, decode, local, parse, shown, text_of
from idp.doors.saml_signature import SIGNATURE, VerifiedBytes, verify

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp.connections import SamlConnection

SKEW = 60  # seconds that clocks may differ
OLDEST = 10 * 60  # seconds since a message was made; a browser carries it here at once
LONGEST = 24 * 3600  # seconds that an assertion may count; Entra ID says an hour, and can be told to say a day
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

_RESPONSE = f"{{{SAMLP}}}Response"
_ENCRYPTED = f"{{{SAML}}}EncryptedAssertion"
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


@dataclass(frozen=True, slots=True)
class Examination:
    """The outcome of looking at a Response.

    :ivar checks: in the order in which they count: the first that does not hold is the reason to give.
    :ivar assertion: what to believe; None unless every check held.
    :ivar seen: what the verified bytes say although some check failed, to be shown in dry runs and never acted upon.
    :ivar unsolicited: genuine, but it answers no request of ours: the sign-in is to begin anew, here.
    :ivar status: the status codes that were sent, the outer one first, without their common prefix.
    :ivar in_response_to: the request that it answers, from verified bytes only.
    :ivar claimed: the request that it says it answers, whoever says so: only to find whom to tell that it was refused. Many
        identity providers do not sign their refusals.
    """

    checks: tuple[Check, ...]
    assertion: Assertion | None = None
    seen: Assertion | None = None
    unsolicited: bool = False
    status: tuple[str, ...] = ()
    in_response_to: str | None = None
    claimed: str | None = None

    @property
    def reason(self) -> str:
        """The reason of the first check that failed; empty when all held."""
        return next((check.reason for check in self.checks if not check.ok), "")


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


def examine(
    encoded: bytes | str,
    connection: SamlConnection,
    request_of: Callable[[str], SentRequest | None],
    now: float,
) -> Examination:
    """Look at a Response as it was posted to our ACS address.

    Never raises for what was sent. It is neither bound to a browser here nor taken once: that is the page's.

    :param encoded: the form field SAMLResponse.
    :param request_of: finds a request of ours by its id; called only with an id from verified bytes.
    """
    looked = Looked()
    step = "document"
    status: tuple[str, ...] = ()
    claimed: str | None = None
    try:
        document = decode(encoded)
        root = parse(document)
        looked.at(step, True, reason="", expected="small, plain XML", received=f"{len(document)} bytes")
        step = "message"
        _check_message(root)
        claimed = root.get("InResponseTo")
        looked.at(step, True, reason="", expected="Response 2.0", received="Response 2.0")
        step = "structure"
        inside = _check_structure(root)
        status, message = _read_status(root)
        looked.at(step, True, reason="", expected="as SAML prescribes", received="as SAML prescribes")
        step = "signature"
        response = verify(root, connection.certificates) if root.find(SIGNATURE) is not None else None
        envelope = root if response is None else response.root()
        if inside is None:
            if response is not None:
                looked.at(step, True, reason="", expected="a signature", received="of the Response")
            _check_status(looked, status, message, inside)
            verified_id = None if response is None else envelope.get("InResponseTo")
            return Examination(tuple(looked.checks), status=status, in_response_to=verified_id, claimed=claimed)
        assertion = _verified_assertion(looked, inside, response, connection)
        if assertion is None:
            return Examination(tuple(looked.checks), status=status, claimed=claimed)
        step = "assertion"
        read = read_assertion(assertion)
    except SamlRefused as refused:
        looked.refused(step, refused)
        return Examination(tuple(looked.checks), status=status, claimed=claimed)
    _check_status(looked, status, message, inside)
    request = _check_request(looked, envelope, read.assertion, connection, request_of)
    _check_parties(looked, envelope, read, connection)
    _check_times(looked, envelope, read, request, now)
    _check_authentication(looked, read.assertion, request, now)
    answers = {envelope.get("InResponseTo"), read.assertion.in_response_to}
    return Examination(
        tuple(looked.checks),
        assertion=read.assertion if looked.all_held else None,
        seen=read.assertion,
        unsolicited=answers == {None},
        status=status,
        in_response_to=read.assertion.in_response_to,
        claimed=claimed,
    )


# --- is it a Response, and is everything where it belongs -----------------------------------------------------------------


def _check_message(root: _Element) -> None:
    if root.tag != _RESPONSE:
        raise SamlRefused("saml_not_a_response", "Response", local(root.tag))
    if root.get("Version") != "2.0":
        raise SamlRefused("saml_not_a_response", "Version 2.0", f"Version {root.get('Version')}")


def _check_structure(root: _Element) -> _Element | None:
    """The Assertion or EncryptedAssertion of a Response (core section 3.3.3) in which all signatures, assertions and encrypted
    parts stand where they may stand; None when there is none."""
    parts = children(
        root,
        (_ISSUER, 0, 1),
        (SIGNATURE, 0, 1),
        (f"{{{SAMLP}}}Extensions", 0, 1),
        (_STATUS, 1, 1),
        (ASSERTION, 0, 1),
        (_ENCRYPTED, 0, 1),
    )
    found = parts[ASSERTION] + parts[_ENCRYPTED]
    if len(found) > 1:
        raise SamlRefused("saml_structure_wrong", "one Assertion", "one and an encrypted one")
    inside = found[0] if found else None
    _check_places(root, inside)
    return inside


def _check_places(root: _Element, inside: _Element | None) -> None:
    """Refuse what could be taken for something else: a second Response or Assertion anywhere, a Signature that is of neither of
    them, encrypted parts of an assertion, anything that a signature could hide."""
    signed = [root] if inside is None or inside.tag == _ENCRYPTED else [root, inside]
    sealed = inside if inside is not None and inside.tag == _ENCRYPTED else None
    for element in root.iter():
        tag = str(element.tag)
        if element is root or element is inside:
            continue
        if tag == SIGNATURE:
            fits = element.getparent() in signed
        elif tag.startswith(f"{{{XENC}}}"):
            fits = sealed is not None and sealed in element.iterancestors()
        else:
            fits = tag not in _NOWHERE
        if not fits:
            raise SamlRefused("saml_structure_wrong", "every element in its place", f"{local(tag)} in another")


_NOWHERE = {
    *(_RESPONSE, ASSERTION, _ENCRYPTED),
    *(f"{{{SAML}}}{name}" for name in ("EncryptedID", "EncryptedAttribute", "BaseID", "Advice")),
    *(f"{{{DS}}}{name}" for name in ("Object", "Manifest")),
}


def _verified_assertion(
    looked: Looked, inside: _Element, response: VerifiedBytes | None, connection: SamlConnection
) -> VerifiedBytes | None:
    """The bytes of the assertion that a pinned key has signed, or whose Response it has; None when there are none.

    Every signature that is there must hold, also one that would not be needed.
    """
    step, signed = "signature", "of the Response"
    try:
        if inside.tag == _ENCRYPTED:
            if response is None:
                raise SamlRefused("saml_encrypted_unsigned", "a signature of the Response", "none")
            looked.at(step, True, reason="", expected="a signature", received=signed)
            step = "decryption"
            assertion = response.opened(_ENCRYPTED, connection.keys)
            looked.at(step, True, reason="", expected="encrypted for us", received="encrypted for us")
            step = "assertion"
            inner = assertion.root()
            _check_places(inner, inner)
            if inner.find(SIGNATURE) is not None:
                step = "assertion_signature"
                assertion = verify(inner, connection.certificates)
                looked.at(step, True, reason="", expected="a signature that holds", received="of the Assertion")
            return assertion
        if inside.find(SIGNATURE) is not None:
            signed = "of the Assertion" if response is None else "of both"
            assertion = verify(inside, connection.certificates)
        elif response is not None:
            assertion = response.child(ASSERTION)
        else:
            raise SamlRefused("saml_unsigned", "a signature of the Response or the Assertion", "none")
        looked.at(step, True, reason="", expected="a signature", received=signed)
        return assertion
    except SamlRefused as refused:
        looked.refused(step, refused)
        return None


# --- what it says ------------------------------------------------------------------------------------------------------------


def _read_status(root: _Element) -> tuple[tuple[str, ...], str]:
    """The status codes (core section 3.2.2.2), and what the identity provider says about them."""
    parts = children(root.findall(_STATUS)[0], (_CODE, 1, 1), (_MESSAGE, 0, 1), (_DETAIL, 0, 1))
    codes: list[str] = []
    code: _Element | None = parts[_CODE][0]
    while code is not None:
        codes.append(code.get("Value", "").removeprefix(_CODES))
        inner = children(code, (_CODE, 0, 1))[_CODE]
        code = inner[0] if inner else None
    return tuple(codes), text_of(parts[_MESSAGE][0]) if parts[_MESSAGE] else ""


def _check_status(looked: Looked, status: tuple[str, ...], message: str, inside: _Element | None) -> None:
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


def _check_request(
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


def _check_parties(looked: Looked, envelope: _Element, read: ReadAssertion, connection: SamlConnection) -> None:
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


def _check_times(
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


def _check_authentication(looked: Looked, assertion: Assertion, request: SentRequest | None, now: float) -> None:
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

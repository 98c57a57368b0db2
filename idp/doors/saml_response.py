"""What a company's identity provider answered: every check of a SAML Response, with what was expected and what came.

In this order: the document is plain; it is a Response in the structure that SAML prescribes; a pinned key has signed it or its
assertion; and then everything that the verified bytes say is measured by our connection and our request (SAML profiles section
4.1.4). All those checks are made, also after one has failed, so that a dry run shows everything at once.

What is not signed of a message (the envelope of a signed assertion) can only make us refuse it; nothing is believed of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp.doors.saml_assertion import ASSERTION, Assertion, read_assertion
from idp.doors.saml_checks import (
    Check,
    Looked,
    SentRequest,
    check_authentication,
    check_parties,
    check_request,
    check_status,
    check_times,
    read_status,
)
from idp.doors.saml_document import DS, SAML, SAMLP, XENC, SamlRefused, children, decode, local, parse
from idp.doors.saml_signature import SIGNATURE, VerifiedBytes, verify

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp.connections import SamlConnection

_RESPONSE = f"{{{SAMLP}}}Response"
_ENCRYPTED = f"{{{SAML}}}EncryptedAssertion"
_ISSUER = f"{{{SAML}}}Issuer"
_STATUS, _CODE = f"{{{SAMLP}}}Status", f"{{{SAMLP}}}StatusCode"


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
        status, message = read_status(root)
        looked.at(step, True, reason="", expected="as SAML prescribes", received="as SAML prescribes")
        step = "signature"
        response = verify(root, connection.certificates) if root.find(SIGNATURE) is not None else None
        envelope = root if response is None else response.root()
        if inside is None:
            if response is not None:
                looked.at(step, True, reason="", expected="a signature", received="of the Response")
            check_status(looked, status, message, inside)
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
    check_status(looked, status, message, inside)
    request = check_request(looked, envelope, read.assertion, connection, request_of)
    check_parties(looked, envelope, read, connection)
    check_times(looked, envelope, read, request, now)
    check_authentication(looked, read.assertion, request, now)
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

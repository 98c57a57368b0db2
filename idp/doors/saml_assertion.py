"""What a verified assertion says: read from verified bytes, and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from idp.doors.saml_document import DS, SAML, SamlRefused, children, local, text_of
from idp.doors.saml_signature import VerifiedBytes

if TYPE_CHECKING:
    from lxml.etree import _Element

LONGEST_SESSION_INDEX = 512  # characters: it is kept with each session, and read with it
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

# SAML core section 1.3.3: UTC; the fraction of a second is not looked at.
_INSTANT = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,12})?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def _saml(name: str) -> str:
    return f"{{{SAML}}}{name}"


ASSERTION = _saml("Assertion")


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


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A SubjectConfirmation (core section 2.4.1.1); what it does not say is None."""

    method: str
    recipient: str | None
    in_response_to: str | None
    not_before: int | None
    not_on_or_after: int | None


@dataclass(frozen=True, slots=True)
class ReadAssertion:
    """An assertion with what it says about itself, still to be checked.

    :ivar qualifiers: NameQualifier and SPNameQualifier of the NameID.
    :ivar not_before: of the Conditions, like ``not_on_or_after``.
    :ivar audiences: those of each AudienceRestriction.
    :ivar unknown_conditions: names of conditions that we cannot judge.
    """

    assertion: Assertion
    version: str
    issue_instant: int
    qualifiers: tuple[str | None, str | None]
    confirmations: tuple[Confirmation, ...]
    not_before: int | None
    not_on_or_after: int | None
    audiences: tuple[tuple[str, ...], ...]
    unknown_conditions: tuple[str, ...]


def read_assertion(verified: VerifiedBytes) -> ReadAssertion:
    """Read an assertion in the structure that the schema of SAML 2.0 prescribes, each part exactly where it belongs.

    :raises SamlRefused: saml_structure_wrong, saml_too_large.
    """
    root = verified.root()
    if root.tag != ASSERTION:
        raise SamlRefused("saml_structure_wrong", "an Assertion", local(root.tag))
    parts = children(
        root,
        (_saml("Issuer"), 1, 1),
        (f"{{{DS}}}Signature", 0, 1),  # its own, where its Response was signed too
        (_saml("Subject"), 1, 1),
        (_saml("Conditions"), 0, 1),
        *_in_the_order_of(root, (_saml("AuthnStatement"), 1, 1), (_saml("AttributeStatement"), 0, 1)),
    )
    name_id, confirmations = _read_subject(parts[_saml("Subject")][0])
    not_before, until, audiences, unknown = _read_conditions(parts[_saml("Conditions")])
    statement = parts[_saml("AuthnStatement")][0]
    ends = [until, *(one.not_on_or_after for one in confirmations)]
    issued = _time(root, "IssueInstant")
    if issued is None or not root.get("ID"):
        raise SamlRefused("saml_structure_wrong", "an Assertion with ID and IssueInstant", "one without")
    assertion = Assertion(
        issuer=text_of(parts[_saml("Issuer")][0]),
        id=root.get("ID", ""),
        name_id="" if name_id is None else text_of(name_id),
        name_id_format=UNSPECIFIED if name_id is None else name_id.get("Format", UNSPECIFIED),
        session_index=_read_session_index(statement),
        attributes=_read_attributes(parts[_saml("AttributeStatement")]),
        authn_instant=_required_time(statement, "AuthnInstant"),
        context=_read_context(statement),
        not_on_or_after=min((end for end in ends if end is not None), default=issued),
        session_not_on_or_after=_time(statement, "SessionNotOnOrAfter"),
        in_response_to=confirmations[0].in_response_to if confirmations else None,
    )
    return ReadAssertion(
        assertion=assertion,
        version=root.get("Version", ""),
        issue_instant=issued,
        qualifiers=(None, None) if name_id is None else (name_id.get("NameQualifier"), name_id.get("SPNameQualifier")),
        confirmations=confirmations,
        not_before=not_before,
        not_on_or_after=until,
        audiences=audiences,
        unknown_conditions=unknown,
    )


def _in_the_order_of(root: _Element, *statements: tuple[str, int, int]) -> list[tuple[str, int, int]]:
    """Statements as they stand: the schema leaves their order free, and products differ."""
    order = [str(child.tag) for child in root]
    return sorted(statements, key=lambda one: order.index(one[0]) if one[0] in order else 0)


def _read_subject(subject: _Element) -> tuple[_Element | None, tuple[Confirmation, ...]]:
    parts = children(subject, (_saml("NameID"), 0, 1), (_saml("SubjectConfirmation"), 0, 10))
    confirmations = []
    for confirmation in parts[_saml("SubjectConfirmation")]:
        inner = children(confirmation, (_saml("NameID"), 0, 1), (_saml("SubjectConfirmationData"), 0, 1))
        data = inner[_saml("SubjectConfirmationData")]
        confirmations.append(
            Confirmation(
                method=confirmation.get("Method", ""),
                recipient=data[0].get("Recipient") if data else None,
                in_response_to=data[0].get("InResponseTo") if data else None,
                not_before=_time(data[0], "NotBefore") if data else None,
                not_on_or_after=_time(data[0], "NotOnOrAfter") if data else None,
            )
        )
    name_ids = parts[_saml("NameID")]
    return name_ids[0] if name_ids else None, tuple(confirmations)


def _read_conditions(
    found: list[_Element],
) -> tuple[int | None, int | None, tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Core section 2.5.1. OneTimeUse holds anyway, ProxyRestriction binds other identity providers only."""
    audiences: list[tuple[str, ...]] = []
    unknown: list[str] = []
    for condition in found[0] if found else ():
        if condition.tag == _saml("AudienceRestriction"):
            several = children(condition, (_saml("Audience"), 1, 100))[_saml("Audience")]
            audiences.append(tuple(text_of(one) for one in several))
        elif condition.tag not in (_saml("OneTimeUse"), _saml("ProxyRestriction")):
            unknown.append(local(condition.tag))
    not_before = _time(found[0], "NotBefore") if found else None
    until = _time(found[0], "NotOnOrAfter") if found else None
    return not_before, until, tuple(audiences), tuple(unknown)


def _read_session_index(statement: _Element) -> str | None:
    found = statement.get("SessionIndex")
    if found is not None and len(found) > LONGEST_SESSION_INDEX:
        raise SamlRefused(
            "saml_too_large", f"SessionIndex of at most {LONGEST_SESSION_INDEX} characters", str(len(found))
        )
    return found


def _read_context(statement: _Element) -> str | None:
    """The AuthnContextClassRef (core section 2.7.2.2)."""
    parts = children(statement, (_saml("SubjectLocality"), 0, 1), (_saml("AuthnContext"), 1, 1))
    for part in parts[_saml("AuthnContext")][0]:
        if part.tag == _saml("AuthnContextClassRef"):
            return text_of(part)
    return None


def _read_attributes(statements: list[_Element]) -> Mapping[str, tuple[str, ...]]:
    """Values that are text, by the exact name of their attribute; the same name in several places: all their values."""
    found: dict[str, list[str]] = {}
    for statement in statements:
        for attribute in children(statement, (_saml("Attribute"), 0, 1000))[_saml("Attribute")]:
            values = children(attribute, (_saml("AttributeValue"), 0, 5000))[_saml("AttributeValue")]
            # A value with elements in it (eduPersonTargetedID) is none that we read.
            found.setdefault(attribute.get("Name", ""), []).extend(one.text or "" for one in values if not len(one))
    return MappingProxyType({name: tuple(values) for name, values in found.items()})


def _required_time(element: _Element, name: str) -> int:
    found = _time(element, name)
    if found is None:
        raise SamlRefused("saml_structure_wrong", f"{local(element.tag)} with {name}", "one without")
    return found


def _time(element: _Element, name: str) -> int | None:
    """The time in an attribute, in seconds since 1970; None when there is no such attribute.

    :raises SamlRefused: it is not a time.
    """
    text = element.get(name)
    if text is None:
        return None
    return read_instant(text, name)


def read_instant(text: str, name: str) -> int:
    """An xs:dateTime as SAML writes it (core section 1.3.3), in seconds since 1970.

    :param name: of the attribute, to explain with.
    :raises SamlRefused: it is not one.
    """
    found = _INSTANT.fullmatch(text)
    try:
        if found is None:
            raise ValueError("not an instant")
        at = datetime(*(int(found[number]) for number in range(1, 7)), tzinfo=UTC)  # type: ignore[misc,arg-type] # six numbers
        offset = timedelta(hours=int(found[8] or 0), minutes=int(found[9] or 0))
        return int((at + offset if found[7] == "-" else at - offset).timestamp())
    except (ValueError, OverflowError):
        raise SamlRefused("saml_structure_wrong", f"a time in UTC as {name}", text) from None

"""Logout messages of companies' identity providers, read from verified bytes (SAML 2.0 core 3.7, profiles 4.4).

A message counts only if a pinned key of this very connection has signed it, and it is meant for us, and now (finding S-13,
attacks SA-29 and SA-30). Whether it was seen before, and what it is the answer to, is the page's to know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from idp.doors.saml_assertion import read_instant
from idp.doors.saml_checks import Check
from idp.doors.saml_document import DS, SAML, SAMLP, SamlRefused, children, local, shown, text_of
from idp.doors.saml_signature import VerifiedBytes, verify_enveloped, verify_query

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp.connections import SamlConnection

LIFETIME = 5 * 60  # seconds after which a message is too old, whatever it says of itself
SKEW = 60  # seconds that a clock may differ from ours
MOST_SESSIONS = 100  # named by one request
MOST_RELAY_STATE = 1024  # characters; the bindings allow 80 bytes, and not everybody keeps to it

_ID = re.compile(r"[A-Za-z_][\w.-]{0,255}", re.ASCII)
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
_HEAD = ((f"{{{SAML}}}Issuer", 1, 1), (f"{{{DS}}}Signature", 0, 1), (f"{{{SAMLP}}}Extensions", 0, 1))


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """That sessions are to end, as a company's identity provider says.

    :ivar name_id_format: None where it leaves it open.
    :ivar session_indexes: empty: all sessions of the NameID.
    :ivar until: when the message stops counting, seconds since 1970: so long it must be remembered.
    """

    id: str
    name_id: str = field(repr=False)
    name_id_format: str | None
    session_indexes: tuple[str, ...]
    until: int
    relay_state: str | None


@dataclass(frozen=True, slots=True)
class LogoutResponse:
    """The answer to a logout request of ours. ``success``: all sessions there have ended."""

    id: str
    in_response_to: str
    success: bool


def read_logout(
    method: str, query: str, form: Sequence[tuple[str, str]], connection: SamlConnection, now: float
) -> LogoutRequest | LogoutResponse | Check:
    """Read what came to a connection's sign-out address; a Check says what is wrong with it.

    :param method: GET (the Redirect binding) or POST.
    :param query: the raw query string.
    :param form: the fields of the form, each as often as it came.
    """
    names = {"SAMLRequest", "SAMLResponse"}
    try:
        sent = [one for one, _ in form] if method == "POST" else [part.partition("=")[0] for part in query.split("&")]
        messages = [one for one in sent if one in names]
        if len(messages) != 1:
            raise SamlRefused("saml_structure_wrong", "one SAMLRequest or SAMLResponse", f"{len(messages)}")
        name = messages[0]
        if method == "POST":
            verified = verify_enveloped(dict(form)[name], connection.certificates)
            relay_state = dict(form).get("RelayState")
        else:
            verified = verify_query(query, name, connection.certificates)
            relay_state = _relay_state(query)
        if relay_state is not None and len(relay_state) > MOST_RELAY_STATE:
            raise SamlRefused("saml_too_large", f"RelayState of at most {MOST_RELAY_STATE} characters", "more")
        return _read(verified, name, relay_state, connection, now)
    except SamlRefused as refused:
        return Check("logout", False, refused.expected, refused.received, refused.reason)


def _relay_state(query: str) -> str | None:
    found = re.search(r"(?:^|&)RelayState=([^&]*)", query)
    return unquote_plus(found[1]) if found else None


def _read(
    verified: VerifiedBytes, name: str, relay_state: str | None, connection: SamlConnection, now: float
) -> LogoutRequest | LogoutResponse:
    root = verified.root()
    expected = "LogoutRequest" if name == "SAMLRequest" else "LogoutResponse"
    if root.tag != f"{{{SAMLP}}}{expected}":
        raise SamlRefused("saml_structure_wrong", f"a {expected}", local(root.tag))
    parts = children(root, *_HEAD, *(_REQUEST if name == "SAMLRequest" else _RESPONSE))
    until = _check_head(root, text_of(parts[f"{{{SAML}}}Issuer"][0]), connection, now)
    if name == "SAMLResponse":
        status = parts[f"{{{SAMLP}}}Status"][0]
        return LogoutResponse(root.get("ID", ""), root.get("InResponseTo", ""), _is_success(status))
    if parts[f"{{{SAML}}}EncryptedID"]:
        raise SamlRefused("saml_logout_encrypted", "a NameID", "an EncryptedID")
    if not parts[f"{{{SAML}}}NameID"]:
        raise SamlRefused("saml_structure_wrong", "a NameID", "none")
    name_id = parts[f"{{{SAML}}}NameID"][0]
    ends = root.get("NotOnOrAfter")
    if ends is not None:
        until = min(until, read_instant(ends, "NotOnOrAfter") + SKEW)
        if now >= until:
            raise SamlRefused("saml_logout_time", f"now ({int(now)})", f"NotOnOrAfter {ends}")
    format = name_id.get("Format", _UNSPECIFIED)
    return LogoutRequest(
        id=root.get("ID", ""),
        name_id=text_of(name_id),
        name_id_format=None if format == _UNSPECIFIED else format,
        session_indexes=tuple(text_of(one) for one in parts[f"{{{SAMLP}}}SessionIndex"]),
        until=until,
        relay_state=relay_state,
    )


_REQUEST = (
    (f"{{{SAML}}}NameID", 0, 1),
    (f"{{{SAML}}}EncryptedID", 0, 1),
    (f"{{{SAMLP}}}SessionIndex", 0, MOST_SESSIONS),
)
_RESPONSE = ((f"{{{SAMLP}}}Status", 1, 1),)


def _check_head(root: _Element, issuer: str, connection: SamlConnection, now: float) -> int:
    """Check what every message begins with (core 3.2.1, 3.2.2); return until when it counts."""
    if root.get("Version") != "2.0" or not _ID.fullmatch(root.get("ID", "")):
        raise SamlRefused("saml_structure_wrong", "Version 2.0 and an ID", root.get("Version", "no version"))
    if issuer != connection.idp_entity_id:
        raise SamlRefused("saml_logout_issuer", connection.idp_entity_id, issuer)
    # A message that is signed must say where it goes (bindings 3.4.5.2 and 3.5.5.2).
    if root.get("Destination") != connection.slo:
        raise SamlRefused("saml_logout_destination", connection.slo, root.get("Destination", "none"))
    instant = root.get("IssueInstant", "none")
    issued = read_instant(instant, "IssueInstant")
    if not issued - SKEW <= now < issued + LIFETIME + SKEW:
        raise SamlRefused("saml_logout_time", f"now ({int(now)})", f"IssueInstant {shown(instant)}")
    return issued + LIFETIME + SKEW


def _is_success(status: _Element) -> bool:
    """Whether it is Success alone: with PartialLogout below it, sessions go on elsewhere (core 3.7.3.2)."""
    codes = status.findall(f"{{{SAMLP}}}StatusCode")
    return len(codes) == 1 and codes[0].get("Value") == _SUCCESS and len(codes[0]) == 0

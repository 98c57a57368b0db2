"""An identity provider of a company, as its metadata, a file or a form describes it: checked alike, whoever describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from idp.certificates import MOST_CERTIFICATES, CertificateRefused, check_key, ends, read_certificates
from idp.errors import IdpError
from idp.logs import printable
from idp.uris import BadUri, check_uri, is_loopback

NAME_ID_EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
NAME_ID_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
NAME_ID_UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
NAME_ID_FORMATS = (NAME_ID_EMAIL, NAME_ID_PERSISTENT, NAME_ID_UNSPECIFIED)
BINDINGS = ("redirect", "post")
HINTS = ("subject", "login_hint", "username", "none")
ATTRIBUTES = ("email", "name", "given_name", "family_name")

LONGEST_ENTITY_ID = 1024  # characters (SAML 2.0 core, 8.3.6)
LONGEST_NAME = 120
LONGEST_ATTRIBUTE = 256
MOST_CONTEXTS = 20

_VENDOR = re.compile(r"[a-z][a-z0-9_-]{0,23}\Z")
_QUOTES = re.compile(r"[\"'<>`\\]")
# Names that mean nothing outside of one house (RFC 6761, 6762, 7686, 8375 and ICANN's .internal).
_INNER = {"local", "localhost", "internal", "intranet", "lan", "home", "corp", "invalid", "onion", "arpa"}


class ConnectionRefused(IdpError):
    """What somebody wanted of a connection cannot be. Nothing was changed.

    ``reason`` is a code of the reasons table (``connection_…``), ``detail`` says in English what exactly was found.
    """

    status = 409


@dataclass(frozen=True, slots=True)
class Description:
    """An identity provider as its metadata or a form describes it.

    :ivar sso_binding: ``redirect`` or ``post``, like ``slo_binding``.
    :ivar slo_response_url: where answers to its logout requests go, if that is another address.
    :ivar name_id_formats: what it says it can send; likewise ``attribute_names``.
    """

    entity_id: str
    sso_url: str
    sso_binding: str
    slo_url: str | None
    slo_binding: str | None
    slo_response_url: str | None
    certificates: tuple[x509.Certificate, ...]
    name_id_formats: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = ()


def check_description(description: Description, *, loopback: bool, now: float) -> None:
    """Check an identity provider, the same for metadata, a file and a form (SA-32).

    :param loopback: whether our own issuer is on loopback, which alone permits http and addresses of this machine.
    :param now: seconds since 1970; certificates must not all have ended.
    :raises ConnectionRefused: with what is wrong.
    """
    entity_id = description.entity_id
    if (
        not 0 < len(entity_id) <= LONGEST_ENTITY_ID
        or not entity_id.isprintable()
        or _QUOTES.search(entity_id)
        or any(letter.isspace() for letter in entity_id)
    ):
        raise ConnectionRefused("connection_entity_id_wrong", detail=f"{len(entity_id)} characters")
    check_address("sign-on address", description.sso_url, loopback=loopback)
    for name, address in (
        ("sign-out address", description.slo_url),
        ("address for answers to sign-outs", description.slo_response_url),
    ):
        if address is not None:
            check_address(name, address, loopback=loopback)
    if description.sso_binding not in BINDINGS or (
        description.slo_url is not None and description.slo_binding not in BINDINGS
    ):
        raise ConnectionRefused("connection_field_wrong", detail="binding: redirect or post")
    check_certificates(description.certificates, now)


def check_certificates(certificates: Sequence[x509.Certificate], now: float) -> None:
    """Check all certificates of an identity provider together.

    :raises ConnectionRefused: none, too many, one of them too weak, or all have ended.
    """
    if not certificates:
        raise ConnectionRefused("connection_certificate_missing")
    if len(certificates) > MOST_CERTIFICATES:
        raise ConnectionRefused("connection_certificate_other", detail=f"more than {MOST_CERTIFICATES} certificates")
    for certificate in certificates:
        try:
            check_key(certificate)
        except CertificateRefused as refused:
            raise ConnectionRefused(refused.reason, detail=refused.detail) from None
    if all(ends(certificate) <= now for certificate in certificates):
        last = max(certificate.not_valid_after_utc for certificate in certificates)
        raise ConnectionRefused("connection_certificate_ended", detail=f"ended on {last:%Y-%m-%d}")


def check_address(name: str, address: str, *, loopback: bool) -> None:
    """Check an address to which browsers are sent: https on a public DNS name, no characters that end an attribute.

    It is kept as it was written, because identity providers compare it letter by letter; it may have a query.

    :param name: what it is, for the detail.
    :raises ConnectionRefused: ``connection_address_wrong``.
    """
    try:
        if _QUOTES.search(address):
            raise BadUri("holds a quote, an angle bracket or a backslash", "")
        scheme, colon, rest = address.partition("://")
        authority = re.match("[^/?#]*", rest)
        host = authority[0] if authority else ""
        normal = f"{scheme.lower()}{colon}{re.sub(':443$', '', host.lower())}{rest[len(host) :]}"
        check_uri(normal, loopback=loopback)
        name_of_host = urlsplit(normal).hostname or ""
        labels = name_of_host.split(".")
        if not is_loopback(name_of_host) and (len(labels) < 2 or labels[-1] in _INNER):
            raise BadUri("is on a host that only one house knows", "")
    except BadUri as bad:
        raise ConnectionRefused("connection_address_wrong", detail=f"{name}: {bad.message}") from None


def description_from_form(
    *,
    entity_id: str,
    sso_url: str,
    sso_binding: str,
    slo_url: str,
    certificate: str | bytes,
    name_id_format: str,
    email_attribute: str,
    loopback: bool,
    now: float,
) -> Description:
    """An identity provider as the six fields of a form describe it. Sign-outs go by the binding of sign-ons.

    :param slo_url: empty: it has none. ``email_attribute``: empty: the NameID is the address.
    :raises ConnectionRefused: like ``check_description``.
    """
    try:
        certificates = read_certificates(certificate)
    except CertificateRefused as refused:
        raise ConnectionRefused(refused.reason, detail=refused.detail) from None
    check_settings(
        name_id_format=name_id_format, attributes={"email": email_attribute.strip()} if email_attribute.strip() else {}
    )
    description = Description(
        entity_id=entity_id.strip(),
        sso_url=sso_url.strip(),
        sso_binding=sso_binding,
        slo_url=slo_url.strip() or None,
        slo_binding=sso_binding if slo_url.strip() else None,
        slo_response_url=None,
        certificates=certificates,
        name_id_formats=(name_id_format,),
        attribute_names=(email_attribute.strip(),) if email_attribute.strip() else (),
    )
    check_description(description, loopback=loopback, now=now)
    return description


def preferred_format(offered: Iterable[str]) -> str:
    """The NameID format to ask for, of those that an identity provider offers."""
    known = [name for name in NAME_ID_FORMATS if name in offered]
    return known[0] if known else NAME_ID_UNSPECIFIED


def check_settings(**settings: Any) -> None:
    """Check what is set beside the description: the columns of a connection by their names.

    :raises ConnectionRefused: ``connection_field_wrong``, ``connection_name_id_format_wrong``.
    """
    for name, value in settings.items():
        if name == "name_id_format":
            if value not in NAME_ID_FORMATS:
                raise ConnectionRefused("connection_name_id_format_wrong", detail=printable(str(value)))
        elif not _FIELDS[name](value):
            raise ConnectionRefused("connection_field_wrong", detail=name)


def _plain(value: object, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable() and value.strip() == value


def _are_attributes(value: object) -> bool:
    return isinstance(value, dict) and all(
        name in ATTRIBUTES and _plain(one, LONGEST_ATTRIBUTE) for name, one in value.items()
    )


def _are_contexts(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= MOST_CONTEXTS and all(map(_is_context, value, value.values()))


def _is_context(name: object, meant: object) -> bool:
    if not isinstance(meant, dict) or not set(meant) <= {"acr", "amr"}:
        return False
    amr = meant.get("amr", [])
    return (
        _plain(name, LONGEST_ATTRIBUTE)
        and _plain(meant.get("acr", "-"), 64)
        and isinstance(amr, list)
        and len(amr) <= MOST_CONTEXTS
        and all(_plain(method, 16) for method in amr)
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: _plain(value, LONGEST_NAME),
    "vendor": lambda value: isinstance(value, str) and bool(_VENDOR.match(value)),
    "attributes": _are_attributes,
    "contexts": _are_contexts,
    "hint": lambda value: value in HINTS,
    "metadata_url": lambda value: value is None or isinstance(value, str),
}

"""Whom an assertion of a company is about: the only place that builds an Identity for the company's door.

The login key is (connection and identity provider, format and NameID): the same NameID from another company is another person
(attack SA-11). The e-mail address counts as proved only because its domain is one that this very company has proved (S-04).
"""

from __future__ import annotations

from collections.abc import Callable

from idp.accounts.identity import ONE_FACTOR, Address, Identity, read_address
from idp.connections import NAME_ID_EMAIL, NAME_ID_UNSPECIFIED, SamlConnection
from idp.doors.saml_assertion import Assertion
from idp.doors.saml_checks import Check, Looked
from idp.masking import mask_email

LONGEST_NAME_ID = 256  # SAML core section 8.3.7
LONGEST_FORMAT = 200  # characters; those that SAML names have at most 64
LONGEST_NAME = 200

_TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
# Microsoft gives every tenant a domain of its own for User Principal Names, to which no mail goes.
_UPN_DOMAIN = ".onmicrosoft.com"


def identify(
    assertion: Assertion, connection: SamlConnection, owns_domain: Callable[[str], bool], now: float
) -> tuple[Identity | None, tuple[Check, ...]]:
    """The person, or None; and every check that was made, of which the first that does not hold is the reason.

    :param owns_domain: whether this connection's company has proved a domain (in ASCII, lower case).
    """
    looked = Looked()
    _check_name_id(looked, assertion, connection)
    address = _find_address(looked, assertion, connection, owns_domain)
    subject = assertion.name_id
    if assertion.name_id_format == NAME_ID_EMAIL:
        named = _as_address(assertion.name_id)
        _check_domain(looked, "name_id_domain", named, assertion, owns_domain)
        # An address has one spelling here: products change its capitals from one sign-in to the next.
        subject = named.canonical if named is not None else subject
    if address is None or not looked.all_held:
        return None, tuple(looked.checks)
    proved = connection.contexts.get(assertion.context or "", {})
    return (
        Identity(
            door="company",
            issuer=f"company:{connection.id}:{assertion.issuer}",
            subject=f"{assertion.name_id_format}:{subject}",
            email=address.canonical,
            email_verified=True,
            name=_find_name(assertion, connection),
            methods=tuple(proved.get("amr", ())),
            at=min(assertion.authn_instant, int(now)),
            acr=proved.get("acr", ONE_FACTOR),
        ),
        tuple(looked.checks),
    )


def _check_name_id(looked: Looked, assertion: Assertion, connection: SamlConnection) -> None:
    """A NameID that lasts (core section 8.3), in the format that was agreed; ``unspecified`` leaves it to the company."""
    name_id, given = assertion.name_id, assertion.name_id_format
    fits = 0 < len(name_id) <= LONGEST_NAME_ID and name_id.isprintable() and name_id == name_id.strip()
    looked.at(
        "name_id",
        fits,
        reason="company_name_id_malformed" if name_id else "saml_name_id_missing",
        expected=f"1 to {LONGEST_NAME_ID} printable characters",
        received="that" if fits else f"{len(name_id)} characters" if name_id else "none",
    )
    agreed = connection.name_id_format
    looked.at(
        "name_id_format",
        given != _TRANSIENT
        and agreed in (given, NAME_ID_UNSPECIFIED)
        and given.isprintable()
        and 0 < len(given) <= LONGEST_FORMAT,
        reason="company_name_id_transient" if given == _TRANSIENT else "company_name_id_format_wrong",
        expected="any that lasts" if agreed == NAME_ID_UNSPECIFIED else agreed,
        received=given,
    )


def _find_address(
    looked: Looked, assertion: Assertion, connection: SamlConnection, owns_domain: Callable[[str], bool]
) -> Address | None:
    """The person's e-mail address: in the attribute that the connection names, exactly once (S-23), or the NameID."""
    attribute = connection.attributes.get("email")
    if attribute is None:
        values: tuple[str, ...] = (assertion.name_id,) if assertion.name_id else ()
        expected = "an e-mail address as NameID"
    else:
        values = assertion.attributes.get(attribute, ())
        expected = f"one e-mail address in the attribute {attribute}"
    address = _as_address(values[0]) if len(values) == 1 else None
    if len(values) > 1:
        received = f"{len(values)} values"
    elif values:
        received = mask_email(values[0]) if address is not None else "something that is no address"
    else:
        names = ", ".join(assertion.attributes)
        received = f"none; the attributes are: {names}" if names else "none; there are no attributes"
    reason = "company_email_malformed" if len(values) == 1 else "company_email_several"
    if not values:
        reason = "company_email_missing"
    elif address is None and len(values) == 1 and (elsewhere := _other_address(assertion, owns_domain)):
        reason = "company_email_upn"  # a user name is where the address should be, and the address is elsewhere
        expected += f", as in the attribute {elsewhere}"
    looked.at("email", address is not None, reason=reason, expected=expected, received=received)
    if address is not None:
        _check_domain(looked, "email_domain", address, assertion, owns_domain)
    return address


def _check_domain(
    looked: Looked,
    name: str,
    address: Address | None,
    assertion: Assertion,
    owns_domain: Callable[[str], bool],
) -> None:
    """An address of a domain that the company has proved; with the explanation when it is a User Principal Name."""
    owned = address is not None and owns_domain(address.domain)
    expected, reason = "an address of a domain that the company has proved", "company_domain_foreign"
    if not owned:
        elsewhere = _other_address(assertion, owns_domain)
        if elsewhere or (address is not None and address.domain.endswith(_UPN_DOMAIN)):
            reason = "company_email_upn"
        if elsewhere:
            expected += f", as in the attribute {elsewhere}"
    received = "no address" if address is None else mask_email(address.canonical)
    looked.at(name, owned, reason=reason, expected=expected, received=received)


def _other_address(assertion: Assertion, owns_domain: Callable[[str], bool]) -> str:
    """The first attribute that holds what we look for, to explain with; empty when none does. Twenty are looked at."""
    for name, values in list(assertion.attributes.items())[:20]:
        address = _as_address(values[0]) if len(values) == 1 else None
        if address is not None and owns_domain(address.domain):
            return name
    return ""


def _find_name(assertion: Assertion, connection: SamlConnection) -> str | None:
    """How the person is called, when the company says it in a way that can be shown."""

    def value(meaning: str) -> str:
        values = assertion.attributes.get(connection.attributes.get(meaning, ""), ())
        return " ".join(values[0].split()) if len(values) == 1 else ""

    name = value("name") or " ".join(part for part in (value("given_name"), value("family_name")) if part)
    return name if name and name.isprintable() and len(name) <= LONGEST_NAME else None


def _as_address(text: str) -> Address | None:
    try:
        return read_address(text)
    except ValueError:
        return None

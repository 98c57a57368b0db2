"""Who arrives at a door, and the one spelling of an e-mail address by which people are found."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass

# RFC 5321 section 4.5.3.1: 64 for the local part, 255 for the domain, the @. Longer input is refused before it is parsed.
LONGEST_ADDRESS = 320
LONGEST_LOCAL = 64

# Authentication Context Class References (OpenID Connect Core 2). The value says how many independent kinds of proof were
# given: "1" is one (the password, amr "pwd"), "2" is two: a passkey, a second factor beside another door, or what a company
# says of its own sign-in.
ONE_FACTOR = "1"
TWO_FACTORS = "2"

OWN_DOORS = ("password", "passkey", "company")  # all others are social providers, by their keys


@dataclass(frozen=True, slots=True)
class Identity:
    """What a door has proved. The login key is (issuer, subject), never the e-mail address.

    ``methods`` are the ``amr`` values (RFC 8176) that were proved, ``acr`` is the strength that they make together; ``at`` is
    when, in seconds since 1970; ``undated``: nobody knows when, because a provider that was not to ask the person anew gave its
    word without a time, and ``at`` is when it did. ``passkey`` is the credential id of the one that was shown at its door.
    """

    door: str
    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    methods: tuple[str, ...]
    at: int
    acr: str = ONE_FACTOR
    undated: bool = False
    passkey: str = ""

    @property
    def is_social(self) -> bool:
        """Whether a social provider sends them: then ``door`` is the provider's key."""
        return self.door not in OWN_DOORS

    @property
    def way(self) -> str:
        """What a session remembers of how it was opened, so that it ends with that way: the door, and which passkey."""
        return passkey_way(self.passkey) if self.passkey else self.door


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address: as the person writes it, and ``canonical``, which is unique over everybody."""

    written: str
    canonical: str

    @property
    def domain(self) -> str:
        """The domain in its ASCII form, lower case."""
        return self.canonical.rpartition("@")[2]


def read_address(text: str) -> Address:
    """Read a bare e-mail address strictly (RFC 5321 and 6531; no display name, quotes, comments or IP literals).

    The canonical form is NFC, lower case, the domain in its ASCII form (IDNA 2008), without the dot that says that it is
    complete. A tag after "+" and dots count: they
    may be another mailbox.

    :raises ValueError: it is not an address.
    """
    text = text.strip(" \t\r\n").removesuffix(".")
    if len(text) > LONGEST_ADDRESS:
        raise ValueError("longer than any e-mail address")
    from email_validator import EmailNotValidError, validate_email  # late: not every command reads an address

    try:
        read = validate_email(text, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
    if not read.ascii_domain:
        raise ValueError("the domain has no ASCII form")
    local = unicodedata.normalize("NFC", read.local_part.lower())
    if len(local) > LONGEST_LOCAL:  # a capital may be two characters in lower case
        raise ValueError("the part before the @ is too long")
    return Address(read.normalized, f"{local}@{read.ascii_domain.lower()}")


def canonical_email(address: str) -> str:
    """The one spelling under which an address is stored, compared and throttled.

    :raises ValueError: it is not an address.
    """
    return read_address(address).canonical


def passkey_mark(credential_id: str) -> str:
    """What names a passkey in sessions and forms; it says nothing about it."""
    # No number of a row: one that is given out again would stand for another passkey on a page that has stood open.
    return hashlib.sha256(credential_id.encode()).hexdigest()[:32]


def passkey_way(credential_id: str) -> str:
    """What a session remembers that was opened by a passkey."""
    return f"passkey:{passkey_mark(credential_id)}"

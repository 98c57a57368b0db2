"""The standard claims (OpenID Connect Core 5.1) that we keep of a person: their types, and what may be in them.

Values are checked when they are written, by whomever, so that reading needs no second look. Names that carry the
security of a token (``sub``, ``aud``, ``acr`` …) are no claims of a person and are refused by name.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

LONGEST_TEXT = 255
LONGEST_URL = 2048
LONGEST_ADDRESS_PART = 1024

TEXTS = ("name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "gender")
URLS = ("profile", "picture", "website")
BOOLEANS = ("email_verified", "phone_number_verified")
ADDRESS_PARTS = ("formatted", "street_address", "locality", "region", "postal_code", "country")
NAMES = (*TEXTS, *URLS, "birthdate", "zoneinfo", "locale", "email", "phone_number", *BOOLEANS, "address")

# What tokens say by themselves; a person's attribute of this name would change their meaning (P-07, P-08, TK-22, RS-14).
RESERVED = frozenset(
    [
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "acr",
        "amr",
        "auth_time",
        "azp",
        "nonce",
        "at_hash",
        "c_hash",
        "s_hash",
        "sid",
        "events",
        "cnf",
        "client_id",
        "scope",
        "typ",
        "_claim_names",
        "_claim_sources",
        "updated_at",
    ]
)

# Characters that change how the text around them is read: overrides and isolates of direction.
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LANGUAGE_TAG = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}")
_PHONE = re.compile(r"\+[1-9][0-9]{4,14}(;ext=[0-9]{1,10})?")
_BIRTHDATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})-([0-9]{2}))?")


class WrongClaim(ValueError):
    """Why a claim cannot be written; the message is for operators and names the claim."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")


def check_claim(name: str, value: object) -> Any:
    """Return ``value`` in the form in which it is kept.

    ``email`` is only a text here: ``identity.read_address`` reads addresses.

    :raises WrongClaim: with what is wrong and what would be right.
    """
    if name in RESERVED:
        raise WrongClaim(name[:40], "is reserved: it is made by the provider and never a property of a person.")
    if name in BOOLEANS:
        if not isinstance(value, bool):
            raise WrongClaim(name, "must be true or false.")
        return value
    if name == "address":
        return _address(value)
    if name not in NAMES:
        shown = "".join(letter for letter in name[:40] if letter.isprintable())
        raise WrongClaim(shown, f"is not a standard claim. There are: {' '.join(NAMES)}.")
    if name in URLS:
        return _url(name, _text(name, value, LONGEST_URL))
    text = _text(name, value, LONGEST_TEXT)
    if name == "birthdate":
        return _birthdate(text)
    if name == "zoneinfo" and text not in time_zones():
        raise WrongClaim(name, "must be a name of the time zone database, e.g. Europe/Paris.")
    if name == "locale":
        return _locale(text)
    if name == "phone_number" and not _PHONE.fullmatch(text):
        raise WrongClaim(
            name, "must be international (E.164): +, country code and number without spaces, e.g. +33123456789."
        )
    return text


def _text(name: str, value: object, longest: int, *, lines: bool = False) -> str:
    if not isinstance(value, str):
        raise WrongClaim(name, "must be a text.")
    if len(value) > longest:
        raise WrongClaim(name, f"is longer than {longest} characters.")
    text = unicodedata.normalize("NFC", value).strip()
    if not text:
        raise WrongClaim(name, "is empty.")
    for letter in text.replace("\n", "") if lines else text:
        # Cc control, Cs lone surrogate, Cn unassigned or no character at all, Zl and Zp line ends of their own
        if unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Zl", "Zp") or letter in _DIRECTION:
            raise WrongClaim(name, f"holds the character U+{ord(letter):04X}, which is not allowed there.")
    return text


def _url(name: str, text: str) -> str:
    problem = WrongClaim(name, "must be a web address, e.g. https://example.com/carol.")
    if not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise problem
    try:
        parts = urlsplit(text)
        named = parts.hostname and parts.port != 0
    except ValueError:
        raise problem from None
    if parts.scheme not in ("https", "http") or not named or parts.username is not None:
        raise problem
    return text


def _birthdate(text: str) -> str:
    match = _BIRTHDATE.fullmatch(text)
    if match is not None:
        year, month, day = match.groups()
        if month is None and year != "0000":
            return text
        if month is not None:
            try:
                # Core 5.1: the year 0000 means that it is not told; 2000 has every day that there is
                date(int(year) or 2000, int(month), int(day))
            except ValueError:
                pass
            else:
                return text
    raise WrongClaim("birthdate", "must be YYYY-MM-DD, YYYY, or 0000-MM-DD without the year.")


def _locale(text: str) -> str:
    from babel import Locale, UnknownLocaleError  # late: only writing needs it

    if _LANGUAGE_TAG.fullmatch(text) and len(text) <= 16:
        tag = text.replace("_", "-")
        try:
            Locale.parse(tag.partition("-")[0])
        except (ValueError, UnknownLocaleError):
            pass
        else:
            return tag
    raise WrongClaim("locale", "must be a language tag, e.g. fr or fr-CA.")


def _address(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise WrongClaim("address", 'must be an object, e.g. {"locality": "Paris", "country": "FR"}.')
    for part in value:
        if part not in ADDRESS_PARTS:
            raise WrongClaim("address", f"may hold only {' '.join(ADDRESS_PARTS)}.")
    return {part: _text(f"address.{part}", text, LONGEST_ADDRESS_PART, lines=True) for part, text in value.items()}


@cache
def time_zones() -> frozenset[str]:
    """The names of the time zone database, old ones too."""
    from zoneinfo import available_timezones  # late: reads the whole zone folder

    return frozenset(available_timezones())


@lru_cache(maxsize=32)
def zones_by_region(language: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The time zones by region: its key, and of each the name with the name of its city, in the order of those."""
    from babel.core import get_global
    from babel.dates import get_timezone_location

    regions: dict[str, list[tuple[str, str]]] = {}
    for zone in time_zones() & get_global("zone_territories").keys():  # without the old names of the same zones
        region, _, city = zone.partition("/")
        if city and region != "Etc":
            told = get_timezone_location(zone, locale=language, return_city=True)
            regions.setdefault(region.lower(), []).append((zone, told))
    return tuple((region, tuple(sorted(zones, key=lambda one: one[1]))) for region, zones in sorted(regions.items()))


def told_name(name: str | None) -> dict[str, Any]:
    """The name that another site tells of a person, as claims, if it can be one here: a sign-in does not fail for it."""
    try:
        return {"name": check_claim("name", name)} if name else {}
    except WrongClaim:
        return {}

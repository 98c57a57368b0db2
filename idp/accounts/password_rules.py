"""Which passwords a person may have: long enough, known from no breach, and not what others would guess first.

There are no rules about capitals, digits or signs, nothing grows old, and nothing hinders pasting (NIST SP 800-63B, section
3.1.1.2; ASVS 6.2). How hard a password is to guess is estimated as zxcvbn does, with the words of other languages, of the
site and of the person as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session as Transaction
from zxcvbn import matching, scoring

from idp.accounts.breach_list import BreachList
from idp.accounts.passwords import LONGEST_BYTES, LONGEST_CHARACTERS, SHORTEST
from idp.companies import BINDING
from idp.models import Account, Company, CompanyDomain, Email, Member

WORD_LISTS = Path(__file__).parents[1] / "word_lists"

GUESSES = 10**8  # at least: what zxcvbn counts for eight characters by chance, which are the shortest that we take
# Estimating costs much more than twice as much for twice as many characters: what somebody sends must not keep us busy.
JUDGED = 40

# The signs that stand for letters, and the other letters that two of them may stand for.
_SIGNS = str.maketrans("4@8({[<369!1|0$5+7%2", "aabcccceggiiiosstlxz")
_OTHER_SIGNS = str.maketrans("4@8({[<369!1|0$5+7%2", "aabcccceggillossttxz")
_YEARS = {"recent_year": re.compile(r"19\d\d|20[0-4]\d")}  # zxcvbn's own end in 2019


@dataclass(frozen=True, slots=True)
class Good:
    """A password that the person may have."""


@dataclass(frozen=True, slots=True)
class Weak:
    """A password that the person may not have.

    :ivar reason: a code of idp/reasons.py: password_short, password_too_long, password_breached, password_about_you or password_guessable.
    :ivar advice: catalogue keys of what would make a better one; may be empty.
    """

    reason: str
    advice: tuple[str, ...] = ()


def judge(password: str, *, about: Collection[str], shortest: int = SHORTEST, breached: BreachList) -> Good | Weak:
    """Say whether a person may have a password.

    ``about``: what others know of the person and the site: addresses, names, the company, the host; in any form, as it is.
    ``shortest``: characters, see ``shortest_for``.
    """
    if len(password) > LONGEST_CHARACTERS:
        return Weak("password_too_long")
    secret = unicodedata.normalize("NFKC", password)  # as it is hashed
    if len(secret.encode("utf-8", "surrogatepass")) > LONGEST_BYTES:
        return Weak("password_too_long")
    if len(secret) < shortest:
        return Weak("password_short", ("new_password.advice.words",))
    if breached.holds(secret):
        return Weak("password_breached", ("new_password.advice.elsewhere", "new_password.advice.words"))
    lists = {"about": _ranked(_words_of(about))} | _lists()  # the first of equals is what the advice is about
    plain = _bare(secret)
    found = _guesses(plain[:JUDGED], lists)
    if found is None or (len(plain) > JUDGED and _guesses(plain[-JUDGED:], lists) is None):
        return Good()
    repeated = (match.get("base_token", "").lower() for match in found)
    about_you = any(match.get("dictionary_name") == "about" for match in found) or any(
        map(lists["about"].get, repeated)
    )
    return Weak("password_about_you" if about_you else "password_guessable", _advice(found))


def shortest_for(db: Transaction, who: str) -> int:
    """How many characters a password has at least for an account (its id) or for whoever has an address in a domain.

    The longest that counts: of the companies the account is a member of, and of those that have proved a domain of its addresses.
    """
    by_domain = select(CompanyDomain.company_id).where(CompanyDomain.status.in_(BINDING))
    theirs: ColumnElement[bool]
    if "." in who:  # no account's id has one, every domain that a company can prove does
        theirs = Company.id.in_(by_domain.where(CompanyDomain.held == who))
    else:
        by_domain = by_domain.join(Email, Email.domain == CompanyDomain.held).where(Email.account_id == who)
        by_member = select(Member.company_id).where(Member.account_id == who)
        theirs = Company.id.in_(by_domain) | Company.id.in_(by_member)
    asked = db.scalars(select(Company.shortest_password).where(theirs))
    return max((length for length in asked if length is not None), default=SHORTEST)


def about_account(db: Transaction, account_id: str) -> tuple[str, ...]:
    """What others know of a person, for ``judge``: addresses, names, companies."""
    account = db.get_one(Account, account_id)
    claims = (
        account.profile.get(name) for name in ("name", "given_name", "family_name", "nickname", "preferred_username")
    )
    companies = db.scalars(select(Company.name).join(Member).where(Member.account_id == account_id))
    return (*(email.address for email in account.emails), *(claim for claim in claims if claim), *companies)


def common_passwords() -> Collection[str]:
    """The thirty thousand that zxcvbn knows to be used most."""
    known: dict[str, int] = matching.RANKED_DICTIONARIES["passwords"]
    return known.keys()


# --- how many guesses ----------------------------------------------------------------------------------------------------------


def _guesses(secret: str, lists: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]] | None:
    """None if ``secret`` takes guesses enough, else the parts that it is guessed by."""
    matches = [
        *matching.dictionary_match(secret, lists),
        *matching.reverse_dictionary_match(secret, lists),
        *_disguised(secret, lists),
        *matching.spatial_match(secret),
        *matching.repeat_match(secret),
        *matching.sequence_match(secret),
        *matching.regex_match(secret, _regexen=_YEARS),
        *matching.date_match(secret),
    ]
    estimate = scoring.most_guessable_match_sequence(secret, matches)
    return None if estimate["guesses"] >= GUESSES else list(estimate["sequence"])


def _disguised(secret: str, lists: Mapping[str, Mapping[str, int]]) -> Iterable[dict[str, Any]]:
    """Words with signs for letters. zxcvbn itself tries every combination of readings, which somebody can make take seconds."""
    for signs in (_SIGNS, _OTHER_SIGNS):
        plain = secret.translate(signs)
        if plain == secret:
            return
        for match in matching.dictionary_match(plain, lists):
            token = secret[match["i"] : match["j"] + 1]
            read = dict(zip(token, match["token"], strict=True))
            read = {sign: letter for sign, letter in read.items() if sign != letter}
            if read and len(token) > 1:
                yield match | {"l33t": True, "token": token, "sub": read}


@cache
def _lists() -> dict[str, dict[str, int]]:
    """Words by what they are, each with its rank: the lists of zxcvbn and ours, so that no word is looked for twice."""
    theirs = dict(matching.RANKED_DICTIONARIES)
    passwords = theirs.pop("passwords")
    words: dict[str, int] = {}
    ours = [_ranked(path.read_text(encoding="utf-8").split("\n")) for path in sorted(WORD_LISTS.glob("*.txt"))]
    for ranked in (*theirs.values(), *ours):
        for word, rank in ranked.items():
            words[word] = min(rank, words.get(word, rank))
    return {"passwords": passwords, "words": words}


def _ranked(words: Iterable[str]) -> dict[str, int]:
    ranks: dict[str, int] = {}
    for rank, word in enumerate(words, 1):
        if word:
            ranks.setdefault(_bare(unicodedata.normalize("NFKC", word)).lower(), rank)
    return ranks


def _bare(text: str) -> str:
    """As a keyboard without accents writes it: ``Éléphant`` is guessed as early as ``Elephant``."""
    text = text.replace("œ", "oe").replace("Œ", "OE").replace("æ", "ae").replace("Æ", "AE").replace("ß", "ss")
    plain = (unicodedata.normalize("NFD", letter)[0] for letter in text)
    return "".join(base if base.isascii() else letter for base, letter in zip(plain, text, strict=True))


def _words_of(about: Collection[str]) -> Iterable[str]:
    for text in about:
        words = [word for word in re.split(r"[\W_]+", text) if len(word) > 2]
        yield from words
        yield text
        yield "".join(words)
        if "@" in text:
            name = text.rpartition("@")[0]
            yield name
            yield re.sub(r"[\W_]+", "", name)


def _advice(found: list[dict[str, Any]]) -> tuple[str, ...]:
    keys: list[str] = []
    for match in sorted(found, key=lambda match: len(match["token"]), reverse=True):
        match match["pattern"], match.get("dictionary_name"):
            case "dictionary", "about":
                pass  # the reason says it already
            case "dictionary", "passwords":
                keys.append("new_password.advice.common")
            case "dictionary", _:
                keys.append("new_password.advice.word")
            case "spatial", _:
                keys.append("new_password.advice.keys")
            case "repeat", _:
                keys.append("new_password.advice.repeat")
            case "sequence", _:
                keys.append("new_password.advice.sequence")
            case (("date" | "regex"), _):
                keys.append("new_password.advice.date")
    return (*dict.fromkeys(keys).keys(), "new_password.advice.words")

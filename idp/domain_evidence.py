"""What is found at a domain that a company says is its own: the TXT record or the file with our code, or what is there instead,
and what that domain stands below."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Protocol

from idp.dns_lookup import Lookup
from idp.fetch import FetchError
from idp.logs import printable

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

NAME = "idp-verification-code"
FILE = f"/.well-known/{NAME}.txt"
FILE_LIMIT = 1024  # bytes; the right content has 58
SHOWN = 200  # characters of what was found
MOST_FOUND = 20


class Get(Protocol):
    """``Fetcher.get``: status and the first ``limit`` bytes of what is at a URL.

    :raises FetchError: refused, or no answer.
    """

    def __call__(self, url: str, limit: int) -> tuple[int, bytes]: ...


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found at a domain.

    :ivar method: ``dns`` or ``file``: where the code was found; empty when it was not.
    :ivar reasons: codes of the reasons table that say why it is not enough, the most helpful first; empty when it is.
    :ivar found: what was seen, a line each: ``TXT acme.example: v=spf1 -all``, ``https://…: 404``. Printable.
    :ivar unsure: whether nobody could say what there is, so that a later try may tell.
    """

    method: str
    reasons: tuple[str, ...]
    found: tuple[str, ...]
    unsure: bool = False

    @property
    def ok(self) -> bool:
        return bool(self.method)

    @property
    def reason(self) -> str:
        """The most helpful reason; empty when the proof is enough."""
        return self.reasons[0] if self.reasons else ""


def look(domain: str, code: str, lookup: Lookup, get: Get) -> Proof:
    """Look for a code at a domain: in its TXT records, then in the file. Both ends are strangers: nothing they say is kept
    beyond what is shown."""
    wanted = f"{NAME}={code}"
    by_dns = _look_in_dns(domain, wanted, lookup)
    if by_dns.ok:
        return by_dns
    by_file = _look_at_file(domain, wanted, get)
    found = (*by_dns.found, *by_file.found)[:MOST_FOUND]
    if by_file.ok:
        return replace(by_file, found=found)
    # Whoever put something there wants to hear of that; of the rest, the record is what most people make.
    general = {"domain_record_missing", "domain_name_unknown", "domain_dns_failing"}
    both = (*by_dns.reasons, *by_file.reasons)
    if by_dns.reason in general and by_file.reason == "domain_file_wrong":
        both = both[::-1]
    return Proof("", both, found, unsure=by_dns.unsure)


def _look_in_dns(domain: str, wanted: str, lookup: Lookup) -> Proof:
    answer = lookup(domain)
    found = _shown(domain, answer.texts or (answer.problem or "–",))
    if wanted in answer.texts:
        return Proof("dns", (), found)
    if answer.unsure:
        return Proof("", ("domain_dns_failing",), found, unsure=True)
    like = [_likeness(text, wanted) for text in answer.texts]
    if "code" in like:
        return Proof("", ("domain_record_malformed",), found)
    for name in dict.fromkeys(_wrong_names(domain)):
        elsewhere = lookup(name)
        if elsewhere.unsure:
            break  # each may take seconds, and somebody waits
        texts = [text for text in elsewhere.texts if _likeness(text, wanted) == "code"]
        if texts:
            return Proof("", ("domain_record_elsewhere",), (*found, *_shown(name, texts)))
    if "name" in like:
        return Proof("", ("domain_record_old",), found)
    plain = {"NXDOMAIN": "domain_name_unknown", "CNAME": "domain_record_alias"}
    return Proof("", (plain.get(answer.problem, "domain_record_missing"),), found)


def _look_at_file(domain: str, wanted: str, get: Get) -> Proof:
    url = f"https://{domain}{FILE}"
    try:
        status, body = get(url, FILE_LIMIT)
    except FetchError as error:
        cause = error.__cause__
        reason = "domain_file_tls" if isinstance(cause, ssl.SSLError) else "domain_file_unreachable"
        return Proof("", (reason,), (f"{url}: {printable(error.detail, SHOWN)}",))
    if status != 200:
        reason = "domain_file_redirected" if 300 <= status < 400 else "domain_file_missing"
        return Proof("", (reason,), (f"{url}: {status}",))
    text = body.decode("utf-8", "replace")
    found = (f"{url}: {printable(text, SHOWN)}",)
    # Many editors end the last line, which nobody sees.
    if text.removesuffix("\n").removesuffix("\r") == wanted:
        return Proof("file", (), found)
    # Sites that answer every address with a page of theirs have no such file.
    return Proof("", ("domain_file_wrong" if _likeness(text, wanted) else "domain_file_missing",), found)


def _likeness(text: str, wanted: str) -> str:
    """``code``: this code in some form; ``name``: another code of ours; empty: something else."""
    plain = re.sub("[^a-z0-9]", "", text.lower())
    if re.sub("[^a-z0-9]", "", wanted.partition("=")[2]) in plain:
        return "code"
    return "name" if re.sub("[^a-z0-9]", "", NAME) in plain else ""


def _wrong_names(domain: str) -> Iterable[str]:
    """Where records land that were meant for ``domain``: one above, or the field for the name was filled in."""
    registrable = public_suffixes().privatesuffix(domain) or domain
    yield from (name for name in above(domain) if name == registrable or name.endswith("." + registrable))
    yield from (
        f"{NAME}.{domain}",
        f"_{NAME}.{domain}",
        f"{domain}.{domain}",
        f"{domain}.{registrable}",
        f"www.{domain}",
    )


def _shown(name: str, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"TXT {name}: {printable(text, SHOWN)}" for text in list(texts)[:MOST_FOUND])


def above(domain: str) -> list[str]:
    """The domains above, nearest first: what is below a.b.example is also below b.example and example."""
    labels = domain.split(".")
    return [".".join(labels[number:]) for number in range(1, len(labels))]


@cache
def public_suffixes() -> PublicSuffixList:
    """Under which names anybody may register one: ``com``, ``co.uk``."""
    from publicsuffixlist import PublicSuffixList  # late: it reads a list of ten thousand

    return PublicSuffixList()

"""Asking the DNS for TXT records, as proofs of domains need it: of one exact name, and what went wrong as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.resolver

ASK_SECONDS = 2.0  # each try; then the next server, or the same again
TOTAL_SECONDS = 4.0
MOST_RECORDS = 50
LONGEST_TEXT = 512  # characters of a record that are looked at; a code of ours has less


@dataclass(frozen=True, slots=True)
class TxtAnswer:
    """What the DNS said of one name.

    :ivar texts: each TXT record, its strings joined (RFC 7208 section 3.3 and everybody else).
    :ivar problem: empty when the name servers answered; else one of ``NXDOMAIN`` (no such name), ``CNAME`` (the name is
        another's: what is found there proves nothing), ``SERVFAIL``, ``REFUSED`` and other response codes, ``timeout``,
        ``unreadable`` (an answer that breaks the rules), ``no resolver``.
    """

    texts: tuple[str, ...]
    problem: str = ""

    @property
    def unsure(self) -> bool:
        """Whether nobody could say what there is: asking again later may tell."""
        return self.problem not in ("", "NXDOMAIN", "CNAME")


Lookup = Callable[[str], TxtAnswer]


def txt_lookup(server: str) -> Lookup:
    """A function that asks for TXT records at exactly the given name (ASCII form, without a dot at the end).

    It asks by UDP, and by TCP when the answer does not fit; it never raises. ``server``: ``address:port`` (IDP_DNS_SERVER),
    or empty for the system's own, which is read at each question so that a change needs no restart.
    """

    def lookup(name: str) -> TxtAnswer:
        try:
            return _ask(_resolver(server), dns.name.from_text(name + "."))
        except dns.resolver.NoResolverConfiguration:
            return TxtAnswer((), "no resolver")
        except (dns.exception.DNSException, OSError, ValueError):
            return TxtAnswer((), "unreadable")

    return lookup


def _resolver(server: str) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=not server)
    if server:
        host, _, port = server.rpartition(":")
        resolver.nameservers = [host.strip("[]")]
        resolver.port = int(port)
    resolver.timeout, resolver.lifetime = ASK_SECONDS, TOTAL_SECONDS
    resolver.retry_servfail = False
    return resolver


def _ask(resolver: dns.resolver.Resolver, name: dns.name.Name) -> TxtAnswer:
    try:
        answer = resolver.resolve(name, "TXT", search=False, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return TxtAnswer((), "NXDOMAIN")
    except dns.resolver.LifetimeTimeout as error:
        return TxtAnswer((), _why(error))
    except dns.resolver.NoNameservers as error:
        return TxtAnswer((), _why(error))
    if answer.canonical_name != name:
        return TxtAnswer((), "CNAME")
    if answer.rrset is None:
        return TxtAnswer(())
    texts = [b"".join(record.strings)[:LONGEST_TEXT].decode("utf-8", "replace") for record in answer.rrset]
    return TxtAnswer(tuple(texts[:MOST_RECORDS]))


def _why(error: dns.resolver.LifetimeTimeout | dns.resolver.NoNameservers) -> str:
    """What the last server that said anything said."""
    for tried in reversed(error.kwargs.get("errors", [])):
        message = tried[4]
        if isinstance(message, dns.message.Message) and message.rcode() != dns.rcode.NOERROR:
            return dns.rcode.to_text(message.rcode())
    return "timeout" if isinstance(error, dns.resolver.LifetimeTimeout) else "unreadable"

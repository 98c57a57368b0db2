"""Does any public form tell who has an account here? Each is sent with addresses of people of every kind, and the answers compared:
bytes, status, cookies, redirects, and time. A working; ``idp doctor enumeration`` is in front of it.

A page may depend on the address's domain, the product and the company's policy. So people of one domain are compared with each
other, and with somebody unknown who has an address there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import groupby
from math import sqrt
from statistics import NormalDist, median
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, quote_plus, urlsplit

from werkzeug.test import Client, TestResponse

from idp.admin.probe_people import GUESSED_AT, NO_COMPANY, OF_A_COMPANY, OF_A_DOMAIN, OPTIONAL, REQUIRED, Kind, Probe

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROUNDS = 30  # in which times are taken, for each form and each kind of person
MORE = 4  # times as many rounds for whoever looks different after those
SUSPICIOUS = 0.1  # how improbable a difference is, if there is none, to be looked at in more rounds
CERTAIN = 0.01  # that a difference of times is reported where there is none, over all that is compared in a run
# Differences of times below both are no difference: nobody can measure them over a network, and they vary by themselves.
LEAST_SECONDS, LEAST_SHARE = 0.0005, 0.05
LANGUAGES = ("en", "fr")
MOST_HOPS = 6  # redirects of ours after a form


@dataclass(frozen=True, slots=True)
class Form:
    """A form that takes an e-mail address.

    :ivar path: where it is posted to; its page has the same path, unless ``page`` names another.
    :ivar fields: what is filled in beside the address (``username``) and what the page itself holds.
    :ivar newcomer: it is shown only to whom a social provider has just sent.
    """

    path: str
    fields: Mapping[str, str]
    newcomer: bool = False


FORMS = (
    Form("/login", {}),
    Form("/login/password", {"password": "nobody's password"}),
    Form("/login/company", {}),
    Form("/login/address", {}, newcomer=True),
    Form("/sign-up", {}),
    Form("/forgot", {}),
)
# All other forms, which take no address from somebody who is not signed in or has not just proved who they are.
OTHER_FORMS = frozenset(
    {
        "/authorize",
        "/consent",
        "/help/why-sign-in",
        "/invite",
        "/invite/passkey",
        "/invite/social",
        "/login/address/mail",
        "/login/company/try",
        "/login/link",
        "/login/link/mail",
        "/login/link/send",
        "/login/passkey",
        "/login/second",
        "/login/second/mail",
        "/login/second/mail/send",
        "/login/second/set-up",
        "/login/second/without",
        "/login/social/<key>/link",
        "/login/social/<key>/return",
        "/login/switch",
        "/login/welcome",
        "/logout",
        "/logout/confirm",
        "/reset",
        "/saml/<connection_id>/acs",
        "/saml/<connection_id>/slo",
        "/verify",
    }
)
OF_ONES_OWN = "/me/"  # behind a session

What = Literal["status", "redirect", "cookies", "headers", "page", "time", "reached"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What tells people of two kinds apart.

    :ivar domain: whose addresses were tried; ``language``: "" for times.
    :ivar told: how it differs, without anything secret.
    """

    form: str
    domain: str
    kind: Kind
    against: Kind
    what: What
    language: str
    told: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer, without what differs from one request to the next in any case."""

    status: int
    redirect: str
    cookies: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    page: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the doctor looks: an application whose people are all its own.

    :ivar origin: the issuer. ``people``: makes one of each kind with an address of a domain. ``greet``: makes the browser with this
        cookie and pending login one that a social provider has just sent somebody to.
    """

    app: WSGIApplication
    origin: str
    browser_cookie: str
    people: Callable[[str, tuple[Kind, ...]], list[Probe]]
    greet: Callable[[str, str], None]


def uncovered(paths: Iterable[str]) -> list[str]:
    """Forms (paths that take POST, as rules of the application) of which nobody has said whether they take an address."""
    known = OTHER_FORMS | {form.path for form in FORMS}
    return sorted(path for path in paths if path not in known and not path.startswith(OF_ONES_OWN))


def comparisons(forms: Iterable[Form]) -> Iterator[tuple[Form, str, tuple[Kind, ...]]]:
    """What is compared: the first kind of each with all the others."""
    for form in forms:
        yield form, NO_COMPANY, OF_A_DOMAIN
        yield form, NO_COMPANY, GUESSED_AT
        yield form, OPTIONAL, OF_A_COMPANY
        yield form, REQUIRED, OF_A_COMPANY


def compare_answers(place: Place, form: Form, domain: str, kinds: tuple[Kind, ...]) -> list[Difference]:
    """Send the form once for each kind in each language, and name what differs."""
    found = []
    for language in LANGUAGES:
        seen = {probe.kind: send(place, form, probe, language)[0] for probe in place.people(domain, kinds)}
        first = kinds[0]
        if not seen[first]:
            why = "its page does not show it, so nothing was compared"
            found.append(Difference(form.path, domain, first, first, "reached", language, why))
        for kind in kinds[1:]:
            apart = _first_difference(seen[first], seen[kind])
            if apart is not None:
                what, told = apart
                found.append(Difference(form.path, domain, kind, first, what, language, told))
    return found


def compare_times(
    place: Place,
    form: Form,
    domain: str,
    kinds: tuple[Kind, ...],
    *,
    tests: int,
    shuffle: Callable[[list[Probe]], object],
    rounds: int = ROUNDS,
) -> list[Difference]:
    """Time the form for each kind, all kinds in turn in every round, and name what is slower or faster than the first.

    Whoever looks different is timed anew, beside the first, in more rounds. A difference counts when it is certain in those alone
    (two-sided rank test of Mann and Whitney, its level divided by the number of ``tests`` in the whole run), large enough to
    matter, and in the same direction as before.
    """
    first = kinds[0]
    suspects = _apart(_series(place, form, domain, kinds, shuffle, rounds), first, SUSPICIOUS)
    if not suspects:
        return []
    again = _apart(_series(place, form, domain, (first, *suspects), shuffle, MORE * rounds), first, CERTAIN / tests)
    return [
        Difference(
            form.path, domain, kind, first, "time", "", f"{1000 * by:+.1f} ms (at first: {1000 * at_first:+.1f} ms)"
        )
        for kind, at_first in suspects.items()
        for by in (again.get(kind, 0.0),)
        if by * at_first > 0
    ]


def send(place: Place, form: Form, probe: Probe, language: str) -> tuple[list[Seen], float]:
    """Fill in the form for one person in a new browser; what came, redirects of ours followed, and the seconds of the first answer.
    Nothing came: the form is not there."""
    browser = _Browser(place, probe.network, language)
    start = browser.follow(browser.get("/login"))
    handle = dict(_forms(start.text).get("/login", ())).get("p", "")
    if form.newcomer:
        place.greet(browser.cookie(place.browser_cookie), handle)
    page = browser.follow(browser.get(f"{form.path}?p={quote(handle)}"))
    hidden = _forms(page.text).get(form.path)
    if hidden is None:
        return [], 0.0
    data = {**dict(hidden), **form.fields, "username": probe.address}
    begun = time.perf_counter()
    answer = browser.post(form.path, data)
    seconds = time.perf_counter() - begun
    seen = [_seen(answer, probe.address, browser.own)]
    while len(seen) <= MOST_HOPS and browser.is_own_redirect(answer):
        answer = browser.get(answer.location)
        seen.append(_seen(answer, probe.address, browser.own))
    return seen, seconds


class _Browser:
    def __init__(self, place: Place, network: str, language: str) -> None:
        self._client = Client(place.app)
        self._common = {"base_url": place.origin, "environ_base": {"REMOTE_ADDR": network}}
        self._headers = {"Accept-Language": language, "User-Agent": "idp doctor"}
        self._host = urlsplit(place.origin).hostname or ""
        self.own = place.origin

    def get(self, url: str) -> TestResponse:
        return self._client.get(url.removeprefix(self.own), headers=self._headers, **self._common)

    def post(self, path: str, data: Mapping[str, str]) -> TestResponse:
        return self._client.post(path, data=data, headers=self._headers, **self._common)

    def is_own_redirect(self, answer: TestResponse) -> bool:
        return answer.status_code in (302, 303) and answer.location.startswith(("/", f"{self.own}/"))

    def follow(self, answer: TestResponse) -> TestResponse:
        for _ in range(MOST_HOPS):
            if not self.is_own_redirect(answer):
                break
            answer = self.get(answer.location)
        return answer

    def cookie(self, name: str) -> str:
        found = self._client.get_cookie(name, self._host)
        return found.value if found is not None else ""


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, list[tuple[str, str]]] = {}
        self._fields: list[tuple[str, str]] | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form" and given.get("method", "").lower() == "post":
            self._fields = self.forms.setdefault(urlsplit(given.get("action", "")).path, [])
        elif tag == "input" and given.get("type") == "hidden" and self._fields is not None:
            self._fields.append((given.get("name", ""), given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None


def _forms(html: str) -> dict[str, list[tuple[str, str]]]:
    """The hidden fields of a page's forms, by the path that they are posted to."""
    reader = _FormReader()
    reader.feed(html)
    return reader.forms


# What is another value each time: tokens of forms, handles of sign-ins, requests to companies, receipts.
_FLEETING = (
    (re.compile(r'(name="(?:csrf|p)" value=")[^"]*'), r"\1"),
    (re.compile(r"([?&](?:amp;)?(?:p|SAMLRequest|Signature|RelayState|state|nonce|code_challenge)=)[^&\"#\s]*"), r"\1"),
    (re.compile(r'(name="(?:SAMLRequest|RelayState)" value=")[^"]*'), r"\1"),
    (re.compile(r"(challenge&#34;: &#34;)[^&]*"), r"\1"),
    (re.compile(r"(?:%3F|%26)p%3D[A-Za-z0-9_%-]*"), "%3Fp%3D"),
    (re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b"), "RECEIPT"),
)


def _seen(answer: TestResponse, address: str, own: str) -> Seen:
    def steady(text: str) -> str:
        for spelled in (address, quote(address), quote(quote(address)), quote_plus(address)):
            text = text.replace(spelled, "ADDRESS")
        for fleeting, instead in _FLEETING:
            text = fleeting.sub(instead, text)
        return text

    headers = [
        (name, value) for name, value in answer.headers if name not in ("Set-Cookie", "Content-Length", "Location")
    ]
    return Seen(
        answer.status_code,
        steady(answer.headers.get("Location", "")).removeprefix(own),
        tuple(sorted(_without_value(line) for line in answer.headers.getlist("Set-Cookie"))),
        tuple(sorted((name, steady(value)) for name, value in headers)),
        steady(answer.text),
    )


def _without_value(cookie: str) -> str:
    """A Set-Cookie line with the length of its value instead of the value."""
    name, _, rest = cookie.partition("=")
    value, _, flags = rest.partition(";")
    return f"{name}=({len(value)});{flags}"


def _first_difference(one: Sequence[Seen], other: Sequence[Seen]) -> tuple[What, str] | None:
    for hop, (here, there) in enumerate(zip(one, other, strict=False), 1):
        place = "the answer" if hop == 1 else f"page {hop}"
        if here.status != there.status:
            return "status", f"{place}: {there.status} instead of {here.status}"
        if here.redirect != there.redirect:
            return "redirect", f"{place}: to {there.redirect[:80]!r} instead of {here.redirect[:80]!r}"
        if here.cookies != there.cookies:
            return "cookies", f"{place}: {' '.join(there.cookies)} instead of {' '.join(here.cookies)}"
        if here.headers != there.headers:
            apart = sorted({name for name, _ in set(here.headers) ^ set(there.headers)})
            return "headers", f"{place}: {', '.join(apart)}"
        if here.page != there.page:
            return "page", f"{place}: {_where(here.page, there.page)}"
    if len(one) != len(other):
        return "redirect", f"{len(other)} answers instead of {len(one)}"
    return None


def _where(one: str, other: str) -> str:
    """The first line that is another one."""
    for number, (here, there) in enumerate(zip(one.splitlines(), other.splitlines(), strict=False), 1):
        if here != there:
            return f"line {number}: {there.strip()[:160]!r} instead of {here.strip()[:160]!r}"
    return f"{len(other.splitlines())} lines instead of {len(one.splitlines())}"


def _series(
    place: Place,
    form: Form,
    domain: str,
    kinds: tuple[Kind, ...],
    shuffle: Callable[[list[Probe]], object],
    rounds: int,
) -> dict[Kind, list[float]]:
    taken: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        probes = place.people(domain, kinds)
        shuffle(probes)  # whoever is always first would be slower, or faster, by that alone
        for probe in probes:
            taken[probe.kind].append(send(place, form, probe, LANGUAGES[0])[1])
    return taken


def _apart(taken: Mapping[Kind, Sequence[float]], first: Kind, level: float) -> dict[Kind, float]:
    """Who differs from the first kind at this level of the test, and by how many seconds of the median."""
    usual = median(taken[first])
    least = max(LEAST_SECONDS, LEAST_SHARE * usual)
    apart = {}
    for kind, times in taken.items():
        by = median(times) - usual
        if kind != first and abs(by) >= least and chance(taken[first], times) < level:
            apart[kind] = by
    return apart


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """How probable a difference as large as this is, or a larger one, if both come from the same source: the two-sided rank test of
    Mann and Whitney by its normal approximation, with its correction for ties."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    position, ranks, ties = 0, 0.0, 0
    for _, alike in groupby(ranked, key=lambda pair: pair[0]):
        group = list(alike)
        ranks += sum(from_one for _, from_one in group) * (position + (len(group) + 1) / 2)
        ties += len(group) ** 3 - len(group)
        position += len(group)
    n, m = len(one), len(other)
    whole = n + m
    spread = sqrt(n * m / 12 * ((whole + 1) - ties / (whole * (whole - 1))))
    if spread == 0:
        return 1.0
    u = ranks - n * (n + 1) / 2
    return 2 * (1 - NormalDist().cdf(max(0.0, abs(u - n * m / 2) - 0.5) / spread))

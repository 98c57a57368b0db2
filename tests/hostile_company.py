"""Two companies at one provider: one whose side does everything wrong, one whose people only want to sign in."""

from __future__ import annotations

import base64
import http.client
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from urllib.parse import urlencode, urlsplit

from tests.fakes.company_idp import CompanyIdp, key_pair
from tests.fakes.hand_signed import ENVELOPED
from tests.many_companies import Crowded, people_sign_in
from tests.running import Provider

HOSTILE, HONEST = 0, 1  # numbers of companies
FLOODING = 16  # connections at once
NETWORKS = 10_000  # from which a flood seems to come: so many that none of them is slowed
NOBODYS_REQUEST = "_" + "5" * 40


def responses(company: Crowded) -> list[str]:
    """What its side posts: oversized, deep, wide, badly signed, wrongly encrypted; also genuinely signed and heavy."""
    another = key_pair("rsa", "another")[1]
    stranger = CompanyIdp(company.idp.entity_id, name="stranger")

    def genuine(**changes: object) -> bytes:
        return base64.b64decode(company.answer(NOBODYS_REQUEST, f"eve@{company.domain}", **changes))

    signed = genuine(sign="both")
    documents = [
        b"x" * 190_000,
        b"x" * 300_000,
        b"<a>" * 20_000 + b"</a>" * 20_000,
        b"<r>" + b"<a/>" * 40_000 + b"</r>",
        b"<!DOCTYPE r [<!ENTITY a 'aaaa'>]><r>&a;</r>",
        signed.replace(b"eve@", b"adm@"),
        signed.replace(ENVELOPED.encode(), b"http://www.w3.org/TR/1999/REC-xslt-19991116"),
        stranger.document(request_id=NOBODYS_REQUEST, acs=company.acs, audience="x", name_id="eve", sign="response"),
        genuine(sign="response", encrypt_for=another),
        genuine(sign="response", attributes={f"a{number}": ["1"] for number in range(900)}),
        genuine(sign="response", attributes={"groups": ["x" * 60] * 1_500}),
    ]
    return [base64.b64encode(document).decode() for document in documents]


def flood(host: str, path: str, forms: Sequence[str], networks: int, begun: Event, over: Event) -> None:
    """Post ``forms`` again and again over many connections, until it is ``over``; ``begun``: one has come to its end. The body
    of a process of its own."""

    def post(seed: int) -> None:
        chance = random.Random(seed)
        line = http.client.HTTPConnection(host, timeout=60)
        while not over.is_set():
            network = chance.randrange(networks)
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Forwarded-For": f"172.16.{network >> 8}.{network & 255}",
            }
            # It is cut off, or told to come later: what would stop somebody hostile?
            with suppress(OSError, http.client.HTTPException):
                line.request("POST", path, chance.choice(forms), headers)
                line.getresponse().read()
                begun.set()
                continue
            line.close()
            begun.set()
        line.close()

    with ThreadPoolExecutor(FLOODING) as several:
        list(several.map(post, range(FLOODING)))


@contextmanager
def flooded(provider: Provider, networks: int = NETWORKS) -> Iterator[None]:
    """The hostile company's address is flooded, from this many networks, while the block runs."""
    company = Crowded(HOSTILE, provider.issuer)
    forms = [urlencode({"SAMLResponse": response}) for response in responses(company)]
    context = get_context("spawn")
    begun, over = context.Event(), context.Event()
    path = urlsplit(company.acs).path
    process = context.Process(target=flood, args=(f"127.0.0.1:{provider.port}", path, forms, networks, begun, over))
    process.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        over.set()
        process.join(90)
        assert process.exitcode == 0


def honest_people(
    provider: Provider, number: int, at_once: int = 4, each: Callable[[], object] = lambda: None
) -> list[float]:
    """So many people of the honest company sign in; the seconds that each took, whoever failed raises Refused.

    ``each`` is called after each of them.
    """
    return people_sign_in(provider, range(number), lambda _: HONEST, at_once=at_once, each=each)

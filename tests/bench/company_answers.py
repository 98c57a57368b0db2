"""A company's answer at the ACS address: ours beside pysaml2 with the xmlsec1 program, in one run and in turns.

``python -m tests.bench.company_answers``. Measured is CPU, of this process and of the programs that it starts.
"""

from __future__ import annotations

import base64
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from saml2 import BINDING_HTTP_POST
from saml2.client import Saml2Client
from saml2.config import SPConfig

from idp.connections import SamlConnection
from idp.doors.company_identity import identify
from idp.doors.saml_response import examine
from tests.fakes.company_idp import CompanyIdp, pem
from tests.needs import program
from tests.saml_parties import REQUEST, answer_for, connection_to, only_request, sent_request

TARGET = 30  # times less CPU than the peer, for a signed Response
ATTRIBUTES = {"mail": ["alice@acme.example"], "givenName": ["Alice"], "groups": ["staff", "chess", "choir"]}


def cpu_each(work: Callable[[], object], seconds: float) -> float:
    """µs of CPU for doing ``work`` once, programs that it starts included."""

    def used() -> float:
        return sum(os.times()[:4])

    work()
    count, start, over = 0, used(), time.perf_counter() + seconds
    while time.perf_counter() < over:
        work()
        count += 1
    return (used() - start) / count * 1e6


def ours(document: str, connection: SamlConnection, now: float) -> Callable[[], object]:
    """From the form field to the Identity, every check."""
    request = only_request(sent_request(connection, now))

    def work() -> object:
        looked = examine(document, connection, request, now)
        assert looked.assertion is not None
        identity, _ = identify(looked.assertion, connection, {"acme.example"}.__contains__, now)
        assert identity is not None
        return identity

    return work


def theirs(document: str, idp: CompanyIdp, connection: SamlConnection, folder: Path) -> Callable[[], object]:
    """pysaml2 as its documentation sets it up, with its own verification by the xmlsec1 program."""
    logging.getLogger("saml2").setLevel(logging.CRITICAL)
    key = connection.keys[0]
    secret = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "sp.key").write_bytes(secret)
    (folder / "sp.crt").write_text(pem(key.certificate))
    (folder / "idp.xml").write_bytes(idp.metadata())
    settings: dict[str, Any] = {
        "entityid": connection.entity_id,
        "xmlsec_binary": program("xmlsec1"),
        "key_file": str(folder / "sp.key"),
        "cert_file": str(folder / "sp.crt"),
        "encryption_keypairs": [{"key_file": str(folder / "sp.key"), "cert_file": str(folder / "sp.crt")}],
        "allow_unknown_attributes": True,
        "accepted_time_diff": 60,
        "service": {
            "sp": {
                "endpoints": {"assertion_consumer_service": [(connection.acs, BINDING_HTTP_POST)]},
                "want_response_signed": False,
                "want_assertions_or_response_signed": True,
                "allow_unsolicited": False,
            }
        },
        "metadata": {"local": [str(folder / "idp.xml")]},
    }
    client = Saml2Client(config=SPConfig().load(settings))

    def work() -> object:
        answer = client.parse_authn_request_response(
            document, BINDING_HTTP_POST, outstanding={REQUEST: "/"}, conv_info={"entity_id": connection.entity_id}
        )
        assert answer is not None and answer.name_id.text == "alice@acme.example"
        return answer

    return work


def measure(rounds: int = 5, seconds: float = 2.0) -> dict[str, tuple[float, float]]:
    """Kind of answer → µs of CPU, ours and theirs: medians of what was measured in turns."""
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="idp-bench-") as folder:
        idp = CompanyIdp()
        connection = connection_to(idp, attributes={"email": "mail"})
        for name, changes in (
            ("Response signed", {"sign": "response"}),
            ("Assertion signed", {"sign": "assertion"}),
            ("both signed", {"sign": "both"}),
            ("Response signed, encrypted", {"sign": "response", "encrypt_for": connection.keys[0].certificate}),
        ):
            now = time.time()
            lasting = {"now": now, "attributes": ATTRIBUTES, "lifetime": 3600}
            document = base64.b64encode(idp.document(**answer_for(connection, **lasting, **changes))).decode()
            mine, peer = ours(document, connection, now), theirs(document, idp, connection, Path(folder))
            rows = [(cpu_each(mine, seconds / 4), cpu_each(peer, seconds)) for _ in range(rounds)]
            found[name] = (statistics.median(one for one, _ in rows), statistics.median(other for _, other in rows))
    return found


def table(found: dict[str, tuple[float, float]]) -> str:
    rows = [f"| {name} | {mine:,.0f} | {peer:,.0f} | {peer / mine:.0f} |" for name, (mine, peer) in found.items()]
    return "\n".join(("| answer | ours, CPU µs | pysaml2 + xmlsec1, CPU µs | × |", "|---|---|---|---|", *rows))


if __name__ == "__main__":
    print(table(measure()))
    print(f"\nTarget: at least {TARGET} × for a signed Response.")

"""Audit events go out: each at least once and in order, signed, and only where the rules let us."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from idp import audit
from idp.audit_chain import seal
from idp.audit_delivery import LEASE, PARCEL, deliver, receivers, signature
from idp.config import Config, read_config
from idp.database import Database
from idp.errors import OperatorError
from idp.fetch import Fetcher, FetchError
from idp.models import AuditEvent
from tests import canaries

NOW = 1_800_000_000.0
KEY = bytes(32)
SECRET = canaries.register("audit-webhook-secret-canary-000000001", "webhook secret")


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    built = Database(config)
    yield built
    built.close()


def add(database: Database, count: int) -> None:
    with database.transaction() as db:
        for number in range(count):
            audit.record(db, audit.Event.person_changed, now=NOW, actor="operator:test", number=number)
    while seal(database, KEY):
        pass


def clock() -> float:
    return NOW


class Receiver:
    """Takes parcels, or refuses them while ``away``."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.away = False

    def __call__(self, rows: Sequence[AuditEvent]) -> None:
        if self.away:
            raise FetchError("outgoing_failed", detail="away")
        self.taken += [row.sequence or 0 for row in rows]


def test_everything_goes_out_in_order_and_what_was_refused_comes_again(database: Database) -> None:
    add(database, PARCEL + 5)
    receiver = Receiver()
    receiver.away = True
    for _ in range(2):
        with pytest.raises(FetchError):
            deliver(database, "webhook", receiver, clock)
    receiver.away = False
    assert deliver(database, "webhook", receiver, clock)
    assert not deliver(database, "webhook", receiver, clock)
    assert not deliver(database, "webhook", receiver, clock)
    assert receiver.taken == list(range(1, PARCEL + 6))
    add(database, 2)
    deliver(database, "webhook", receiver, clock)
    assert receiver.taken[-2:] == [PARCEL + 6, PARCEL + 7]


def test_two_receivers_do_not_wait_for_each_other(database: Database) -> None:
    add(database, 3)
    away, well = Receiver(), Receiver()
    away.away = True
    with pytest.raises(FetchError):
        deliver(database, "webhook", away, clock)
    deliver(database, "syslog", well, clock)
    assert well.taken == [1, 2, 3]


def test_what_is_not_sealed_does_not_go_out(database: Database) -> None:
    with database.transaction() as db:
        audit.record(db, audit.Event.person_changed, now=NOW, actor="operator:test")
    receiver = Receiver()
    deliver(database, "webhook", receiver, clock)
    assert receiver.taken == []


def test_of_several_workers_one_gives_at_a_time_and_a_dead_one_is_replaced(database: Database) -> None:
    add(database, 3)
    second = Receiver()

    def in_the_middle(_rows: Sequence[AuditEvent]) -> None:
        assert not deliver(database, "webhook", second, clock)
        raise KeyboardInterrupt  # the worker is ended

    with pytest.raises(KeyboardInterrupt):
        deliver(database, "webhook", in_the_middle, clock)
    assert second.taken == []
    deliver(database, "webhook", second, lambda: NOW + LEASE)
    assert second.taken == [1, 2, 3]


def test_the_webhook_gets_json_lines_that_are_signed(database: Database, config: Config) -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), body))
            self.send_response(204 if len(got) > 1 else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    add(database, 2)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = config.model_copy(
            update={
                "issuer": "http://localhost:8000",
                "audit_webhook": f"http://127.0.0.1:{server.server_port}/audit",
                "audit_webhook_secret": SECRET,
            }
        )
        send = receivers(here, Fetcher(here), clock)["webhook"]
        with pytest.raises(FetchError, match="503"):
            deliver(database, "webhook", send, clock)
        deliver(database, "webhook", send, clock)
        server.shutdown()
    headers, body = got[1]
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["Audit-Signature"] == signature(SECRET, int(NOW), body)
    assert [json.loads(line)["sequence"] for line in body.splitlines()] == [1, 2]
    assert SECRET.encode() not in body


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://169.254.169.254/latest", "https://10.0.0.5/", "https://[::1]/"]
)
def test_ad_14_the_webhook_reaches_nothing_inside(database: Database, config: Config, url: str) -> None:
    add(database, 1)
    here = config.model_copy(update={"audit_webhook": url, "audit_webhook_secret": SECRET})
    with pytest.raises(FetchError) as caught:
        deliver(database, "webhook", receivers(here, Fetcher(here), clock)["webhook"], clock)
    assert caught.value.refused


def test_syslog_gets_one_message_for_each_event(database: Database, config: Config) -> None:
    add(database, 2)
    got = b""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            nonlocal got
            wire, _ = server.accept()
            with wire:
                while piece := wire.recv(4096):
                    got += piece

        thread = threading.Thread(target=take)
        thread.start()
        here = config.model_copy(update={"audit_syslog": f"127.0.0.1:{server.getsockname()[1]}"})
        assert not deliver(database, "syslog", receivers(here, Fetcher(here), clock)["syslog"], clock)
        thread.join(10)
    messages = []
    while got:
        length, _, rest = got.partition(b" ")
        messages.append(rest[: int(length)].decode())
        got = rest[int(length) :]
    assert [message.split(" ", 1)[0] for message in messages] == ["<109>1", "<109>1"]
    assert " login.example idp - person.changed - \ufeff{" in messages[0]
    assert json.loads(messages[1].split("\ufeff", 1)[1])["sequence"] == 2


def test_a_syslog_server_that_is_away_gets_everything_later(database: Database, config: Config) -> None:
    add(database, 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    here = config.model_copy(update={"audit_syslog": f"127.0.0.1:{port}"})
    with pytest.raises(FetchError):
        deliver(database, "syslog", receivers(here, Fetcher(here), clock)["syslog"], clock)
    later = Receiver()
    deliver(database, "syslog", later, clock)
    assert later.taken == [1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"IDP_AUDIT_WEBHOOK": "https://siem.example/x"}, "go together"),
        ({"IDP_AUDIT_WEBHOOK": "http://siem.example/x", "IDP_AUDIT_WEBHOOK_SECRET": SECRET}, "https"),
        ({"IDP_AUDIT_WEBHOOK": "https://siem.example/x", "IDP_AUDIT_WEBHOOK_SECRET": "short"}, "32 characters"),
        ({"IDP_AUDIT_SYSLOG": "siem.example"}, "host:port"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, str], says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        read_config({"IDP_ISSUER": "https://login.example"} | settings)

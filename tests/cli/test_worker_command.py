"""Promises of ``idp worker``: two of them against real servers that fail one after the other."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import select

from idp.attempts import Attempts, Step
from idp.cli.worker_command import jobs
from idp.config import Config, read_config
from idp.database import Database
from idp.key_ring import KeyRing
from idp.mail import queue_mail
from idp.models import Attempt, OutboxMail
from idp.outbox import MAILS
from idp.parts import Parts
from idp.redis_store import open_store
from idp.sealing import Sealer
from tests import canaries
from tests.backends import RealPostgres, RealRedis, running_postgres, running_redis, wait_until
from tests.fakes.mail_server import MailServer, mail_server
from tests.registrations import REFERENCES

pytestmark = [pytest.mark.needs("postgresql"), pytest.mark.needs("redis")]


@pytest.fixture(scope="module")
def postgres() -> Iterator[RealPostgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Background:
    """Two ``idp worker`` processes, and what they work on."""

    def __init__(self, environ: dict[str, str], name: str) -> None:
        self.config = read_config(environ)
        self.database = Database(self.config)
        self.database.upgrade()
        self.store = open_store(self.config)
        self._sealer = Sealer(KeyRing(self.config.keys, 60).derive("mail"), secrets.token_bytes)
        self._logs = [canaries.folder() / f"{name}-{number}.log" for number in (1, 2)]
        self.processes = [self._start(environ, log) for log in self._logs]
        for number in (0, 1):
            self.wait_for_log("worker.started", number)

    def _start(self, environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "idp", "worker"],
                env={**os.environ, **REFERENCES, **environ, "IDP_LOG_LEVEL": "DEBUG"},
                cwd=Path(__file__).parents[2],
                stdout=file,
                stderr=file,
            )

    def queue(self, recipient: str) -> None:
        secret = canaries.register(secrets.token_urlsafe(32), "link in a mail")
        values: dict[str, Any] = {"agent": "Firefox", "address": "192.0.2.7", "at": 1}
        with self.database.transaction() as db:
            queue_mail(
                db,
                name="new_device",
                recipient=recipient,
                language="fr",
                now=time.time(),
                sealer=self._sealer,
                secrets={"link": f"/me/not-me?t={secret}"},
                **values,
            )

    def wait_for_log(self, words: str, number: int) -> None:
        def said() -> bool:
            process = self.processes[number]
            assert process.poll() is None, self._logs[number].read_text()
            return words in self._logs[number].read_text()

        wait_until(said, f"worker {number} says {words}")

    def answer(self, recipient: str) -> str:
        """What became of the last try."""
        with self.database.reading() as db:
            return db.scalar(select(OutboxMail.last_answer).where(OutboxMail.recipient == recipient)) or ""

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.store.close()
        self.database.close()


def arrives(server: MailServer, recipient: str) -> Callable[[], bool]:
    return lambda: recipient in [mail.recipient for mail in server.received]


def test_two_workers_survive_what_fails_recover_and_stop_when_told(
    config: Config, postgres: RealPostgres, redis: RealRedis, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    environ = {
        "IDP_ISSUER": config.issuer,
        "IDP_DATA": str(config.data),
        "IDP_KEYS": str(config.keys),
        "IDP_CLIENTS": str(config.clients),
        "IDP_DATABASE_URL": postgres.new_database(),
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        **redis.environ,
    }
    with ExitStack() as stack:
        server = stack.enter_context(mail_server(authority))
        environ |= server.environ
        background = Background(environ, "idp-worker")
        stack.callback(background.end)

        # Everything is well: each mail once.
        for number in range(6):
            background.queue(f"p{number}@example.org")
        wait_until(lambda: len(server.received) >= 6, "the mails arrive")

        # SQL away, in the way of a crash.
        postgres.kill()
        for number in (0, 1):
            background.wait_for_log("Unavailable: sql_down", number)
        postgres.start()
        for number in (0, 1):
            background.wait_for_log("worker.job_recovered", number)
        background.queue("after-sql@example.org")
        wait_until(arrives(server, "after-sql@example.org"), "a mail arrives after SQL was away")

        # Redis away; mail goes on meanwhile, receipts wait.
        redis.kill()
        for number in (0, 1):
            background.wait_for_log("Unavailable: redis_down", number)
        background.queue("without-redis@example.org")
        wait_until(arrives(server, "without-redis@example.org"), "a mail arrives while Redis is away")
        redis.start()
        attempts = Attempts(background.store, secrets.token_bytes, time.time)
        code = attempts.start()
        attempts.step(code, Step.request_received, client_id="C1")
        attempts.close()

        def drained() -> bool:
            with background.database.reading() as db:
                return db.get(Attempt, code) is not None

        wait_until(drained, "a receipt reaches SQL after Redis was away")

        # One worker dies; the other goes on.
        background.processes[0].send_signal(signal.SIGKILL)
        background.processes[0].wait()
        background.queue("after-kill@example.org")
        wait_until(arrives(server, "after-kill@example.org"), "a mail arrives after a worker was killed")

        recipients = Counter(mail.recipient for mail in server.received)
        assert set(recipients.values()) == {1}
        assert all(mail.encrypted and mail.user for mail in server.received)

    with ExitStack() as stack:
        # The mail server away, then back: the mail was tried, and comes again. Its port is kept, so that nobody takes it.
        kept = stack.enter_context(socket.socket())
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", server.port))
        background = Background(environ, "idp-worker-without-mail-server")
        stack.callback(background.end)
        background.queue("late@example.org")
        wait_until(lambda: background.answer("late@example.org") != "", "a mail is tried while its server is away")
        assert background.answer("late@example.org").startswith("connect: ")
        kept.close()
        server = stack.enter_context(mail_server(authority, port=server.port))
        with background.database.transaction() as db:
            [number] = db.scalars(select(OutboxMail.id).where(OutboxMail.recipient == "late@example.org"))
            assert MAILS.retry(db, [number], time.time()) == [number]
        wait_until(arrives(server, "late@example.org"), "the mail arrives when the server is back")

        for process in background.processes:
            process.terminate()
        assert [process.wait(20) for process in background.processes] == [0, 0]


def test_a_worker_that_cannot_work_says_why(config: Config) -> None:
    environ = {"IDP_ISSUER": config.issuer, "IDP_KEYS": str(config.keys), "IDP_DATA": str(config.data)}
    environ["IDP_CLIENTS"] = str(config.clients)
    done = subprocess.run(
        [sys.executable, "-m", "idp", "worker"],
        env={**os.environ, **REFERENCES, **environ, "IDP_SMTP": "nonsense", "IDP_REDIS_URL": "redis://127.0.0.1:9/0"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "IDP_SMTP: must be host:port, such as smtp.example.com:587." in done.stderr
    assert done.stderr.splitlines()[-1] == "All settings: docs/settings.md"
    assert "Traceback" not in done.stderr


def test_what_must_take_effect_within_five_seconds_is_looked_at_every_second(parts: Parts) -> None:
    paces = {job.name: job.every for job in jobs(parts)}
    now = {"revocations": 1.0, "attempts": 1.0, "logout": 1.0}
    assert {name: every for name, every in paces.items() if every <= 5} == now
    mailing = dataclasses.replace(parts, config=parts.config.model_copy(update={"smtp": "localhost:9"}))
    assert [job.name for job in jobs(mailing)][-1] == "mail"

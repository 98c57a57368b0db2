"""``idp serve``: the provider. One process owns the embedded server and watches; workers answer; one more does the
background work, and another one answers for the admin center where there is one. All of them end together, however the first one
ends; one that dies alone is started again."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing
from functools import partial
from multiprocessing.context import ForkProcess
from typing import TYPE_CHECKING, Any, Self

import click

from idp.config import Config, read_config, read_references, share_metrics
from idp.errors import OperatorError

if TYPE_CHECKING:
    from granian.server.mp import MPServer

    from idp.embedded_server import EmbeddedServer
    from idp.front import Front

MAX_HEADERS = 64 * 1024  # bytes of a request line and its headers
KEYS_LOOKED_AT = 0.1  # seconds: nobody can tell such a delay of a revoked key from the time that the command takes
# The name under which clients.yaml takes the secret of `admin-center` from the environment.
ADMIN_SECRET = "ADMIN_CENTER_SECRET"  # noqa: S105 a name, no secret
ANSWERS_STOP = 20.0  # seconds: a little more than a server gives to answers that are under way
WORK_STOPS = 10.0  # seconds: a little more than the background work allows itself to end what it is doing


@click.command("serve")
def serve_command() -> None:
    """Run the provider until it is told to stop (SIGTERM or Ctrl-C)."""
    from idp.keys import refuse_optimised_python
    from idp.logs import configure

    refuse_optimised_python()
    config = read_config()
    configure(config.log_level)
    if config.metrics_token:
        share_metrics(config.data / "metrics")
    host, port = config.address
    _must_be_free("IDP_LISTEN", host, port)
    if config.admin_center:
        _must_be_free("IDP_ADMIN_LISTEN", *config.admin_address)
    clients = _read_clients(config)
    _check_admin_center(config)
    _check_providers(config)
    embedded = _start_store(config)
    try:
        knows_keys = _prepare_database(config)
        _prepare_keys(config, clients.algorithms(), knows_keys)
        _warm_up()
        with ExitStack() as kept:
            kept.enter_context(_Kept("background_work", partial(_work, config), WORK_STOPS))
            if config.admin_center:
                kept.enter_context(_Kept("admin_center", partial(_answer_for_admin_center, config), ANSWERS_STOP))
            _answer_requests(config, host, port)
    finally:
        if embedded is not None:
            embedded.stop()


def _must_be_free(setting: str, host: str, port: int) -> None:
    """A second provider on the same port would start without an error and share the traffic: refuse it here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OperatorError(f"{setting}: {host}:{port} cannot be used: {error.strerror}.") from None


def _read_clients(config: Config) -> Any:
    from idp.clients import Clients
    from idp.parts import clients_path

    return Clients(clients_path(config), read_references(), loopback=config.on_loopback)


def _check_admin_center(config: Config) -> None:
    """An admin center that nobody could sign in to is refused before it starts."""
    if not config.admin_center:
        return
    from idp.admin.own_client import CALLBACK, CLIENT_ID

    client = _read_clients(config).find(CLIENT_ID)
    secret = read_references().get(ADMIN_SECRET, "")
    problem = ""
    if client is None or not client.secret_matches(secret, time.time()):
        problem = f"give `{CLIENT_ID}` a secret ${{{ADMIN_SECRET}}}, and set {ADMIN_SECRET}"
    elif not client.accepts_redirect(config.admin_center + CALLBACK):
        problem = f"add {config.admin_center}{CALLBACK} to the redirect_uris of `{CLIENT_ID}`"
    if problem:
        raise OperatorError(f"IDP_ADMIN_CENTER: nobody could sign in there. In clients.yaml: {problem}.")


def _check_providers(config: Config) -> None:
    from idp.parts import read_providers

    reading = read_providers(config, read_references())
    if reading is not None:
        reading.take()


def _start_store(config: Config) -> EmbeddedServer | None:
    from idp.embedded_server import EmbeddedServer

    return None if config.redis_url else EmbeddedServer.start(config.data)


def _prepare_database(config: Config) -> bool:
    """Bring the tables up to date; return whether a provider with keys has worked on them before."""
    from idp.audit import KEYS_KNOWN, happened
    from idp.database import Database

    with closing(Database(config)) as database:
        database.upgrade()
        with database.reading() as db:
            return happened(db, KEYS_KNOWN)


def _prepare_keys(config: Config, algorithms: Collection[str], knows_keys: bool) -> None:
    """Make the keys of a first start. Others would change the subjects of people and who we are to products: refuse."""
    from idp.cli.operator_audit import record_acts
    from idp.keys import RESTORE, create_keys, has_no_keys

    if knows_keys and has_no_keys(config.keys):
        raise OperatorError(
            f"{config.keys.absolute()}: no keys there, but the database has worked with some. Is it the right folder "
            f"(IDP_KEYS), and the right database? If the keys are lost, {RESTORE}"
        )
    made = create_keys(config.keys, algorithms, time.time())
    if made:
        record_acts(config, *(("keys_created", {"alg": alg}) for alg in made))


def _warm_up() -> None:
    """Import what workers need before they are forked, so that they share its memory."""
    import idp.app
    import idp.front
    import idp.worker  # noqa: F401 imported for its effect on what the fork shares
    from idp.accounts.devices import describe_agent

    describe_agent("Mozilla/5.0")  # its tables are loaded by the first call


def _answer_requests(config: Config, host: str, port: int) -> None:
    make_server(config, host, port, config.workers).serve(
        target_loader=partial(load_application, config, os.getpid()), wrap_loader=False
    )


def make_server(config: Config, host: str, port: int, workers: int) -> MPServer:
    """The HTTP server, for whichever RSGI application; the bench has it answer with an empty one."""
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.mp import MPServer

    return MPServer(
        "idp",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.auto if config.tls_certificate else HTTPModes.http1,  # no proxy speaks HTTP/2 in clear
        workers=workers,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=10_000, max_buffer_size=MAX_HEADERS),
        log_level=LogLevels.warning,
        ssl_cert=config.tls_certificate,
        ssl_key=config.tls_key,
        respawn_failed_workers=True,
        workers_kill_timeout=15,
    )


def load_application(config: Config, parent: int) -> Front:
    """Build the application in a worker process; it ends with ``parent``, also after SIGKILL."""
    # At once: told to stop politely it waits for idle connections, and nobody is left who would end that.
    end_with_parent(parent, signal.SIGKILL)
    from idp.app import create_app
    from idp.front import Front
    from idp.logs import configure
    from idp.parts import build

    configure(config.log_level)
    return Front(create_app(build(config, read_references(), keys_looked_at=KEYS_LOOKED_AT)), config.threads)


class _Kept:
    """Something that runs in a process of its own, which is started again when it dies before us.

    :param run: what the process does, given the number of this one.
    :param patience: seconds that it has to end when it is told to.
    """

    def __init__(self, name: str, run: Callable[[int], None], patience: float) -> None:
        self._name = name
        self._run = run
        self._patience = patience
        self._turn = threading.Lock()  # between starting the process and stopping it
        self._stopping = threading.Event()
        self._first = threading.Event()
        self._process = self._next()
        # The death signal follows the thread that forked, so one thread forks always and lives until the end.
        self._keeper = threading.Thread(target=self._keep, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._keeper.start()
        self._first.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._turn:
            if self._process.is_alive():
                self._process.terminate()
        self._keeper.join(self._patience)
        if self._keeper.is_alive():
            self._process.kill()
            self._keeper.join()

    def _next(self) -> ForkProcess:
        return ForkProcess(target=self._run, args=(os.getpid(),), name=f"idp-{self._name}")

    def _keep(self) -> None:
        import structlog

        log = structlog.get_logger(__name__)
        while True:
            with self._turn:
                if self._stopping.is_set():
                    return
                self._process = self._next()
                try:
                    self._process.start()
                except OSError as error:  # no memory for another process: perhaps later
                    log.error(f"{self._name}_not_started", error=error.strerror)
                else:
                    self._first.set()
            if self._process.pid is not None:
                self._process.join()
            if self._stopping.wait(1):  # not in a tight loop when it cannot live
                return
            log.error(f"{self._name}_restarted", exit_code=self._process.exitcode)


def _work(config: Config, parent: int) -> None:
    os.setsid()  # Ctrl-C is for our parent, who ends us after the last request
    end_with_parent(parent, signal.SIGTERM)
    from idp.cli.worker_command import run_worker
    from idp.logs import configure

    configure(config.log_level)
    run_worker(config, read_references())


def _answer_for_admin_center(config: Config, parent: int) -> None:
    os.setsid()
    end_with_parent(parent, signal.SIGTERM)
    make_server(config, *config.admin_address, 1).serve(
        target_loader=partial(load_admin_center, config, os.getpid()), wrap_loader=False
    )


def load_admin_center(config: Config, parent: int) -> Front:
    """Build the admin center in its process; it ends with ``parent``, also after SIGKILL."""
    end_with_parent(parent, signal.SIGKILL)
    from idp.admin.own_client import OwnClient
    from idp.app import create_admin_app
    from idp.front import Front
    from idp.logs import configure
    from idp.parts import build

    configure(config.log_level)
    references = read_references()
    built = build(config, references, keys_looked_at=KEYS_LOOKED_AT)
    client = OwnClient(built.endpoints, config.issuer, config.admin_center, references[ADMIN_SECRET])
    return Front(create_admin_app(built, client), config.threads, endpoints=False)


def end_with_parent(parent: int, how: signal.Signals) -> None:
    """Ask the kernel to end this process with ``parent``. Linux only; elsewhere a stop by signal still ends all."""
    # Until somebody sets its own handler here, the one that the fork has from its parent would swallow the signal.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "linux":
        return
    death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(death_signal, how)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), how)

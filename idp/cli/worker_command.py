"""``idp worker``: the background work alone, for deployments in which ``idp serve`` does not run it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from idp.config import Config
    from idp.parts import Parts
    from idp.worker import Job


@click.command("worker")
def worker_command() -> None:
    """Run the background work alone: mail, logout notices, receipts, revocations, domains, metadata, the audit, pruning.

    As many as you like.
    """
    from idp import logs
    from idp.config import read_config, read_references

    config = read_config()
    logs.configure(config.log_level)
    run_worker(config, read_references())


def run_worker(config: Config, references: Mapping[str, str]) -> None:
    """Work until SIGTERM or SIGINT, in the main thread of a process. ``references`` as for ``parts.build``."""
    from idp.parts import build
    from idp.worker import Worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parts = build(config, references)
    try:
        Worker(jobs(parts)).run(stop)
    finally:
        parts.close()


def jobs(parts: Parts) -> list[Job]:
    """What the background work consists of. Without a mail server (IDP_SMTP) mail waits in the outbox."""
    from idp.accounts.closing import erase_closed
    from idp.accounts.lifecycle import apply_revocations
    from idp.admin.bulk_invitations import Means, work_next
    from idp.admin.policy_notices import tell_next
    from idp.attempts import drain
    from idp.audit_chain import seal
    from idp.audit_delivery import deliver, receivers
    from idp.dns_lookup import txt_lookup
    from idp.domain_proof import check_due
    from idp.doors.saml_refresh import Reader, warn_of_certificates
    from idp.mail import Mailer
    from idp.oidc.backchannel import Backchannel
    from idp.worker import Job, prune

    database, store, clients, clock = parts.database, parts.store, parts.clients, parts.clock
    backchannel = Backchannel(parts.config, clients, parts.keys, parts.outgoing, parts.random, clock)
    lookup = txt_lookup(parts.config.dns_server)
    reader = Reader(database, parts.connections, parts.outgoing, parts.sealer, clock, parts.config.on_loopback)
    audit_key = parts.keys.derive("audit")
    work = [
        Job("revocations", lambda: apply_revocations(database, store, clients, clock()) > 0),
        Job("attempts", lambda: drain(store, database) > 0),
        Job("logout", lambda: backchannel.send_due(database), threads=4),
        Job(
            "domains",
            lambda: check_due(database, lookup, parts.outgoing.get, parts.sealer, clock),
            every=60.0,
            threads=4,  # somebody's slow name servers hold up one of them
        ),
        Job("metadata", reader.refresh_due, every=30.0, threads=4),  # as for domains
        Job("certificates", lambda: warn_of_certificates(database, parts.sealer, clock()), every=3600.0),
        Job("audit", lambda: seal(database, audit_key), every=10.0),
        *(
            Job(f"audit-{name}", partial(deliver, database, name, send, clock), every=10.0)
            for name, send in receivers(parts.config, parts.outgoing, clock).items()
        ),
        Job("prune", lambda: prune(database, clock()), every=3600.0),
        Job("invitations", partial(work_next, Means(database, parts.sealer, clock, parts.random)), every=10.0),
        Job("policy_notices", lambda: tell_next(database, parts.sealer, clock()), every=10.0),
        Job("erase", lambda: erase_closed(database, clock()), every=3600.0),
    ]
    if parts.config.smtp:
        mailer = Mailer(parts.config, parts.languages)
        work.append(Job("mail", lambda: mailer.send_due(database, parts.sealer, clock)))
    return work

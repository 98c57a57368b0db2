"""The background work of one process: each job in threads of its own, so that none waits for another.

A failing job (SQL, Redis or a server away) is logged once, comes again at its usual pace, and is logged when it works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import delete, select

from idp.attempts import prune_attempts
from idp.errors import IdpError
from idp.models import BulkInvitation, EmailChange, HeldAddress, LogoutNotice, MailedLink, OutboxMail, Revocation
from idp.outbox import LOGOUT_NOTICES, MAILS

if TYPE_CHECKING:
    from idp.database import Database

log = structlog.get_logger(__name__)

STOP_SECONDS = 8.0
DAY = 86400
ROWS_PER_PRUNING = 500


@dataclass(frozen=True)
class Job:
    """``run`` does a bounded piece of work and returns whether there is more; ``every``: seconds to rest when not."""

    name: str
    run: Callable[[], bool]
    every: float = 1.0
    threads: int = 1


class Worker:
    """Runs jobs until it is told to stop."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then let each thread end what it is doing, for eight seconds at most.

        What is cut off later is not lost: its lease ends, and another worker takes it.
        """
        threads = [
            threading.Thread(target=self._repeat, args=(job, stop), daemon=True, name=f"{job.name}-{number}")
            for job in self._jobs
            for number in range(job.threads)
        ]
        for thread in threads:
            thread.start()
        log.info("worker.started", jobs=[job.name for job in self._jobs])
        stop.wait()
        ends = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        log.info("worker.stopped", unfinished=[thread.name for thread in threads if thread.is_alive()])

    def _repeat(self, job: Job, stop: threading.Event) -> None:
        failures, said = 0, ""
        while not stop.is_set():
            more = False
            try:
                more = job.run()
            except Exception as error:  # one broken job must not end the others
                failures += 1
                known, trouble = isinstance(error, IdpError), f"{error.__class__.__name__}: {error}"
                if trouble != said:  # once, not every few seconds
                    log.error("worker.job_failing", job=job.name, error=trouble, exc_info=not known)
                said = trouble
            else:
                if failures:
                    log.info("worker.job_recovered", job=job.name, failures=failures)
                failures, said = 0, ""
            if not more:
                stop.wait(job.every)


def prune(database: Database, now: float) -> bool:
    """Delete what nobody needs any more, a bounded number of rows at a time; close what will not be sent any more.

    Kept: links in mails for a week after their end, changes of addresses and what holds left ones until they are over, mails and logout notices for 30 days after they were queued,
    lists of invitations for 30 days after they were sent and for a day when they were not, revocations for 30 days after they took effect, attempts as long as ``attempts.KEPT``.

    :param now: seconds since 1970.
    :returns: whether there is more to delete.
    :raises Unavailable: SQL does not answer.
    """
    MAILS.give_up_abandoned(database, now)
    LOGOUT_NOTICES.give_up_abandoned(database, now)
    at, more = int(now), False
    for number, old in (
        (MailedLink.id, MailedLink.expires_at < at - 7 * DAY),
        (OutboxMail.id, (OutboxMail.state != "waiting") & (OutboxMail.created_at < at - 30 * DAY)),
        (LogoutNotice.id, (LogoutNotice.state != "waiting") & (LogoutNotice.created_at < at - 30 * DAY)),
        (Revocation.id, Revocation.done_at < at - 30 * DAY),
        (HeldAddress.canonical, HeldAddress.until <= at),
        (EmailChange.account_id, EmailChange.expires_at <= at),
        (BulkInvitation.id, BulkInvitation.created_at < at - 30 * DAY),
        (BulkInvitation.id, (BulkInvitation.state == "draft") & (BulkInvitation.created_at < at - DAY)),
    ):
        # Looked for without the lock of writers, so that no sign-in waits for it.
        with database.reading() as db:
            found = db.scalars(select(number).where(old).limit(ROWS_PER_PRUNING)).all()
        if found:
            with database.transaction() as db:
                # Asked once more: where a key is no number, somebody may have a new row under it since.
                db.execute(delete(number.class_).where(number.in_(found), old))
        more = more or len(found) == ROWS_PER_PRUNING
    with database.transaction() as db:
        return prune_attempts(db, now) or more

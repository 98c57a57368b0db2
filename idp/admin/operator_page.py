"""``/operator``: the whole provider at a glance, and what needs attention."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response
from sqlalchemy import select
from sqlalchemy.orm import Session as Transaction

from idp.admin.access import admin_page, needs
from idp.admin.operator_counts import count, moment, written
from idp.admin.staff import Right
from idp.models import Account, Company, Connection, ConnectionCertificate, ConnectionMetadata, OutboxMail
from idp.parts import parts
from idp.readiness import readiness

bp = Blueprint("operator_page", __name__)

SOON = 30 * 86400  # seconds before its end from which a certificate needs attention
LATE = 15 * 60  # seconds after which a due mail should have gone
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Ailing:
    """A connection that needs attention: ``until`` when its last certificate ends, ``problem`` with its metadata (a reason), or ``waits``: a change
    of its metadata waits for a person."""

    company_id: str
    company: str
    connection: str
    until: str = ""
    over: bool = False
    problem: str = ""
    waits: bool = False


@bp.get("/operator")
@needs(Right.see_operations)
def show_operator() -> Response:
    """The state of each part, how much there is, and what needs attention."""
    here = parts()
    now = here.clock()
    ready = readiness(here.store, here.database, here.clients, here.keys)
    with here.database.reading() as db:
        counts = {
            "companies": written(count(db, Company)),
            "people": written(count(db, Account)),
            "connections": written(count(db, Connection, Connection.state == "live")),
            "clients": str(len(here.clients.all())),
        }
        late = count(db, OutboxMail, OutboxMail.state == "waiting", OutboxMail.next_try_at < int(now) - LATE)
        stuck = count(db, OutboxMail, OutboxMail.state.in_(("bounced", "given_up")))
        ailing = [*_ending(db, now), *_unread(db), *_waiting(db)]
    return admin_page(
        "admin/operator.html",
        place="operator",
        here="operator",
        ready=ready,
        counts=counts,
        ailing=ailing,
        late=written(late) if late else "",
        stuck=written(stuck) if stuck else "",
        wrong_files=[name for name in ("clients", "keys") if ready[name] == "kept"],
        off=len(here.clients.warnings),
    )


def _ending(db: Transaction, now: float) -> list[Ailing]:
    """Live connections of which a certificate ends soon, or has ended, and none that lasts longer is there."""
    ends, lasts = ConnectionCertificate, select(ConnectionCertificate.connection_id)
    rows = db.execute(
        select(Company.id, Company.name, Connection.name, ends.not_after)
        .join_from(ends, Connection, Connection.id == ends.connection_id)
        .join(Company, Company.id == Connection.company_id)
        .where(
            ends.not_after < int(now) + SOON,
            Connection.state == "live",
            Connection.id.not_in(lasts.where(ConnectionCertificate.not_after >= int(now) + SOON)),
        )
        .order_by(ends.not_after.desc())
        .limit(MOST_SHOWN)
    )
    last = {(company_id, name): (company, until) for company_id, company, name, until in reversed(rows.all())}
    return [
        Ailing(company_id, company, name, until=moment(until), over=until <= now)
        for (company_id, name), (company, until) in last.items()
    ]


def _unread(db: Transaction) -> list[Ailing]:
    """Connections whose metadata could not be read when it was looked at last."""
    rows = db.execute(
        select(Company.id, Company.name, Connection.name, Connection.metadata_problem)
        .join(Company, Company.id == Connection.company_id)
        .where(Connection.metadata_problem.is_not(None))
        .order_by(Connection.id)
        .limit(MOST_SHOWN)
    )
    return [Ailing(company_id, company, name, problem=problem or "") for company_id, company, name, problem in rows]


def _waiting(db: Transaction) -> list[Ailing]:
    """Connections of which a change of the metadata was kept aside until a person of the company decides."""
    aside = select(ConnectionMetadata.connection_id).where(ConnectionMetadata.state == "kept_aside")
    rows = db.execute(
        select(Company.id, Company.name, Connection.name)
        .join(Company, Company.id == Connection.company_id)
        .where(Connection.id.in_(aside))
        .order_by(Connection.id)
        .limit(MOST_SHOWN)
    )
    return [Ailing(company_id, company, name, waits=True) for company_id, company, name in rows]

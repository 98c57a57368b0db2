"""The proof that an e-mail domain is a company's own: a TXT record or a file with a code that we gave, looked for again daily.

A claim is pending until its code is found, for ten days. A verified domain is held: nobody else can have it, one above it
or one below it. When its code is missing for seven days it is lost: nobody is sent to the company any more, but it is held
for thirty days, in which finding the code again repairs everything, and doors that the company has closed stay closed. A
released domain cools off as long.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from idp import audit
from idp.companies import COOLING_OFF, CompanyRefused, find_company
from idp.database import hold
from idp.dns_lookup import Lookup
from idp.domain_evidence import NAME, Get, Proof, above, look, public_suffixes
from idp.members import tell_contacts
from idp.models import CompanyDomain
from idp.public_mail import PUBLIC_MAIL_DOMAINS
from idp.sealing import Sealer
from idp.uris import is_host_name

if TYPE_CHECKING:
    from idp.database import Database

HOUR, DAY = 3600, 86400
MOST_CLAIMS = 200  # of one company: each is looked for, and stands on its page
CODE_LIFETIME = 10 * DAY
AGAIN = DAY  # how often the proof of a verified domain is looked for
LOST_AFTER = 7 * DAY


TAKING = 0x69647032  # the number of our advisory lock: claims change one at a time


# --- what may be claimed ---------------------------------------------------------------------------------------------------


def read_domain(text: str) -> str:
    """A domain as somebody writes it, in the form in which it stands in canonical addresses: ASCII (IDNA 2008), lower case.

    A dot at the end is dropped: it says that the name is complete, and this one always is.

    :raises CompanyRefused: ``domain_malformed``, ``domain_public_suffix``, ``domain_public_mail``.
    """
    text = text.strip().removesuffix(".")
    if len(text) > 253 or "@" in text or _is_address(text):
        raise CompanyRefused("domain_malformed")
    from email_validator import EmailNotValidError, validate_email  # the same reading as of addresses

    try:
        domain = (validate_email(f"x@{text}", check_deliverability=False, strict=True).ascii_domain or "").lower()
    except EmailNotValidError as error:
        raise CompanyRefused("domain_malformed", detail=str(error)) from None
    if not is_host_name(domain):
        raise CompanyRefused("domain_malformed")
    if public_suffixes().is_public(domain):
        raise CompanyRefused("domain_public_suffix")
    if PUBLIC_MAIL_DOMAINS.intersection([domain, *above(domain)]):
        raise CompanyRefused("domain_public_mail")
    return domain


def claim(
    db: Session, company_id: str, text: str, *, actor: str, now: float, random: Callable[[int], bytes]
) -> CompanyDomain:
    """Say that a domain is the company's own: a code is made for it, good for ten days.

    What is claimed already stays as it is; an expired or released claim gets a new code.

    :raises CompanyRefused: ``company_unknown``; see :func:`read_domain`; ``domain_taken``: another company holds it, a
        domain above it or one below it; ``domain_too_many``.
    """
    domain = read_domain(text)
    hold(db, TAKING)
    if find_company(db, company_id) is None:
        raise CompanyRefused("company_unknown")
    _check_free(db, company_id, domain, now)
    row = find_claim(db, company_id, domain)
    at = int(now)
    if row is None:
        if len(claims(db, company_id)) >= MOST_CLAIMS:
            raise CompanyRefused("domain_too_many")
        row = CompanyDomain(company_id=company_id, domain=domain, found=[], created_at=at)
        db.add(row)
    elif row.status in ("verified", "lost") or (row.status == "pending" and row.code_expires_at > now):
        return row
    row.status = "pending"
    row.code = str(uuid.UUID(bytes=random(16), version=4))
    row.code_expires_at = at + CODE_LIFETIME
    row.found, row.checked_at, row.method = [], None, None
    row.next_check_at = _next(row, now)
    db.flush()
    _record(db, audit.Event.company_domain_claimed, row, actor, now)
    return row


def record_of(row: CompanyDomain) -> str:
    """What the TXT record at the domain, or the file at ``FILE``, must hold: this and nothing else."""
    return f"{NAME}={row.code}"


def find_claim(db: Session, company_id: str, domain: str) -> CompanyDomain | None:
    """A company's claim of a domain in its canonical form."""
    return db.scalar(
        select(CompanyDomain).where(CompanyDomain.company_id == company_id, CompanyDomain.domain == domain)
    )


def claims(db: Session, company_id: str) -> list[CompanyDomain]:
    """All claims of a company, by domain."""
    return list(
        db.scalars(select(CompanyDomain).where(CompanyDomain.company_id == company_id).order_by(CompanyDomain.domain))
    )


def release(db: Session, company_id: str, text: str, *, actor: str, now: float) -> None:
    """Give a domain back. Held until now, it stays closed to everybody else for the cooling-off time; else it is just gone.

    :raises CompanyRefused: ``domain_unclaimed``.
    """
    hold(db, TAKING)
    row = _claimed(db, company_id, text)
    _record(db, audit.Event.company_domain_released, row, actor, now, was=row.status)
    if row.held is None:
        db.delete(row)
        return
    row.status, row.missed_since, row.warned_at = "released", None, None
    row.free_at = int(now) + COOLING_OFF
    row.next_check_at = _next(row, now)


# --- what follows ----------------------------------------------------------------------------------------------------------


def check(
    database: Database,
    company_id: str,
    text: str,
    lookup: Lookup,
    get: Get,
    *,
    sealer: Sealer,
    actor: str,
    now: float,
) -> Proof:
    """Look for a claim's code now, because somebody asked, and let follow what follows.

    :raises CompanyRefused: ``domain_unclaimed``; ``domain_released``; ``domain_code_expired``: claim it again for a new
        code; ``domain_taken``: the proof is there, but another company was first.
    """
    with database.reading() as db:
        row = _claimed(db, company_id, text)
        number, domain, code = row.id, row.domain, row.code
        if row.status == "released":
            raise CompanyRefused("domain_released")
        if row.status == "expired" or (row.status == "pending" and row.code_expires_at <= now):
            raise CompanyRefused("domain_code_expired")
    proof = look(domain, code, lookup, get)
    with database.transaction() as db:
        note(db, number, code, proof, sealer=sealer, actor=actor, now=now)
    return proof


def check_due(database: Database, lookup: Lookup, get: Get, sealer: Sealer, clock: Callable[[], float]) -> bool:
    """Do what is due for one domain: look for its proof again, or let its code or its hold end. The worker's job.

    :returns: whether something was due.
    :raises Unavailable: SQL does not answer.
    """
    now = clock()
    due = CompanyDomain.next_check_at <= int(now)
    with database.reading() as db:
        row = db.scalar(select(CompanyDomain).where(due).order_by(CompanyDomain.next_check_at).limit(1))
        if row is None:
            return False
        number, domain, code, status, seen = row.id, row.domain, row.code, row.status, row.next_check_at
    with database.transaction() as db:
        hold(db, TAKING)
        # Leased: a second worker passes it over, and if this one dies it is due again in an hour.
        mine = CompanyDomain.id == number, CompanyDomain.next_check_at == seen
        leased = update(CompanyDomain).where(*mine).values(next_check_at=int(now) + HOUR).returning(CompanyDomain.id)
        if db.scalar(leased) is None:
            return True
        if status not in ("verified", "lost"):
            _end(db, number, now)
            return True
    proof = look(domain, code, lookup, get)
    with database.transaction() as db:
        note(db, number, code, proof, sealer=sealer, actor="system", now=clock())
    return True


def note(db: Session, number: int, code: str, proof: Proof, *, sealer: Sealer, actor: str, now: float) -> None:
    """Write down what was found for a claim (its row's number, and the code that was looked for).

    :raises CompanyRefused: ``domain_taken``; the transaction is then over.
    """
    hold(db, TAKING)
    row = db.get(CompanyDomain, number, with_for_update=True, populate_existing=True)
    if row is None or row.code != code or row.status not in ("pending", "verified", "lost"):
        return  # released, or given another code meanwhile
    row.checked_at, row.found = int(now), list(proof.found)
    if proof.ok:
        _found(db, row, proof, sealer, actor, now)
    elif row.status != "pending":
        _missed(db, row, proof, sealer, now)
    _end(db, number, now)


def _found(db: Session, row: CompanyDomain, proof: Proof, sealer: Sealer, actor: str, now: float) -> None:
    if row.status == "pending" and row.code_expires_at <= now:
        return
    was = row.status
    if was == "pending":
        _check_free(db, str(row.company_id), row.domain, now)
        row.held, row.tree = row.domain, _tree(row.domain)
        row.verified_at = int(now)
        try:
            db.flush()
        except IntegrityError:
            raise CompanyRefused("domain_taken") from None
    row.status, row.method = "verified", proof.method
    row.missed_since = row.free_at = None
    row.next_check_at = _next(row, now)
    if was != "verified":
        _record(db, audit.Event.company_domain_verified, row, actor, now, was=was)
    if not row.warned_at or _tell(db, "domain_back", row, sealer, now, int(now), ""):
        row.warned_at = None  # else with the next look


def _missed(db: Session, row: CompanyDomain, proof: Proof, sealer: Sealer, now: float) -> None:
    at = int(now)
    first = row.missed_since is None
    row.missed_since = row.missed_since or at
    ends = row.missed_since + LOST_AFTER
    if row.status != "lost" and at >= ends:
        was, row.status, row.free_at = row.status, "lost", at + COOLING_OFF
        _record(db, audit.Event.company_domain_lost, row, "system", now, was=was)
    row.next_check_at = _next(row, now)
    if row.status == "lost":
        free_at = row.free_at or at
        if row.warned_at is None or row.warned_at < free_at - COOLING_OFF:  # they have not heard of the loss
            _warn(db, "domain_lost", row, sealer, now, free_at, proof.reason)
        return
    if first:
        row.warned_at = None
    if first and proof.unsure:
        row.next_check_at = at + HOUR  # name servers have bad moments
        return
    row.next_check_at = min(at + AGAIN, ends)
    if row.warned_at is None:
        _record(db, audit.Event.company_domain_missed, row, "system", now, reason=proof.reason)
    if row.warned_at is None or at - row.warned_at >= AGAIN:
        _warn(db, "domain_missing", row, sealer, now, ends, proof.reason)


def _warn(db: Session, name: str, row: CompanyDomain, sealer: Sealer, now: float, at: int, reason: str) -> None:
    if _tell(db, name, row, sealer, now, at, reason):
        row.warned_at = int(now)
    else:
        row.warned_at = row.warned_at or 0  # nobody has heard
        row.next_check_at = min(row.next_check_at or at, int(now) + HOUR)


def _end(db: Session, number: int, now: float) -> None:
    """Let end what has come to its end: the code of a claim, the hold of a domain that is not verified."""
    row = db.get_one(CompanyDomain, number, with_for_update=True, populate_existing=True)
    if row.status == "pending" and row.code_expires_at <= now:
        row.status = "expired"
    if row.status != "verified" and row.free_at is not None and row.free_at <= now and _let_go(db, row, now):
        return
    if row.status not in ("verified", "lost"):
        row.next_check_at = _next(row, now)


def _let_go(db: Session, row: CompanyDomain, now: float) -> bool:
    """End the hold of a domain. Returns whether its claim is gone too."""
    _record(db, audit.Event.company_domain_freed, row, "system", now)
    if row.status == "released":
        db.delete(row)
        db.flush()
        return True
    row.held = row.tree = row.free_at = row.missed_since = row.warned_at = None
    if row.status == "lost":
        row.status = "expired"
    row.next_check_at = _next(row, now)
    db.flush()
    return False


def _next(row: CompanyDomain, now: float) -> int | None:
    times = [row.free_at] if row.free_at is not None and row.status != "verified" else []
    if row.status in ("verified", "lost"):
        times.append(int(now) + AGAIN)
    elif row.status == "pending":
        times.append(row.code_expires_at)
    return min(times, default=None)


def _check_free(db: Session, company_id: str, domain: str, now: float) -> None:
    """Refuse a domain that another company holds, or one above or below it. The caller holds ``TAKING``."""
    start = _tree(domain)
    below = (CompanyDomain.tree > start) & (CompanyDomain.tree < start[:-1] + "/")  # "/" is what follows "." in ASCII
    overlapping = select(CompanyDomain).where(or_(CompanyDomain.held.in_([domain, *above(domain)]), below))
    for other in db.scalars(overlapping):
        if other.company_id == company_id:
            continue
        if other.status == "verified" or other.free_at is None or other.free_at > now:
            raise CompanyRefused("domain_taken")
        _let_go(db, other, now)  # its time is over, the worker has only not come by yet


def _claimed(db: Session, company_id: str, text: str) -> CompanyDomain:
    try:
        row = find_claim(db, company_id, read_domain(text))
    except CompanyRefused:
        row = None
    if row is None:
        raise CompanyRefused("domain_unclaimed")
    return row


def _tell(db: Session, name: str, row: CompanyDomain, sealer: Sealer, now: float, at: int, reason: str) -> bool:
    """Write to the contacts. ``at``: when the domain will be lost, may be claimed by others, or was found again. Returns False
    when nobody hears of it now."""
    values: dict[str, Any] = {"domain": row.domain, "record": record_of(row), "at": at, "reason": reason}
    return tell_contacts(db, str(row.company_id), name, sealer=sealer, now=now, **values)


def _record(db: Session, event: audit.Event, row: CompanyDomain, actor: str, now: float, **facts: str) -> None:
    audit.record(db, event, now=now, actor=actor, company=row.company_id or "", domain=row.domain, **facts)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _tree(domain: str) -> str:
    return ".".join(reversed(domain.split("."))) + "."

"""Audit: what was done, by whom, to what. The record is written in the transaction of the act itself."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.logs import printable
from idp.models import AuditEvent, Member


class Event(StrEnum):
    """The whole vocabulary: subject, then what happened to it. In words it stands in the catalogue under ``audit.<event>``."""

    person_created = "person.created"
    person_changed = "person.changed"
    person_password_set = "person.password_set"  # noqa: S105 the name of an event
    person_recovery_set = "person.recovery_set"
    person_recovery_removed = "person.recovery_removed"
    person_suspended = "person.suspended"
    person_reactivated = "person.reactivated"
    person_closed = "person.closed"
    person_erased = "person.erased"
    person_signed_in = "person.signed_in"
    person_terms_accepted = "person.terms_accepted"
    person_linked = "person.linked"
    person_unlinked = "person.unlinked"
    person_reclaimed = "person.reclaimed"
    person_invited = "person.invited"
    person_invitation_withdrawn = "person.invitation_withdrawn"
    person_invitation_accepted = "person.invitation_accepted"
    person_factor_added = "person.factor_added"
    person_factor_removed = "person.factor_removed"
    person_factor_removal_asked = "person.factor_removal_asked"
    person_factor_removal_withdrawn = "person.factor_removal_withdrawn"
    person_factors_removed = "person.factors_removed"
    person_disowned_factor = "person.disowned_factor"
    person_signed_out = "person.signed_out"
    person_signed_out_everywhere = "person.signed_out_everywhere"
    person_device_added = "person.device_added"
    person_disowned_sign_in = "person.disowned_sign_in"
    person_consent_given = "person.consent_given"
    person_consent_withdrawn = "person.consent_withdrawn"
    person_seat_granted = "person.seat_granted"
    person_seat_removed = "person.seat_removed"
    company_created = "company.created"
    company_renamed = "company.renamed"
    company_removed = "company.removed"
    company_policy_changed = "company.policy_changed"
    company_settings_changed = "company.settings_changed"
    company_member_added = "company.member_added"
    company_role_changed = "company.role_changed"
    company_member_removed = "company.member_removed"
    company_people_exported = "company.people_exported"
    company_break_glass_named = "company.break_glass_named"
    company_break_glass_withdrawn = "company.break_glass_withdrawn"
    company_break_glass_used = "company.break_glass_used"
    company_domain_claimed = "company.domain_claimed"
    company_domain_verified = "company.domain_verified"
    company_domain_missed = "company.domain_missed"
    company_domain_lost = "company.domain_lost"
    company_domain_released = "company.domain_released"
    company_domain_freed = "company.domain_freed"
    company_sso_required = "company.sso_required"
    company_sso_relaxed = "company.sso_relaxed"
    connection_added = "connection.added"
    connection_changed = "connection.changed"
    connection_tested = "connection.tested"
    connection_live = "connection.live"
    connection_draft = "connection.draft"
    connection_removed = "connection.removed"
    connection_certificate_added = "connection.certificate_added"
    connection_certificate_removed = "connection.certificate_removed"
    connection_key_rolled = "connection.key_rolled"
    connection_metadata_kept_aside = "connection.metadata_kept_aside"
    connection_metadata_dismissed = "connection.metadata_dismissed"
    setup_link_made = "setup.link_made"
    setup_link_opened = "setup.link_opened"
    setup_link_revoked = "setup.link_revoked"
    staff_role_changed = "staff.role_changed"
    keys_created = "keys.created"
    keys_rotated = "keys.rotated"
    keys_pruned = "keys.pruned"
    keys_revoked = "keys.revoked"
    clients_added = "clients.added"
    clients_secret_rotated = "clients.secret_rotated"  # noqa: S105 the name of an event
    mail_retried = "mail.retried"
    support_looked = "support.looked"
    support_acted = "support.acted"
    audit_exported = "audit.exported"


# What only a provider with keys has done: they are there, or lost.
KEYS_KNOWN = (
    Event.keys_created,
    Event.keys_rotated,
    Event.keys_pruned,
    Event.keys_revoked,
    Event.person_signed_in,
)


def happened(db: Session, events: Iterable[Event]) -> bool:
    """Whether one of ``events`` was ever recorded."""
    return db.scalar(select(AuditEvent.id).where(AuditEvent.event.in_([*events])).limit(1)) is not None


def record(
    db: Session, event: Event, *, now: float, actor: str, account_id: str | None = None, **facts: str | int | bool
) -> None:
    """Write one event into the caller's transaction.

    :param now: seconds since 1970.
    :param actor: ``person:<account id>``, ``operator:<unix user>``, ``company:<id>``, ``connection:<id>``, ``provider:<key>`` or ``system``.
    :param account_id: whom it happened to.
    :param facts: what else is worth keeping; never a secret. ``company`` is the id of the company that it is about, without which it is that of
        the person; ``was`` is what there was before, ``reason`` why it was done. People are named by their account; an
        address is masked, because the audit lasts longer than they do. See ``changed`` for an act that changes several things.
    """
    kept = {name: printable(value) if isinstance(value, str) else value for name, value in facts.items()}
    row = AuditEvent(at=int(now), event=event.value, actor=printable(actor, 160), account_id=account_id, facts=kept)
    if facts.get("company"):
        row.company_id = str(kept["company"])[:32]
    elif account_id is not None:  # looked up by the INSERT itself: no further round trip
        row.company_id = select(Member.company_id).where(Member.account_id == account_id).scalar_subquery()
    db.add(row)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str | int | bool]:
    """The facts of a change: of each thing that differs, what it is by its name, and what it was as ``was_<name>``."""
    facts: dict[str, str | int | bool] = {}
    for name in sorted(after):
        if before.get(name) != after[name]:
            facts |= {name: _fact(after[name]), f"was_{name}": _fact(before.get(name))}
    return facts


def operator() -> str:
    """The actor of a command: ``operator:<unix user>``, also behind sudo."""
    try:
        return f"operator:{os.getlogin()}"
    except OSError:  # no terminal: a timer, a container
        pass
    try:
        return f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # containers run as users whom nobody has named
        return f"operator:{os.getuid()}"


def _fact(value: Any) -> str | int | bool:
    if value is None:
        return ""
    if isinstance(value, str | int | bool):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else " ".join(map(str, value))

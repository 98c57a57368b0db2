"""Audit: what was done, by whom, to what. The record is written in the transaction of the act itself."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.logs import printable
from idp.models import AuditEvent, Member


class Event(StrEnum):
    """The whole vocabulary: subject, then what happened to it. ``meaning`` is the sentence of docs/audit-events.md."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Event:
        event = str.__new__(cls, name)
        event._value_ = name
        event.meaning = meaning
        return event

    person_created = "person.created", "An account was made."
    person_changed = "person.changed", "Name, language, e-mail or another claim of a person was changed."
    person_password_set = "person.password_set", "A person's password was set or changed."
    person_recovery_set = (
        "person.recovery_set",
        "A person proved a recovery address: mails about a forgotten password go there.",
    )
    person_recovery_removed = (
        "person.recovery_removed",
        "A recovery address was taken away, by the person or from the mail that announced it.",
    )
    person_suspended = "person.suspended", "An account was suspended: its sessions and grants end."
    person_reactivated = (
        "person.reactivated",
        "A suspended account may sign in again, or one that its owner had closed.",
    )
    person_closed = (
        "person.closed",
        "A person closed their own account: all sessions and grants end. For two weeks it can be opened again.",
    )
    person_erased = (
        "person.erased",
        "An account that was closed two weeks before was deleted, with all that belongs to it.",
    )
    person_signed_in = "person.signed_in", "A person proved who they are, and a session was opened."
    person_terms_accepted = (
        "person.terms_accepted",
        "A person accepted the terms of service, in the version that is named.",
    )
    person_linked = (
        "person.linked",
        "A sign-in by another door leads to the account from now on; the link keeps how it was proved.",
    )
    person_unlinked = (
        "person.unlinked",
        "A link to a social provider was taken away, by the person or from the mail that announced it: sessions by it end.",
    )
    person_reclaimed = (
        "person.reclaimed",
        "Somebody proved by mail an address that nobody had proved: passwords, links, factors and sessions from before are gone.",
    )
    person_invited = "person.invited", "A person was sent an invitation to an account that was made for them."
    person_invitation_accepted = (
        "person.invitation_accepted",
        "A person whom an invitation was sent has proved the address of the account, by it or otherwise.",
    )
    person_factor_added = (
        "person.factor_added",
        "A person added a passkey, an authenticator app or recovery codes, and was told by mail.",
    )
    person_factor_removed = (
        "person.factor_removed",
        "A passkey, an authenticator app or recovery codes were taken away, by the person or from the mail that told of them.",
    )
    person_factor_removal_asked = (
        "person.factor_removal_asked",
        "Somebody asked that a person's lost second factors are taken away; another one has to agree.",
    )
    person_factors_removed = (
        "person.factors_removed",
        "A second person agreed, and all second factors of a person were taken away: sessions and grants end.",
    )
    person_disowned_factor = (
        "person.disowned_factor",
        "A person answered “this was not me” to a mail about a factor: all sessions and grants end.",
    )
    person_signed_out = "person.signed_out", "A person ended one session."
    person_signed_out_everywhere = "person.signed_out_everywhere", "All sessions and grants of a person were ended."
    person_device_added = (
        "person.device_added",
        "A person signed in from a device for the first time, and was told by mail.",
    )
    person_disowned_sign_in = (
        "person.disowned_sign_in",
        "A person answered “this was not me”: all sessions and grants end.",
    )
    person_consent_given = "person.consent_given", "A person allowed a client to read scopes."
    person_consent_withdrawn = "person.consent_withdrawn", "A person took back what a client was allowed."
    person_seat_granted = (
        "person.seat_granted",
        "A person got a seat in a product, or another role there: organizer or attendee.",
    )
    person_seat_removed = "person.seat_removed", "A person's seat in a product was taken away."
    company_created = "company.created", "A company was added."
    company_renamed = "company.renamed", "A company got another name."
    company_removed = "company.removed", "A company was taken away; its domains stay closed for the cooling-off time."
    company_policy_changed = "company.policy_changed", "What a company decides about sign-ins was changed."
    company_member_added = "company.member_added", "A person belongs to a company from now on."
    company_role_changed = "company.role_changed", "A member of a company got another role."
    company_member_removed = "company.member_removed", "A person belongs to a company no more: sessions and grants end."
    company_people_exported = "company.people_exported", "The list of a company's people was taken along as a file."
    company_break_glass_named = (
        "company.break_glass_named",
        "A person may use their password although their company requires its own sign-in.",
    )
    company_break_glass_withdrawn = (
        "company.break_glass_withdrawn",
        "A person must sign in through their company like everybody else.",
    )
    company_break_glass_used = (
        "company.break_glass_used",
        "A break-glass person signed in with their password; all administrators of the company were told.",
    )
    company_domain_claimed = "company.domain_claimed", "A company said that a domain is its own, and got a code for it."
    company_domain_verified = "company.domain_verified", "The code was found: the domain is the company's."
    company_domain_missed = (
        "company.domain_missed",
        "The code of a verified domain was not found; its contacts were told.",
    )
    company_domain_lost = (
        "company.domain_lost",
        "The code was missing for seven days: addresses of the domain lead to the company no more.",
    )
    company_domain_released = "company.domain_released", "A company gave a domain back."
    company_domain_freed = "company.domain_freed", "A lost or released domain may be claimed by anybody again."
    company_sso_required = "company.sso_required", "A company closed every door but its own for its domains."
    company_sso_relaxed = "company.sso_relaxed", "A company opened the other doors again."
    connection_added = (
        "connection.added",
        "A connection to a company's identity provider was added, with a key of its own.",
    )
    connection_changed = (
        "connection.changed",
        "What a connection says of its identity provider, or asks of it, was changed.",
    )
    connection_tested = "connection.tested", "Somebody came all the way through a connection in a trial."
    connection_live = "connection.live", "A company's people are sent to a connection from now on."
    connection_draft = "connection.draft", "A connection was taken back: nobody is sent to it any more."
    connection_removed = "connection.removed", "A connection was taken away."
    connection_certificate_added = (
        "connection.certificate_added",
        "A further certificate of an identity provider counts, by a person or by its metadata.",
    )
    connection_certificate_removed = (
        "connection.certificate_removed",
        "A certificate of an identity provider counts no more.",
    )
    connection_key_rolled = (
        "connection.key_rolled",
        "Our key pair towards an identity provider went one step on: a next one is published, or signs.",
    )
    connection_metadata_kept_aside = (
        "connection.metadata_kept_aside",
        "An identity provider's metadata changed in a way that a person must decide.",
    )
    connection_metadata_dismissed = (
        "connection.metadata_dismissed",
        "Somebody decided against metadata that was kept aside, or the identity provider says something else now.",
    )
    setup_link_made = (
        "setup.link_made",
        "A link was made with which a company's IT sets up its sign-in without an account.",
    )
    setup_link_opened = "setup.link_opened", "Somebody began to work with a set-up link."
    setup_link_revoked = "setup.link_revoked", "A set-up link works no more."
    staff_role_changed = (
        "staff.role_changed",
        "A person got another role at the provider (support, operator, operator_read_only), or has none any more.",
    )
    keys_created = "keys.created", "The key ring was made."
    keys_rotated = "keys.rotated", "Another key signs from now on."
    keys_pruned = "keys.pruned", "Keys that nothing can need any more were removed."
    keys_revoked = "keys.revoked", "A key was taken out at once: what it signed no longer verifies."
    clients_added = "clients.added", "A relying party was added to clients.yaml by the command."
    clients_secret_rotated = "clients.secret_rotated", "A relying party got a second client secret."
    mail_retried = "mail.retried", "An operator sent a mail on its way again."
    support_looked = (
        "support.looked",
        "Somebody of support opened a sign-in attempt by its receipt. The person sees it in their activity.",
    )
    support_acted = (
        "support.acted",
        "Somebody of support did something for a caller, while the attempt was open to them.",
    )
    audit_exported = "audit.exported", "Somebody took a copy of the audit along."


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
        the person; ``was`` is what there was before, ``reason`` why it was done.
    """
    kept = {name: printable(value) if isinstance(value, str) else value for name, value in facts.items()}
    row = AuditEvent(at=int(now), event=event.value, actor=printable(actor, 160), account_id=account_id, facts=kept)
    if facts.get("company"):
        row.company_id = str(kept["company"])[:32]
    elif account_id is not None:  # looked up by the INSERT itself: no further round trip
        row.company_id = select(Member.company_id).where(Member.account_id == account_id).scalar_subquery()
    db.add(row)


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

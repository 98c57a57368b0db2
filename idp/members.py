"""Members of companies: who belongs to one and in which role, whom it is written to, who may break the glass.

Roles count here and in what products are told (scope ``company``): each change of them is a Revocation too, so that Redis
follows within five seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from idp import audit
from idp.companies import CompanyRefused, find_company, hold_company
from idp.mail import queue_mail
from idp.models import (
    Account,
    Company,
    CompanyDomain,
    Email,
    Link,
    Member,
    Password,
    Revocation,
    SearchTerm,
)
from idp.sealing import Sealer

Role = Literal["administrator", "read_only", "member"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Person:
    """A member of a company, as its administrators see them."""

    account_id: str
    address: str
    locale: str | None
    state: str
    role: str
    break_glass: bool
    prepared: bool
    has_password: bool

    @property
    def language(self) -> str:
        """The language of mails to them."""
        return _language(self.locale)


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody to write to. ``locale`` is their own choice, if they have an account that says it."""

    address: str
    locale: str | None

    @property
    def language(self) -> str:
        """The language of mails to them."""
        return _language(self.locale)


def members(db: Session, company_id: str) -> list[Person]:
    """All members, by address."""
    rows = db.execute(_people().where(Member.company_id == company_id).order_by(Email.canonical))
    return [Person(*row) for row in rows]


def administrators(db: Session, company_id: str) -> list[Person]:
    """The administrators who can act: active, and not only prepared."""
    who = Member.company_id == company_id, Member.role == "administrator", Account.state == "active", ~Member.prepared
    return [Person(*row) for row in db.execute(_people().where(*who).order_by(Email.canonical))]


def contacts(db: Session, company_id: str) -> list[Contact]:
    """Whom to write to about certificates, metadata and domains: the technical contacts, else the administrators."""
    company = db.get(Company, company_id)
    if company is None or not company.contacts:
        return [Contact(one.address, one.locale) for one in administrators(db, company_id)]
    known = select(Email.canonical, Account.locale).join_from(Email, Account)
    locales = {row.canonical: row.locale for row in db.execute(known.where(Email.canonical.in_(company.contacts)))}
    return [Contact(address, locales.get(address)) for address in company.contacts]


def tell_contacts(db: Session, company_id: str, name: str, *, sealer: Sealer, now: float, **values: Any) -> bool:
    """Queue the mail ``name`` to all contacts of a company. ``values``: what its templates print beside the company's name.

    :returns: False when nobody hears of it now: there is nobody to write to, or all have had too many mails lately.
    """
    company = find_company(db, company_id)
    if company is None:
        return False
    queued = [
        queue_mail(
            db,
            name=name,
            recipient=contact.address,
            language=contact.language,
            now=now,
            sealer=sealer,
            company=company.name,
            **values,
        )
        for contact in contacts(db, company_id)
    ]
    return any(queued)


def add_member(
    db: Session,
    company_id: str,
    account_id: str,
    role: str,
    *,
    actor: str,
    now: float,
    prepared: bool = False,
    vouched: bool = False,
) -> None:
    """Let a person belong to a company.

    Their address must be of a domain that the company has proved, and be verified, or anybody could wait here under an
    address of the company for the role that it gives. ``prepared``: the account was made just now by the company for
    somebody who has never been here, so the address is not verified yet. ``vouched``: an operator answers for it, or the
    person has agreed; then any address will do.

    :raises CompanyRefused: ``company_unknown``, ``company_role_unknown``, ``company_member_unknown`` (no such account),
        ``company_member_elsewhere`` (belongs to this or another company), ``company_member_outside`` (the address),
        ``company_member_not_new`` (prepared, but somebody uses the account already).
    """
    _check_role(role)
    account = _held_account(db, account_id)
    hold_company(db, company_id)
    if db.get(Member, account_id) is not None:
        raise CompanyRefused("company_member_elsewhere")
    if not vouched and not _belongs(db, company_id, account, prepared=prepared):
        raise CompanyRefused("company_member_outside")
    if prepared and _is_used(db, account_id):  # or the company's sign-in would take it from whoever uses it
        raise CompanyRefused("company_member_not_new")
    db.add(Member(account_id=account_id, company_id=company_id, role=role, prepared=prepared, created_at=int(now)))
    db.execute(update(SearchTerm).where(SearchTerm.account_id == account_id).values(company_id=company_id))
    db.add(Revocation(kind="person", account_id=account_id, created_at=int(now)))
    _record(db, audit.Event.company_member_added, company_id, account_id, actor, now, role=role, prepared=prepared)


def set_role(db: Session, company_id: str, account_id: str, role: str, *, actor: str, now: float) -> None:
    """Give a member another role.

    :raises CompanyRefused: ``company_role_unknown``, ``company_member_unknown``, ``company_last_administrator``.
    """
    _check_role(role)
    member = _held_member(db, company_id, account_id)
    if role != "administrator":
        _keep_an_administrator(db, member)
    was, member.role = member.role, role
    db.add(Revocation(kind="person", account_id=account_id, created_at=int(now)))
    _record(db, audit.Event.company_role_changed, company_id, account_id, actor, now, role=role, was=was)


def note_arrived(db: Session, account_id: str) -> None:
    """A prepared member has come for the first time."""
    db.execute(update(Member).where(Member.account_id == account_id).values(prepared=False))


def remove_member(db: Session, company_id: str, account_id: str, *, actor: str, now: float) -> None:
    """Let a person belong to the company no more: all their sessions and grants end. The account stays.

    :raises CompanyRefused: ``company_member_unknown``, ``company_last_administrator``, ``company_last_break_glass``.
    """
    member = _held_member(db, company_id, account_id)
    _keep_an_administrator(db, member)
    _keep_break_glass(db, member)
    was = member.role
    db.delete(member)
    db.execute(update(SearchTerm).where(SearchTerm.account_id == account_id).values(company_id=None))
    db.add(Revocation(kind="account", account_id=account_id, created_at=int(now)))
    _record(db, audit.Event.company_member_removed, company_id, account_id, actor, now, was=was)


def only_administrator_of(db: Session, account_id: str, *, hold: bool = False) -> str | None:
    """The name of the company that would have no administrator without this person; None when there is none.

    ``hold``: it stays so until the transaction ends; the person's own row is held already.
    """
    member = db.get(Member, account_id, populate_existing=True)
    if member is None or member.role != "administrator":
        return None
    company = hold_company(db, member.company_id) if hold else db.get_one(Company, member.company_id)
    others = [one for one in administrators(db, member.company_id) if one.account_id != account_id]
    return None if others else company.name


def name_break_glass(db: Session, company_id: str, account_id: str, *, named: bool, actor: str, now: float) -> None:
    """Say whether a member may use their password although SSO is required: for the day on which the connection fails.

    :raises CompanyRefused: ``company_member_unknown``, ``company_break_glass_password`` (the account has no password, is
        suspended or was only prepared), ``company_last_break_glass``.
    """
    member = _held_member(db, company_id, account_id)
    if member.break_glass == named:
        return
    if not named:
        _keep_break_glass(db, member)
    elif not _can_break_glass(db, member):
        raise CompanyRefused("company_break_glass_password")
    member.break_glass = named
    event = audit.Event.company_break_glass_named if named else audit.Event.company_break_glass_withdrawn
    _record(db, event, company_id, account_id, actor, now)


def break_glass_people(db: Session, company_id: str) -> list[Person]:
    query = _people().where(Member.company_id == company_id, Member.break_glass)
    people = [Person(*row) for row in db.execute(query)]
    return [one for one in people if _counts(one) and one.has_password]


def _language(locale: str | None) -> str:
    """The language of a locale; the mailer falls back to English where it is none of ours."""
    return (locale or "en").replace("_", "-").partition("-")[0].lower()


def _people() -> Any:
    has_password = exists().where(Password.account_id == Account.id).correlate(Account)
    return (
        select(
            Account.id,
            Email.address,
            Account.locale,
            Account.state,
            Member.role,
            Member.break_glass,
            Member.prepared,
            has_password,
        )
        .join_from(Member, Account, Member.account_id == Account.id)
        .join(Email, (Email.account_id == Account.id) & Email.primary)
    )


def _counts(person: Person) -> bool:
    return person.state == "active" and not person.prepared


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise CompanyRefused("company_role_unknown", detail=f"there are: {' '.join(ROLES)}")


# A person's row is always held before the company's: two who act at once wait for each other and never in a circle.
# The company's row in turn makes those wait who would take away the last administrator together.


def _held_account(db: Session, account_id: str) -> Account:
    account = db.get(Account, account_id, with_for_update=True)
    if account is None:
        raise CompanyRefused("company_member_unknown")
    return account


def _held_member(db: Session, company_id: str, account_id: str) -> Member:
    _held_account(db, account_id)
    hold_company(db, company_id)
    member = db.get(Member, account_id, populate_existing=True)
    if member is None or member.company_id != company_id:
        raise CompanyRefused("company_member_unknown")
    return member


def _belongs(db: Session, company_id: str, account: Account, *, prepared: bool) -> bool:
    addresses = select(Email.verified_at).join(CompanyDomain, CompanyDomain.held == Email.domain)
    addresses = addresses.where(
        Email.account_id == account.id, CompanyDomain.company_id == company_id, CompanyDomain.status == "verified"
    )
    return any(prepared or verified_at is not None for verified_at in db.scalars(addresses))


def _is_used(db: Session, account_id: str) -> bool:
    used = exists().where(Password.account_id == account_id) | exists().where(Link.account_id == account_id)
    return bool(db.scalar(select(used)))


def _keep_an_administrator(db: Session, member: Member) -> None:
    if only_administrator_of(db, member.account_id) is not None:
        raise CompanyRefused("company_last_administrator")


def _can_break_glass(db: Session, member: Member) -> bool:
    [row] = db.execute(_people().where(Member.account_id == member.account_id))
    person = Person(*row)
    return _counts(person) and person.has_password


def _keep_break_glass(db: Session, member: Member) -> None:
    company = db.get_one(Company, member.company_id)
    if not member.break_glass or (company.sso != "required" and "password" in company.doors):
        return
    others = [one for one in break_glass_people(db, member.company_id) if one.account_id != member.account_id]
    if not others:
        raise CompanyRefused("company_last_break_glass")


def _record(
    db: Session,
    event: audit.Event,
    company_id: str,
    account_id: str,
    actor: str,
    now: float,
    **facts: str | bool,
) -> None:
    audit.record(db, event, now=now, actor=actor, account_id=account_id, company=company_id, **facts)

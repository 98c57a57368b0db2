"""Companies: who belongs to them in which role, and what each decides about signing its people in.

A company reaches an address only by a domain that it has proved (``domain_proof.py``). Roles count here and in what
products are told (scope ``company``): each change of them is a Revocation too, so that Redis follows within five seconds.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Select, delete, exists, insert, literal, select, update
from sqlalchemy.orm import Session

from idp import audit
from idp.config import Config
from idp.errors import IdpError
from idp.mail import check_recipient, queue_mail
from idp.models import (
    Account,
    Company,
    CompanyDomain,
    Connection,
    Email,
    Link,
    Member,
    Password,
    Revocation,
)
from idp.sealing import Sealer

Role = Literal["administrator", "read_only", "member"]
ROLES: tuple[Role, ...] = get_args(Role)
Door = Literal["password", "social"]

# Characters that change how the text around them is read.
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LONGEST_NAME = 120
BINDING = ("verified", "lost")  # a domain in these states binds its people to what the company has decided
COOLING_OFF = 30 * 86400  # seconds for which a domain that was given back stays closed to everybody else
AT_ONCE = 5000  # accounts whose sessions are ended by one statement


class CompanyRefused(IdpError):
    """What somebody wanted for a company cannot be. Nothing was changed.

    ``reason`` is a code of the reasons table (``company_…``, ``domain_…``), which has its sentences; ``detail`` says in
    English what exactly, for operators.
    """

    status = 409


@dataclass(frozen=True, slots=True)
class Policy:
    """What a company decides about its people's sign-ins, as plain values.

    :ivar sso: ``optional`` or ``required``.
    :ivar jit: whether the first company sign-in of somebody unknown makes an account.
    :ivar doors: allowed beside the company's own while SSO is optional: ``password``, ``social``.
    :ivar session_idle: seconds, or None for the provider's own; likewise ``session_lifetime``. They only shorten.
    :ivar live: (id, name) of the connections that people are sent to.
    """

    company_id: str
    name: str
    sso: str
    jit: bool
    doors: tuple[str, ...]
    session_idle: int | None
    session_lifetime: int | None
    live: tuple[tuple[str, str], ...]


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


# --- what is asked on the road ---------------------------------------------------------------------------------------------


def policy_of_domain(db: Session, domain: str) -> Policy | None:
    """The policy of the company that has proved ``domain`` (canonical ASCII form); None when nobody has.

    Only this very domain counts, never one above it.
    """
    query = _policies().join(CompanyDomain, CompanyDomain.company_id == Company.id)
    return _policy(db, query.where(CompanyDomain.held == domain, CompanyDomain.status == "verified"))


def policy_of_company(db: Session, company_id: str) -> Policy:
    """The policy of a company.

    :raises CompanyRefused: ``company_unknown``.
    """
    policy = _policy(db, _policies().where(Company.id == company_id))
    if policy is None:
        raise CompanyRefused("company_unknown")
    return policy


def owns_domain(db: Session, company_id: str, domain: str) -> bool:
    """Whether the company has proved ``domain`` (canonical ASCII form), and still has."""
    query = select(CompanyDomain.id).where(
        CompanyDomain.held == domain, CompanyDomain.company_id == company_id, CompanyDomain.status == "verified"
    )
    return db.scalar(query) is not None


def company_claim(db: Session, account_id: str) -> dict[str, Any] | None:
    """The claim ``company`` of a person: ``{"id", "name", "roles"}``; None when they belong to none."""
    row = db.execute(
        select(Company.id, Company.name, Member.role).join_from(Member, Company).where(Member.account_id == account_id)
    ).first()
    return {"id": row.id, "name": row.name, "roles": [row.role]} if row else None


# --- the company itself ----------------------------------------------------------------------------------------------------


def create_company(db: Session, name: str, *, actor: str, now: float, random: Callable[[int], bytes]) -> Company:
    """Make a company without members, domains or connections. ``actor`` as in the audit.

    :raises CompanyRefused: ``company_field_wrong``: the name.
    """
    company = Company(
        id=random(16).hex(), name=_name(name), sso="optional", jit=False, doors=["password", "social"], contacts=[],
        created_at=int(now), updated_at=int(now),
    )  # fmt: skip
    db.add(company)
    db.flush()
    audit.record(db, audit.Event.company_created, now=now, actor=actor, company=company.id, name=company.name)
    return company


def find_company(db: Session, company_id: str) -> Company | None:
    """Find a company by its id."""
    return db.get(Company, company_id)


def rename(db: Session, company_id: str, name: str, *, actor: str, now: float) -> None:
    """Give a company another name; products hear of it.

    :raises CompanyRefused: ``company_unknown``, ``company_field_wrong``.
    """
    company = _held_company(db, company_id)
    company.name, company.updated_at = _name(name), int(now)
    members_of = select(literal("person"), Member.account_id, literal(int(now))).where(Member.company_id == company_id)
    db.execute(insert(Revocation).from_select(["kind", "account_id", "created_at"], members_of))
    audit.record(db, audit.Event.company_renamed, now=now, actor=actor, company=company_id, name=company.name)


def set_policy(
    db: Session, company_id: str, changes: Mapping[str, Any], *, config: Config, actor: str, now: float
) -> None:
    """Change what a company decides by itself: ``jit``, ``doors``, ``session_idle``, ``session_lifetime``, ``contacts``.

    Nothing else can be set here, whatever a form sends (AD-02); requiring SSO is ``require_sso``.

    :raises CompanyRefused: ``company_unknown``, ``company_field_wrong``, ``company_session_too_long``; without passwords
        among the doors also what ``require_sso`` raises. Nothing is changed then.
    """
    try:
        wanted = _PolicyChange.model_validate(dict(changes), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise CompanyRefused("company_field_wrong", detail=f"{where}: {first['msg']}") from None
    for name, longest in (("session_idle", config.session_idle), ("session_lifetime", config.session_lifetime)):
        seconds = getattr(wanted, name)
        if seconds is not None and seconds > longest:
            raise CompanyRefused("company_session_too_long", detail=f"{name}: at most {longest} seconds")
    company = _held_company(db, company_id)
    if "doors" in wanted.model_fields_set and "password" not in wanted.doors and "password" in company.doors:
        _check_can_close(db, company_id)
    for name in wanted.model_fields_set:
        setattr(company, name, getattr(wanted, name))
    company.updated_at = int(now)
    changed = " ".join(sorted(wanted.model_fields_set))
    audit.record(db, audit.Event.company_policy_changed, now=now, actor=actor, company=company_id, fields=changed)


def remove_company(db: Session, company_id: str, *, actor: str, now: float) -> None:
    """Take a company away with its members' roles and its connections. The accounts of its people stay, signed out.

    A domain that it held stays closed to everybody for the cooling-off time.

    :raises CompanyRefused: ``company_unknown``.
    """
    company = _held_company(db, company_id)
    _end_sessions(db, select(Member.account_id).where(Member.company_id == company_id), now)
    free_at = int(now) + COOLING_OFF
    held = update(CompanyDomain).where(CompanyDomain.company_id == company_id, CompanyDomain.held.is_not(None))
    db.execute(held.values(company_id=None, status="released", free_at=free_at, next_check_at=free_at))
    audit.record(db, audit.Event.company_removed, now=now, actor=actor, company=company_id, name=company.name)
    db.execute(delete(Company).where(Company.id == company_id))


# --- members ---------------------------------------------------------------------------------------------------------------


def members(db: Session, company_id: str) -> list[Person]:
    """All members, by address."""
    rows = db.execute(_people().where(Member.company_id == company_id).order_by(Email.canonical))
    return [Person(*row) for row in rows]


def administrators(db: Session, company_id: str) -> list[Person]:
    """The administrators who can act: active, and not only prepared."""
    return [one for one in members(db, company_id) if _counts(one) and one.role == "administrator"]


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
    _held_company(db, company_id)
    if db.get(Member, account_id) is not None:
        raise CompanyRefused("company_member_elsewhere")
    if not vouched and not _belongs(db, company_id, account, prepared=prepared):
        raise CompanyRefused("company_member_outside")
    if prepared and _is_used(db, account_id):  # or the company's sign-in would take it from whoever uses it
        raise CompanyRefused("company_member_not_new")
    db.add(Member(account_id=account_id, company_id=company_id, role=role, prepared=prepared, created_at=int(now)))
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
    member.role = role
    db.add(Revocation(kind="person", account_id=account_id, created_at=int(now)))
    _record(db, audit.Event.company_role_changed, company_id, account_id, actor, now, role=role)


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
    db.delete(member)
    db.add(Revocation(kind="account", account_id=account_id, created_at=int(now)))
    _record(db, audit.Event.company_member_removed, company_id, account_id, actor, now)


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


# --- enforcement -----------------------------------------------------------------------------------------------------------


def require_sso(db: Session, company_id: str, *, end_sessions: bool, actor: str, now: float) -> None:
    """Close every other door for the addresses in the company's domains, except for break-glass people.

    ``end_sessions``: also end what those people have open now, so that each comes back through the company.

    :raises CompanyRefused: ``company_unknown``; ``company_sso_untried``: no administrator has signed in through a live
        connection; ``company_no_break_glass``: nobody could sign in if the connection failed.
    """
    company = _held_company(db, company_id)
    _check_can_close(db, company_id)
    company.sso, company.updated_at = "required", int(now)
    ended = 0
    if end_sessions:
        reached = (
            select(Email.account_id)
            .join(CompanyDomain, CompanyDomain.held == Email.domain)
            .outerjoin(Member, (Member.account_id == Email.account_id) & Member.break_glass)
            .where(
                CompanyDomain.company_id == company_id,
                CompanyDomain.status.in_(BINDING),
                Member.account_id.is_(None),
            )
        )
        ended = _end_sessions(db, reached, now)
    audit.record(
        db, audit.Event.company_sso_required, now=now, actor=actor, company=company_id, sessions_ended_of=ended
    )


def relax_sso(db: Session, company_id: str, *, actor: str, now: float) -> None:
    """Open the other doors again, as far as the policy allows them.

    :raises CompanyRefused: ``company_unknown``.
    """
    company = _held_company(db, company_id)
    company.sso, company.updated_at = "optional", int(now)
    audit.record(db, audit.Event.company_sso_relaxed, now=now, actor=actor, company=company_id)


# --- inside ----------------------------------------------------------------------------------------------------------------


def _language(locale: str | None) -> str:
    """The language of a locale; the mailer falls back to English where it is none of ours."""
    return (locale or "en").replace("_", "-").partition("-")[0].lower()


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("lists something twice")
    return values


class _PolicyChange(BaseModel):
    """What of a company's record its own people may write. Absent: stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jit: bool = False
    doors: Annotated[list[Door], AfterValidator(_unique)] = []
    session_idle: Annotated[int, Field(ge=60)] | None = None
    session_lifetime: Annotated[int, Field(ge=60)] | None = None
    contacts: Annotated[
        list[Annotated[str, Field(max_length=320), AfterValidator(check_recipient)]],
        Field(max_length=10),
        AfterValidator(_unique),
    ] = []


def _name(text: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise CompanyRefused("company_field_wrong", detail=f"name: 1 to {LONGEST_NAME} characters")
    for letter in name:
        # Cc control, Cs half a character, Cn no character, Co private, Zl and Zp ends of lines of their own
        if unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp") or letter in _DIRECTION:
            raise CompanyRefused("company_field_wrong", detail=f"name: holds the character U+{ord(letter):04X}")
    return name


def _policies() -> Any:
    live = (Connection.company_id == Company.id) & (Connection.state == "live")
    return select(Company, Connection.id, Connection.name).outerjoin(Connection, live).order_by(Connection.name)


def _policy(db: Session, query: Any) -> Policy | None:
    rows = db.execute(query).all()
    if not rows:
        return None
    company: Company = rows[0][0]
    return Policy(
        company_id=company.id,
        name=company.name,
        sso=company.sso,
        jit=company.jit,
        doors=tuple(company.doors),
        session_idle=company.session_idle,
        session_lifetime=company.session_lifetime,
        live=tuple((row[1], row[2]) for row in rows if row[1] is not None),
    )


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


def _held_company(db: Session, company_id: str) -> Company:
    company = db.get(Company, company_id, with_for_update=True, populate_existing=True)
    if company is None:
        raise CompanyRefused("company_unknown")
    return company


def _held_member(db: Session, company_id: str, account_id: str) -> Member:
    _held_account(db, account_id)
    _held_company(db, company_id)
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
    if member.role != "administrator":
        return
    others = [one for one in administrators(db, member.company_id) if one.account_id != member.account_id]
    if not others:
        raise CompanyRefused("company_last_administrator")


def _check_can_close(db: Session, company_id: str) -> None:
    """Refuse to close the door of passwords before it is known that people can come in without one."""
    tried = exists().where(
        Connection.company_id == company_id,
        Connection.state == "live",
        Connection.administrator_signed_in_at.is_not(None),
    )
    if not db.scalar(select(tried)):
        raise CompanyRefused("company_sso_untried")
    if not _break_glass_people(db, company_id):
        raise CompanyRefused("company_no_break_glass")


def _break_glass_people(db: Session, company_id: str) -> list[Person]:
    query = _people().where(Member.company_id == company_id, Member.break_glass)
    people = [Person(*row) for row in db.execute(query)]
    return [one for one in people if _counts(one) and one.has_password]


def _can_break_glass(db: Session, member: Member) -> bool:
    [row] = db.execute(_people().where(Member.account_id == member.account_id))
    person = Person(*row)
    return _counts(person) and person.has_password


def _keep_break_glass(db: Session, member: Member) -> None:
    company = db.get_one(Company, member.company_id)
    if not member.break_glass or (company.sso != "required" and "password" in company.doors):
        return
    others = [one for one in _break_glass_people(db, member.company_id) if one.account_id != member.account_id]
    if not others:
        raise CompanyRefused("company_last_break_glass")


def _end_sessions(db: Session, reached: Select[Any], now: float) -> int:
    """End what the accounts of a query (of one column, their id) have open. Returns how many they are."""
    account_id = reached.selected_columns[0]
    last, whole = "", 0
    while True:
        page = reached.where(account_id > last).distinct().order_by(account_id).limit(AT_ONCE)
        found = db.scalars(page).all()
        if not found:
            return whole
        rows = [{"kind": "account", "account_id": one, "created_at": int(now)} for one in found]
        db.execute(insert(Revocation), rows)
        last, whole = found[-1], whole + len(found)


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

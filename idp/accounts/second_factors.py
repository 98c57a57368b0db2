"""Whether one proof is enough to come in, or another kind must be shown beside it: one pure function decides. A working.

Asked for is a second factor by who has set up an authenticator app, by a company for its people from a date on, and by a product
(``acr``). A company's own door is asked for none by the first two: the company answers for it. A passkey that was shown at its
door is two factors by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import CompoundSelect, exists, func, select, update
from sqlalchemy.orm import Session as Transaction

from idp.accounts.identity import ONE_FACTOR, TWO_FACTORS, Identity
from idp.accounts.passwords import mark_of
from idp.accounts.recovery_codes import remove_codes
from idp.accounts.totp import NewTotp
from idp.companies import BINDING
from idp.models import Company, CompanyDomain, Device, Email, Member, Passkey, Password, RecoveryCode, Totp
from idp.redis_store import token_hash

REMEMBERED = 30 * 86400  # seconds for which a browser is not asked again


@dataclass(frozen=True, slots=True)
class Held:
    """What an account has, and who demands what, as far as the decision needs it.

    :ivar codes: recovery codes that can still be used.
    :ivar demanded_from: a company of the person demands a second factor from then on (seconds since 1970); ``demanded``: by now.
    :ivar remembered: this browser has shown one lately, and is not to be asked again.
    :ivar known: the person has signed in at this browser before; ``elsewhere``: at some browser.
    :ivar mark: changes with the password. It says nothing about it.
    """

    totp: bool = False
    passkey: bool = False
    codes: int = 0
    demanded_from: int | None = None
    demanded: bool = False
    remembered: bool = False
    known: bool = True
    elsewhere: bool = False
    mark: str = ""

    @property
    def any(self) -> bool:
        """Whether there is a factor to be asked for. Recovery codes are none: they stand in for one."""
        return self.totp or self.passkey


@dataclass(frozen=True, slots=True)
class Second:
    """A second factor that was shown just now. ``methods``: what it proves, as ``amr`` says it; ``code``: it was a recovery code."""

    methods: tuple[str, ...]
    code: bool = False


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that a browser has just made, and that is nobody's yet. ``answer``, ``bound`` and ``name``: see ``Passkeys.add``."""

    answer: str = field(repr=False)
    bound: str
    name: str


NewFactor = NewTotp | NewPasskey


@dataclass(frozen=True, slots=True)
class Ready:
    """Nothing more is asked: this is what the session will say of how it was opened."""

    methods: tuple[str, ...]
    acr: str


@dataclass(frozen=True, slots=True)
class AskSecond:
    """A second factor of the account must be shown."""


@dataclass(frozen=True, slots=True)
class SetUpSecond:
    """The account must be given its first second factor now."""


@dataclass(frozen=True, slots=True)
class MailCode:
    """A code that is mailed to the account's address must be typed: whoever knows the password need not be its owner."""


Gate = Ready | AskSecond | SetUpSecond | MailCode


def decide_second(
    identity: Identity,
    held: Held,
    *,
    wanted: bool,
    vouched: bool = False,
    shown: Second | NewFactor | None = None,
    mailbox: bool = False,
    ask_new_browsers: bool = False,
) -> Gate:
    """Decide whether ``identity``, whose account is known by now, may come in.

    :param wanted: the product would rather have two factors (``prefers_two``).
    :param vouched: a company has signed them in, and answers for it.
    :param shown: what was shown since; a new factor counts only where one has to be set up.
    :param mailbox: a code that was mailed to the account's address has been typed.
    :param ask_new_browsers: the operator wants a mailed code where the person has not been before (IDP_NEW_DEVICE_CODE).
    """
    more = _asked(identity, held, wanted, vouched, mailbox, ask_new_browsers)
    match more, shown:
        case AskSecond() | Ready(), Second():
            return add_second(identity.methods, shown.methods)
        case SetUpSecond(), NewTotp():
            return add_second(identity.methods, ("otp",))
        case SetUpSecond(), NewPasskey():
            return add_second(identity.methods, ("user",))  # of which kind it is, is known once it is the account's
        case _:
            return more


def _asked(identity: Identity, held: Held, wanted: bool, vouched: bool, mailbox: bool, ask_new_browsers: bool) -> Gate:
    if identity.acr == TWO_FACTORS:
        return Ready(identity.methods, identity.acr)
    chosen = (held.totp or held.demanded) and not held.remembered and not vouched
    if held.any and (chosen or wanted):
        return AskSecond()
    guessable = identity.door == "password" and not mailbox
    if held.demanded and not held.any and not vouched:
        return MailCode() if guessable else SetUpSecond()
    if ask_new_browsers and guessable and held.elsewhere and not held.known:
        return MailCode()
    return Ready(identity.methods, identity.acr)


def add_second(first: Iterable[str], second: Iterable[str]) -> Ready:
    """What a session says of itself once two factors were shown (RFC 8176)."""
    return Ready(tuple(dict.fromkeys((*first, *second, "mfa"))), TWO_FACTORS)


def prefers_two(acr_values: tuple[str, ...]) -> bool:
    """Whether a product would rather have two factors than one: acr values stand in the order of its preference (OpenID Connect
    Core 3.1.2.1)."""
    return next((acr for acr in acr_values if acr in (ONE_FACTOR, TWO_FACTORS)), "") == TWO_FACTORS


def look_at_factors(db: Transaction, account_id: str, *, device: str | None, now: float) -> Held:
    """What the decision needs to know of an account and of the browser with this device cookie. One statement."""
    this = (Device.account_id == account_id, Device.secret_hash == token_hash(device or ""))
    row = db.execute(
        select(
            exists().where(Totp.account_id == account_id).label("totp"),
            exists().where(Passkey.account_id == account_id).label("passkey"),
            select(func.count())
            .where(RecoveryCode.account_id == account_id, RecoveryCode.used_at.is_(None))
            .scalar_subquery()
            .label("codes"),
            select(func.min(Company.second_factor_from))
            .where(Company.id.in_(_companies_of(account_id)))
            .scalar_subquery()
            .label("demanded_from"),
            select(Device.remembered_until).where(*this).scalar_subquery().label("remembered_until"),
            exists().where(*this).label("known"),
            exists().where(Device.account_id == account_id).label("elsewhere"),
            select(Password.hash).where(Password.account_id == account_id).scalar_subquery().label("password"),
        )
    ).one()
    return Held(
        totp=row.totp,
        passkey=row.passkey,
        codes=row.codes,
        demanded_from=row.demanded_from,
        demanded=row.demanded_from is not None and row.demanded_from <= now,
        remembered=row.remembered_until is not None and row.remembered_until > now,
        known=row.known,
        elsewhere=row.elsewhere,
        mark=mark_of(row.password),
    )


def forget_browsers(db: Transaction, account_id: str, secret_hash: str | None = None) -> None:
    """Ask for the second factor again at every browser, or at one (``Device.secret_hash``)."""
    browsers = update(Device).where(Device.account_id == account_id, Device.remembered_until.is_not(None))
    if secret_hash is not None:
        browsers = browsers.where(Device.secret_hash == secret_hash)
    db.execute(browsers.values(remembered_until=None))


def settle_without(db: Transaction, account_id: str) -> None:
    """After a factor was taken away: with the last one go what stands in for it, and what rests on it."""
    if not look_at_factors(db, account_id, device=None, now=0).any:
        remove_codes(db, account_id)
        forget_browsers(db, account_id)


def _companies_of(account_id: str) -> CompoundSelect[str | None]:
    """Those that the person is a member of, and those that have proved a domain of the person's addresses."""
    by_domain = (
        select(CompanyDomain.company_id)
        .join(Email, Email.domain == CompanyDomain.held)
        .where(Email.account_id == account_id, CompanyDomain.status.in_(BINDING))
    )
    return select(Member.company_id).where(Member.account_id == account_id).union(by_domain)

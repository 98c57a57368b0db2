"""People for ``idp doctor enumeration``: of each kind that a stranger could want to tell from the others. A working.

They live in a database that is thrown away. Their addresses are of one length, so that no answer differs by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy.orm import Session as Transaction

from idp import throttle
from idp.accounts.identity import read_address
from idp.accounts.lifecycle import create_account
from idp.certificates import self_signed
from idp.companies import create_company
from idp.connections import Connections
from idp.database import Database
from idp.identity_provider import Description
from idp.members import add_member
from idp.models import Account, Company, CompanyDomain, Connection, Invitation, Link, Passkey, Totp
from idp.redis_store import RedisStore

Kind = Literal[
    "unknown",
    "standard",
    "unproved",
    "social",
    "suspended",
    "closed",
    "invited",
    "two factors",
    "passkey",
    "member",
    "unknown, guessed at",
    "standard, guessed at",
]
# Compared with each other: whoever has an address of a domain, and whoever's address somebody guesses at.
OF_A_DOMAIN: tuple[Kind, ...] = (
    "unknown",
    "standard",
    "unproved",
    "social",
    "suspended",
    "closed",
    "invited",
    "two factors",
    "passkey",
)
OF_A_COMPANY: tuple[Kind, ...] = ("unknown", "member", "standard", "social", "suspended")
GUESSED_AT: tuple[Kind, ...] = ("unknown, guessed at", "standard, guessed at")

NO_COMPANY, OPTIONAL, REQUIRED = "nobody.example.org", "optional.example.net", "required.example.com"
ACTOR = "system"


@dataclass(frozen=True, slots=True)
class Probe:
    """One address to try. ``network``: the visitor's address that it is tried from, in a network (/48) that nobody else uses."""

    kind: Kind
    address: str
    network: str


@dataclass(slots=True)
class ProbePeople:
    """Makes people; each is used once, so that nothing that was done to one touches another.

    :ivar hashed: what every password of theirs is stored as.
    """

    database: Database
    store: RedisStore
    hashed: str
    random: Callable[[int], bytes]
    clock: Callable[[], float]
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1 << 24)))

    def make(self, domain: str, kinds: tuple[Kind, ...]) -> list[Probe]:
        """One person of each kind with an address of ``domain``."""
        probes = []
        with self.database.transaction() as db:
            for kind in kinds:
                number = next(self._numbers)
                address = f"p{number:07x}{self.random(2).hex()}@{domain}"
                probe = Probe(kind, address, f"2001:{0xDB8 + (number >> 16):x}:{number & 0xFFFF:x}::1")
                if not kind.startswith("unknown"):
                    self._make(db, kind, address, number)
                probes.append(probe)
        for probe in probes:
            if probe.kind in GUESSED_AT:
                self._guess(probe)
        return probes

    def _make(self, db: Transaction, kind: Kind, address: str, number: int) -> None:
        account = create_account(
            db,
            read_address(address),
            claims={"name": "Somebody"},
            verified=kind not in ("unproved", "invited"),
            password_hash=None if kind in ("social", "invited", "member") else self.hashed,
            actor=ACTOR,
            now=self.clock(),
            random=self.random,
        )
        now = int(self.clock())
        match kind:
            case "social":
                link = Link(issuer="https://social.example.org", subject=str(number), door="google", email=address)
                link.account_id, link.created_at = account.id, now
                db.add(link)
            case "suspended" | "closed":
                account.state = kind
            case "invited":
                db.add(
                    Invitation(account_id=account.id, sent=1, last_sent_at=now, expires_at=now + 86400, created_at=now)
                )
            case "two factors":
                db.add(Totp(account_id=account.id, sealed_secret="", last_step=0, created_at=now))
            case "passkey":
                db.add(_passkey(account, number, now))
            case "member":
                domain = address.partition("@")[2]
                held = db.query(CompanyDomain).filter_by(held=domain).one()
                assert held.company_id is not None
                add_member(db, held.company_id, account.id, "member", actor=ACTOR, now=now)

    def _guess(self, probe: Probe) -> None:
        """Use up what a stranger may try at one address."""
        for _ in range(100):
            ticket = throttle.take_sign_in(
                self.store, email=probe.address, network=probe.network, device=None, now=self.clock()
            )
            if ticket.wait:
                return


def make_companies(db: Transaction, connections: Connections, *, now: float, random: Callable[[int], bytes]) -> None:
    """Two companies that sign their people in, one of which requires it."""
    for domain, sso in ((OPTIONAL, "optional"), (REQUIRED, "required")):
        company = create_company(db, f"The company of {domain}", actor=ACTOR, now=now, random=random)
        labels = ".".join(reversed(domain.split("."))) + "."
        proved = CompanyDomain(company_id=company.id, domain=domain, held=domain, tree=labels, status="verified")
        proved.code, proved.code_expires_at, proved.created_at, proved.verified_at = "", 0, int(now), int(now)
        db.add(proved)
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self_signed(private, f"sso.{domain}", now, random)
        described = Description(
            f"https://sso.{domain}/metadata", f"https://sso.{domain}/sso", "redirect", None, None, None, (certificate,)
        )
        made = connections.add(
            db, company.id, described, name="SSO", vendor="other", hint="subject", actor=ACTOR, now=now, random=random
        )
        db.get_one(Connection, made.id).state = "live"
        db.get_one(Company, company.id).sso = sso
        db.get_one(Company, company.id).doors = ["password", "social"]


def _passkey(account: Account, number: int, now: int) -> Passkey:
    return Passkey(
        account_id=account.id, credential_id=f"probe-{number}", public_key="", name="Somewhere", created_at=now
    )

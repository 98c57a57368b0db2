"""Companies in the database of a test: with people, proved domains and a live connection, as rows."""

from __future__ import annotations

from sqlalchemy import select

from idp.companies import create_company
from idp.dns_lookup import TxtAnswer
from idp.domain_evidence import Proof
from idp.domain_proof import claim, note
from idp.fetch import FetchError
from idp.members import add_member
from idp.models import AuditEvent, Company, Connection, OutboxMail, Revocation
from idp.parts import Parts
from tests.journey import PASSWORD, add_carol

PROVED = Proof("dns", (), ("TXT: as it should be",))


def add_company(parts: Parts, name: str = "Acme", *domains: str) -> str:
    """A company that has proved ``domains``; its id."""
    with parts.database.transaction() as db:
        company = create_company(db, name, actor="operator:test", now=parts.clock(), random=parts.random)
    for domain in domains:
        prove(parts, company.id, domain)
    return company.id


def prove(parts: Parts, company_id: str, domain: str) -> None:
    with parts.database.transaction() as db:
        row = claim(db, company_id, domain, actor="operator:test", now=parts.clock(), random=parts.random)
    with parts.database.transaction() as db:
        note(db, row.id, row.code, PROVED, sealer=parts.sealer, actor="operator:test", now=parts.clock())


def add_person(parts: Parts, company_id: str, email: str, role: str = "member", password: str | None = PASSWORD) -> str:
    """A member with a verified address; the account's id."""
    account_id = add_carol(parts, email, password)
    with parts.database.transaction() as db:
        add_member(db, company_id, account_id, role, actor="operator:test", now=parts.clock(), vouched=True)
    return account_id


def add_connection(
    parts: Parts, company_id: str, name: str = "Entra", *, state: str = "live", tried: bool = True
) -> str:
    """A connection; ``tried``: an administrator has signed in through it."""
    at = int(parts.clock())
    number = parts.random(8).hex()
    with parts.database.transaction() as db:
        db.add(
            Connection(
                id=number,
                company_id=company_id,
                name=name,
                vendor="entra",
                state=state,
                idp_entity_id=f"https://idp.example/{number}",
                sso_url="https://idp.example/sso",
                sso_binding="redirect",
                name_id_format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
                hint="none",
                administrator_signed_in_at=at if tried else None,
                created_at=at,
                updated_at=at,
            )
        )
    return number


def company_row(parts: Parts, company_id: str) -> Company:
    with parts.database.reading() as db:
        row = db.get_one(Company, company_id)
        db.expunge(row)
        return row


def events(parts: Parts, prefix: str = "company.") -> list[str]:
    with parts.database.reading() as db:
        found = db.scalars(select(AuditEvent.event).order_by(AuditEvent.id))
        return [event for event in found if event.startswith(prefix)]


def mails(parts: Parts, name: str) -> list[OutboxMail]:
    """What waits in the outbox under a name."""
    with parts.database.reading() as db:
        found = list(db.scalars(select(OutboxMail).where(OutboxMail.name == name).order_by(OutboxMail.id)))
        db.expunge_all()
        return found


def ended(parts: Parts) -> set[str]:
    """The accounts whose sessions and grants shall end."""
    with parts.database.reading() as db:
        return set(db.scalars(select(Revocation.account_id).where(Revocation.kind == "account")))


def nothing_there(url: str, limit: int) -> tuple[int, bytes]:
    """A web that does not answer."""
    raise FetchError("outgoing_failed", detail="the name does not resolve")


def no_such_name(name: str) -> TxtAnswer:
    """A DNS that knows nobody."""
    return TxtAnswer((), "NXDOMAIN")

"""People are found by the beginning of an address, a name or a domain, among a million as among a thousand."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from idp.search_terms import terms_of

revision = "0006"
down_revision = "0005"

PARCEL = 1000


def upgrade() -> None:
    beginnings = sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql")
    table = op.create_table(
        "search_terms",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("term", beginnings, nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_search_terms_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_search_terms_company_id_companies"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("account_id", "kind", "term", name=op.f("pk_search_terms")),
    )
    _fill(op.get_bind(), table)
    op.create_index("ix_search_terms_everybody", "search_terms", ["kind", "term", "account_id"])
    op.create_index("ix_search_terms_company", "search_terms", ["company_id", "kind", "term", "account_id"])


def _fill(db: sa.Connection, table: sa.Table) -> None:
    """Everybody who is there already can be found."""
    people = sa.text(
        "SELECT a.id, a.profile, m.company_id FROM accounts a LEFT JOIN members m ON m.account_id = a.id"
        " WHERE a.id > :after ORDER BY a.id LIMIT :parcel"
    )
    spelled = sa.text(
        "SELECT account_id, canonical, address FROM emails WHERE account_id >= :first AND account_id <= :last"
    )
    after = ""
    while parcel := db.execute(people, {"after": after, "parcel": PARCEL}).all():
        first, after = parcel[0].id, parcel[-1].id
        addresses: dict[str, list[str]] = {}
        for account_id, canonical, address in db.execute(spelled, {"first": first, "last": after}):
            addresses.setdefault(account_id, []).extend((canonical, address))
        rows = [
            {"account_id": account_id, "kind": kind, "term": term, "company_id": company_id}
            for account_id, profile, company_id in parcel
            for kind, term in terms_of(_read(profile), addresses.get(account_id, []))
        ]
        if rows:
            op.bulk_insert(table, rows)


def _read(profile: Any) -> dict[str, Any]:
    """SQLite gives JSON as text."""
    read: dict[str, Any] = json.loads(profile) if isinstance(profile, str) else profile
    return read

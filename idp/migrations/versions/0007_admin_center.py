"""The admin center: who has a role at the provider."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from idp.company_search import company_terms

revision = "0007"
down_revision = "0006"

PARCEL = 1000


def upgrade() -> None:
    op.create_table(
        "staff",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_staff_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_staff")),
    )
    _add_set_up_links()
    _add_factor_removals()
    _add_policy_notices()
    _add_reason_days()
    _add_company_terms()
    _chain_audit_events()


def _add_set_up_links() -> None:
    op.create_table(
        "set_up_links",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("made_by", sa.String(length=160), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_set_up_links_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_set_up_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_set_up_links_secret_hash")),
    )
    op.create_index(op.f("ix_set_up_links_company_id"), "set_up_links", ["company_id"])


def _add_factor_removals() -> None:
    op.create_table(
        "factor_removals",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("asked_by", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_factor_removals_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_factor_removals")),
    )


def _add_policy_notices() -> None:
    op.create_table(
        "policy_notices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("after", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_policy_notices_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_notices")),
        sa.UniqueConstraint("company_id", "kind", name=op.f("uq_policy_notices_company_id")),
    )


def _add_reason_days() -> None:
    """Attempts that have failed before are counted here, once; from now on the worker counts them."""
    op.create_table(
        "reason_days",
        sa.Column("client_id", sa.String(length=128), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "day", "reason", name=op.f("pk_reason_days")),
    )
    op.create_index(op.f("ix_reason_days_day"), "reason_days", ["day"])
    counted = (
        "INSERT INTO reason_days (client_id, day, reason, count)"
        " SELECT {client_id}, started_at / 86400, COALESCE(reason, ''), COUNT(*) FROM attempts"
        " WHERE outcome = 'failed' {among} GROUP BY 1, 2, 3"
    )
    op.execute(counted.format(client_id="''", among=""))
    op.execute(counted.format(client_id="client_id", among="AND client_id <> ''"))


def _add_company_terms() -> None:
    beginnings = sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql")
    table = op.create_table(
        "company_terms",
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("term", beginnings, nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_company_terms_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("company_id", "kind", "term", name=op.f("pk_company_terms")),
    )
    rows = [
        {"company_id": company_id, "kind": kind, "term": term}
        for company_id, name in op.get_bind().execute(sa.text("SELECT id, name FROM companies"))
        for kind, term in company_terms(name)
    ]
    if rows:
        op.bulk_insert(table, rows)
    op.create_index("ix_company_terms_found", "company_terms", ["kind", "term", "company_id"])


def _chain_audit_events() -> None:
    """Each audit event gets the company that it is about and a place in the chain; the worker seals those that are there already."""
    op.add_column("audit_events", sa.Column("company_id", sa.String(length=32), nullable=True))
    op.add_column("audit_events", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.add_column("audit_events", sa.Column("digest", sa.String(length=64), nullable=True))
    _fill_companies(op.get_bind())
    for column in ("account_id", "at", "event"):
        op.drop_index(op.f(f"ix_audit_events_{column}"), "audit_events")
    op.create_index("ix_audit_events_at", "audit_events", ["at", "id"])
    op.create_index("ix_audit_events_event", "audit_events", ["event", "at", "id"])
    op.create_index("ix_audit_events_actor", "audit_events", ["actor", "at", "id"])
    op.create_index("ix_audit_events_account", "audit_events", ["account_id", "at", "id"])
    op.create_index("ix_audit_events_company", "audit_events", ["company_id", "at", "id"])
    op.create_index("ix_audit_events_company_event", "audit_events", ["company_id", "event", "at", "id"])
    op.create_index("ix_audit_events_sequence", "audit_events", ["sequence"], unique=True)
    open_ones = sa.text("sequence IS NULL")
    op.create_index(
        "ix_audit_events_unsealed", "audit_events", ["id"], sqlite_where=open_ones, postgresql_where=open_ones
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "digest": ""}])
    op.create_table(
        "audit_receivers",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_receivers")),
    )


def _fill_companies(db: sa.Connection) -> None:
    """The company that the facts name, else that of the person as it is today."""
    events = sa.text(
        "SELECT e.id, e.facts, m.company_id FROM audit_events e LEFT JOIN members m ON m.account_id = e.account_id"
        " WHERE e.id > :after ORDER BY e.id LIMIT :parcel"
    )
    fill = sa.text("UPDATE audit_events SET company_id = :company WHERE id = :id")
    after = 0
    while parcel := db.execute(events, {"after": after, "parcel": PARCEL}).all():
        after = parcel[-1].id
        rows = [{"id": row.id, "company": _named(row.facts) or row.company_id} for row in parcel]
        if known := [row for row in rows if row["company"]]:
            db.execute(fill, known)


def _named(facts: Any) -> str | None:
    """The company in an event's facts. SQLite gives JSON as text."""
    named = (json.loads(facts) if isinstance(facts, str) else facts).get("company")
    return named if isinstance(named, str) and 0 < len(named) <= 32 else None

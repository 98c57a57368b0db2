"""A person's own pages: addresses that were changed lately are held, and accounts are closed by their owners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "held_addresses",
        sa.Column("canonical", sa.String(length=320), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_held_addresses_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("canonical", name=op.f("pk_held_addresses")),
    )
    op.create_index(op.f("ix_held_addresses_account_id"), "held_addresses", ["account_id"], unique=False)
    op.create_index(op.f("ix_held_addresses_until"), "held_addresses", ["until"], unique=False)
    op.add_column("accounts", sa.Column("closed_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_accounts_closed_at"), "accounts", ["closed_at"], unique=False)

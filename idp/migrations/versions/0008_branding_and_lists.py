"""What a company looks like, speaks and counts its hours in; lists of people who are invited in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("companies", sa.Column("language", sa.String(length=16), nullable=True))
    op.add_column("companies", sa.Column("time_zone", sa.String(length=64), nullable=True))
    op.add_column("companies", sa.Column("colour", sa.String(length=7), nullable=True))
    op.create_table(
        "company_logos",
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_company_logos_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("company_id", name=op.f("pk_company_logos")),
        sa.UniqueConstraint("name", name=op.f("uq_company_logos_name")),
    )
    op.create_table(
        "bulk_invitations",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_bulk_invitations_company_id_companies"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_bulk_invitations_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_invitations")),
    )
    for column in ("company_id", "account_id", "due_at", "created_at"):
        op.create_index(op.f(f"ix_bulk_invitations_{column}"), "bulk_invitations", [column])
    op.create_table(
        "bulk_lines",
        sa.Column("bulk_id", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("written", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("wrong", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["bulk_id"],
            ["bulk_invitations.id"],
            name=op.f("fk_bulk_lines_bulk_id_bulk_invitations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("bulk_id", "number", name=op.f("pk_bulk_lines")),
    )

"""Social sign-in: what a link says of its provider, accepted terms, seats, mailed links to nobody's address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("terms_version", sa.String(length=64), nullable=True))
    op.add_column("accounts", sa.Column("terms_accepted_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "seats",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_seats_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "client_id", name=op.f("pk_seats")),
    )
    op.add_column("links", sa.Column("door", sa.String(length=32), nullable=True))
    op.add_column("links", sa.Column("email", sa.String(length=320), nullable=True))
    op.execute("UPDATE links SET door = 'company'")  # there was no other door that links
    with op.batch_alter_table("links") as links:
        links.alter_column("door", existing_type=sa.String(length=32), nullable=False)
    with op.batch_alter_table("mailed_links") as mailed_links:
        mailed_links.alter_column("account_id", existing_type=sa.String(length=32), nullable=True)

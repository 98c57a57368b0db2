"""Companies: their domains, members and connections; the domain of each address; attempts by connection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "companies",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("sso", sa.String(length=16), nullable=False),
        sa.Column("jit", sa.Boolean(), nullable=False),
        sa.Column("doors", sa.JSON(), nullable=False),
        sa.Column("session_idle", sa.Integer(), nullable=True),
        sa.Column("session_lifetime", sa.Integer(), nullable=True),
        sa.Column("contacts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_companies")),
    )
    op.create_table(
        "company_domains",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=True),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("held", sa.String(length=253), nullable=True),
        sa.Column(
            "tree",
            sa.String(length=254).with_variant(sa.String(length=254, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=36), nullable=False),
        sa.Column("code_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=True),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("missed_since", sa.BigInteger(), nullable=True),
        sa.Column("warned_at", sa.BigInteger(), nullable=True),
        sa.Column("free_at", sa.BigInteger(), nullable=True),
        sa.Column("next_check_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_company_domains_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_company_domains")),
        sa.UniqueConstraint("company_id", "domain", name=op.f("uq_company_domains_company_id")),
        sa.UniqueConstraint("held", name=op.f("uq_company_domains_held")),
    )
    op.create_index(op.f("ix_company_domains_company_id"), "company_domains", ["company_id"], unique=False)
    op.create_index("ix_company_domains_due", "company_domains", ["next_check_at"], unique=False)
    op.create_index(op.f("ix_company_domains_tree"), "company_domains", ["tree"], unique=False)
    op.create_table(
        "connections",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("vendor", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("idp_entity_id", sa.String(length=1024), nullable=False),
        sa.Column("sso_url", sa.String(length=2048), nullable=False),
        sa.Column("sso_binding", sa.String(length=8), nullable=False),
        sa.Column("slo_url", sa.String(length=2048), nullable=True),
        sa.Column("slo_binding", sa.String(length=8), nullable=True),
        sa.Column("slo_response_url", sa.String(length=2048), nullable=True),
        sa.Column("name_id_format", sa.String(length=80), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("contexts", sa.JSON(), nullable=False),
        sa.Column("hint", sa.String(length=24), nullable=False),
        sa.Column("metadata_url", sa.String(length=2048), nullable=True),
        sa.Column("metadata_read_at", sa.BigInteger(), nullable=True),
        sa.Column("metadata_due_at", sa.BigInteger(), nullable=True),
        sa.Column("metadata_problem", sa.String(length=64), nullable=True),
        sa.Column("metadata_warned_at", sa.BigInteger(), nullable=True),
        sa.Column("metadata_certificate", sa.Text(), nullable=True),
        sa.Column("tested_at", sa.BigInteger(), nullable=True),
        sa.Column("administrator_signed_in_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_connections_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connections")),
    )
    op.create_index(op.f("ix_connections_company_id"), "connections", ["company_id"], unique=False)
    op.create_index("ix_connections_due", "connections", ["metadata_due_at"], unique=False)
    op.create_table(
        "members",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("company_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("break_glass", sa.Boolean(), nullable=False),
        sa.Column("prepared", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_members_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name=op.f("fk_members_company_id_companies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_company_id"), "members", ["company_id"], unique=False)
    op.create_table(
        "connection_certificates",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("connection_id", sa.String(length=16), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("warned_days", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connections.id"],
            name=op.f("fk_connection_certificates_connection_id_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_certificates")),
        sa.UniqueConstraint("connection_id", "fingerprint", name=op.f("uq_connection_certificates_connection_id")),
    )
    op.create_index(
        op.f("ix_connection_certificates_connection_id"), "connection_certificates", ["connection_id"], unique=False
    )
    op.create_index("ix_connection_certificates_end", "connection_certificates", ["not_after"], unique=False)
    op.create_table(
        "connection_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("connection_id", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connections.id"],
            name=op.f("fk_connection_keys_connection_id_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_keys")),
    )
    op.create_index(op.f("ix_connection_keys_connection_id"), "connection_keys", ["connection_id"], unique=False)
    op.create_table(
        "connection_metadata",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("connection_id", sa.String(length=16), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connections.id"],
            name=op.f("fk_connection_metadata_connection_id_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_metadata")),
    )
    op.create_index(
        op.f("ix_connection_metadata_connection_id"), "connection_metadata", ["connection_id"], unique=False
    )
    op.add_column("attempts", sa.Column("connection_id", sa.String(length=16), nullable=True))
    op.add_column("attempt_steps", sa.Column("connection_id", sa.String(length=16), nullable=True))
    op.create_index(
        "ix_attempt_steps_connection",
        "attempt_steps",
        ["connection_id", "at"],
        unique=False,
        sqlite_where=sa.text("connection_id IS NOT NULL"),
        postgresql_where=sa.text("connection_id IS NOT NULL"),
    )
    op.add_column("emails", sa.Column("domain", sa.String(length=255), nullable=True))
    at = "instr(canonical, '@')" if op.get_bind().dialect.name == "sqlite" else "strpos(canonical, '@')"
    op.execute(f"UPDATE emails SET domain = substr(canonical, {at} + 1)")  # noqa: S608 one of two texts of ours
    with op.batch_alter_table("emails") as emails:
        emails.alter_column("domain", existing_type=sa.String(length=255), nullable=False)
    op.create_index(op.f("ix_emails_domain"), "emails", ["domain"], unique=False)
    with op.batch_alter_table("links") as links:
        links.alter_column(
            "issuer", existing_type=sa.String(length=512), type_=sa.String(length=1100), existing_nullable=False
        )

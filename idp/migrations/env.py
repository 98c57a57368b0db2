"""How Alembic runs here: inside the transaction that ``database.py`` has opened, never by itself."""

from __future__ import annotations

from alembic import context

from idp.models import Table

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    compare_type=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()

"""What alembic runs for every command. The caller gives the connection, in a transaction that it commits itself.

The tables are given only to commands that compare: a migration says by itself what it does, whatever tables.py says.
"""

from __future__ import annotations

from alembic import context

from tracker.store.migrations.rendering import OPTIONS

attributes = context.config.attributes
# `create_table` alone does on both databases; only changing a table needs SQLite's copy of it
as_batch = attributes.get("as_batch", True)
context.configure(
    connection=attributes["connection"],
    target_metadata=attributes.get("metadata"),
    render_as_batch=as_batch,
    **OPTIONS,
)
with context.begin_transaction():
    context.run_migrations()

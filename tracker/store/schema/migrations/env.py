"""What alembic runs for every command.

The caller gives a connection with a transaction, which it commits itself, and to commands that compare also the
tables: a migration says what it does by itself, whatever tables.py says today.
"""

from __future__ import annotations

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], **given.get("options", {}))
with context.begin_transaction():
    context.run_migrations()

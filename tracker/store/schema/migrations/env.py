"""The script that alembic runs for every command.

The caller passes a connection with a transaction, and commits it. Only commands that compare also get the tables: a
migration means the same, whatever tables.py declares later.
"""

from __future__ import annotations

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], **attributes.get("options", {}))
with context.begin_transaction():
    context.run_migrations()

"""fewer indexes

A callback that comes in and is joined writes into every index of its row and, on PostgreSQL, into every index of the
call's, whatever column changed. What five indexes on the cache of a call served, one stream for each status and settled
serves, and one for each account what an index on the time of receipt did; indexes on what most rows do not have leave
those rows out.

A program of schema 0001 works on: it finds the same rows, but its lists of calls and of callbacks, and its joining where
the inbox is large, read whole tables until it is replaced.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
oldest_able = "0001"

GONE = {
    "calls": [
        "answered",
        "campaign",
        "created",
        "disputed",
        "outcome",
        "reference",
        "settled",
        "status",
        "updated",
    ],
    "callbacks": ["call", "pending", "received", "state", "submission"],
}
#: name, table, columns, condition
NEW = [
    ("ix_calls_status", "calls", ["status", "settled", "created_at", "id", "updated_at"], None),
    ("ix_calls_changed", "calls", ["status", "settled", "updated_at", "id", "created_at"], None),
    ("ix_calls_campaign", "calls", ["campaign", "created_at", "id"], "campaign IS NOT NULL"),
    ("ix_calls_campaign_changed", "calls", ["campaign", "updated_at", "id"], "campaign IS NOT NULL"),
    ("ix_calls_reference", "calls", ["reference", "created_at", "id"], "reference IS NOT NULL"),
    ("ix_calls_disputed", "calls", ["created_at", "id"], "disputed"),
    ("ix_callbacks_call", "callbacks", ["call_id", "received_at", "id"], "call_id IS NOT NULL"),
    ("ix_callbacks_unjoined", "callbacks", ["state", "received_at", "id"], "state <> 'joined'"),
]
OFTEN = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05"
#: PostgreSQL's settings of tables whose rows change often
STORAGE = {
    "calls": OFTEN,
    "callbacks": OFTEN,
    "submissions": f"fillfactor = 80, {OFTEN}",
    "jobs": f"fillfactor = 50, {OFTEN}",
}


def upgrade() -> None:
    for table, names in GONE.items():
        for name in names:
            op.drop_index(f"ix_{table}_{name}", table)
    for name, table, columns, condition in NEW:
        where = sa.text(condition) if condition else None
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    if op.get_context().dialect.name == "postgresql":
        for table, settings in STORAGE.items():
            op.execute(f"ALTER TABLE {table} SET ({settings})")

"""What is counted and not kept: callbacks to unknown accounts, too large ones, the quarantine over its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from tracker.store.schema import tables as t


def add_counts(connection: Connection, counts: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Add to what is counted and not kept, by name and account."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for (name, account), n in sorted(counts.items()):
        insert = dialect.insert(t.counts).values(name=name, account=account, count=n, last_at=now)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["name", "account"], set_={"count": t.counts.c.count + n, "last_at": now}
            )
        )

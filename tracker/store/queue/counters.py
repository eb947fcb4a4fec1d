"""Counts what is not kept: callbacks to unknown accounts, too large ones, and those beyond the quarantine's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.engine import Connection

from tracker.store.engine.upsert import upsert
from tracker.store.schema import tables as t


def add_counts(connection: Connection, counts: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Add to counters ((name, account) → number)."""
    for (name, account), count in sorted(counts.items()):
        upsert(
            connection,
            t.counts,
            {"name": name, "account": account, "count": count, "last_at": now},
            key=("name", "account"),
            update={"count": t.counts.c.count + count, "last_at": now},
        )

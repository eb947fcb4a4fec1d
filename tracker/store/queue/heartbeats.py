"""Stores which workers run, and when each was last seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine.upsert import upsert
from tracker.store.schema import tables as t

#: a worker that was not seen for so long is gone; each beats every three seconds
GONE_AFTER: Final = timedelta(seconds=12)
_FORGOTTEN_AFTER: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class WorkerSeen:
    """A worker, and when it was last seen."""

    id: str
    #: UTC
    started_at: datetime
    #: UTC
    seen_at: datetime


def record_heartbeat(connection: Connection, id: str, now: datetime) -> None:
    """Record that this worker runs, and forget those that were not seen for a day."""
    row = {"id": id, "started_at": now, "seen_at": now}
    upsert(connection, t.workers, row, key=("id",), update={"seen_at": now})
    connection.execute(t.workers.delete().where(t.workers.c.seen_at < now - _FORGOTTEN_AFTER))


def deregister(connection: Connection, id: str) -> None:
    """Forget a worker that ends."""
    connection.execute(t.workers.delete().where(t.workers.c.id == id))


def deregister_all(connection: Connection) -> None:
    """Forget all workers; those that run record themselves again."""
    connection.execute(t.workers.delete())


def find_workers(connection: Connection, now: datetime) -> list[WorkerSeen]:
    """Return the workers that run, the one that was seen last first."""
    w = t.workers
    query = sa.select(w).where(w.c.seen_at >= now - GONE_AFTER).order_by(w.c.seen_at.desc())
    return [
        WorkerSeen(id=r.id, started_at=r.started_at, seen_at=r.seen_at) for r in connection.execute(query)
    ]

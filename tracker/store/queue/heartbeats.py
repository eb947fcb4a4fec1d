"""Which processes work, and when each was last heard of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from tracker.store.schema import tables as t

#: a worker says every three seconds that it lives; one that was not heard of for this long is gone
GONE_AFTER: Final = timedelta(seconds=12)


@dataclass(frozen=True, kw_only=True)
class WorkerSeen:
    id: str
    started_at: datetime
    seen_at: datetime


def heartbeat(connection: Connection, id: str, now: datetime) -> None:
    """This worker lives; those who are gone for a day are forgotten."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(t.workers).values(id=id, started_at=now, seen_at=now)
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
    connection.execute(t.workers.delete().where(t.workers.c.seen_at < now - timedelta(days=1)))


def deregister(connection: Connection, id: str) -> None:
    connection.execute(t.workers.delete().where(t.workers.c.id == id))


def forget(connection: Connection) -> None:
    """Nobody was heard of; who lives says so again."""
    connection.execute(t.workers.delete())


def living(connection: Connection, now: datetime) -> list[WorkerSeen]:
    """The workers that were heard of lately, the latest first."""
    query = (
        sa.select(t.workers)
        .where(t.workers.c.seen_at >= now - GONE_AFTER)
        .order_by(t.workers.c.seen_at.desc())
    )
    return [
        WorkerSeen(id=r.id, started_at=r.started_at, seen_at=r.seen_at) for r in connection.execute(query)
    ]

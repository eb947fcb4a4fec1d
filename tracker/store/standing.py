"""How the work stands: who works, what waits, how long nothing was heard."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.events import iso
from tracker.store import inbox, jobs, workers
from tracker.store import tables as t
from tracker.store.database import Database


def standing(connection: Connection, accounts: Iterable[str], now: datetime) -> dict[str, Any]:
    """The whole picture as one document; ages in seconds."""
    c, s = t.callbacks.c, t.submissions.c
    oldest = connection.scalar(sa.select(sa.func.min(c.received_at)).where(c.state == inbox.PENDING))
    states = connection.execute(
        sa.select(c.state, sa.func.count().label("n"))
        .where(c.state.in_((inbox.PENDING, inbox.ORPHANED, inbox.QUARANTINED, inbox.UNREADABLE)))
        .group_by(c.state)
    )
    waiting = {row.state: row.n for row in states}
    unconfirmed = connection.scalar(
        sa.select(sa.func.count()).where(s.status == "unconfirmed", s.outcome.is_(None))
    )
    overdue = connection.scalar(sa.select(sa.func.min(t.jobs.c.due_at)))
    silence = {}
    for account in accounts:
        believed = c.state.not_in((inbox.QUARANTINED,))
        last = connection.scalar(sa.select(sa.func.max(c.received_at)).where(c.account == account, believed))
        silence[account] = {
            "last_callback_at": iso(last) if last else None,
            "silent_s": _age(last, now),
            "open_submissions": _open(connection, account),
        }
    return {
        "at": iso(now),
        "workers": [
            {"id": w.id, "started_at": iso(w.started_at), "seen_at": iso(w.seen_at)}
            for w in workers.living(connection, now)
        ],
        "lag_s": _age(oldest, now) or 0.0,
        "accounts": silence,
        "callbacks": {
            state: waiting.get(state, 0)
            for state in (inbox.PENDING, inbox.ORPHANED, inbox.UNREADABLE, inbox.QUARANTINED)
        },
        "unconfirmed_submissions": unconfirmed or 0,
        "jobs_due": jobs.waiting(connection, now),
        "oldest_job_overdue_s": max(0.0, _age(overdue, now) or 0.0),
        "counts": [
            {
                "name": row.name,
                "account": row.account or None,
                "count": row.count_,
                "last_at": iso(row.last_at),
            }
            for row in connection.execute(
                sa.select(
                    t.counts.c.name, t.counts.c.account, t.counts.c.count.label("count_"), t.counts.c.last_at
                )
            )
        ],
    }


def try_to_write(database: Database, now: datetime) -> None:
    """Write a little and take it back. Raises StorageUnavailable where the database takes no write."""

    def work(connection: Connection) -> None:
        trial = connection.begin_nested()
        connection.execute(t.settings.insert(), {"name": f"trial-{now.timestamp()}", "value": "x" * 4096})
        trial.rollback()

    database.write(work)


def _open(connection: Connection, account: str) -> int:
    s = t.submissions.c
    found = connection.scalar(
        sa.select(sa.func.count()).where(
            s.account == account, s.outcome.is_(None), s.requested_at.is_not(None)
        )
    )
    return found or 0


def _age(at: datetime | None, now: datetime) -> float | None:
    return round((now - at).total_seconds(), 3) if at is not None else None

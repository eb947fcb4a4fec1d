"""How the work stands: who works, what waits, how long nothing was heard."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.calls import CallStatus
from tracker.domain.documents import pause_document
from tracker.domain.time_text import iso
from tracker.errors import StorageUnavailable
from tracker.store.calls.submissions import select_open_submissions
from tracker.store.engine.database import Database
from tracker.store.engine.upsert import insert_if_absent
from tracker.store.ids import new_id
from tracker.store.inbox import log, quarantine
from tracker.store.inbox import states as inbox
from tracker.store.maintenance import copy_marker
from tracker.store.policy import pauses
from tracker.store.queue import heartbeats, jobs
from tracker.store.schema import tables as t

#: bytes; a callback may have 1 MiB, and the log of the database needs as much again
_LEAST_FREE: Final = 16 * 1024 * 1024
#: of callbacks: those by which the provider is heard of calls. A handshake, which `tracker doctor` makes too, is none,
#: and neither is what was not believed, also where somebody has ignored it since
_REPORTS: Final = sa.and_(
    t.callbacks.c.state != inbox.QUARANTINED,
    sa.or_(
        t.callbacks.c.state != inbox.IGNORED,
        t.callbacks.c.reason.not_in(("handshake", quarantine.SHOWED_WRONG, quarantine.SHOWED_NONE)),
    ),
)


def system_status(connection: Connection, accounts: Iterable[str], now: datetime) -> dict[str, Any]:
    """The whole picture as one document; ages in seconds."""
    c = t.callbacks.c
    oldest = connection.scalar(
        sa.select(sa.func.min(c.received_at)).where(c.state == inbox.PENDING, t.unjoined)
    )
    states = connection.execute(
        sa.select(c.state, sa.func.count().label("n"))
        .where(c.state.in_((inbox.PENDING, inbox.ORPHANED, inbox.QUARANTINED, inbox.UNREADABLE)), t.unjoined)
        .group_by(c.state)
    )
    waiting = {row.state: row.n for row in states}
    opened_by_account = _open(connection)
    overdue = connection.scalar(sa.select(sa.func.min(t.jobs.c.due_at)))
    silence = {}
    newest = sa.select(sa.func.max(c.received_at))
    for account in accounts:
        last = connection.scalar(newest.where(c.account == account, _REPORTS))
        refused = connection.scalar(
            newest.where(c.state == inbox.QUARANTINED, t.unjoined, c.account == account)
        )
        silence[account] = {
            "last_callback_at": iso(last) if last else None,
            "last_quarantined_at": iso(refused) if refused else None,
            "silent_s": _age(last, now),
            "open_submissions": opened_by_account.get(account, (0, 0))[0],
        }
    return {
        "at": iso(now),
        "workers": [
            {"id": w.id, "started_at": iso(w.started_at), "seen_at": iso(w.seen_at)}
            for w in heartbeats.find_workers(connection, now)
        ],
        "lag_s": _age(oldest, now) or 0.0,
        "accounts": silence,
        "callbacks": {
            state: waiting.get(state, 0)
            for state in (inbox.PENDING, inbox.ORPHANED, inbox.UNREADABLE, inbox.QUARANTINED)
        },
        "unconfirmed_submissions": sum(unconfirmed for _, unconfirmed in opened_by_account.values()),
        "paused": [pause_document(p) for p in pauses.find_pauses(connection)],
        "incomplete_copy": (mark := copy_marker.mark_of(connection)) is not None and not mark.complete,
        "jobs_due": jobs.count_due(connection, now),
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


def write_probe(database: Database, now: datetime) -> None:
    """Store a callback and take it back, and commit when that was. Raises StorageUnavailable where the database takes
    no write or the disk is (nearly) full."""
    path = database.path
    if path is not None and (free := shutil.disk_usage(path.absolute().parent).free) < _LEAST_FREE:
        raise StorageUnavailable(f"The disk of the database is full: {free // 1024} KiB are left.")

    def work(connection: Connection) -> None:
        trial = connection.begin_nested()
        new = log.NewCallback(
            id=new_id("cb"), account="", lane=None, received_at=now, method="POST", path=b"", query=b"", headers=b"",
            body=b"x" * 4096, size=4096, remote=None,
        )  # fmt: skip
        log.insert(connection, [new])
        trial.rollback()
        # what is rolled back never reaches the disk, so something is committed, too
        tried = {"name": "last-trial", "value": iso(now)}
        if not insert_if_absent(connection, t.settings, tried):
            connection.execute(
                t.settings.update().where(t.settings.c.name == tried["name"]).values(value=tried["value"])
            )

    database.write(work)


def _open(connection: Connection) -> dict[str, tuple[int, int]]:
    """By account, how many submissions were sent and are open, and how many of all are unconfirmed."""
    s, count = t.submissions.c, sa.func.count()
    query = select_open_submissions(
        s.account,
        count.filter(s.requested_at.is_not(None)).label("sent"),
        count.filter(s.status == CallStatus.unconfirmed.value).label("unconfirmed"),
    )
    rows = connection.execute(query.where(s.outcome.is_(None)).group_by(s.account))
    return {row.account: (row.sent, row.unconfirmed) for row in rows}


def _age(at: datetime | None, now: datetime) -> float | None:
    return round((now - at).total_seconds(), 3) if at is not None else None

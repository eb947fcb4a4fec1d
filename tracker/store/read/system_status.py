"""Reads the state of all work: workers, backlog, silence of the provider, due jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.calls import CallStatus
from tracker.domain.pause import Pause
from tracker.errors import StorageUnavailable
from tracker.store.calls.submissions import select_open_submissions
from tracker.store.engine.database import Database
from tracker.store.inbox import log, position, quarantine
from tracker.store.inbox import states as inbox
from tracker.store.policy import pauses
from tracker.store.queue import heartbeats, jobs
from tracker.store.queue.heartbeats import WorkerSeen
from tracker.store.schema import tables as t

#: bytes; a callback may have 1 MiB, and the log of the database needs as much again
_LEAST_FREE: Final = 16 * 1024 * 1024
#: unread callbacks among which the last one of each account is looked for
_NEWEST_UNREAD: Final = 500
#: the states in which callbacks lie
_BACKLOG: Final = (inbox.PENDING, inbox.ORPHANED, inbox.UNREADABLE, inbox.QUARANTINED)
#: callbacks by which the provider reports calls: no handshakes, which `tracker doctor` makes too, and none that failed
#: the authentication, also if somebody has ignored it since
_REPORTS: Final = sa.and_(
    t.callbacks.c.state != inbox.QUARANTINED,
    sa.or_(
        t.callbacks.c.state != inbox.IGNORED,
        t.callbacks.c.reason.not_in(("handshake", quarantine.SHOWED_WRONG, quarantine.SHOWED_NONE)),
    ),
)


@dataclass(frozen=True, kw_only=True)
class AccountStatus:
    """What is heard of an account. Times are in UTC."""

    last_callback_at: datetime | None
    last_quarantined_at: datetime | None
    #: seconds since the last callback
    silent_s: float | None
    #: submissions that were sent and have no outcome
    open_submissions: int


@dataclass(frozen=True, kw_only=True)
class Counter:
    """How many callbacks of a kind were counted and not stored."""

    name: str
    account: str | None
    count: int
    #: UTC
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class SystemStatus:
    """The state of all work at one moment."""

    #: UTC
    at: datetime
    #: those that run, the one that was seen last first
    workers: Sequence[WorkerSeen]
    #: seconds that the oldest callback has been waiting to be read
    lag_s: float
    #: by name, in the order of the configuration
    accounts: Mapping[str, AccountStatus]
    #: state → number of callbacks in it
    callbacks: Mapping[str, int]
    unconfirmed_submissions: int
    paused: Sequence[Pause]
    #: kind of job → how many are due
    jobs_due: Mapping[str, int]
    #: seconds that the oldest job has been due
    oldest_job_overdue_s: float
    counts: Sequence[Counter]


def load_system_status(connection: Connection, accounts: Iterable[str], now: datetime) -> SystemStatus:
    """Return the state of all work. accounts: the configured ones."""
    c = t.callbacks.c
    joined = position.joined_position(connection)
    oldest_unread = log.heads_after(connection, joined, 1)
    oldest = oldest_unread[0].received_at if oldest_unread else None
    last_unread = _find_last_unread(connection, joined)
    by_state = (
        sa.select(c.state, sa.func.count().label("n"))
        .where(c.state.in_(_BACKLOG), t.unjoined)
        .group_by(c.state)
    )
    backlog = {row.state: row.n for row in connection.execute(by_state)}
    # beside those that stay pending because their account is not configured
    backlog[inbox.PENDING] = backlog.get(inbox.PENDING, 0) + log.count_after(connection, joined)
    opened = _count_open(connection)
    overdue = connection.scalar(sa.select(sa.func.min(t.jobs.c.due_at)))
    return SystemStatus(
        at=now,
        workers=heartbeats.find_workers(connection, now),
        lag_s=_age(oldest, now) or 0.0,
        accounts={
            name: _load_account(connection, name, opened.get(name, (0, 0))[0], last_unread.get(name), now)
            for name in accounts
        },
        callbacks={state: backlog.get(state, 0) for state in _BACKLOG},
        unconfirmed_submissions=sum(unconfirmed for _, unconfirmed in opened.values()),
        paused=pauses.find_pauses(connection),
        jobs_due=jobs.count_due(connection, now),
        oldest_job_overdue_s=max(0.0, _age(overdue, now) or 0.0),
        counts=[
            Counter(name=name, account=account or None, count=count, last_at=last_at)
            for name, account, count, last_at in connection.execute(
                sa.select(t.counts.c.name, t.counts.c.account, t.counts.c.count, t.counts.c.last_at)
            )
        ],
    )


def _find_last_unread(connection: Connection, joined: int) -> dict[str, datetime]:
    """Return by account when the last callback was received that the joiner has not read, as far as it is among the
    newest ones."""
    found: dict[str, datetime] = {}
    for row in log.heads_after(connection, joined, _NEWEST_UNREAD, newest_first=True):
        if row.state == inbox.PENDING:
            found.setdefault(row.account, row.received_at)
    return found


def _load_account(
    connection: Connection, name: str, open_submissions: int, last_unread: datetime | None, now: datetime
) -> AccountStatus:
    c, newest = t.callbacks.c, sa.select(sa.func.max(t.callbacks.c.received_at))
    recorded = connection.scalar(newest.where(c.account == name, _REPORTS))
    last = max(filter(None, (recorded, last_unread)), default=None)
    refused = connection.scalar(newest.where(c.state == inbox.QUARANTINED, t.unjoined, c.account == name))
    return AccountStatus(
        last_callback_at=last,
        last_quarantined_at=refused,
        silent_s=_age(last, now),
        open_submissions=open_submissions,
    )


def write_probe(database: Database, now: datetime) -> None:
    """Store a callback and take it back, and commit when that was. Raises StorageUnavailable where the database takes
    no write or the disk is (nearly) full."""
    path = database.path
    if path is not None and (free := shutil.disk_usage(path.absolute().parent).free) < _LEAST_FREE:
        raise StorageUnavailable(f"The disk of the database is full: {free // 1024} KiB are left.")

    def work(connection: Connection) -> None:
        trial = connection.begin_nested()
        log.insert_probe(connection, now)
        trial.rollback()
        # a rolled back row never reaches the disk, so something is committed, too
        log.commit_probe(connection)

    database.inbox.write(work)


def _count_open(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return by account how many submissions were sent and are open, and how many are unconfirmed."""
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

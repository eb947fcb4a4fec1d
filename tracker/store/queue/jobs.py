"""Stores jobs: due work, planned in the transaction that caused it, claimed with a lease, removed when it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine.upsert import upsert
from tracker.store.schema import tables as t

#: send a pending submission; the subject is its id
SEND: Final = "send"
#: make the next submission of a call whose last one was rate-limited; the subject is the one that was refused
RESEND: Final = "resend"
#: match the callbacks that came before a submission's id, unless the sender that committed the id has done so; the
#: subject is the submission's id
MATCH_EARLY: Final = "look"
#: ask the provider about a submission; the subject is its id
POLL: Final = "ask"

_J = t.jobs.c


@dataclass(frozen=True, kw_only=True)
class Job:
    """A claimed job."""

    id: int
    kind: str
    subject: str
    account: str
    #: UTC
    due_at: datetime
    paced: bool
    #: how many times it was claimed, this time included
    tries: int
    #: the worker, and what distinguishes this claim from its earlier ones
    owner: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What distinguishes this claim of the job from every other."""
        return self.kind, self.subject, self.owner


def plan(
    connection: Connection, kind: str, subject: str, account: str, due_at: datetime, *, paced: bool = False
) -> None:
    """Plan a job, or move it to that time if it is planned already; a claim of it ends.

    paced: `due_at` is a dial slot that was reserved for it.
    """
    again = {"due_at": due_at, "paced": paced, "tries": 0, "owner": None, "lease_until": None}
    row = {"kind": kind, "subject": subject, "account": account, **again}
    upsert(connection, t.jobs, row, key=("kind", "subject"), update=again)


def plan_all(
    connection: Connection, kind: str, subjects: Collection[str], account: str, due_at: datetime
) -> None:
    """Plan a job for each of these subjects, in the order of keys, so that two transactions cannot deadlock."""
    for subject in sorted(set(subjects)):
        plan(connection, kind, subject, account, due_at)


def is_paced(connection: Connection, kind: str, subject: str) -> bool:
    """Return whether a job has a reserved dial slot."""
    query = sa.select(_J.paced).where(_J.kind == kind, _J.subject == subject)
    return bool(connection.scalar(query))


def drop(connection: Connection, kind: str, subject: str) -> None:
    """Remove a job, claimed or not, because it need not be done any more."""
    connection.execute(t.jobs.delete().where(_J.kind == kind, _J.subject == subject))


def claim(
    connection: Connection,
    kind: str,
    accounts: Collection[str],
    *,
    owner: str,
    now: datetime,
    lease: timedelta,
    limit: int,
) -> list[Job]:
    """Claim at most `limit` due jobs of these accounts that no other worker holds, the oldest first."""
    due = (
        sa.select(_J.id)
        .where(_J.kind == kind, _J.due_at <= now, _J.account.in_(sorted(accounts)), _is_unclaimed(now))
        .order_by(_J.due_at, _J.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    # a worker whose lease has ended may claim a job again that it still works on
    claimed_by = f"{owner}/{token_hex(6)}"
    claimed = connection.execute(
        t.jobs.update()
        .where(_J.id.in_(due.scalar_subquery()))
        .values(owner=claimed_by, lease_until=now + lease, tries=_J.tries + 1)
        .returning(_J.id, _J.kind, _J.subject, _J.account, _J.due_at, _J.paced, _J.tries, _J.owner)
    )
    return sorted((Job(**row._mapping) for row in claimed), key=lambda job: (job.due_at, job.id))


def renew(connection: Connection, held: Iterable[Job], until: datetime) -> None:
    """Extend the leases of these jobs, except those that were planned or claimed again meanwhile."""
    for job in sorted(held, key=lambda job: job.key):
        connection.execute(t.jobs.update().where(_is_held_by(job)).values(lease_until=until))


def finish(connection: Connection, job: Job) -> None:
    """Remove a job that is done, unless it was planned or claimed again meanwhile."""
    connection.execute(t.jobs.delete().where(_is_held_by(job)))


def postpone(connection: Connection, job: Job, due_at: datetime) -> None:
    """Move a job to that time, unless it was planned or claimed again meanwhile."""
    update = t.jobs.update().where(_is_held_by(job))
    connection.execute(update.values(due_at=due_at, owner=None, lease_until=None))


def next_due(
    connection: Connection, kinds: Collection[str], accounts: Collection[str], now: datetime
) -> dict[str, datetime]:
    """Return for each of these kinds when the next job of these accounts is due that no worker holds."""
    # one look into the index for each kind, however many jobs are planned
    firsts = [
        sa.select(_J.kind, _J.due_at)
        .where(_J.kind == kind, _J.account.in_(sorted(accounts)), _is_unclaimed(now))
        .order_by(_J.due_at, _J.id)
        .limit(1)
        .subquery()
        for kind in sorted(kinds)
    ]
    rows = connection.execute(sa.union_all(*(sa.select(first.c.kind, first.c.due_at) for first in firsts)))
    return {row.kind: row.due_at for row in rows}


def count_due(connection: Connection, now: datetime) -> dict[str, int]:
    """Return how many jobs of each kind are due, claimed or not."""
    query = sa.select(_J.kind, sa.func.count().label("due")).where(_J.due_at <= now).group_by(_J.kind)
    return {row.kind: row.due for row in connection.execute(query)}


def _is_unclaimed(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(_J.lease_until.is_(None), _J.lease_until < now)


def _is_held_by(job: Job) -> sa.ColumnElement[bool]:
    # not by its id: SQLite gives the id of a removed row to the next one
    return sa.and_(_J.kind == job.kind, _J.subject == job.subject, _J.owner == job.owner)

"""Due work: written in the transaction that caused it, claimed with a lease, removed when it is done."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from tracker.store.schema import tables as t

#: send a pending submission; the subject is its id
SEND: Final = "send"
#: make a new submission of a call that was told to come again; the subject is the submission that was refused
RESEND: Final = "resend"
#: look for callbacks that were earlier than a submission's id, unless whoever committed that id has done so
MATCH_EARLY: Final = "look"
#: ask the provider about a submission; the subject is its id
POLL: Final = "ask"


@dataclass(frozen=True, kw_only=True)
class Job:
    id: int
    kind: str
    subject: str
    account: str
    due_at: datetime
    paced: bool
    tries: int
    #: whose it is by this one claim
    owner: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells this claim of it from every other."""
        return self.kind, self.subject, self.owner


def plan(
    connection: Connection, kind: str, subject: str, account: str, due_at: datetime, *, paced: bool = False
) -> None:
    """Have this work due at that time; where it is planned already, move it there.

    paced: `due_at` is a moment of the account's pace that was given to it.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(t.jobs).values(
        kind=kind, subject=subject, account=account, due_at=due_at, paced=paced, tries=0
    )
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["kind", "subject"],
            set_={"due_at": due_at, "paced": paced, "tries": 0, "owner": None, "lease_until": None},
        )
    )


def plan_all(
    connection: Connection, kind: str, subjects: Collection[str], account: str, due_at: datetime
) -> None:
    """Have this work due for each of these; in the order of keys, so that nobody waits for whoever waits for them."""
    for subject in sorted(set(subjects)):
        plan(connection, kind, subject, account, due_at)


def is_paced(connection: Connection, kind: str, subject: str) -> bool:
    """Whether this work was given a moment of its account's pace."""
    j = t.jobs.c
    return bool(connection.scalar(sa.select(j.paced).where(j.kind == kind, j.subject == subject)))


def drop(connection: Connection, kind: str, subject: str) -> None:
    """This work needs no doing any more."""
    connection.execute(t.jobs.delete().where(t.jobs.c.kind == kind, t.jobs.c.subject == subject))


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
    """Take up to `limit` pieces of these accounts' due work that nobody else holds, oldest first."""
    j = t.jobs.c
    due = (
        sa.select(j.id)
        .where(j.kind == kind, j.due_at <= now, j.account.in_(sorted(accounts)), _free(now))
        .order_by(j.due_at, j.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    # the same worker may claim it anew while it still works on it: each claim is told apart
    claimed_by = f"{owner}/{token_hex(6)}"
    taken = connection.execute(
        t.jobs.update()
        .where(j.id.in_(due.scalar_subquery()))
        .values(owner=claimed_by, lease_until=now + lease, tries=j.tries + 1)
        .returning(j.id, j.kind, j.subject, j.account, j.due_at, j.paced, j.tries, j.owner)
    )
    return sorted((Job(**row._mapping) for row in taken), key=lambda job: (job.due_at, job.id))


def renew(connection: Connection, held: Iterable[Job], until: datetime) -> None:
    """These are still worked on; what was planned or claimed anew meanwhile is let alone."""
    for job in sorted(held, key=lambda job: job.key):
        connection.execute(t.jobs.update().where(_still(job)).values(lease_until=until))


def finish(connection: Connection, job: Job) -> None:
    """It is done; unless it was planned or claimed anew meanwhile, it goes."""
    connection.execute(t.jobs.delete().where(_still(job)))


def postpone(connection: Connection, job: Job, due_at: datetime) -> None:
    """Not now; at that time again, unless it was planned or claimed anew meanwhile."""
    connection.execute(t.jobs.update().where(_still(job)).values(due_at=due_at, owner=None, lease_until=None))


def next_due(
    connection: Connection, kinds: Collection[str], accounts: Collection[str], now: datetime
) -> dict[str, datetime]:
    """For each of these kinds, when the next piece of these accounts' work is due that nobody works on."""
    j = t.jobs.c
    # one look into the index for each kind, however much is planned
    firsts = [
        sa.select(j.kind, j.due_at)
        .where(j.kind == kind, j.account.in_(sorted(accounts)), _free(now))
        .order_by(j.due_at, j.id)
        .limit(1)
        .subquery()
        for kind in sorted(kinds)
    ]
    rows = connection.execute(sa.union_all(*(sa.select(first.c.kind, first.c.due_at) for first in firsts)))
    return {row.kind: row.due_at for row in rows}


def _free(now: datetime) -> sa.ColumnElement[bool]:
    j = t.jobs.c
    return sa.or_(j.lease_until.is_(None), j.lease_until < now)


def _still(job: Job) -> sa.ColumnElement[bool]:
    # not by its number: SQLite gives the number of a removed row to the next one
    j = t.jobs.c
    return sa.and_(j.kind == job.kind, j.subject == job.subject, j.owner == job.owner)


def waiting(connection: Connection, now: datetime) -> dict[str, int]:
    """How much work of each kind is due."""
    j = t.jobs.c
    query = sa.select(j.kind, sa.func.count().label("due")).where(j.due_at <= now).group_by(j.kind)
    return {row.kind: row.due for row in connection.execute(query)}

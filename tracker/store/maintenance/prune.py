"""Removing what is old and over: settled calls with their evidence, and callbacks that belong to no call.

Nothing here decides how much at once, or when; `tracker.lifecycle.maintenance.prune` does. Ages: a call's by when it
last changed, which for a settled one is when it was settled or corrected; a callback's by when it was received.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.calls import OPEN_STATUSES, OUTCOMES
from tracker.store.engine.chunks import chunks
from tracker.store.inbox import position, states
from tracker.store.inbox.match_queries import IGNORE
from tracker.store.schema import tables as t

#: the streams in which old rows are found, each in the order of an index: calls by their status, callbacks by state
CALLS: Final = tuple(sorted(status.value for status in OUTCOMES))
CALLBACKS: Final = (states.IGNORED, states.UNREADABLE, states.ORPHANED, states.QUARANTINED)

#: pages of a SQLite file that are given back between two looks at the clock
_PAGES: Final = 16
#: bytes that a row takes with its part of the indexes, beside what is measured; found by filling a database
_ROW_BYTES: Final = {
    "calls": 900,
    "submissions": 600,
    "events": 450,
    "callbacks": 600,
    "exchanges": 450,
    "inbox": 100,
}
_OPEN: Final = [status.value for status in OPEN_STATUSES]


@dataclass(frozen=True, kw_only=True)
class Old:
    """Something that may go: its id and its age."""

    id: str
    at: datetime


def old_calls(
    connection: Connection, status: str, before: datetime, after: Old | None, limit: int
) -> list[Old]:
    """The oldest settled calls of a status that did not change since, behind one of them."""
    c = t.calls.c
    query = sa.select(c.id, c.updated_at.label("at")).where(
        c.status == status, c.settled, c.updated_at < before
    )
    return _page(connection, query, c.updated_at, c.id, after, limit)


def old_callbacks(
    connection: Connection, state: str, before: datetime, after: Old | None, limit: int
) -> list[Old]:
    """The oldest callbacks of a state that belong to no call, received before, behind one of them.

    Not those that somebody has given to a submission, those that are looked at still, and those that may belong to a
    call that is open.
    """
    c, s = t.callbacks.c, t.submissions.c
    query = sa.select(c.id, c.received_at.label("at")).where(
        t.unjoined,
        c.state == state,
        c.call_id.is_(None),
        c.received_at < before,
        c.next_match_at.is_(None),
        sa.or_(c.manual_match.is_(None), c.manual_match == IGNORE),
    )
    if state == states.ORPHANED:
        open_one = sa.select(s.id).where(
            s.account == c.account,
            s.to == c.heuristic_number,
            sa.or_(s.outcome.is_(None), s.status.in_(_OPEN)),
        )
        query = query.where(~open_one.exists())
    return _page(connection, query, c.received_at, c.id, after, limit)


def _page(
    connection: Connection,
    query: sa.Select[Any],
    at: sa.ColumnElement[datetime],
    id: sa.ColumnElement[str],
    after: Old | None,
    limit: int,
) -> list[Old]:
    if after is not None:
        query = query.where(sa.or_(at > after.at, sa.and_(at == after.at, id > after.id)), at >= after.at)
    return [Old(id=row.id, at=row.at) for row in connection.execute(query.order_by(at, id).limit(limit))]


def remove_calls(connection: Connection, ids: Sequence[str], before: datetime) -> Counter[str]:
    """Remove those of these calls that are settled and old still, under their locks, with everything that belongs to
    them; gives the rows by table. The joining lock is held."""
    removed: Counter[str] = Counter()
    c = t.calls.c
    query = sa.select(c.id).where(c.settled, c.updated_at < before).order_by(c.id).with_for_update()
    for part in chunks(ids):
        still = list(connection.scalars(query.where(c.id.in_(part))))
        submissions = _ids(connection, t.submissions, t.submissions.c.call_id, still)
        _remove_callbacks(connection, _ids(connection, t.callbacks, t.callbacks.c.call_id, still), removed)
        for table, column, values in (
            (t.events, t.events.c.call_id, still),
            (t.exchanges, t.exchanges.c.call_id, still),
            (t.call_secrets, t.call_secrets.c.call_id, still),
            (t.idempotency_keys, t.idempotency_keys.c.call_id, still),
            (t.jobs, t.jobs.c.subject, submissions),
            (t.submissions, t.submissions.c.id, submissions),
            (t.calls, t.calls.c.id, still),
        ):
            _remove(connection, table, column, values, removed)
    return removed


def remove_callbacks(connection: Connection, ids: Sequence[str]) -> Counter[str]:
    """Remove callbacks that belong to no call still; gives the rows by table. The joining lock is held."""
    c = t.callbacks.c
    removed: Counter[str] = Counter()
    for part in chunks(ids):
        still = list(connection.scalars(sa.select(c.id).where(c.id.in_(part), c.call_id.is_(None))))
        _remove_callbacks(connection, still, removed)
    return removed


def _remove_callbacks(connection: Connection, ids: Sequence[str], removed: Counter[str]) -> None:
    c = t.callbacks.c
    for part in chunks(ids):
        # a callback that repeats a removed one, and stays, is the first to report now
        connection.execute(t.callbacks.update().where(c.repeat_of.in_(part)).values(repeat_of=None))
        position.plan_removals(
            connection, list(connection.scalars(sa.select(c.position).where(c.id.in_(part))))
        )
    _remove(connection, t.waiting_keys, t.waiting_keys.c.callback_id, ids, removed)
    _remove(connection, t.callbacks, c.id, ids, removed)


def _ids(
    connection: Connection, table: sa.Table, column: sa.ColumnElement[Any], values: Sequence[str]
) -> list[str]:
    return [
        id
        for part in chunks(values)
        for id in connection.scalars(sa.select(table.c.id).where(column.in_(part)))
    ]


def _remove(
    connection: Connection,
    table: sa.Table,
    column: sa.ColumnElement[Any],
    values: Sequence[str],
    removed: Counter[str],
) -> None:
    for part in chunks(values):
        if n := connection.execute(table.delete().where(column.in_(part))).rowcount:
            removed[table.name] += n


def estimate(
    connection: Connection, calls: Sequence[str], callbacks: Sequence[str]
) -> tuple[Counter[str], int]:
    """How many rows would go with these calls and callbacks, by table, and about how many bytes."""
    rows: Counter[str] = Counter()
    size = 0
    x, c, e = t.exchanges.c, t.callbacks.c, t.events.c
    submissions_of, callbacks_of = (t.submissions.c.id, t.submissions.c.call_id), (c.id, c.call_id)
    callback_bytes = (sa.cast(c.report, sa.Text),)
    i = t.inbox.c
    request_bytes = i.headers, i.body, i.path, i.query
    waiting = t.waiting_keys.c.callback_id
    for table, column, values, through, measured in (
        (t.calls, t.calls.c.id, calls, None, ()),
        (t.submissions, t.submissions.c.call_id, calls, None, ()),
        (t.events, e.call_id, calls, None, (sa.cast(e.detail, sa.Text),)),
        (
            t.exchanges, x.call_id, calls, None,
            (x.request_headers, x.request_body, x.reply_headers, x.reply_body),
        ),
        (t.call_secrets, t.call_secrets.c.call_id, calls, None, ()),
        (t.idempotency_keys, t.idempotency_keys.c.call_id, calls, None, ()),
        (t.jobs, t.jobs.c.subject, calls, submissions_of, ()),
        (t.callbacks, c.call_id, calls, None, callback_bytes),
        (t.waiting_keys, waiting, calls, callbacks_of, ()),
        (t.callbacks, c.id, callbacks, None, callback_bytes),
        (t.inbox, i.position, calls, (c.position, c.call_id), request_bytes),
        (t.inbox, i.position, callbacks, (c.position, c.id), request_bytes),
        (t.waiting_keys, waiting, callbacks, None, ()),
    ):  # fmt: skip
        for part in chunks(values):
            lengths = [sa.func.coalesce(sa.func.sum(sa.func.length(m)), 0) for m in measured]
            meant = sa.select(through[0]).where(through[1].in_(part)) if through else part
            query = sa.select(sa.func.count(), *lengths).where(column.in_(meant))
            count, *bytes_ = connection.execute(query.select_from(table)).one()
            if count:
                if table is not t.inbox:  # each of its rows is that of a callback
                    rows[table.name] += count
                size += count * _ROW_BYTES.get(table.name, 200) + sum(bytes_)
    return rows, size


def unused_pages(connection: Connection) -> tuple[int, int]:
    """Of a SQLite file, the pages that hold nothing and can be given back, and the bytes of one."""
    if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() != 2:
        return 0, 0
    pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return int(pages), int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def give_back(connection: Connection, seconds: float) -> None:
    """Shorten a SQLite file by its unused pages, for about so long."""
    raw = cast(sqlite3.Connection, connection.connection.driver_connection)
    until = time.monotonic() + seconds
    while time.monotonic() < until and raw.execute("PRAGMA freelist_count").fetchone()[0]:
        for _ in range(_PAGES):
            # whatever number it is given, Python's driver takes one step of it, and that is one page
            raw.execute("PRAGMA incremental_vacuum(1)")

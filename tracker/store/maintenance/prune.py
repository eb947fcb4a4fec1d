"""Finds and removes what is old: settled calls with their evidence, and callbacks that belong to no call.

`tracker.lifecycle.maintenance.prune` decides how much at once, and when. The age of a call counts from its last change;
a settled call changes last when it is settled or corrected. The age of a callback counts from its receipt.
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

#: the statuses and states by which an index finds old rows in order
CALL_STATUSES: Final = tuple(sorted(status.value for status in OUTCOMES))
CALLBACK_STATES: Final = (states.IGNORED, states.UNREADABLE, states.ORPHANED, states.QUARANTINED)

#: pages of a SQLite file that are given back between two looks at the clock
_PAGES: Final = 16
#: bytes of a row with its part of the indexes, without the columns that are measured; found by filling a database
_ROW_BYTES: Final = {
    "calls": 900,
    "submissions": 600,
    "events": 450,
    "callbacks": 600,
    "exchanges": 450,
    "inbox": 100,
}
_OTHER_ROW_BYTES: Final = 200
_OPEN: Final = [status.value for status in OPEN_STATUSES]


@dataclass(frozen=True, kw_only=True)
class OldRow:
    """A call or callback that may be removed, and the time from which its age counts."""

    id: str
    at: datetime


def old_calls(
    connection: Connection, status: str, before: datetime, after: OldRow | None, limit: int
) -> list[OldRow]:
    """Return the oldest settled calls of a status that have not changed since `before`, the next ones after `after`."""
    c = t.calls.c
    query = sa.select(c.id, c.updated_at.label("at")).where(
        c.status == status, c.settled, c.updated_at < before
    )
    return _page(connection, query, c.updated_at, c.id, after, limit)


def old_callbacks(
    connection: Connection, state: str, before: datetime, after: OldRow | None, limit: int
) -> list[OldRow]:
    """Return the oldest callbacks of a state that belong to no call and came before `before`, the next after `after`.

    Left out are those that a person has given to a submission, those that are tried again, and those that may belong to
    an open call.
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
        open_submission = sa.select(s.id).where(
            s.account == c.account,
            s.to == c.heuristic_number,
            sa.or_(s.outcome.is_(None), s.status.in_(_OPEN)),
        )
        query = query.where(~open_submission.exists())
    return _page(connection, query, c.received_at, c.id, after, limit)


def remove_calls(connection: Connection, ids: Sequence[str], before: datetime) -> Counter[str]:
    """Remove those of these calls that are still settled and old, with their evidence; return the rows by table.

    The joining lock must be held. The calls are locked here.
    """
    removed: Counter[str] = Counter()
    c = t.calls.c
    query = sa.select(c.id).where(c.settled, c.updated_at < before).order_by(c.id).with_for_update()
    for part in chunks(ids):
        calls = list(connection.scalars(query.where(c.id.in_(part))))
        submissions = _ids(connection, t.submissions, t.submissions.c.call_id, calls)
        _remove_callbacks(connection, _ids(connection, t.callbacks, t.callbacks.c.call_id, calls), removed)
        for table, column, values in (
            (t.events, t.events.c.call_id, calls),
            (t.exchanges, t.exchanges.c.call_id, calls),
            (t.call_secrets, t.call_secrets.c.call_id, calls),
            (t.idempotency_keys, t.idempotency_keys.c.call_id, calls),
            (t.jobs, t.jobs.c.subject, submissions),
            (t.submissions, t.submissions.c.id, submissions),
            (t.calls, t.calls.c.id, calls),
        ):
            _remove(connection, table, column, values, removed)
    return removed


def remove_callbacks(connection: Connection, ids: Sequence[str]) -> Counter[str]:
    """Remove those of these callbacks that still belong to no call; return the rows by table.

    The joining lock must be held.
    """
    c = t.callbacks.c
    removed: Counter[str] = Counter()
    for part in chunks(ids):
        query = sa.select(c.id).where(c.id.in_(part), c.call_id.is_(None))
        _remove_callbacks(connection, list(connection.scalars(query)), removed)
    return removed


def estimate(
    connection: Connection, calls: Sequence[str], callbacks: Sequence[str]
) -> tuple[Counter[str], int]:
    """Return how many rows would go with these calls and callbacks, by table, and about how many bytes.

    A request in the inbox counts for the bytes only, because it is one with its callback.
    """
    rows: Counter[str] = Counter()
    size = 0
    x, c, e, i = t.exchanges.c, t.callbacks.c, t.events.c, t.inbox.c
    submissions_of, callbacks_of = (t.submissions.c.id, t.submissions.c.call_id), (c.id, c.call_id)
    report, request = (sa.cast(c.report, sa.Text),), (i.headers, i.body, i.path, i.query)
    waiting = t.waiting_keys.c.callback_id
    for table, column, values, via, measured in (
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
        (t.callbacks, c.call_id, calls, None, report),
        (t.waiting_keys, waiting, calls, callbacks_of, ()),
        (t.callbacks, c.id, callbacks, None, report),
        (t.inbox, i.position, calls, (c.position, c.call_id), request),
        (t.inbox, i.position, callbacks, (c.position, c.id), request),
        (t.waiting_keys, waiting, callbacks, None, ()),
    ):  # fmt: skip
        for part in chunks(values):
            lengths = [sa.func.coalesce(sa.func.sum(sa.func.length(m)), 0) for m in measured]
            selected = sa.select(via[0]).where(via[1].in_(part)) if via else part
            query = sa.select(sa.func.count(), *lengths).where(column.in_(selected))
            count, *bytes_ = connection.execute(query.select_from(table)).one()
            if count:
                if table is not t.inbox:
                    rows[table.name] += count
                size += count * _ROW_BYTES.get(table.name, _OTHER_ROW_BYTES) + sum(bytes_)
    return rows, size


def unused_pages(connection: Connection) -> tuple[int, int]:
    """Return the number of pages that a SQLite file can give back, and the bytes of one."""
    if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() != 2:
        return 0, 0
    pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return int(pages), int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def give_back(connection: Connection, seconds: float) -> None:
    """Shorten a SQLite file by its unused pages, for about this time."""
    raw = cast(sqlite3.Connection, connection.connection.driver_connection)
    until = time.monotonic() + seconds
    while time.monotonic() < until and raw.execute("PRAGMA freelist_count").fetchone()[0]:
        for _ in range(_PAGES):
            # whatever number the pragma gets, Python's driver takes one step of it, and that is one page
            raw.execute("PRAGMA incremental_vacuum(1)")


def _page(
    connection: Connection,
    query: sa.Select[Any],
    at: sa.ColumnElement[datetime],
    id: sa.ColumnElement[str],
    after: OldRow | None,
    limit: int,
) -> list[OldRow]:
    if after is not None:
        query = query.where(sa.or_(at > after.at, sa.and_(at == after.at, id > after.id)), at >= after.at)
    return [OldRow(id=row.id, at=row.at) for row in connection.execute(query.order_by(at, id).limit(limit))]


def _remove_callbacks(connection: Connection, ids: Sequence[str], removed: Counter[str]) -> None:
    c = t.callbacks.c
    for part in chunks(ids):
        # a callback that repeats a removed one, and stays, is now the first to report
        connection.execute(t.callbacks.update().where(c.repeat_of.in_(part)).values(repeat_of=None))
        positions = list(connection.scalars(sa.select(c.position).where(c.id.in_(part))))
        position.plan_removals(connection, positions)
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

"""Reads lists that stay fast as a table grows: merged from streams that an index has in the order of the list.

An index `(status, settled, created_at, id)` has the calls of one status in order. A list of several statuses is the
merge of their streams. No more rows are read than are shown, however many there are and wherever they stand.

Statistics may be missing or old, so nothing depends on them: SQLite is told which index to read, and PostgreSQL not to
sort what it can read in order. The statements are written out, because there are few kinds of them: SQLAlchemy took ten
times as long to compose one of twenty arms as it took to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine import bulk, timestamps

#: streams that SQLite merges in one statement
_MAX_ARMS: Final = 100

#: where a row stands in a list: its time, and its id
Position = tuple[datetime, str]
#: a condition with `?` for its values; the text is a constant of the program
Condition = tuple[str, tuple[Any, ...]]
_Statement = tuple[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Parts of one index, whose columns are some keys, then a time, then the id."""

    table: sa.Table
    index: str
    #: the columns before the time
    keys: tuple[str, ...]
    #: the time
    at: str
    #: values of the keys: one stream for each
    values: Sequence[tuple[Any, ...]]
    #: further conditions: that of a partial index, and those that filter rows
    where: Sequence[Condition] = ()


@dataclass(frozen=True, kw_only=True)
class PageWindow:
    """The part of a list that a page shows: `limit` rows behind a position, in the order of a column."""

    column: str
    down: bool
    limit: int
    place: Position | None = None

    def conditions(self) -> list[Condition]:
        """Return the condition of the rows behind the position."""
        if self.place is None:
            return []
        return [(f"({self.column}, id) {'<' if self.down else '>'} (?, ?)", self.place)]


def prepare(connection: Connection) -> None:
    """Have PostgreSQL read in the order of an index until the transaction ends. Call it before the functions below."""
    if not connection.get_execution_options().get("by_indexes"):
        bulk.force_index_scans(connection)


def read_positions(connection: Connection, stream: Stream, window: PageWindow) -> list[Position]:
    """Return the positions of a page. If its column is not the time of the stream, the stream must be short."""
    if not stream.values:
        return []
    if connection.dialect.name == "sqlite":
        return _merge_in_sqlite(connection, stream, window)
    statement, values = _lateral_join(stream, window)
    return run(connection, f"SELECT at, id FROM ({statement}) found ORDER BY {_order(window)}", values)  # noqa: S608


def has_at_most(connection: Connection, stream: Stream, limit: int) -> bool:
    """Return whether a stream has at most `limit` rows. It reads at most one more."""
    window = PageWindow(column=stream.at, down=True, limit=limit + 1)
    if connection.dialect.name != "sqlite":
        return _count(connection, *_lateral_join(stream, window, in_order=False)) <= limit
    count = 0
    for arms in _arm_batches(stream):
        # one arm after the other, because counting stops at the limit
        statement, values = _union(stream, window, arms)
        count += _count(connection, f"{statement} LIMIT {limit + 1 - count}", values)
    return count <= limit


def run(connection: Connection, statement: str, values: Sequence[Any]) -> list[Position]:
    """Return the rows of a statement that selects a time and an id; `?` stands for a value."""
    rows = _fetch_all(connection, statement, values)
    if connection.dialect.name == "sqlite":
        return [(timestamps.read(at), id) for at, id in rows]
    return [(at, id) for at, id in rows]


def _count(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    ((count,),) = _fetch_all(connection, f"SELECT count(*) FROM ({statement}) counted", values)  # noqa: S608
    return int(count)


def _fetch_all(connection: Connection, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    if connection.dialect.name == "sqlite":
        values = [timestamps.written(v) if isinstance(v, datetime) else v for v in values]
    else:
        statement = statement.replace("?", "%s")
    cursor: Any = connection.exec_driver_sql(statement, tuple(values)).cursor
    return list(cursor.fetchall())


# SQLite merges the arms of a UNION ALL that come in order, and reads each only as far as it must.


def _merge_in_sqlite(connection: Connection, stream: Stream, window: PageWindow) -> list[Position]:
    found: list[Position] = []
    for arms in _arm_batches(stream):
        statement, values = _union(stream, window, arms)
        found += run(connection, f"{statement} ORDER BY {_order(window)} LIMIT {window.limit}", values)
    return sorted(found, reverse=window.down)[: window.limit] if len(stream.values) > _MAX_ARMS else found


def _arm_batches(stream: Stream) -> Iterator[Sequence[tuple[Any, ...]]]:
    for start in range(0, len(stream.values), _MAX_ARMS):
        yield stream.values[start : start + _MAX_ARMS]


def _union(stream: Stream, window: PageWindow, arms: Sequence[tuple[Any, ...]]) -> _Statement:
    texts, values = _split([*stream.where, *window.conditions()])
    condition = " AND ".join([*(f'"{key}" = ?' for key in stream.keys), *texts])
    arm = f"{_select(stream, window)} INDEXED BY {stream.index} WHERE {condition or 'true'}"
    return " UNION ALL ".join([arm] * len(arms)), [value for each in arms for value in (*each, *values)]


# PostgreSQL plans one lateral join for all streams, whatever their keys.


def _lateral_join(stream: Stream, window: PageWindow, *, in_order: bool = True) -> _Statement:
    c = stream.table.c
    texts, values = _split([*stream.where, *window.conditions()])
    limit = f"LIMIT {window.limit}"
    if not stream.keys:
        where = " AND ".join(texts) or "true"
        return f"{_select(stream, window)} WHERE {where} ORDER BY {_order(window)} {limit}", values
    arrays = ", ".join(f"?::{bulk.kind_on_postgresql(c[key])}[]" for key in stream.keys)
    names = ", ".join(f'"{key}"' for key in stream.keys)
    condition = " AND ".join(
        [*(f'{stream.table.name}."{key}" = asked."{key}"' for key in stream.keys), *texts]
    )
    # OFFSET 0 is a fence: the planner reads a short stream by its index, and does not see the sort that follows
    direction = " DESC" if window.down else ""
    each = (
        f"{_select(stream, window)} WHERE {condition} ORDER BY {stream.at}{direction}, id{direction}"
        f" {limit if window.column == stream.at else 'OFFSET 0'}"
    )
    merged = (
        f"SELECT each.at, each.id FROM unnest({arrays}) AS asked ({names}) CROSS JOIN LATERAL ({each}) each"  # noqa: S608
        f"{f' ORDER BY {_order(window)}' if in_order else ''} {limit}"
    )
    return merged, [*map(list, zip(*stream.values, strict=True)), *values]


def _select(stream: Stream, window: PageWindow) -> str:
    return f"SELECT {window.column} AS at, id FROM {stream.table.name}"  # noqa: S608


def _split(conditions: Sequence[Condition]) -> tuple[list[str], list[Any]]:
    """Return the texts of the conditions, and all their values."""
    return [text for text, _ in conditions], [value for _, values in conditions for value in values]


def _order(window: PageWindow) -> str:
    return "at DESC, id DESC" if window.down else "at, id"

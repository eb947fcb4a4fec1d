"""Lists that stay fast as a table grows: merged from streams, each of which an index gives in the list's order.

An index `(status, settled, created_at, id)` gives the calls of one status in order. A list of several is what a merge
of their streams gives first; no more rows are read than are shown, however many there are and wherever they lie.

Statistics may be missing or old, so nothing here hangs on them: SQLite is told which index to read, PostgreSQL not to
sort what it could read in order. The statements are written out, for there are few kinds of them: composing one of
twenty arms by SQLAlchemy took ten times as long as carrying it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine import bulk, timestamps

#: SQLite merges so many streams in one statement
_MOST_AT_ONCE: Final = 100

#: where a row stands in a list: its moment, and its id
Position = tuple[datetime, str]
#: a condition with `?` for its values; the text is a constant of the program
Condition = tuple[str, tuple[Any, ...]]
_Statement = tuple[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One index of a table: some columns that are asked for equality, then a time, then the id."""

    table: sa.Table
    index: str
    #: the columns before the time
    keys: tuple[str, ...]
    at: str
    #: what is asked of those columns: one stream for each
    values: Sequence[tuple[Any, ...]]
    #: further conditions; those of the index, where it is a partial one, and those that rows are filtered by
    where: Sequence[Condition] = ()


@dataclass(frozen=True, kw_only=True)
class PageWindow:
    """What of a list is wanted: so many rows in this order, from this place on."""

    column: str
    down: bool
    limit: int
    place: Position | None = None

    def behind(self) -> list[Condition]:
        """The condition for rows behind its place."""
        if self.place is None:
            return []
        return [(f"({self.column}, id) {'<' if self.down else '>'} (?, ?)", self.place)]


def begin(connection: Connection) -> None:
    """To be said before the others, once in a transaction: PostgreSQL reads in order what an index gives in order."""
    if not connection.get_execution_options().get("by_indexes"):
        bulk.force_index_scans(connection)


def places(connection: Connection, stream: Stream, cut: PageWindow) -> list[Position]:
    """The first rows of a list. `cut.column` may be another than the stream's time only where the stream is short."""
    if not stream.values:
        return []
    if connection.dialect.name == "sqlite":
        return _merged(connection, stream, cut)
    statement, values = _laterally(stream, cut)
    return run(connection, f"SELECT at, id FROM ({statement}) found ORDER BY {_order(cut)}", values)  # noqa: S608


def is_short(connection: Connection, stream: Stream, most: int) -> bool:
    """Whether it has at most so many rows; no more than that are looked at."""
    cut = PageWindow(column=stream.at, down=True, limit=most + 1)
    if connection.dialect.name != "sqlite":
        return _count(connection, *_laterally(stream, cut, in_order=False)) <= most
    count = 0
    for some in _at_once(stream):
        # one arm after the other, and no further than that
        statement, values = _arms(stream, cut, some)
        count += _count(connection, f"{statement} LIMIT {most + 1 - count}", values)
    return count <= most


def run(connection: Connection, statement: str, values: Sequence[Any]) -> list[Position]:
    """The places that a statement gives as pairs of a moment and an id; `?` stands where its values do."""
    rows = _rows(connection, statement, values)
    if connection.dialect.name == "sqlite":
        return [(timestamps.read(at), id) for at, id in rows]
    return [(at, id) for at, id in rows]


def _count(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    ((count,),) = _rows(connection, f"SELECT count(*) FROM ({statement}) counted", values)  # noqa: S608
    return int(count)


def _rows(connection: Connection, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    if connection.dialect.name == "sqlite":
        values = [timestamps.written(v) if isinstance(v, datetime) else v for v in values]
    else:
        statement = statement.replace("?", "%s")
    cursor: Any = connection.exec_driver_sql(statement, tuple(values)).cursor
    return list(cursor.fetchall())


# SQLite: it merges the arms of a UNION ALL that come in order, reading each only as far as it must


def _merged(connection: Connection, stream: Stream, cut: PageWindow) -> list[Position]:
    found: list[Position] = []
    for some in _at_once(stream):
        statement, values = _arms(stream, cut, some)
        found += run(connection, f"{statement} ORDER BY {_order(cut)} LIMIT {cut.limit}", values)
    return sorted(found, reverse=cut.down)[: cut.limit] if len(stream.values) > _MOST_AT_ONCE else found


def _at_once(stream: Stream) -> Iterator[Sequence[tuple[Any, ...]]]:
    for start in range(0, len(stream.values), _MOST_AT_ONCE):
        yield stream.values[start : start + _MOST_AT_ONCE]


def _arms(stream: Stream, cut: PageWindow, some: Sequence[tuple[Any, ...]]) -> _Statement:
    more, further = _all([*stream.where, *cut.behind()])
    same = " AND ".join([*(f'"{key}" = ?' for key in stream.keys), *more])
    arm = f"{_wanted(stream, cut)} INDEXED BY {stream.index} WHERE {same or 'true'}"
    return " UNION ALL ".join([arm] * len(some)), [value for each in some for value in (*each, *further)]


# PostgreSQL: one plan for all streams, whatever they are asked for


def _laterally(stream: Stream, cut: PageWindow, *, in_order: bool = True) -> _Statement:
    c = stream.table.c
    more, further = _all([*stream.where, *cut.behind()])
    limit = f"LIMIT {cut.limit}"
    if not stream.keys:
        return (
            f"{_wanted(stream, cut)} WHERE {' AND '.join(more) or 'true'} ORDER BY {_order(cut)} {limit}",
            further,
        )
    arrays = ", ".join(f"?::{bulk.kind_on_postgresql(c[key])}[]" for key in stream.keys)
    names = ", ".join(f'"{key}"' for key in stream.keys)
    same = " AND ".join([*(f'{stream.table.name}."{key}" = asked."{key}"' for key in stream.keys), *more])
    # a short stream is read whole by its index, and then sorted: behind OFFSET 0 the planner does not see what for
    direction = " DESC" if cut.down else ""
    each = (
        f"{_wanted(stream, cut)} WHERE {same} ORDER BY {stream.at}{direction}, id{direction}"
        f" {limit if cut.column == stream.at else 'OFFSET 0'}"
    )
    merged = (
        f"SELECT each.at, each.id FROM unnest({arrays}) AS asked ({names}) CROSS JOIN LATERAL ({each}) each"  # noqa: S608
        f"{f' ORDER BY {_order(cut)}' if in_order else ''} {limit}"
    )
    return merged, [*map(list, zip(*stream.values, strict=True)), *further]


def _wanted(stream: Stream, cut: PageWindow) -> str:
    return f"SELECT {cut.column} AS at, id FROM {stream.table.name}"  # noqa: S608


def _all(conditions: Sequence[Condition]) -> tuple[list[str], list[Any]]:
    return [text for text, _ in conditions], [value for _, values in conditions for value in values]


def _order(cut: PageWindow) -> str:
    return "at DESC, id DESC" if cut.down else "at, id"

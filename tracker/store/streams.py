"""Lists that stay fast as a table grows: merged from streams, each of which an index gives in the list's order.

An index `(status, settled, created_at, id)` gives the calls of one status in order. A list of several is what a merge
of their streams gives first; no more rows are read than are shown, however many there are and wherever they lie.

Statistics may be missing or old, so nothing here hangs on them: SQLite is told which index to read, PostgreSQL not to
sort what it could read in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from tracker.store import paging

#: SQLite merges so many streams in one statement
_MOST_AT_ONCE: Final = 100

#: where a row stands in a list: at that moment, and by its id
Place = tuple[datetime, str]


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
    where: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What of a list is wanted: so many rows in this order, from this place on."""

    column: str
    down: bool
    limit: int
    place: Place | None = None


def begin(connection: Connection) -> None:
    """To be said before the others, once in a transaction: PostgreSQL reads in order what an index gives in order."""
    if connection.dialect.name == "postgresql":
        names = ("enable_sort", "enable_bitmapscan", "enable_seqscan")
        connection.execute(sa.select(*(sa.func.set_config(name, "off", True) for name in names)))


def places(connection: Connection, stream: Stream, cut: Cut) -> list[Place]:
    """The first rows of a list, by the moment that orders it and their ids. `cut.column` may be another than the
    stream's time only where the stream is short."""
    if not stream.values:
        return []
    if connection.dialect.name == "sqlite":
        return _merged(connection, stream, cut)
    found = _laterally(stream, cut).subquery("found")
    query = sa.select(found.c.at, found.c.id).order_by(*_order(found.c.at, found.c.id, cut))
    return [(at, id) for at, id in connection.execute(query)]


def is_short(connection: Connection, stream: Stream, most: int) -> bool:
    """Whether it has at most so many rows; no more than that are looked at."""
    cut = Cut(column=stream.at, down=True, limit=most + 1)
    if connection.dialect.name != "sqlite":
        return _count(connection, _laterally(stream, cut, in_order=False)) <= most
    count = 0
    for values in _at_once(stream):
        # one arm after the other, and no further than that
        query = sa.union_all(*(_arm(stream, cut, each) for each in values)).limit(most + 1 - count)
        count += _count(connection, query)
    return count <= most


def _count(connection: Connection, query: sa.Select[Any] | sa.CompoundSelect[Any]) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0


def _merged(connection: Connection, stream: Stream, cut: Cut) -> list[Place]:
    """SQLite: it merges the arms of a UNION ALL that come in order, reading each only as far as it must."""
    found: list[Place] = []
    for values in _at_once(stream):
        query = sa.union_all(*(_arm(stream, cut, each) for each in values))
        at, id = query.selected_columns.at, query.selected_columns.id
        rows = connection.execute(query.order_by(*_order(at, id, cut)).limit(cut.limit))
        found += [(row.at, row.id) for row in rows]
    return sorted(found, reverse=cut.down)[: cut.limit] if len(stream.values) > _MOST_AT_ONCE else found


def _at_once(stream: Stream) -> Iterator[Sequence[tuple[Any, ...]]]:
    for start in range(0, len(stream.values), _MOST_AT_ONCE):
        yield stream.values[start : start + _MOST_AT_ONCE]


def _arm(stream: Stream, cut: Cut, values: Sequence[Any]) -> sa.Select[Any]:
    c = stream.table.c
    same = [c[name] == value for name, value in zip(stream.keys, values, strict=True)]
    hint = f"INDEXED BY {stream.index}"
    return _wanted(stream, cut).where(*same).with_hint(stream.table, hint, "sqlite")


def _laterally(stream: Stream, cut: Cut, *, in_order: bool = True) -> sa.Select[Any]:
    """PostgreSQL: one plan for all streams, whatever they are asked for."""
    c = stream.table.c
    query = _wanted(stream, cut)
    if not stream.keys:
        return query.order_by(*_order(c[cut.column], c.id, cut)).limit(cut.limit)
    columns = zip(stream.keys, zip(*stream.values, strict=True), strict=True)
    arrays = [
        sa.cast(sa.bindparam(None, list(values)), postgresql.ARRAY(c[name].type)) for name, values in columns
    ]
    asked = sa.func.unnest(*arrays).table_valued(*stream.keys, name="asked").render_derived()
    query = query.where(*(c[name] == asked.c[name] for name in stream.keys))
    query = query.order_by(*_order(c[stream.at], c.id, cut))
    # a short stream is read whole by its index, and then sorted: behind OFFSET 0 the planner does not see what for
    each = (query.limit(cut.limit) if cut.column == stream.at else query.offset(0)).lateral("each")
    merged = sa.select(each.c.id, each.c.at).select_from(asked.join(each, sa.true()))
    return (merged.order_by(*_order(each.c.at, each.c.id, cut)) if in_order else merged).limit(cut.limit)


def _wanted(stream: Stream, cut: Cut) -> sa.Select[Any]:
    c = stream.table.c
    query = sa.select(c.id, c[cut.column].label("at")).where(*stream.where)
    if cut.place is not None:
        query = query.where(paging.behind(c[cut.column], c.id, cut.place, down=cut.down))
    return query


def _order(at: Any, id: Any, cut: Cut) -> tuple[Any, Any]:
    return (at.desc(), id.desc()) if cut.down else (at, id)

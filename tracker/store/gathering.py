"""Rows for documents: what is read to be shown, in the interface's own words and in few steps of the interpreter.

A page is fifty calls of thirty-four values each. On SQLite they come as one value: sqlite3 makes an object of each, and
lets go of the interpreter at each row, for which a reader would have to wait again while callbacks are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.events import iso
from tracker.store import bulk, moments

#: rows of one value: their texts may have a megabyte each
_MOST_ROWS: Final = 100


def gather(
    connection: Connection,
    columns: tuple[sa.Column[Any], ...],
    where: sa.Column[Any],
    values: Collection[str],
) -> list[Sequence[Any]]:
    """The rows of one table whose column `where` has one of these values, in no order; moments as the interface writes
    them. Not for columns of bytes."""
    if connection.dialect.name == "postgresql":
        return _read(columns, bulk.select(connection, columns, where, values), _FROM_POSTGRESQL)
    return [
        row
        for part in _parts(list(values))
        for row in _read(columns, _in_one(connection, columns, where, part), _FROM_SQLITE)
    ]


def _in_one(
    connection: Connection, columns: tuple[sa.Column[Any], ...], where: sa.Column[Any], values: list[str]
) -> list[Sequence[Any]]:
    cursor: Any = connection.exec_driver_sql(_statement(columns, where), (orjson.dumps(values).decode(),))
    found: list[Sequence[Any]] = orjson.loads(cursor.cursor.fetchone()[0])
    return found


@lru_cache(maxsize=64)
def _statement(columns: tuple[sa.Column[Any], ...], where: sa.Column[Any]) -> str:
    row = ", ".join(f'"{c.name}"' for c in columns)
    return (
        f"SELECT json_group_array(json_array({row})) FROM {where.table.name}"  # noqa: S608
        f' WHERE "{where.name}" IN (SELECT value FROM json_each(?))'
    )


def _parts(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _MOST_ROWS):
        yield values[start : start + _MOST_ROWS]


def _read(
    columns: Sequence[sa.Column[Any]],
    rows: Sequence[Sequence[Any]],
    readers: Mapping[str, Callable[[Any], Any]],
) -> list[Sequence[Any]]:
    """Column by column: to ask of each value what it is costs as much as to read it."""
    by_column: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for n, values in enumerate(by_column):
        read = readers.get(bulk.kind(columns[n]))
        if read is not None:
            by_column[n] = [None if v is None else read(v) for v in values]
    return list(zip(*by_column, strict=True))


_FROM_SQLITE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "moment": moments.shown,
    "json": orjson.loads,
    "boolean": bool,
}
_FROM_POSTGRESQL: Final[Mapping[str, Callable[[Any], Any]]] = {"moment": iso}

"""Reads rows as one JSON value, which the database writes.

A page of fifty calls has thirty-four values for each, and their submissions. Read the usual way, a driver makes an
object of each value and SQLAlchemy one of each column, and sqlite3 gives up the interpreter lock at each row. A reader
would then wait for it again and again while callbacks are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine import bulk, timestamps
from tracker.store.engine.pg_arrays import array

#: rows of one JSON value, because each of their texts may have a megabyte
_MAX_ROWS: Final = 100

_Columns = tuple[sa.Column[Any], ...]


def fetch_rows(
    connection: Connection,
    columns: _Columns,
    key: sa.Column[Any],
    values: Collection[str],
    *,
    beside: sa.Column[Any] | None = None,
) -> list[Sequence[Any]]:
    """Return the rows of a table whose column `key` has one of these values, in no order; times in UTC.

    columns: none of bytes. beside: a column of another table that refers to the id of the first. The columns of that
    table stand beside each row of the first, which is repeated for each row there; they are None if there is none.
    """
    wanted = list(values)
    is_sqlite = connection.dialect.name == "sqlite"
    statement = (_on_sqlite if is_sqlite else _on_postgresql)(columns, key, beside)
    found: list[Sequence[Any]] = []
    for start in range(0, len(wanted), _MAX_ROWS):
        chunk = wanted[start : start + _MAX_ROWS]
        parameter = orjson.dumps(chunk).decode() if is_sqlite else array("text", chunk)
        cursor: Any = connection.exec_driver_sql(statement, (parameter,)).cursor
        rows = orjson.loads(cursor.fetchone()[0])
        found += _read_values(columns, rows, _FROM_SQLITE if is_sqlite else _FROM_POSTGRESQL)
    return found


@lru_cache(maxsize=64)
def _on_sqlite(columns: _Columns, key: sa.Column[Any], beside: sa.Column[Any] | None) -> str:
    return (
        f"SELECT json_group_array(json_array({_names(columns)})) FROM {_tables(key, beside)}"  # noqa: S608
        f" WHERE {_name(key)} IN (SELECT value FROM json_each(?))"
    )


@lru_cache(maxsize=64)
def _on_postgresql(columns: _Columns, key: sa.Column[Any], beside: sa.Column[Any] | None) -> str:
    return (
        f"SELECT coalesce(json_agg(json_build_array({_names(columns)})), '[]')::text FROM {_tables(key, beside)}"  # noqa: S608
        f" WHERE {_name(key)} = ANY(%s)"
    )


def _tables(key: sa.Column[Any], beside: sa.Column[Any] | None) -> str:
    table = key.table.name
    return (
        table
        if beside is None
        else f'{table} LEFT JOIN {beside.table.name} ON {_name(beside)} = {table}."id"'
    )


def _names(columns: _Columns) -> str:
    return ", ".join(map(_name, columns))


def _name(column: sa.Column[Any]) -> str:
    return f'{column.table.name}."{column.name}"'


def _read_values(
    columns: _Columns, rows: Sequence[Sequence[Any]], readers: Mapping[str, Callable[[Any], Any]]
) -> Iterator[Sequence[Any]]:
    """Convert the values column by column, because looking up the kind of each value costs as much as reading it."""
    by_column: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for n, values in enumerate(by_column):
        read = readers.get(bulk.kind(columns[n]))
        if read is not None:
            by_column[n] = [None if v is None else read(v) for v in values]
    return zip(*by_column, strict=True)


_FROM_SQLITE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "moment": timestamps.read,
    "json": orjson.loads,
    "boolean": bool,
}
#: PostgreSQL writes times into JSON in the zone of the connection, which is UTC
_FROM_POSTGRESQL: Final[Mapping[str, Callable[[Any], Any]]] = {"moment": datetime.fromisoformat}

"""Rows for documents: what is read to be shown, in the interface's own words and in few steps of the interpreter.

A page is fifty calls of thirty-four values each, and their submissions. They come as one value, which the database
writes as JSON: a driver makes an object of each value, SQLAlchemy one of each column, and sqlite3 lets go of the
interpreter at each row, for which a reader would have to wait again while callbacks are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine import bulk, timestamps
from tracker.store.engine.pg_arrays import array

#: rows of one value: their texts may have a megabyte each
_MOST_ROWS: Final = 100

_Columns = tuple[sa.Column[Any], ...]


def gather(
    connection: Connection,
    columns: _Columns,
    where: sa.Column[Any],
    values: Collection[str],
    *,
    beside: sa.Column[Any] | None = None,
) -> list[Sequence[Any]]:
    """The rows of one table whose column `where` has one of these values, in no order; moments as the interface writes
    them. Not for columns of bytes.

    beside: a column of another table that is the first one's id. The rows of that table come beside those of the first,
    which are repeated; nulls where it has none.
    """
    asked = list(values)
    on_sqlite = connection.dialect.name == "sqlite"
    statement = (_on_sqlite if on_sqlite else _on_postgresql)(columns, where, beside)
    found: list[Sequence[Any]] = []
    for start in range(0, len(asked), _MOST_ROWS):
        part = asked[start : start + _MOST_ROWS]
        value = orjson.dumps(part).decode() if on_sqlite else array("text", part)
        cursor: Any = connection.exec_driver_sql(statement, (value,)).cursor
        rows = orjson.loads(cursor.fetchone()[0])
        found += _read(columns, rows, _FROM_SQLITE if on_sqlite else _FROM_POSTGRESQL)
    return found


@lru_cache(maxsize=64)
def _on_sqlite(columns: _Columns, where: sa.Column[Any], beside: sa.Column[Any] | None) -> str:
    return (
        f"SELECT json_group_array(json_array({_names(columns)})) FROM {_tables(where, beside)}"  # noqa: S608
        f" WHERE {_name(where)} IN (SELECT value FROM json_each(?))"
    )


@lru_cache(maxsize=64)
def _on_postgresql(columns: _Columns, where: sa.Column[Any], beside: sa.Column[Any] | None) -> str:
    return (
        f"SELECT coalesce(json_agg(json_build_array({_names(columns)})), '[]')::text FROM {_tables(where, beside)}"  # noqa: S608
        f" WHERE {_name(where)} = ANY(%s)"
    )


def _tables(where: sa.Column[Any], beside: sa.Column[Any] | None) -> str:
    table = where.table.name
    return (
        table
        if beside is None
        else f'{table} LEFT JOIN {beside.table.name} ON {_name(beside)} = {table}."id"'
    )


def _names(columns: _Columns) -> str:
    return ", ".join(map(_name, columns))


def _name(column: sa.Column[Any]) -> str:
    return f'{column.table.name}."{column.name}"'


def _read(
    columns: _Columns, rows: Sequence[Sequence[Any]], readers: Mapping[str, Callable[[Any], Any]]
) -> Iterator[Sequence[Any]]:
    """Column by column: to ask of each value what it is costs as much as to read it."""
    by_column: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for n, values in enumerate(by_column):
        read = readers.get(bulk.kind(columns[n]))
        if read is not None:
            by_column[n] = [None if v is None else read(v) for v in values]
    return zip(*by_column, strict=True)


_FROM_SQLITE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "moment": timestamps.to_api,
    "json": orjson.loads,
    "boolean": bool,
}
_FROM_POSTGRESQL: Final[Mapping[str, Callable[[Any], Any]]] = {"moment": timestamps.json_to_api}

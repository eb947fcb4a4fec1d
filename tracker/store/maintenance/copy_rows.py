"""Reads and writes the rows of whole tables, for a copy from one database into another.

Values travel as SQLAlchemy's types return them; JSON travels as its text, because nothing here has to understand it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from tracker.store.engine.database import Database
from tracker.store.inbox import position
from tracker.store.schema import tables as t

Row = tuple[Any, ...]

#: rows that are in memory at once; one may have 1 MiB
_CHUNK: Final = 100
#: settings that each database has of its own
_OWN_SETTINGS: Final = ("database-id", "oldest-able-schema")


def copied_tables() -> list[sa.Table]:
    """Return the tables that are copied, each after those that its rows refer to: all but the living workers."""
    return [table for table in t.metadata.sorted_tables if table is not t.workers]


def count_rows(connection: Connection, table: sa.Table) -> int:
    """Return the number of rows of a table that are copied."""
    return int(connection.scalar(_copied(sa.select(sa.func.count()).select_from(table), table)) or 0)


def read_rows(source: Database, connection: Connection, table: sa.Table) -> Iterator[Row]:
    """Yield all rows of a table that are copied, read in a transaction of `source` on `connection`.

    Raises StorageUnavailable here, because where the rows are written it would be taken for an error of the target.
    """
    columns = [_as_stored(column, connection) for column in table.columns]
    query = _copied(sa.select(*columns), table).execution_options(yield_per=_CHUNK)
    with source.translated(), connection.execute(query) as result:
        for row in result:
            yield tuple(row)


def write_rows(connection: Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    """Insert rows that `read_rows` yielded."""
    write = _write_to_postgresql if connection.dialect.name == "postgresql" else _write_to_sqlite
    write(connection, table, rows)


def report_progress(rows: Iterable[Row], progress: Callable[[int], None], done: int) -> Iterator[Row]:
    """Yield the rows, and report now and then, and at the end, how many there were, counting from `done`."""
    n = done
    for n, row in enumerate(rows, done + 1):
        yield row
        if n % _CHUNK == 0:
            progress(n)
    progress(n)


def newest_inbox_position(connection: Connection) -> int:
    """Return a position that no later callback may get: the newest that was ever given, as far as that is known."""
    newest = connection.scalar(sa.select(sa.func.max(t.inbox.c.position))) or 0
    if connection.dialect.name == "sqlite":
        query = "SELECT seq FROM inbox_file.sqlite_sequence WHERE name = 'inbox'"
        newest = connection.exec_driver_sql(query).scalar() or newest
    return max(int(newest), position.joined_position(connection))


def set_sequences(connection: Connection, inbox_position: int) -> None:
    """Let the copy go on numbering where the original stands, and collect PostgreSQL's statistics.

    inbox_position: what `newest_inbox_position` returned for the original.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "UPDATE inbox_file.sqlite_sequence SET seq = ? WHERE name = 'inbox'", (inbox_position,)
        )
        return
    last_job = connection.scalar(sa.select(sa.func.max(t.jobs.c.id))) or 0
    for column, last in ((t.inbox.c.position, inbox_position), (t.jobs.c.id, last_job)):
        sequence = sa.func.pg_get_serial_sequence(column.table.name, column.name)
        connection.execute(sa.select(sa.func.setval(sequence, max(last, 1), last > 0)))
    connection.exec_driver_sql("ANALYZE")


def _copied(query: sa.Select[Any], table: sa.Table) -> sa.Select[Any]:
    return query.where(table.c.name.not_in(_OWN_SETTINGS)) if table is t.settings else query


def _as_stored(column: sa.Column[Any], connection: Connection) -> sa.ColumnElement[Any]:
    if not isinstance(column.type, sa.JSON):
        return column
    if connection.dialect.name == "postgresql":
        return sa.cast(column, sa.Text)
    return sa.type_coerce(column, sa.Text)


def _write_to_postgresql(connection: Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.columns)
    raw: Any = connection.connection.driver_connection
    dbapi_error = connection.dialect.loaded_dbapi.Error
    try:
        with raw.cursor() as cursor, cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except dbapi_error as error:  # COPY goes past SQLAlchemy, which would have wrapped it
        raise exc.DBAPIError.instance(None, None, error, dbapi_error, hide_parameters=True) from error


def _write_to_sqlite(connection: Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    names = [column.name for column in table.columns]
    plain = sa.table(
        table.name,
        *(sa.column(c.name, sa.Text() if isinstance(c.type, sa.JSON) else c.type) for c in table.columns),
    )
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        connection.execute(sa.insert(plain), [dict(zip(names, row, strict=True)) for row in chunk])

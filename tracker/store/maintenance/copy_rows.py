"""Rows from one database into another, whatever kinds they are: read in pages, compared, written, removed, summed up.

Values travel as the driver gives them; JSON as its text, which nobody has to understand. Rows are found by their keys
and not by ranges of them, for two databases may sort texts differently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from tracker.store.engine.database import Database
from tracker.store.schema import tables as t

Row = tuple[Any, ...]
Key = tuple[Any, ...]

#: rows and bytes that are in memory at once, and rows that are looked up by a key of several columns
_ROWS: Final = 2_000
_BYTES: Final = 8 * 1024 * 1024
_ROWS_OF_LONG_KEYS: Final = 500
_CHUNK: Final = 200
_SUM: Final = 2**64


@dataclass(frozen=True)
class Copied:
    """A table as it is copied."""

    table: sa.Table
    #: settings that are each database's own
    without: Collection[str] = ()

    @property
    def name(self) -> str:
        return self.table.name

    @cached_property
    def keys(self) -> list[int]:
        """Where the primary key stands in a row."""
        names = list(self.table.columns.keys())
        return [names.index(column.name) for column in self.table.primary_key.columns]

    @property
    def limit(self) -> int:
        return _ROWS if len(self.keys) == 1 else _ROWS_OF_LONG_KEYS

    def key(self, row: Row) -> Key:
        return tuple(row[n] for n in self.keys)

    def select(self, connection: Connection) -> sa.Select[Any]:
        """All columns, those of JSON as their text."""
        query = sa.select(*(_as_it_is(column, connection) for column in self.table.columns))
        if self.without:
            query = query.where(self.table.c.name.not_in(sorted(self.without)))
        return query

    def select_keys(self) -> sa.Select[Any]:
        query = sa.select(*self.table.primary_key.columns)
        if self.without:
            query = query.where(self.table.c.name.not_in(sorted(self.without)))
        return query


def _as_it_is(column: sa.Column[Any], connection: Connection) -> sa.ColumnElement[Any]:
    if not isinstance(column.type, sa.JSON):
        return column
    if connection.dialect.name == "postgresql":
        return sa.cast(column, sa.Text)
    return sa.type_coerce(column, sa.Text)


def everything() -> list[Copied]:
    """The tables that are copied, each behind those that its rows refer to; all but who works at the moment."""
    own = {t.settings.name: OWN_SETTINGS}
    return [
        Copied(table, own.get(table.name, ())) for table in t.metadata.sorted_tables if table is not t.workers
    ]


#: what a database knows of itself alone
OWN_SETTINGS: Final = frozenset({"copy-of", "last-trial", "oldest-able-schema", "pause"})


def count(connection: Connection, copied: Copied) -> int:
    query = sa.select(sa.func.count()).select_from(copied.table)
    if copied.without:
        query = query.where(copied.table.c.name.not_in(sorted(copied.without)))
    return int(connection.execute(query).scalar_one())


def page(connection: Connection, copied: Copied, after: Key | None) -> list[Row]:
    """The next rows behind a key, in the order of the primary key; no more than fit into memory."""
    rows: list[Row] = []
    size = 0
    query = _behind(copied.select(connection), copied, after)
    with connection.execution_options(yield_per=_CHUNK).execute(query.limit(copied.limit)) as result:
        for chunk in result.partitions():
            rows += [tuple(row) for row in chunk]
            size += sum(len(v) for row in chunk for v in row if isinstance(v, (str, bytes)))
            if size > _BYTES:
                break
    return rows


def keys(connection: Connection, copied: Copied, after: Key | None) -> list[Key]:
    """The next keys behind one."""
    query = _behind(copied.select_keys(), copied, after).limit(copied.limit)
    return [tuple(row) for row in connection.execute(query)]


def _behind(query: sa.Select[Any], copied: Copied, after: Key | None) -> sa.Select[Any]:
    columns = list(copied.table.primary_key.columns)
    if after is not None:
        query = query.where(
            columns[0] > after[0] if len(columns) == 1 else sa.tuple_(*columns) > sa.tuple_(*after)
        )
    return query.order_by(*columns)


def found(connection: Connection, copied: Copied, wanted: Sequence[Key]) -> dict[Key, Row]:
    """The rows of these keys that are there."""
    query = copied.select(connection).where(_one_of(copied.table, wanted))
    rows = (tuple(row) for row in connection.execute(query))
    return {copied.key(row): row for row in rows}


def present(connection: Connection, copied: Copied, wanted: Sequence[Key]) -> set[Key]:
    """Those of these keys that are there."""
    query = copied.select_keys().where(_one_of(copied.table, wanted))
    return {tuple(row) for row in connection.execute(query)}


def _one_of(table: sa.Table, wanted: Sequence[Key]) -> sa.ColumnElement[bool]:
    columns = list(table.primary_key.columns)
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in wanted])
    return sa.tuple_(*columns).in_(wanted)


def remove(connection: Connection, copied: Copied, gone: Sequence[Key]) -> None:
    connection.execute(copied.table.delete().where(_one_of(copied.table, gone)))


def clear(connection: Connection, copied: Copied) -> None:
    connection.execute(copied.table.delete())


def with_parents(connection: Connection, copied: Copied, rows: list[Row]) -> list[Row]:
    """Those of the rows whose every foreign key is there already."""
    names = list(copied.table.columns.keys())
    for column in copied.table.columns:
        for foreign in column.foreign_keys:
            place, parent = names.index(column.name), foreign.column
            values = sorted({row[place] for row in rows if row[place] is not None})
            there = set(connection.scalars(sa.select(parent).where(parent.in_(values))))
            rows = [row for row in rows if row[place] is None or row[place] in there]
    return rows


def write(connection: Connection, copied: Copied, rows: Sequence[Row], *, new: bool) -> None:
    """Insert these rows; new: none of them is there, else those that are become like these.

    Raises Contradicts where a row is there under another key that must be unique.
    """
    if not rows:
        return
    try:
        if connection.dialect.name == "postgresql":
            _write_to_postgresql(connection, copied.table, rows, new=new)
        else:
            _write_to_sqlite(connection, copied.table, rows)
    except (exc.IntegrityError, connection.dialect.loaded_dbapi.IntegrityError) as error:
        # COPY goes by the driver's own cursor
        raise Contradicts(copied.name) from error


class Contradicts(Exception):
    """The rows of this table cannot stand beside those that are there."""


def _write_to_postgresql(connection: Connection, table: sa.Table, rows: Sequence[Row], *, new: bool) -> None:
    # where power is lost, the whole is copied again; what says that it is complete waits for the disk
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    quote = connection.dialect.identifier_preparer.quote
    name, columns = quote(table.name), [quote(column.name) for column in table.columns]
    into = name
    if not new:
        into = "pg_temp.arriving"
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE arriving (LIKE {name}) ON COMMIT DROP")
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY {into} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    if not new:
        keys = [quote(column.name) for column in table.primary_key.columns]
        changed = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in keys)
        # a table that is all key has nothing that could have changed
        follows = f"DO UPDATE SET {changed}" if changed else "DO NOTHING"
        connection.exec_driver_sql(
            f"INSERT INTO {name} SELECT * FROM {into} ON CONFLICT ({', '.join(keys)}) {follows}"  # noqa: S608
        )
        connection.exec_driver_sql(f"DROP TABLE {into}")


def _write_to_sqlite(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    plain = sa.table(
        table.name,
        *(sa.column(c.name, sa.Text() if isinstance(c.type, sa.JSON) else c.type) for c in table.columns),
    )
    names = list(table.columns.keys())
    keys = [column.name for column in table.primary_key.columns]
    insert = sqlite.insert(plain)
    changed = {n: insert.excluded[n] for n in names if n not in keys}
    statement = (
        insert.on_conflict_do_update(index_elements=keys, set_=changed)
        if changed
        else insert.on_conflict_do_nothing(index_elements=keys)
    )
    connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


@dataclass
class Sum:
    """What stands for all rows of a table, in whatever order they were read; within one process only."""

    rows: int = 0
    checksum: int = 0

    def add(self, rows: Sequence[Row]) -> None:
        self.rows += len(rows)
        self.checksum = (self.checksum + sum(map(hash, rows))) % _SUM


def finish(connection: Connection) -> None:
    """What follows from the rows: PostgreSQL's counters, and its statistics."""
    if connection.dialect.name != "postgresql":
        return
    for table in t.metadata.sorted_tables:
        key = next(iter(table.primary_key.columns))
        if isinstance(key.type, sa.Integer):
            query = sa.select(sa.func.pg_get_serial_sequence(table.name, key.name))
            if sequence := connection.scalar(query):
                last = connection.scalar(sa.select(sa.func.max(key)))
                connection.execute(sa.select(sa.func.setval(sequence, last or 1, last is not None)))
    connection.exec_driver_sql("ANALYZE")


def pages(database: Database, copied: Copied) -> Iterator[list[Row]]:
    """All rows, page by page, each in a transaction of its own."""
    last: Key | None = None
    while rows := database.read(lambda c: page(c, copied, last)):  # noqa: B023
        yield rows
        last = copied.key(rows[-1])


@contextmanager
def watched(database: Database) -> Iterator[Callable[[], bool]]:
    """Tells whether anybody has written to a SQLite database since; of PostgreSQL it cannot be told (False)."""
    if not database.is_sqlite:
        yield lambda: False
        return
    connection = database.engine.raw_connection()
    try:

        def version() -> Any:
            cursor = connection.cursor()
            return cursor.execute("PRAGMA data_version").fetchone()

        before = version()
        yield lambda: version() != before
    finally:
        connection.close()

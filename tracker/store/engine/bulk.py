"""Many rows in one statement: what the hot paths of the inbox and the joiner use instead of a statement a row.

sqlite3 lets go of the interpreter at every row of an `executemany`, and a busy event loop keeps it for milliseconds
each time; PostgreSQL would be asked once a row. So all rows go into one statement: on SQLite as a list of VALUES, in
sizes of which there are few, so that their statements stay prepared; on PostgreSQL as one array a column, packed
before it is sent (arrays.py). Values are given by column, without SQLAlchemy's work for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine import timestamps
from tracker.store.engine.pg_arrays import ARRAYS, Array, array

#: rows of one statement on SQLite: with twenty columns they stay far below its limit of 32,766 values
_MOST_ROWS: Final = 256

#: the kinds of columns
_KINDS: Final = (
    (sa.JSON, "json"),
    (sa.DateTime, "moment"),
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.LargeBinary, "bytes"),
)

#: on PostgreSQL, that at which a statement is run
_MOMENT: Final = "(SELECT %s::timestamptz AS at) AS moment"

#: on SQLite, of a list that is given as JSON
_LISTED: Final = "(SELECT value FROM json_each(?))"

Columns = Mapping[str, Sequence[Any]]


class Statement(NamedTuple):
    """One with its values, ready to be run: on whatever connection, and from whatever process it comes."""

    text: str
    values: tuple[Any, ...]
    #: whether the moment at which it is run is one more value
    dated: bool = False
    #: what is said behind it where some of its rows are to be left out; one more value
    but: str = ""


Plan = list[Statement]


def insert(connection: Connection, table: sa.Table, rows: Columns) -> None:
    """Insert rows, given by column."""
    run(connection, plan_insert(connection, table, rows))


def update(connection: Connection, table: sa.Table, rows: Columns) -> None:
    """Set columns of rows; the first of the given columns says which rows."""
    run(connection, plan_update(connection, table, rows))


def plan_insert(
    connection: Connection, table: sa.Table, rows: Columns, *, by: str = "id", dated: str = ""
) -> Plan:
    """`insert` as it is run on connections of this kind, for whoever has less time when it is.

    by: the column by which `run` leaves rows out. dated: the one that gets the moment of that, which is no column of
    `rows`.
    """
    names = tuple(rows)
    if connection.dialect.name == "postgresql":
        text = _insert_postgresql(table, names, dated)
        return [Statement(text, tuple(_arrays(table, rows)), bool(dated), f' WHERE new."{by}" <> ALL(%s)')]
    return [
        Statement(
            _insert_sqlite(table, names, dated, count),
            values,
            bool(dated),
            f' WHERE new."{by}" NOT IN {_LISTED}',
        )
        for count, values in _chunks(_written(table, rows))
    ]


def plan_update(connection: Connection, table: sa.Table, rows: Columns, *, dated: str = "") -> Plan:
    """The same of `update`; rows are left out by the column that says which they are."""
    names = tuple(rows)
    if connection.dialect.name == "postgresql":
        text = _update_postgresql(table, names, dated)
        but = f' AND new."{names[0]}" <> ALL(%s)'
        return [Statement(text, tuple(_arrays(table, rows)), bool(dated), but)]
    return [
        Statement(
            _update_sqlite(table, names, dated, count),
            values,
            bool(dated),
            f' AND new."{names[0]}" NOT IN {_LISTED}',
        )
        for count, values in _chunks(_written(table, rows))
    ]


def run(connection: Connection, plan: Plan, *, at: datetime | None = None, but: Collection[str] = ()) -> None:
    """Run planned statements, none of which may have to see what another does; without the rows that have one of the
    ids in `but` where they are told apart. at: the moment, where one of them is dated."""
    on_postgresql = connection.dialect.name == "postgresql"
    moment: tuple[Any, ...] = () if at is None else (at if on_postgresql else timestamps.written(at),)
    left_out: tuple[Any, ...] = ()
    if but:
        left_out = (array("text", list(but)) if on_postgresql else orjson.dumps(list(but)).decode(),)
    told = [
        (s.text + s.but if but else s.text, (*s.values, *(moment if s.dated else ()), *left_out))
        for s in plan
    ]
    if on_postgresql and len(told) > 1:
        # each would be a way there and back, after which one waits for the interpreter's lock
        texts, values = zip(*told, strict=True)
        told = [(_as_one_postgresql(texts), tuple(chain.from_iterable(values)))]
    for text, of in told:
        connection.exec_driver_sql(text, of)


def select(
    connection: Connection,
    columns: Sequence[sa.Column[Any]],
    where: sa.Column[Any],
    values: Collection[Any],
    *,
    through: tuple[sa.Column[Any], sa.Column[Any]] | None = None,
    also: str = "",
) -> list[tuple[Any, ...]]:
    """The rows of one table whose column `where` has one of these values, in the columns' types.

    through: two columns of another table; then the values are looked up in its second one, and `where` is compared
    with its first one. also: the rest of the statement behind that condition, such as ` AND state = 'joined'`; a
    constant of the program.
    """
    if not values:
        return []
    if connection.dialect.name == "postgresql":
        wanted = array(kind(through[1] if through else where), values)
        return fetched(connection, _select_postgresql(tuple(columns), where, through, also), (wanted,))
    one = orjson.dumps(list(values)).decode()
    return _read(columns, fetched(connection, _select_sqlite(tuple(columns), where, through, also), (one,)))


def force_index_scans(connection: Connection, *, also: str = "") -> None:
    """Until the transaction ends, have PostgreSQL look rows up one by one in the order of an index.

    also: what else it is to do by the same statement, before; a constant of the program.

    Its own choice goes by statistics, which know nothing of what came since they were made: a batch would be joined by
    reading whole tables, and the oldest of many that wait would be found by sorting all of them.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT {also}{', ' if also else ''}{_BY_INDEXES}")


#: what PostgreSQL would do instead
BESIDE_INDEXES: Final = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort")
_BY_INDEXES: Final = ", ".join(f"set_config('enable_{way}', 'off', true)" for way in BESIDE_INDEXES)


def fetched(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The rows of a statement in the driver's own words and types."""
    cursor: Any = connection.exec_driver_sql(statement, values).cursor
    return list(cursor.fetchall())


def _chunks(columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Rows, given by column, in pieces of 256, 128, 64, … rows, each with its values one after the other."""
    rows, left, size = zip(*columns, strict=True), len(columns[0]), _MOST_ROWS
    while left:
        while size > left:
            size //= 2
        yield size, tuple(chain.from_iterable(islice(rows, size)))
        left -= size
    next(rows, None)  # raises where another column is longer


# statements, one for each table, its columns and (on SQLite) the number of rows


@lru_cache(maxsize=256)
def _insert_sqlite(table: sa.Table, names: tuple[str, ...], dated: str, count: int) -> str:
    return (
        f"WITH new ({_names(names)}) AS (VALUES {_places(names, count)})"  # noqa: S608
        f" INSERT INTO {table.name} ({_names((*names, dated) if dated else names)})"
        f" SELECT {'*, ?' if dated else '*'} FROM new"
    )


@lru_cache(maxsize=256)
def _update_sqlite(table: sa.Table, names: tuple[str, ...], dated: str, count: int) -> str:
    key, *rest = names
    # `new` goes first: SQLite would otherwise be free to walk the table and look each row up in the list
    return (
        f"WITH new ({_names(names)}) AS (VALUES {_places(names, count)})"  # noqa: S608
        f" UPDATE {table.name} SET {_assignments(rest)}{_assigned(dated, '?')}"
        f' FROM new WHERE {table.name}."{key}" = new."{key}"'
    )


@lru_cache(maxsize=64)
def _select_sqlite(
    columns: tuple[sa.Column[Any], ...],
    where: sa.Column[Any],
    through: tuple[sa.Column[Any], sa.Column[Any]] | None,
    also: str,
) -> str:
    return (
        f"SELECT {_names([c.name for c in columns])} FROM {_condition(where, through, f'IN {_LISTED}')}{also}"  # noqa: S608
    )


@lru_cache(maxsize=64)
def _insert_postgresql(table: sa.Table, names: tuple[str, ...], dated: str) -> str:
    if not dated:
        return f"INSERT INTO {table.name} ({_names(names)}) SELECT * FROM {_unnest(table, names)}"  # noqa: S608
    return (
        f"INSERT INTO {table.name} ({_names((*names, dated))})"  # noqa: S608
        f" SELECT * FROM {_unnest(table, names)}, {_MOMENT}"
    )


@lru_cache(maxsize=64)
def _update_postgresql(table: sa.Table, names: tuple[str, ...], dated: str) -> str:
    key, *rest = names
    new = f"{_unnest(table, names)}, {_MOMENT}" if dated else _unnest(table, names)
    return (
        f"UPDATE {table.name} SET {_assignments(rest)}{_assigned(dated, 'moment.at')} FROM {new}"  # noqa: S608
        f' WHERE {table.name}."{key}" = new."{key}"'
    )


@lru_cache(maxsize=64)
def _as_one_postgresql(texts: tuple[str, ...]) -> str:
    *first, last = texts
    return f"WITH {', '.join(f'write_{n} AS ({text})' for n, text in enumerate(first, 1))} {last}"


@lru_cache(maxsize=64)
def _select_postgresql(
    columns: tuple[sa.Column[Any], ...],
    where: sa.Column[Any],
    through: tuple[sa.Column[Any], sa.Column[Any]] | None,
    also: str,
) -> str:
    return f"SELECT {_names([c.name for c in columns])} FROM {_condition(where, through, '= ANY(%s)')}{also}"  # noqa: S608


def _condition(
    where: sa.Column[Any], through: tuple[sa.Column[Any], sa.Column[Any]] | None, is_wanted: str
) -> str:
    if through is None:
        return f'{where.table.name} WHERE "{where.name}" {is_wanted}'
    inner = f'SELECT "{through[0].name}" FROM {_condition(through[1], None, is_wanted)}'  # noqa: S608
    return f'{where.table.name} WHERE "{where.name}" IN ({inner})'


def _names(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _places(names: Sequence[str], count: int) -> str:
    one = f"({', '.join('?' * len(names))})"
    return ", ".join([one] * count)


def _assignments(names: Sequence[str]) -> str:
    return ", ".join(f'"{n}" = new."{n}"' for n in names)


def _assigned(dated: str, moment: str) -> str:
    return f', "{dated}" = {moment}' if dated else ""


def _unnest(table: sa.Table, names: Sequence[str]) -> str:
    arrays = ", ".join(f"%s::{ARRAYS[kind(table.c[n])].type}[]" for n in names)
    return f"unnest({arrays}) AS new ({_names(names)})"


@lru_cache(maxsize=512)
def kind(column: sa.Column[Any]) -> str:
    # SQLModel wraps SQLAlchemy's types
    type_ = getattr(column.type, "impl_instance", column.type)
    return next((kind for base, kind in _KINDS if isinstance(type_, base)), "text")


def kind_on_postgresql(column: sa.Column[Any]) -> str:
    """Its name there, for arrays of it."""
    return ARRAYS[kind(column)].type


# values: as the drivers take and give them, in the form in which SQLAlchemy stores them


def _arrays(table: sa.Table, rows: Columns) -> list[Array]:
    return [array(kind(table.c[name]), values) for name, values in rows.items()]


def _written(table: sa.Table, rows: Columns) -> list[Sequence[Any]]:
    columns: list[Sequence[Any]] = []
    for name, values in rows.items():
        write = _WRITERS.get(kind(table.c[name]))
        columns.append(values if write is None else [None if v is None else write(v) for v in values])
    return columns


def _read(columns: Sequence[sa.Column[Any]], rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    readers = [_READERS.get(kind(c)) for c in columns]
    if not rows or not any(readers):
        return rows
    by_column: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for n, read in enumerate(readers):
        if read is not None:
            by_column[n] = [None if v is None else read(v) for v in by_column[n]]
    return list(zip(*by_column, strict=True))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


_WRITERS: Final[dict[str, Callable[[Any], Any]]] = {"moment": timestamps.written, "json": _json}
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "moment": timestamps.read,
    "json": orjson.loads,
    "boolean": bool,
}

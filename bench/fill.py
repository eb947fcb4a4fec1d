"""Fills a database with calls, as the program would have written them: `python -m bench.fill --database URL --calls N`.

The rows are copies of stories that the program itself has played (`bench.stories`), written in bulk into the real
tables with all their indexes. The n-th call is `Plan(N).call(n)`, so that `bench.load --calls N` knows its id.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg import sql

from bench.copying import Copier
from bench.plan import Plan
from bench.stories import QUEUED, REJECTED, STORIES, TABLES, play, quieten
from tracker.store.engine.database import Connection, Database, inbox_path
from tracker.store.inbox import position
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

#: calls that are written together
_CHUNK: Final = 5_000
#: of a hundred settled calls so many were refused
_REJECTED_IN_100: Final = 2

Rows = dict[str, list[list[Any]]]
Columns = dict[str, list[str]]


def fill(
    url: str, plan: Plan, *, open_calls: int | None = None, progress: Callable[[int], None] = lambda n: None
) -> None:
    """Fill the database at `url`, whose schema is made where it is empty, with the calls of a plan.

    open_calls: so many of the last calls are queued and wait for their callback, the others are settled, with their
    callbacks joined; None: all are queued. progress: told how many calls were written.
    """
    database = Database(url)
    try:
        upgrade.prepare(database, create=True)
        copiers = {name: Copier(play(name)) for name in STORIES}
        first_open = 0 if open_calls is None else plan.count - open_calls
        numbers = iter(range(plan.count))
        with closing(_Sqlite(database) if database.is_sqlite else _Postgres(url)) as writer:
            done = 0
            while chunk := list(islice(numbers, _CHUNK)):
                writer.write(*_copied(plan, chunk, copiers, first_open))
                done += len(chunk)
                progress(done)
        database.write(_read_everything)
    finally:
        database.close()


def _read_everything(c: Connection) -> None:
    """Set the joiner's position behind all callbacks that were filled in."""
    last = c.scalar(sa.select(sa.func.max(t.callbacks.c.position))) or 0
    position.advance(c, 0, int(last))
    if c.dialect.name == "postgresql":
        c.execute(sa.text("SELECT setval('inbox_position_seq', :last)"), {"last": max(1, int(last))})


def story_of(plan: Plan, n: int, first_open: int) -> str:
    """Which story the n-th call has."""
    if n >= first_open:
        return QUEUED
    return REJECTED if n % 100 < _REJECTED_IN_100 else plan.word(n)


def _copied(
    plan: Plan, chunk: Iterable[int], copiers: dict[str, Copier], first_open: int
) -> tuple[Columns, Rows]:
    """The rows of a chunk of calls, by table. All stories fill the same columns of a table."""
    rows: Rows = {table.name: [] for table in TABLES}
    columns: Columns = {}
    for n in chunk:
        copier = copiers[story_of(plan, n, first_open)]
        columns |= copier.columns
        for name, copies in copier.copy(plan.call(n)):
            rows[name] += copies
    return columns, {name: made for name, made in rows.items() if made}


class _Sqlite:
    def __init__(self, database: Database) -> None:
        assert database.path is not None
        self._connection = sqlite3.connect(database.path, isolation_level=None)
        self._connection.execute("ATTACH DATABASE ? AS inbox_file", (str(inbox_path(database.path)),))
        for pragma in (
            "synchronous=OFF",
            "foreign_keys=ON",
            "cache_size=-1000000",
            "wal_autocheckpoint=100000",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("PRAGMA inbox_file.synchronous=OFF")

    def write(self, columns: Columns, rows: Rows) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for name, made in rows.items():
            names = ", ".join(f'"{c}"' for c in columns[name])
            marks = ", ".join("?" * len(columns[name]))
            self._connection.executemany(f'INSERT INTO "{name}" ({names}) VALUES ({marks})', made)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Everything is in the file, and on the disk."""
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


class _Postgres:
    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)
        self._connection.execute("SET synchronous_commit = off")
        # the texts of SQLite have no zone and mean UTC
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.commit()

    def write(self, columns: Columns, rows: Rows) -> None:
        with self._connection.cursor() as cursor:
            for name, made in rows.items():
                names = sql.SQL(", ").join(map(sql.Identifier, columns[name]))
                into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), names)
                with cursor.copy(into) as copy:
                    for row in made:
                        copy.write_row(row)
        self._connection.commit()

    def close(self) -> None:
        """As autovacuum would leave it after a while: statistics, visibility, everything written."""
        self._connection.autocommit = True
        self._connection.execute("VACUUM ANALYZE")
        self._connection.execute("CHECKPOINT")
        self._connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fill", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--database", required=True, help="sqlite:///path or postgresql://user@host/name")
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--open", type=int, help="so many of the last calls wait for their callback, the others are "
                        "settled; without it all wait")  # fmt: skip
    parser.add_argument("--until", type=datetime.fromisoformat, help="when the last call was placed; now")
    given = parser.parse_args()
    quieten()
    began = time.monotonic()

    def progress(done: int) -> None:
        sys.stderr.write(f"\r{done:,} of {given.calls:,} calls")
        sys.stderr.flush()

    fill(given.database, Plan(given.calls, until=given.until), open_calls=given.open, progress=progress)
    sys.stderr.write("\n")
    sys.stdout.write(json.dumps({"calls": given.calls, "seconds": round(time.monotonic() - began, 1)}) + "\n")


if __name__ == "__main__":
    main()

"""SQLite's inbox file: made beside the records, and recognised as theirs.

The two files are one database, so each start checks that they belong together, and that the inbox is not older than
what the records have read of it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateTable

from tracker.errors import Conflict, SchemaMismatch
from tracker.store.engine.database import Database
from tracker.store.engine.upsert import insert_if_absent
from tracker.store.inbox import log, position
from tracker.store.schema import tables as t

#: version of the file's layout, in SQLite's `user_version`
LAYOUT: Final = 1
_DATABASE_ID: Final = "database-id"

WAYS_OUT: Final = (
    "Put the right file back, or restore both files from one backup with `tracker db restore`. If the inbox is lost "
    "for good, `tracker db new-inbox` begins an empty one: calls and their timelines stay, the requests of earlier "
    "callbacks are gone."
)


@contextmanager
def one_receiver(path: Path) -> Iterator[None]:
    """Make this process the only one that stores callbacks in the inbox file at `path`.

    Raises Conflict if another process does.
    """
    lock = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
            raise Conflict(
                f"Another `tracker serve` (process {holder}) stores callbacks in {path}. Stop it first, or "
                "use PostgreSQL, which several servers can share."
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)  # and with it the lock


def create(database: Database) -> None:
    """Create the inbox file of a SQLite database that never had one; does nothing on PostgreSQL.

    Raises StorageUnavailable.
    """
    if database.is_sqlite and database.read(_database_id) is None:
        _create(database, first_position=1)


def renew(database: Database) -> None:
    """Begin an empty inbox behind all positions that the records know; the caller has removed the old file.

    Raises StorageUnavailable.
    """
    _create(database, first_position=database.read(position.joined_position) + 1)


def check(database: Database) -> None:
    """Make sure that the inbox file is the one of these records. Raises SchemaMismatch, which says what to do."""
    if not database.is_sqlite:
        return
    inbox, path = database.inbox, database.inbox.path
    if not inbox.exists():
        raise SchemaMismatch(f"The inbox file {path} is missing, and {database.path} needs it. {WAYS_OUT}")
    layout = inbox.read(_layout)
    if layout != LAYOUT:
        raise SchemaMismatch(
            f"The inbox file {path} has layout {layout} and this version of tracker needs {LAYOUT}. "
            + ("Install the version that made it." if layout > LAYOUT else WAYS_OUT)
        )
    if inbox.read(_identity) != database.read(_database_id):
        raise SchemaMismatch(f"The inbox file {path} belongs to another database. {WAYS_OUT}")
    joined, last = database.read(position.joined_position), inbox.read(log.last_position)
    if last < joined:
        raise SchemaMismatch(
            f"The inbox file {path} is older than {database.path}: it ends at position {last}, and callbacks up to "
            f"{joined} were read from it. {WAYS_OUT}"
        )


def _create(database: Database, first_position: int) -> None:
    # the file first: once the records name it, a missing file is a lost one
    database.inbox.must_exist = False
    database_id = database.inbox.write(lambda c: _create_tables(c, first_position))
    database.inbox.must_exist = True

    def pair(c: Connection) -> None:
        named = {"name": _DATABASE_ID, "value": database_id}
        if not insert_if_absent(c, t.settings, named):
            c.execute(t.settings.update().where(t.settings.c.name == _DATABASE_ID).values(value=database_id))

    database.write(pair)


def _create_tables(c: Connection, first_position: int) -> str:
    if _layout(c) == 0:
        # the table alone: on SQLite the log has no index
        c.execute(CreateTable(t.inbox))
        c.exec_driver_sql("CREATE TABLE identity (database_id TEXT NOT NULL)")
        c.exec_driver_sql("INSERT INTO identity VALUES (?)", (secrets.token_hex(16),))
        c.exec_driver_sql(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', ?)", (first_position - 1,)
        )
        c.exec_driver_sql(f"PRAGMA user_version={LAYOUT}")
    if log.last_position(c) >= first_position:
        raise SchemaMismatch("The inbox file beside this new database belongs to another one. Move it away.")
    return str(_identity(c))


def _layout(c: Connection) -> int:
    return int(c.exec_driver_sql("PRAGMA user_version").scalar_one())


def _database_id(c: Connection) -> str | None:
    return c.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == _DATABASE_ID))


def _identity(c: Connection) -> str | None:
    found = c.exec_driver_sql("SELECT database_id FROM identity").scalar()
    return None if found is None else str(found)

"""Runs a change of the schema in one transaction, one process at a time, beside processes that use the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import random
from typing import Final, TypeVar

from sqlalchemy import exc
from sqlalchemy.engine import Connection

from tracker.errors import ConfigurationError, StorageUnavailable
from tracker.store.engine.database import Database

T = TypeVar("T")

#: how long a process waits for another one that changes the schema, in seconds
_LOCK_TIMEOUT_S: Final = 60
#: PostgreSQL's advisory lock under which the schema changes: the bytes of "tracker"
_LOCK: Final = 0x747261636B6572
#: how long the change of a table may wait for other processes, and so keep further ones waiting, in seconds
_TABLE_LOCK_TIMEOUT_S: Final = 5

#: SQLSTATEs: insufficient privilege, no schema to create in
_NOT_ALLOWED: Final = {"42501", "3F000"}
#: SQLSTATEs: deadlock, lock not available in time
_LOCKED: Final = {"40P01", "55P03"}
_ATTEMPTS: Final = 6


def run_exclusively(database: Database, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction in which no other process changes the schema, and commit it.

    After a deadlock with processes that use the tables, or too long a wait for one of them, it begins again a little
    later. Raises ConfigurationError if the database's user may not create tables, and StorageUnavailable.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with _locked_transaction(database) as connection:
                return work(connection)
        except StorageUnavailable as error:
            state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None)
            if attempt == _ATTEMPTS - 1 or state not in _LOCKED:
                raise
            time.sleep(attempt + random())  # noqa: S311 (nothing secret)
    raise AssertionError("unreachable")


@contextmanager
def _locked_transaction(database: Database) -> Iterator[Connection]:
    try:
        with database.translated(), database.engine.connect() as connection:
            if database.is_sqlite:
                _disable_foreign_keys(connection)
            with connection.begin():
                if not database.is_sqlite:
                    _take_lock(connection)
                yield connection
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _NOT_ALLOWED:
            raise
        raise ConfigurationError(
            f"The user of `database.url` may not create tables ({str(error.orig).splitlines()[0]}). Create the "
            "database with this user as its owner."
        ) from error


def _disable_foreign_keys(connection: Connection) -> None:
    """Keep SQLite from deleting rows: a table is changed by a copy, and dropping the old one deletes what refers to it.

    This is only possible outside a transaction, on the driver's own connection, which is not used again afterwards.
    """
    raw = connection.connection.driver_connection
    assert raw is not None
    connection.detach()
    raw.execute("PRAGMA foreign_keys=OFF")
    raw.execute(f"PRAGMA busy_timeout={_LOCK_TIMEOUT_S * 1000}")
    connection.execution_options(sqlite_begin="IMMEDIATE")


def _take_lock(connection: Connection) -> None:
    for setting, value in (
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", f"{_LOCK_TIMEOUT_S}s"),
    ):
        connection.exec_driver_sql(f"SET LOCAL {setting} = '{value}'")
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _LOCKED:
            raise
        raise StorageUnavailable(
            f"Another process has been changing the schema for {_LOCK_TIMEOUT_S} seconds. Try again when it is done."
        ) from None
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_TIMEOUT_S}s'")

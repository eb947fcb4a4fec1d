"""Changing the schema alone: one process at a time, in one transaction, beside processes that go on working."""

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

#: how long a process waits for another one that is migrating, in seconds
_PATIENCE_S: Final = 60
#: PostgreSQL's advisory lock under which the schema changes: the bytes of "tracker"
_LOCK: Final = 0x747261636B6572
#: how long changing a table may hold up everybody else by waiting for somebody, in seconds
_TABLE_LOCK_S: Final = 5

#: SQLSTATEs: insufficient privilege, no schema to create in
_NOT_ALLOWED: Final = {"42501", "3F000"}
#: SQLSTATEs: deadlock, a lock that was not to be had in time
_IN_THE_WAY: Final = {"40P01", "55P03"}
_ATTEMPTS: Final = 6


def run_exclusively(database: Database, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction in which nobody else changes the schema, and commit it.

    Where it meets others who use the tables in a deadlock, or waits for one of them too long, all is begun again after
    a while. Raises ConfigurationError where the database's user may not make tables, and StorageUnavailable.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with _alone(database) as connection:
                return work(connection)
        except StorageUnavailable as error:
            state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None)
            if attempt == _ATTEMPTS - 1 or state not in _IN_THE_WAY:
                raise
            time.sleep(attempt + random())  # noqa: S311 (nothing secret)
    raise AssertionError("unreachable")


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A connection with a transaction in which nobody else changes the schema; committed at the end."""
    try:
        with database.translated(), database.engine.connect() as connection:
            if database.is_sqlite:
                _let_go_of_foreign_keys(connection)
            with connection.begin():
                if not database.is_sqlite:
                    _wait_for_the_others(connection)
                yield connection
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) not in _NOT_ALLOWED:
            raise
        raise ConfigurationError(
            f"The user of database.url may not make tables ({str(error.orig).splitlines()[0]}); make the database "
            "with this user as its owner"
        ) from error


def _let_go_of_foreign_keys(connection: Connection) -> None:
    """Changing a table copies it and drops the old one, which would delete the rows that refer to it.

    It can be set only outside a transaction, and so only on the driver's own connection, which is not used for
    anything else afterwards.
    """
    raw = connection.connection.driver_connection
    assert raw is not None
    connection.detach()
    raw.execute("PRAGMA foreign_keys=OFF")
    raw.execute(f"PRAGMA busy_timeout={_PATIENCE_S * 1000}")
    connection.execution_options(sqlite_begin="IMMEDIATE")


def _wait_for_the_others(connection: Connection) -> None:
    for setting, value in (
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", f"{_PATIENCE_S}s"),
    ):
        connection.exec_driver_sql(f"SET LOCAL {setting} = '{value}'")
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
            raise
        raise StorageUnavailable(
            f"Another process has been changing the schema for {_PATIENCE_S} seconds; try again when it is done"
        ) from None
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_S}s'")

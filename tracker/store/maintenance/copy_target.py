"""Opens the database that a copy is written to. It stays empty until the copy is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from tracker.errors import ConfigurationError, Conflict, StorageUnavailable
from tracker.store.engine.database import Database, inbox_path
from tracker.store.maintenance import copy_rows
from tracker.store.maintenance.backup import publish_pair
from tracker.store.maintenance.copy_source import lift_timeouts
from tracker.store.maintenance.pair_transaction import pair_transaction
from tracker.store.maintenance.partial_file import partial_file

#: SQLSTATE: another transaction holds the table
_LOCK_NOT_AVAILABLE: Final = "55P03"


class TargetUnavailable(StorageUnavailable):
    """The database that is copied to cannot be used now."""


class CopyTarget(Database):
    """The database that is copied to. Raises TargetUnavailable where another one raises StorageUnavailable."""

    def unavailable(self, message: str, cause: Exception) -> TargetUnavailable:
        """Return the error for `cause`."""
        return TargetUnavailable(message)


class OpenTarget(NamedTuple):
    """A target with its schema and without rows."""

    database: CopyTarget
    #: in the transaction in which all rows are written
    connection: Connection
    #: makes the copy permanent, under its final name; unless it is called, nothing is left
    complete: Callable[[], None]


@contextmanager
def open_target(target: CopyTarget, prepare: Callable[[Database], None]) -> Iterator[OpenTarget]:
    """Yield a database with its schema and without rows, in a transaction.

    A SQLite database is built under another name in the same folder. On PostgreSQL the tables are locked meanwhile.
    prepare: creates the schema.
    Raises ConfigurationError if the target is no plain file, Conflict if it is not empty, and TargetUnavailable.
    """
    if target.is_sqlite:
        with _sqlite_target(target, prepare) as opened:
            yield opened
    else:
        prepare(target)
        with _postgresql_target(target) as opened:
            yield opened


@contextmanager
def _sqlite_target(target: CopyTarget, prepare: Callable[[Database], None]) -> Iterator[OpenTarget]:
    path = target.path
    if path is None:
        raise ConfigurationError("The target is one of SQLite's own forms (file:…). Name the file plainly.")
    for each in (path, inbox_path(path)):
        if each.exists():
            raise Conflict(f"{each.absolute()} exists already. Name another file as the target.")
    with ExitStack() as stack:
        with _errors_of_target():
            partial = stack.enter_context(partial_file(path))
        database = stack.enter_context(closing(CopyTarget(f"sqlite:///{partial.absolute()}")))
        prepare(database)
        connection = stack.enter_context(pair_transaction(database))

        def complete() -> None:
            connection.commit()
            connection.close()
            with _errors_of_target():
                publish_pair(partial, path, replace=False)

        yield OpenTarget(database, connection, complete)


@contextmanager
def _postgresql_target(target: CopyTarget) -> Iterator[OpenTarget]:
    with target.translated(), target.engine.connect() as connection, connection.begin() as transaction:
        lift_timeouts(connection)
        _lock_tables(connection)
        for table in copy_rows.copied_tables():
            if copy_rows.count_rows(connection, table):
                raise Conflict(f"The target is not empty: it has {table.name}. Name an empty database.")
        yield OpenTarget(target, connection, transaction.commit)


def _lock_tables(connection: Connection) -> None:
    """Keep all other writers out of a PostgreSQL database. Raises Conflict if there is one."""
    quote = connection.dialect.identifier_preparer.quote
    tables = ", ".join(quote(table.name) for table in copy_rows.copied_tables())
    try:
        connection.execute(sa.text(f"LOCK TABLE {tables} IN EXCLUSIVE MODE NOWAIT"))
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Conflict(
            "Another process writes to the target. Stop it, another `tracker db copy` for example, and run this again."
        ) from error


@contextmanager
def _errors_of_target() -> Iterator[None]:
    """Raise what concerns a file of the target as TargetUnavailable."""
    try:
        yield
    except TargetUnavailable:
        raise
    except StorageUnavailable as error:
        raise TargetUnavailable(str(error)) from error.__cause__

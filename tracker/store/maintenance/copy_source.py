"""Opens the database that is copied, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection

from tracker.store.engine.database import Database
from tracker.store.maintenance.pair_transaction import pair_transaction


@contextmanager
def source_transaction(database: Database) -> Iterator[Connection]:
    """Yield a connection with a transaction in which the database does not change, and commit it at the end.

    On PostgreSQL it is a snapshot: what others write meanwhile is not in it. On SQLite there are no others. Raises
    Conflict if another process has a SQLite file open, and StorageUnavailable.
    """
    if database.is_sqlite:
        with pair_transaction(database) as connection:
            yield connection
        return
    with database.translated(), database.engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            lift_timeouts(connection)
            yield connection


def lift_timeouts(connection: Connection) -> None:
    """Let the current transaction of PostgreSQL take as long as it takes."""
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {setting} = 0")

"""Opens both files of a SQLite database in one transaction that keeps all other processes out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc
from sqlalchemy.engine import Connection

from tracker.store.engine.database import Database
from tracker.store.maintenance.file_swap import in_use

#: how long SQLite waits for a lock that another process holds, in milliseconds
_BUSY_MS: Final = 500


@contextmanager
def pair_transaction(database: Database) -> Iterator[Connection]:
    """Yield a connection with a transaction over the records and the inbox, and commit it at the end.

    Other processes can neither read nor write the files meanwhile. The other connections of `database` are closed
    first. Raises Conflict if another process has one of the files open, and StorageUnavailable.
    """
    database.close()
    with database.translated(), database.engine.connect() as connection:
        connection.detach()  # no other work gets this connection afterwards
        _leave_log_mode(connection.execution_options(sqlite_begin=None), database)
        connection.execution_options(sqlite_begin="EXCLUSIVE")
        with connection.begin():
            yield connection


def _leave_log_mode(connection: Connection, database: Database) -> None:
    """Take both files out of the log mode, which needs them for this connection alone.

    Without the log, a transaction that begins `EXCLUSIVE` also keeps readers out. The next start sets the mode again.
    """
    assert database.path is not None
    assert database.inbox.path is not None
    connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_MS}")
    address = f"{database.inbox.path.absolute().as_uri()}?mode=rw"
    connection.exec_driver_sql("ATTACH DATABASE ? AS inbox_file", (address,))
    for schema, path in (("main", database.path), ("inbox_file", database.inbox.path)):
        try:
            connection.exec_driver_sql(f"PRAGMA {schema}.journal_mode=DELETE")
        except exc.OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF not in (
                sqlite3.SQLITE_BUSY,
                sqlite3.SQLITE_LOCKED,
            ):
                raise
            raise in_use(path) from error
    connection.commit()

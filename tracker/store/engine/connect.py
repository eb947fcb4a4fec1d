"""Connections to SQLite and PostgreSQL, set up so that an answered callback survives a loss of power."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL, Connection, Engine, make_url

from tracker.errors import ConfigurationError, StorageUnavailable
from tracker.store.engine import bulk, pg_arrays

T = TypeVar("T")

#: how long SQLite waits for a lock that another process holds, in seconds
_BUSY_S: Final = 5.0
#: SQLite's own busy handler sleeps up to 100 ms, so it loses every race against a process that writes often
_LOCK_POLL_S: Final = 0.001
#: page size of a new SQLite file in bytes: a batch of joins changes scattered rows and costs by the pages it changes
_PAGE: Final = 8 * 1024
#: length of SQLite's log at which a commit has to empty it: 64 MiB
_LOG_PAGES: Final = 64 * 1024 * 1024 // _PAGE


def parse_url(url: str) -> URL:
    """Return the address of a database. Raises ConfigurationError, which says what an address looks like."""
    try:
        address = make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "database.url is not an address: use sqlite:///tracker.db or postgresql://user:password@host/name"
        ) from error
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ConfigurationError(f"database.url names {address.drivername}; use sqlite:/// or postgresql://")
    # a database in memory would be another one for every thread
    if address.drivername == "sqlite" and (not address.database or ":memory:" in address.database):
        raise ConfigurationError("database.url names no file: use sqlite:///tracker.db")
    return address


class _HintedCompiler(SQLiteCompiler):
    """A compiler that lets a query name the SQLite index to use: without statistics SQLite guesses wrong."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


def sqlite(url: URL, *, durable: bool = True) -> Engine:
    """Return an engine for a SQLite file, which is created if it is missing.

    A transaction begins as the execution option `sqlite_begin` says; None starts none. durable: False lets a commit
    return before it is on disk. Connecting raises StorageUnavailable if the file was replaced.
    """
    engine = sa.create_engine(
        url,
        # the large statements of bulk.py come in several sizes each; `uri` lets the inbox be attached read-only
        connect_args={"timeout": _BUSY_S, "cached_statements": 512, "uri": True},
        hide_parameters=True,
        pool_size=20,
        max_overflow=20,
        pool_timeout=5,
        # the connection that was used last has its statements prepared
        pool_use_lifo=True,
    )

    engine.dialect.statement_compiler = _HintedCompiler

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        try:
            connection.isolation_level = None
            try:
                _create_layout(connection)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_DBMOVED:
                    raise
                # it waited for `tracker db restore` with the old file open
                raise StorageUnavailable(
                    f"{url.database} was replaced by another file just now: try again"
                ) from None
            for pragma in (
                # FULL: an answered callback survives the loss of power
                f"synchronous={'FULL' if durable else 'NORMAL'}",
                "foreign_keys=ON",
                # erased variables are overwritten, not only unlinked
                "secure_delete=ON",
                # pages of the log after which a commit moves them into the file itself (see `Database.checkpoint`)
                f"wal_autocheckpoint={_LOG_PAGES}",
                # disk space that a rush took for the log is given back
                f"journal_size_limit={2 * _LOG_PAGES * _PAGE}",
            ):
                connection.execute("PRAGMA " + pragma)
        except BaseException:  # nothing else closes it
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        if mode is not None:
            _begin_transaction(connection, mode)

    return engine


def wait_fairly(connection: sqlite3.Connection) -> None:
    """Have `BEGIN IMMEDIATE` on this connection wait by short polls instead of SQLite's long sleeps.

    Only for a connection in WAL mode that does nothing but write: its other statements meet no lock. Run a statement
    outside a transaction through `retry_while_locked`.
    """
    connection.execute("PRAGMA busy_timeout=0")


def retry_while_locked(work: Callable[[], T]) -> T:
    """Run a statement outside a transaction, again by short polls as long as another process has the write lock."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_POLL_S)


def _begin_transaction(connection: Connection, mode: str) -> None:
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.exec_driver_sql(f"BEGIN {mode}")
            return
        except exc.OperationalError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0)
            if code & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_POLL_S)


def on_connecting(engine: Engine, path: Path, exists: Callable[[], bool], after: Callable[[], None]) -> None:
    """Open SQLite's file without creating it if `exists()` is true, and call `after` then.

    If one of them raises, the caller gets no connection.
    """

    @event.listens_for(engine, "do_connect")
    def _open(_dialect: object, _record: object, arguments: list[Any], _options: object) -> None:
        if exists():
            # a file that is moved away just now must not be replaced by an empty one, which would end its log
            arguments[0] = f"{path.absolute().as_uri()}?mode=rw"

    @event.listens_for(engine, "connect")
    def _call_after(connection: Any, _record: object) -> None:
        try:
            after()
        except BaseException:
            connection.close()
            raise


def _create_layout(connection: sqlite3.Connection) -> None:
    """Set what is kept in the file: the page size, incremental vacuum and the write-ahead log.

    The first two count only before anything is written, and setting them takes the write lock, so only a new file
    gets them. Switching to the log needs the file alone and does not wait for that; if it is on already, it takes no
    lock.
    """
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
                # it will hold numbers and recordings; the log beside it takes its mode from it
                with contextlib.suppress(OSError):
                    made = Path(connection.execute("PRAGMA database_list").fetchone()[2])
                    if made.is_file():  # a URL of SQLite's own syntax may name a device
                        made.chmod(0o600)
                connection.execute(f"PRAGMA page_size={_PAGE}")
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def postgresql(url: URL, *, durable: bool = True, autocommit: bool = False) -> Engine:
    """Return an engine for PostgreSQL. Raises ConfigurationError if its driver is missing.

    autocommit: each statement is a transaction of its own, reads by indexes, and its connection is not tested first.
    durable: False lets a commit return before it is on disk.
    """
    try:
        import psycopg  # noqa: F401 (an optional extra)
    except ImportError as error:
        raise ConfigurationError(
            "database.url is PostgreSQL's, but its driver is not installed: pip install 'tracker[postgres]'"
        ) from error
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        pool_size=4 if autocommit else 20,
        max_overflow=20,
        pool_timeout=5,
        # the connection that was used last has its statements prepared
        pool_use_lifo=True,
        pool_pre_ping=not autocommit,
        isolation_level="AUTOCOMMIT" if autocommit else None,
        execution_options={"by_indexes": autocommit},
        connect_args={
            "connect_timeout": 5,
            # a server that vanished without closing its connections is noticed within seconds
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "options": "-c TimeZone=UTC -c lock_timeout=5000 -c statement_timeout=30000"
            " -c idle_in_transaction_session_timeout=30000"
            + "".join(f" -c enable_{way}=off" for way in bulk.BESIDE_INDEXES if autocommit),
        },
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        try:
            pg_arrays.register_dumpers(connection)
            # an answered callback survives the loss of power, also on a server that is configured for speed
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
                if durable
                else "SET synchronous_commit = off"
            )
            connection.commit()
        except BaseException:  # nothing else closes it
            connection.close()
            raise

    return engine

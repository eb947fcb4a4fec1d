"""Connections to SQLite and to PostgreSQL, and how each is set up so that what is answered lasts."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Connection, Engine, make_url

from tracker.errors import ConfigurationError, StorageUnavailable
from tracker.store.engine import bulk, pg_arrays
from tracker.store.engine.index_hints import HintedCompiler

#: how long SQLite waits for a lock that another process holds, in seconds
_BUSY_S: Final = 5.0
#: of a new SQLite file, in bytes: a batch changes rows all over the place, and costs by the pages that it changes
_PAGE: Final = 8 * 1024
#: the length of SQLite's log at which a commit has to empty it: 64 MiB
_LOG_PAGES: Final = 64 * 1024 * 1024 // _PAGE


def parsed(url: str) -> URL:
    """The address of a database, as `Database` takes it. Raises ConfigurationError, which says what it has to be."""
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


def sqlite(url: URL) -> Engine:
    """Connections to a SQLite file, which is made where there is none. A transaction begins as the execution option
    `sqlite_begin` says; None: there is none. What connects raises StorageUnavailable where the file was replaced."""
    engine = sa.create_engine(
        url,
        # the large statements of bulk.py come in some sizes each
        connect_args={"timeout": _BUSY_S, "cached_statements": 512},
        hide_parameters=True,
        pool_size=20,
        max_overflow=20,
        pool_timeout=5,
        # the one that was used last has its statements prepared
        pool_use_lifo=True,
    )

    engine.dialect.statement_compiler = HintedCompiler

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        try:
            connection.isolation_level = None
            try:
                _lay_out(connection)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_DBMOVED:
                    raise
                # it waited for `tracker db restore`, with what was there before in its hands
                raise StorageUnavailable(
                    f"{url.database} was replaced by another file just now: try again"
                ) from None
            for pragma in (
                # an answered callback survives the loss of power
                "synchronous=FULL",
                "foreign_keys=ON",
                # erased variables are overwritten, not only forgotten
                "secure_delete=ON",
                # pages of the log after which a commit moves them into the file itself (see `Database.checkpoint`)
                f"wal_autocheckpoint={_LOG_PAGES}",
                # what a rush has left of it on the disk is given back
                f"journal_size_limit={2 * _LOG_PAGES * _PAGE}",
            ):
                connection.execute("PRAGMA " + pragma)
        except BaseException:  # nobody else has it yet
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        how = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        if how is not None:
            connection.exec_driver_sql(f"BEGIN {how}")

    return engine


def on_connecting(engine: Engine, before: Callable[[], object], behind: Callable[[], None]) -> None:
    """Have these called before each connecting, and behind it; where one raises, nobody gets a connection."""

    @event.listens_for(engine, "do_connect")
    def _look_before(*_: object) -> None:
        before()

    @event.listens_for(engine, "connect")
    def _look_behind(connection: Any, _record: object) -> None:
        try:
            behind()
        except BaseException:
            connection.close()
            raise


def _lay_out(connection: sqlite3.Connection) -> None:
    """What is kept in the file: the size of its pages, incremental vacuum and the write-ahead log.

    The first two count only before anything is written, and asking for it takes the write lock: on a new file only.
    Switching to the log needs the file alone and does not wait for that; where it is on already, it takes no lock.
    """
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
                # it will hold numbers and recordings; the log beside it takes its mode from it
                with contextlib.suppress(OSError):
                    made = Path(connection.execute("PRAGMA database_list").fetchone()[2])
                    if made.is_file():  # and no device, which a URL of SQLite's own may name
                        made.chmod(0o600)
                connection.execute(f"PRAGMA page_size={_PAGE}")
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def postgresql(url: URL, *, looking: bool = False) -> Engine:
    """Connections to PostgreSQL. Raises ConfigurationError where its driver is missing.

    looking: each statement is one for itself, goes by indexes, and is not preceded by a question.
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
        pool_size=4 if looking else 20,
        max_overflow=20,
        pool_timeout=5,
        # the one that was used last has its statements prepared
        pool_use_lifo=True,
        pool_pre_ping=not looking,
        isolation_level="AUTOCOMMIT" if looking else None,
        execution_options={"by_indexes": looking},
        connect_args={
            "connect_timeout": 5,
            # a server that vanished without a word, as a machine that died does, is noticed within seconds
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "options": "-c TimeZone=UTC -c lock_timeout=5000 -c statement_timeout=30000"
            " -c idle_in_transaction_session_timeout=30000"
            + "".join(f" -c enable_{way}=off" for way in bulk.BESIDE_INDEXES if looking),
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
            )
            connection.commit()
        except BaseException:  # nobody else has it yet
            connection.close()
            raise

    return engine

"""The database: SQLite or PostgreSQL behind the same two verbs, `read` and `write`.

A unit of work is a function of a connection. `write` runs it in one transaction and repeats it where the database
asks for that (deadlock, serialisation), so it must have no effects but on the connection.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.engine import Connection as Connection
from sqlalchemy.pool import PoolProxiedConnection

from tracker.errors import ConfigurationError, StorageUnavailable
from tracker.store import arrays, bulk
from tracker.store.hints import HintedCompiler

T = TypeVar("T")

#: a process may use so many threads for the database: more than the steps of a worker need, fewer than the connections
THREADS: Final = 24

#: SQLSTATEs after which the same transaction may succeed: serialisation failure, deadlock
_REPEAT: Final = {"40001", "40P01"}
_REPEATS: Final = 5
#: how long SQLite waits for a lock that another process holds, in seconds
_BUSY_S: Final = 5.0
#: of the connection that writes on SQLite
_WRITER_CACHE_KIB: Final = 32 * 1024
#: of a new SQLite file, in bytes: a batch changes rows all over the place, and costs by the pages that it changes
_PAGE: Final = 8 * 1024
#: the length of SQLite's log at which a commit has to empty it: 64 MiB
_LOG_PAGES: Final = 64 * 1024 * 1024 // _PAGE
#: and that at which it is worth doing so beside the commits, in bytes
_WORTH_A_CHECKPOINT: Final = 4 * 1024 * 1024


class FairLock:
    """A mutex that is granted in the order of asking; `threading.Lock` may starve a waiter."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._mutex:
            turn = threading.Event()
            if self._held:
                self._waiting.append(turn)
            else:
                self._held = True
                turn.set()
        try:
            turn.wait()
            yield
        finally:
            with self._mutex:
                if not turn.is_set():  # interrupted while waiting: it must not be granted to nobody
                    self._waiting.remove(turn)
                elif self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._held = False


class Database:
    """One database and its connections. Safe to use from several threads; `close` ends it.

    url: `sqlite:///path` (relative to the working directory; four slashes for an absolute path) or
    `postgresql://user:password@host/name`.
    """

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)
        self._writer = (
            self.engine.execution_options(sqlite_begin="IMMEDIATE") if self.is_sqlite else self.engine
        )
        self._looking = (
            self.engine.execution_options(sqlite_begin=None)
            if self.is_sqlite
            else _postgresql(self.url, looking=True)
        )
        self._turn = FairLock()
        #: SQLite's one writer keeps its connection, under its turn: what it has read stays good, for nobody else writes
        self._kept: Connection | None = None
        #: what `at_once` uses on PostgreSQL, and its turn there
        self._own: PoolProxiedConnection | None = None
        self._own_lock = threading.Lock()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that writes nothing. Raises StorageUnavailable."""
        with translated(), self.engine.connect() as connection, connection.begin():
            return work(connection)

    def look(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, outside of any transaction: in fewer steps than `read`, for whoever waits for
        an answer. Each of its statements sees what is committed when it begins. Raises StorageUnavailable."""
        with translated():
            for attempt in range(2):
                try:
                    with self._looking.connect() as connection:
                        return work(connection)
                except exc.DBAPIError as error:
                    # whether the connection was still there, nobody has asked before
                    if attempt > 0 or not error.connection_invalidated:
                        raise
        raise AssertionError("unreachable")

    def write(self, work: Callable[[Connection], T], *, lasting: bool = True) -> T:
        """Run `work` in one transaction and commit it; on return it is on disk. Raises StorageUnavailable.

        SQLite has one writer at a time: writers of this process take turns here, in order, rather than in its
        busy handler.

        lasting: False for what would be done again if it were not there, and has no effects but on the database. On
        SQLite it is then on disk together with whatever is committed next, so nobody waits for the disk meanwhile; a
        machine that loses its power before that has not done it. Nothing that came later is there without it.
        """
        with translated():
            for attempt in range(_REPEATS):
                try:
                    if self.is_sqlite:
                        with self._turn.held():
                            return self._write_kept(work) if lasting else self._write_soon(work)
                    with self._writer.begin() as connection:
                        return work(connection)
                except exc.DBAPIError as error:
                    if attempt == _REPEATS - 1 or getattr(error.orig, "sqlstate", None) not in _REPEAT:
                        raise
                    time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    def _write_kept(self, work: Callable[[Connection], T]) -> T:
        kept = self._keeping()
        try:
            with kept.begin():
                return work(kept)
        except exc.SQLAlchemyError:
            self._give_up_kept()
            raise

    def _write_soon(self, work: Callable[[Connection], T]) -> T:
        kept = self._keeping()
        # so SQLite waits for the disk only where it empties its log
        _set_waiting(kept, "NORMAL")
        try:
            return self._write_kept(work)
        finally:
            if self._kept is kept:
                _set_waiting(kept, "FULL")

    def _keeping(self) -> Connection:
        if self._kept is None:
            self._kept = self._writer.connect()
            _driver(self._kept).execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        return self._kept

    def checkpoint(self) -> None:
        """Move what SQLite's log holds into the file, beside whoever writes; otherwise a commit has to, when the log is
        long. Raises StorageUnavailable."""
        log = Path(f"{self.path}-wal") if self.path is not None else None
        if log is None or not log.exists() or log.stat().st_size < _WORTH_A_CHECKPOINT:
            return
        with translated(), self.engine.connect() as connection:
            try:
                _driver(connection).execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.Error as error:
                raise self._as_sqlalchemys(error) from error

    def at_once(self, work: Callable[[Any], T]) -> T:
        """Run `work` on a connection of the driver's own (sqlite3's or psycopg's), outside of any transaction, so that
        its one statement is one for itself; on return it is on disk. Raises StorageUnavailable.

        `write` in fewer steps, for the thread that stores callbacks. `work` is repeated like there, and where the
        connection was lost under it; so doing it twice must be the same as doing it once.
        """
        dbapi = self.engine.dialect.loaded_dbapi
        with translated(), self._turn.held() if self.is_sqlite else self._own_lock:
            for attempt in range(_REPEATS):
                try:
                    return work(self._at_once_connection())
                except (dbapi.IntegrityError, dbapi.DataError) as error:
                    raise self._as_sqlalchemys(error) from error
                except dbapi.Error as error:
                    lost = self._give_up_own()
                    again = getattr(error, "sqlstate", None) in _REPEAT or (lost and attempt == 0)
                    if not again or attempt == _REPEATS - 1:
                        raise self._as_sqlalchemys(error) from error
                    time.sleep(0 if lost else 0.01 * 2**attempt)
        raise AssertionError("unreachable")

    def _at_once_connection(self) -> Any:
        if self.is_sqlite:
            return _driver(self._keeping())
        if self._own is None:
            self._own = self.engine.raw_connection()
        return self._own.driver_connection

    def _give_up_own(self) -> bool:
        """Whatever is wrong with the connection, the next one has another. Whether it was lost."""
        self._give_up_kept()
        own, self._own = self._own, None
        if own is None:
            return False
        lost = bool(getattr(own.driver_connection, "closed", False))
        own.invalidate()
        return lost

    def _give_up_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.invalidate()  # in whatever state it is: the pool is not to have it back
            kept.close()

    def _as_sqlalchemys(self, error: Exception) -> BaseException:
        dbapi_error = self.engine.dialect.loaded_dbapi.Error
        return exc.DBAPIError.instance(None, None, error, dbapi_error, hide_parameters=True)

    @property
    def path(self) -> Path | None:
        """SQLite's file, whether it is there or not; None with PostgreSQL and where the URL is one of SQLite's own."""
        name = self.url.database or ""
        return Path(name) if self.is_sqlite and not name.startswith("file:") else None

    def close(self) -> None:
        with self._turn.held(), self._own_lock:
            self._give_up_own()
        self._looking.dispose()
        self.engine.dispose()


def _set_waiting(connection: Connection, how: str) -> None:
    """Set `synchronous`. It counts from when it is compiled: not as a statement that was kept from the last time."""
    _driver(connection).executescript(f"PRAGMA synchronous={how}")


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "database.url is not an address: use sqlite:///tracker.db or postgresql://user:password@host/name"
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ConfigurationError(f"database.url names {parsed.drivername}; use sqlite:/// or postgresql://")
    # a database in memory would be another one for every thread
    if parsed.drivername == "sqlite" and (not parsed.database or ":memory:" in parsed.database):
        raise ConfigurationError("database.url names no file: use sqlite:///tracker.db")
    return parsed


def _sqlite(url: URL) -> Engine:
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
                # pages of the log after which a commit moves them into the file itself (see `checkpoint`)
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
                    Path(connection.execute("PRAGMA database_list").fetchone()[2]).chmod(0o600)
                connection.execute(f"PRAGMA page_size={_PAGE}")
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _postgresql(url: URL, *, looking: bool = False) -> Engine:
    """looking: each statement is one for itself, goes by indexes, and is not preceded by a question."""
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
            arrays.teach(connection)
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


@contextmanager
def translated() -> Iterator[None]:
    """The database's ways of saying "not now" as one error; what is a mistake of ours stays what it is."""
    try:
        yield
    except (exc.DatabaseError, exc.TimeoutError) as error:
        if not _is_not_now(error):
            raise
        raise StorageUnavailable(f"The database cannot be used now: {_first_line(error)}") from error


def _is_not_now(error: exc.DatabaseError | exc.TimeoutError) -> bool:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", None)
    if name is None:
        return isinstance(error, (exc.OperationalError, exc.InternalError, exc.TimeoutError))
    # no such table, and the like, is an OperationalError too; a damaged file is none
    if isinstance(error, exc.OperationalError):
        return bool(name != "SQLITE_ERROR")
    return str(name).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0][:200]

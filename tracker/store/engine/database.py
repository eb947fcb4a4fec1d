"""The database: SQLite or PostgreSQL behind the same two verbs, `read` and `write`.

A unit of work is a function of a connection. `write` runs it in one transaction and repeats it where the database
asks for that (deadlock, serialisation), so it must have no effects but on the connection.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import exc
from sqlalchemy.engine import Connection as Connection
from sqlalchemy.pool import PoolProxiedConnection

from tracker.errors import ConfigurationError, StorageUnavailable
from tracker.store.engine import connect
from tracker.store.engine.file_identity import OpenFile
from tracker.store.engine.files import kind_of

T = TypeVar("T")

#: a process may use so many threads for the database: more than the steps of a worker need, fewer than the connections
THREADS: Final = 24

#: SQLSTATEs after which the same transaction may succeed: serialisation failure, deadlock
_REPEAT: Final = {"40001", "40P01"}
_REPEATS: Final = 5
#: and that of a connection that was ended because nothing was said on it in a transaction
_STOOD_STILL: Final = "25P03"
#: of the connection that writes on SQLite
_WRITER_CACHE_KIB: Final = 32 * 1024
#: the length of SQLite's log at which it is worth emptying it beside the commits, in bytes
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
    `postgresql://user:password@host/name`. Raises ConfigurationError for what is none, or names no
    regular file.
    """

    def __init__(self, url: str) -> None:
        self.url = connect.parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.path is not None and (kind := kind_of(self.path)):
            # SQLite would wait on a pipe, and a new database takes its mode from us
            raise ConfigurationError(
                f"database.url names {self.path.absolute()}, which is {kind}: name a file"
            )
        self.engine = connect.sqlite(self.url) if self.is_sqlite else connect.postgresql(self.url)
        self._writer = (
            self.engine.execution_options(sqlite_begin="IMMEDIATE") if self.is_sqlite else self.engine
        )
        self._looking = (
            self.engine.execution_options(sqlite_begin=None)
            if self.is_sqlite
            else connect.postgresql(self.url, looking=True)
        )
        self._file = OpenFile(self.path) if self.path is not None else None
        if self._file is not None:
            connect.on_connecting(self.engine, self._file.exists, self._file.connected)
        self._turn = FairLock()
        #: SQLite's one writer keeps its connection, under its turn: what it has read stays good, for nobody else writes
        self._kept: Connection | None = None
        #: what `at_once` uses on PostgreSQL, and its turn there
        self._own: PoolProxiedConnection | None = None
        self._own_lock = threading.Lock()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that writes nothing. Raises StorageUnavailable."""
        with self.translated(), self.engine.connect() as connection, connection.begin():
            return work(connection)

    def look(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, outside of any transaction: in fewer steps than `read`, for whoever waits for
        an answer. Each of its statements sees what is committed when it begins. Raises StorageUnavailable."""
        with self.translated():
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
        with self.translated():
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
                done = work(kept)
        except exc.SQLAlchemyError:
            self._give_up_kept()
            raise
        self._check_file()
        return done

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
            if self._file is not None:
                mode = _driver(self._kept).execute("PRAGMA journal_mode").fetchone()[0]
                self._file.writes_anew(with_log=mode == "wal")
            _driver(self._kept).execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        return self._kept

    def checkpoint(self) -> None:
        """Move what SQLite's log holds into the file, beside whoever writes; otherwise a commit has to, when the log is
        long. Raises StorageUnavailable."""
        log = self._file.log if self._file is not None else None
        if log is None or not log.exists() or log.stat().st_size < _WORTH_A_CHECKPOINT:
            return
        with self.translated(), self.engine.connect() as connection:
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
        with self.translated(), self._turn.held() if self.is_sqlite else self._own_lock:
            for attempt in range(_REPEATS):
                try:
                    done = work(self._at_once_connection())
                    self._check_file()
                    return done
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

    def exists(self) -> bool:
        """Whether there is something under its name: to read a SQLite database that is not there would make it.

        Raises StorageUnavailable where it was there.
        """
        return self._file is None or self._file.exists()

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()

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

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The database's ways of saying "not now" as one error; what is a mistake of ours stays what it is."""
        try:
            yield
        except (exc.DatabaseError, exc.TimeoutError) as error:
            if not _is_not_now(error):
                raise
            raise self.unavailable(f"The database cannot be used now: {_first_line(error)}", error) from error

    def unavailable(self, told: str, why: Exception) -> StorageUnavailable:
        """The error that says so, and what the database said; who knows more about this one can say more in it."""
        return StorageUnavailable(told)

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


def _is_not_now(error: exc.DatabaseError | exc.TimeoutError) -> bool:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", None)
    if name is None:
        return isinstance(error, (exc.OperationalError, exc.InternalError, exc.TimeoutError))
    # no such table, and the like, is an OperationalError too; a damaged file is none
    if isinstance(error, exc.OperationalError):
        return bool(name != "SQLITE_ERROR")
    return str(name).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def is_idle_timeout(error: StorageUnavailable) -> bool:
    """Whether PostgreSQL ended the connection because nothing was said on it for too long in a transaction."""
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) == _STOOD_STILL


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0][:200]

"""The database: SQLite or PostgreSQL behind the same two verbs, `read` and `write`.

A unit of work is a function of a connection. `write` runs it in one transaction and repeats it after a deadlock or a
serialisation failure, so it must have no effects outside the database.
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

#: threads of one process that use the database: more than a worker has steps, fewer than there are connections
THREADS: Final = 24

#: SQLSTATEs after which the same transaction may succeed: serialisation failure, deadlock
_RETRYABLE: Final = {"40001", "40P01"}
_ATTEMPTS: Final = 5
#: cache of the connection that writes a SQLite file
_WRITER_CACHE_KIB: Final = 32 * 1024
#: length of SQLite's write-ahead log at which emptying it beside the commits pays, in bytes
_CHECKPOINT_BYTES: Final = 4 * 1024 * 1024


def inbox_path(path: Path) -> Path:
    """Return the inbox file that belongs to the SQLite database at `path`: `tracker-inbox.db` for `tracker.db`."""
    return path.with_name(f"{path.stem}-inbox{path.suffix}")


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
                if not turn.is_set():  # interrupted while waiting, so the lock is not ours to release
                    self._waiting.remove(turn)
                elif self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._held = False


class Database:
    """One database and its connections. Safe to use from several threads; `close` ends it.

    On SQLite the inbox lies in a second file beside the first, so that the receiver and the joiner never wait for each
    other's lock; `inbox` is that file as a Database of its own. On PostgreSQL `inbox` is this database. `read` sees the
    tables of both.
    """

    def __init__(self, url: str, *, durable: bool = True, has_inbox: bool = True) -> None:
        """Open `sqlite:///path` (four slashes for an absolute path) or `postgresql://user:password@host/name`.

        durable: False commits without waiting for the disk. Use it only for work that is redone after a power loss
        and has no effect outside the database. A later durable commit, of any process, flushes it too.
        has_inbox: False opens a single SQLite file, such as a backup or the inbox itself.
        Raises ConfigurationError if `url` is not such an address, or names something other than a regular file.
        """
        self.url = connect.parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._durable = durable
        if self.path is not None and (kind := kind_of(self.path)):
            # SQLite would wait on a pipe, and a new database takes its mode from us
            raise ConfigurationError(
                f"database.url names {self.path.absolute()}, which is {kind}: name a file"
            )
        self.engine = (
            connect.sqlite(self.url, durable=durable)
            if self.is_sqlite
            else connect.postgresql(self.url, durable=durable)
        )
        self._writer_engine = (
            self.engine.execution_options(sqlite_begin="IMMEDIATE") if self.is_sqlite else self.engine
        )
        self._autocommit_engine = (
            self.engine.execution_options(sqlite_begin=None)
            if self.is_sqlite
            else connect.postgresql(self.url, autocommit=True)
        )
        self._file = OpenFile(self.path) if self.path is not None else None
        #: False lets connecting create the SQLite file
        self.must_exist = False
        if self._file is not None:
            assert self.path is not None
            connect.on_connecting(
                self.engine, self.path, self._exists_or_may_be_created, self._file.connected
            )
        self._turn = FairLock()
        #: SQLite's one writing connection, used under `_turn`: its page cache stays warm
        self._writer: Connection | None = None
        #: the connection of `execute_durable` on PostgreSQL, used under its lock
        self._pg_autocommit: PoolProxiedConnection | None = None
        self._pg_autocommit_lock = threading.Lock()
        self.inbox: Database = self
        if has_inbox and self.path is not None:
            inbox_url = self.url.set(database=str(inbox_path(self.path)))
            self.inbox = type(self)(inbox_url.render_as_string(hide_password=False), has_inbox=False)
            self.inbox.must_exist = True

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that writes nothing. Raises StorageUnavailable."""
        with self.translated(), self.engine.connect() as connection:
            self.attach_inbox(connection)
            with connection.begin():
                return work(connection)

    def read_autocommit(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, without a transaction: fewer round trips than `read`.

        Each statement sees what is committed when it begins. Raises StorageUnavailable.
        """
        with self.translated():
            for attempt in range(2):
                try:
                    with self._autocommit_engine.connect() as connection:
                        self.attach_inbox(connection)
                        return work(connection)
                except exc.DBAPIError as error:
                    # these connections are not tested before use, so a lost one shows only here
                    if attempt > 0 or not error.connection_invalidated:
                        raise
        raise AssertionError("unreachable")

    def attach_inbox(self, connection: Connection) -> None:
        """Let a connection that only reads see the inbox file, if there is one."""
        if self.inbox is self or connection.info.get("inbox_attached") or not self.inbox.exists():
            return
        assert self.inbox.path is not None
        address = f"{self.inbox.path.absolute().as_uri()}?mode=ro"
        try:
            _driver(connection).execute("ATTACH DATABASE ? AS inbox_file", (address,))
        except sqlite3.Error as error:
            raise self.unavailable(
                f"The inbox file {self.inbox.path.absolute()} cannot be read ({error}). `tracker db check` says more",
                error,
            ) from None
        connection.info["inbox_attached"] = True

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction and commit it. Raises StorageUnavailable.

        On return the commit is on disk, unless the database was opened with `durable=False`. SQLite has one writer
        at a time: threads of this process take turns in the order of asking.
        """
        with self.translated():
            for attempt in range(_ATTEMPTS):
                try:
                    if self.is_sqlite:
                        with self._turn.held():
                            return self._write_sqlite(work)
                    with self.engine.begin() as connection:
                        return work(connection)
                except exc.DBAPIError as error:
                    if attempt == _ATTEMPTS - 1 or getattr(error.orig, "sqlstate", None) not in _RETRYABLE:
                        raise
                    time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    def _write_sqlite(self, work: Callable[[Connection], T]) -> T:
        writer = self._writer_connection()
        try:
            with writer.begin():
                done = work(writer)
        except exc.SQLAlchemyError:
            self._discard_writer()
            raise
        self._check_file()
        return done

    def _writer_connection(self) -> Connection:
        if self._writer is None:
            self._writer = self._writer_engine.connect()
            if self._writer.info.pop("inbox_attached", False):
                # a write transaction would lock both files
                _driver(self._writer).execute("DETACH DATABASE inbox_file")
            with_log = _driver(self._writer).execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            if self._file is not None:
                self._file.writes_anew(with_log=with_log)
            if with_log:
                connect.wait_fairly(_driver(self._writer))
            _driver(self._writer).execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        return self._writer

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into its file beside the writers. Raises StorageUnavailable.

        Without it, a commit has to do so once the log is long.
        """
        log = self._file.log if self._file is not None else None
        if log is None or not log.exists() or log.stat().st_size < _CHECKPOINT_BYTES:
            return
        with self.translated(), self.engine.connect() as connection:
            try:
                _driver(connection).execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.Error as error:
                raise self._as_sqlalchemys(error) from error

    def execute_durable(self, work: Callable[[Any], T]) -> T:
        """Run one statement on the driver's own connection (sqlite3's or psycopg's), outside any transaction.

        On return it is on disk. Like `write` with fewer steps, for the thread that stores callbacks. `work` is repeated
        as in `write`, and once after a lost connection, so running it twice must equal running it once.
        Raises StorageUnavailable.
        """
        dbapi = self.engine.dialect.loaded_dbapi
        with self.translated(), self._turn.held() if self.is_sqlite else self._pg_autocommit_lock:
            for attempt in range(_ATTEMPTS):
                try:
                    connection = self._driver_connection()
                    done = connect.retry_while_locked(lambda: work(connection))  # noqa: B023 (at once)
                    self._check_file()
                    return done
                except (dbapi.IntegrityError, dbapi.DataError) as error:
                    raise self._as_sqlalchemys(error) from error
                except dbapi.Error as error:
                    lost = self._discard_driver_connection()
                    again = getattr(error, "sqlstate", None) in _RETRYABLE or (lost and attempt == 0)
                    if not again or attempt == _ATTEMPTS - 1:
                        raise self._as_sqlalchemys(error) from error
                    time.sleep(0 if lost else 0.01 * 2**attempt)
        raise AssertionError("unreachable")

    def _driver_connection(self) -> Any:
        if self.is_sqlite:
            return _driver(self._writer_connection())
        if self._pg_autocommit is None:
            self._pg_autocommit = self.engine.raw_connection()
        return self._pg_autocommit.driver_connection

    def exists(self) -> bool:
        """Return whether the SQLite file exists, because reading a missing one would create it; True on PostgreSQL.

        Raises StorageUnavailable if the file was there before.
        """
        return self._file is None or self._file.exists()

    def _exists_or_may_be_created(self) -> bool:
        exists = self.exists()
        if self.must_exist and not exists:
            raise StorageUnavailable(f"{self.path} is missing: it was moved or removed")
        return exists

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()

    def _discard_driver_connection(self) -> bool:
        """Drop the connection in whatever state it is; return whether it was lost."""
        self._discard_writer()
        own, self._pg_autocommit = self._pg_autocommit, None
        if own is None:
            return False
        lost = bool(getattr(own.driver_connection, "closed", False))
        own.invalidate()
        return lost

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.invalidate()  # the pool must not get it back
            writer.close()

    def _as_sqlalchemys(self, error: Exception) -> BaseException:
        dbapi_error = self.engine.dialect.loaded_dbapi.Error
        return exc.DBAPIError.instance(None, None, error, dbapi_error, hide_parameters=True)

    @property
    def path(self) -> Path | None:
        """SQLite's file, whether it exists or not; None on PostgreSQL and for a URL of SQLite's own syntax."""
        name = self.url.database or ""
        return Path(name) if self.is_sqlite and not name.startswith("file:") else None

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise StorageUnavailable for every way in which a database says "not now"; our own mistakes pass."""
        try:
            yield
        except (exc.DatabaseError, exc.TimeoutError) as error:
            if not _is_not_now(error):
                raise
            raise self.unavailable(f"The database cannot be used now: {_first_line(error)}", error) from error

    def unavailable(self, message: str, cause: Exception) -> StorageUnavailable:
        """Return the error for `cause`; a subclass that knows more about this database adds to it."""
        return StorageUnavailable(message)

    def close(self) -> None:
        with self._turn.held(), self._pg_autocommit_lock:
            self._discard_driver_connection()
        self._autocommit_engine.dispose()
        self.engine.dispose()
        if self.inbox is not self:
            # last, because a connection that only reads cannot merge the write-ahead log when it closes
            self.inbox.close()


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _is_not_now(error: exc.DatabaseError | exc.TimeoutError) -> bool:
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", None)
    if name is None:
        return isinstance(error, (exc.OperationalError, exc.InternalError, exc.TimeoutError))
    # "no such table" and the like is an OperationalError too; a damaged file is not
    if isinstance(error, exc.OperationalError):
        return bool(name != "SQLITE_ERROR")
    return str(name).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0][:200]

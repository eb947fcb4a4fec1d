"""The database: two verbs that mean the same on SQLite and PostgreSQL, and one error for "not now"."""

from __future__ import annotations

import resource
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import exc

from tracker.errors import ConfigurationError, StorageUnavailable
from tracker.store.engine import connect
from tracker.store.engine.database import Connection, Database, FairLock
from tracker.store.schema import upgrade


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = _with_counters(database_url)
    yield database
    database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.db"


@pytest.fixture
def sqlite(path: Path) -> Iterator[Database]:
    database = _with_counters(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def postgres(postgres_database: str) -> Iterator[Database]:
    database = _with_counters(postgres_database)
    yield database
    database.close()


def _with_counters(url: str) -> Database:
    def make(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE counters (name text PRIMARY KEY, value integer NOT NULL)")
        connection.exec_driver_sql("INSERT INTO counters VALUES ('a', 0), ('b', 0)")

    database = Database(url)
    database.write(make)
    return database


def _add(connection: Connection, name: str) -> None:
    connection.exec_driver_sql(f"UPDATE counters SET value = value + 1 WHERE name = '{name}'")


def _values(connection: Connection) -> dict[str, int]:
    return {row.name: row.value for row in connection.exec_driver_sql("SELECT name, value FROM counters")}


def _in_threads(*works: Callable[[], object]) -> list[BaseException]:
    """Run all at once; what they raised."""
    barrier = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


# Which database


@pytest.mark.parametrize(
    "url", ["tracker.db", "", "mysql://root@localhost/calls", "postgresql+asyncpg://a/b"]
)
def test_an_address_of_another_kind_is_refused_with_those_that_are_allowed(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///.* or|use sqlite:/// or postgresql://"):
        Database(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused_for_each_thread_would_have_its_own(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        Database(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_postgresql_means_the_same_driver(scheme: str) -> None:
    database = Database(f"{scheme}://somebody@127.0.0.1/calls")
    assert (database.url.drivername, database.is_sqlite, database.path) == ("postgresql+psycopg", False, None)


# SQLite's file


def test_a_new_sqlite_file_is_laid_out_to_last(sqlite: Database, path: Path) -> None:
    def pragmas(connection: Connection) -> dict[str, object]:
        names = (
            "journal_mode",
            "synchronous",
            "foreign_keys",
            "page_size",
            "auto_vacuum",
            "secure_delete",
            "busy_timeout",
        )
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

    assert sqlite.read(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "page_size": 8192,
        "auto_vacuum": 2,
        "secure_delete": 1,
        "busy_timeout": 5000,
    }
    plain = sqlite3.connect(path)  # what is in the file, and not only in our connection
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert plain.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert plain.execute("PRAGMA page_size").fetchone() == (8192,)
    plain.close()


def test_a_file_with_pages_of_another_size_is_used_as_it_is(path: Path) -> None:
    """As a version before made it."""
    before = sqlite3.connect(path)
    before.execute("PRAGMA page_size=4096")
    before.execute("CREATE TABLE old (x)")
    before.close()
    database = _with_counters(f"sqlite:///{path}")
    assert database.read(lambda c: c.exec_driver_sql("PRAGMA page_size").scalar()) == 4096
    assert database.read(_values) == {"a": 0, "b": 0}
    database.close()


def test_non_durable_write_does_not_wait_for_the_disk(path: Path) -> None:
    def synchronous(connection: Connection) -> int:
        return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    normal, full = 1, 2
    senders = Database(f"sqlite:///{path}")
    upgrade.prepare(senders, create=True)
    joiners = Database(f"sqlite:///{path}", durable=False)
    assert joiners.write(synchronous) == normal
    assert senders.write(synchronous) == full
    # what the inbox stores is answered at once, so its file is always flushed
    assert joiners.inbox.write(synchronous) == full
    joiners.close()
    senders.close()


def test_non_durable_write_on_postgresql_skips_the_flush(postgres: Database) -> None:
    joiners = Database(postgres.url.render_as_string(hide_password=False), durable=False)
    setting = [
        database.write(lambda c: c.exec_driver_sql("SHOW synchronous_commit").scalar())
        for database in (joiners, postgres)
    ]
    assert setting == ["off", "on"]
    joiners.close()


def test_writer_gets_its_turn_beside_a_process_that_writes_all_the_time(sqlite: Database, path: Path) -> None:
    """SQLite's own waiting sleeps up to 100 ms, so it would lose against a joiner with a backlog for seconds."""
    stop = threading.Event()
    other = Database(f"sqlite:///{path}", durable=False)

    def slow_write(connection: Connection) -> None:
        _add(connection, "b")
        time.sleep(0.02)

    def write_all_the_time() -> None:
        while not stop.is_set():
            other.write(slow_write)
            time.sleep(0.002)

    busy = threading.Thread(target=write_all_the_time)
    busy.start()
    try:
        for _ in range(20):
            sqlite.write(lambda c: _add(c, "a"))
    finally:
        stop.set()
        busy.join()
    values = sqlite.read(_values)
    assert values["a"] == 20
    # if each of ours had waited for many of theirs, theirs would be far more
    assert values["b"] < 400
    other.close()


def test_erased_values_are_gone_from_the_sqlite_file(sqlite: Database, path: Path) -> None:
    def erase(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM counters WHERE name = 'secret-otp-4711'")

    sqlite.write(lambda c: c.exec_driver_sql("INSERT INTO counters VALUES ('secret-otp-4711', 1)"))
    sqlite.write(erase)
    sqlite.close()  # the last connection empties the log into the file
    assert b"counters" in path.read_bytes()
    assert b"secret-otp-4711" not in path.read_bytes()


def test_a_file_restored_from_a_copy_without_the_log_gets_it_again(sqlite: Database, path: Path) -> None:
    copy = path.with_name("copy.db")
    plain = sqlite3.connect(path)
    plain.execute("VACUUM INTO ?", (str(copy),))
    plain.close()
    restored = Database(f"sqlite:///{copy}")
    assert restored.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
    assert restored.read(_values) == {"a": 0, "b": 0}
    restored.close()


def test_connecting_and_reading_wait_for_no_writer(sqlite: Database, path: Path) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE counters SET value = 7")
    newcomer = Database(f"sqlite:///{path}")
    assert newcomer.read(_values) == {"a": 0, "b": 0}
    newcomer.close()
    writer.execute("COMMIT")
    writer.close()


def test_the_switch_to_the_log_is_repeated_while_somebody_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("CREATE TABLE thing (number integer)")
    old.execute("BEGIN")
    assert old.execute("SELECT * FROM thing").fetchall() == []
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        old.execute("COMMIT")

    monkeypatch.setattr(connect, "time", SimpleNamespace(sleep=nap, monotonic=lambda: 0.0))
    monkeypatch.setattr(connect, "_BUSY_S", 0.05)
    database = Database(f"sqlite:///{path}")
    assert database.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
    assert len(naps) == 1
    database.close()
    old.close()


def test_a_new_file_may_be_made_by_many_at_once(tmp_path: Path) -> None:
    def make(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS thing (number integer)")
        connection.exec_driver_sql("INSERT INTO thing VALUES (1)")

    for attempt in range(30):
        databases = [Database(f"sqlite:///{tmp_path / str(attempt)}.db") for _ in range(6)]
        assert _in_threads(*(lambda d=d: d.write(make) for d in databases)) == []
        count = databases[0].read(lambda c: c.exec_driver_sql("SELECT count(*) FROM thing").scalar())
        vacuum = databases[0].read(lambda c: c.exec_driver_sql("PRAGMA auto_vacuum").scalar())
        assert (count, vacuum) == (6, 2)
        for database in databases:
            database.close()


# Reading and writing


def test_a_write_gives_what_the_work_gave_and_is_seen_by_others(
    database: Database, database_url: str
) -> None:
    def work(connection: Connection) -> str:
        _add(connection, "a")
        return "done"

    assert database.write(work) == "done"
    other = Database(database_url)
    assert other.read(_values) == {"a": 1, "b": 0}
    other.close()


def test_a_write_that_fails_leaves_nothing_behind_and_its_error_as_it_is(database: Database) -> None:
    def work(connection: Connection) -> None:
        _add(connection, "a")
        raise LookupError("in the middle")

    with pytest.raises(LookupError, match="in the middle"):
        database.write(work)
    assert database.read(_values) == {"a": 0, "b": 0}
    database.write(lambda connection: _add(connection, "b"))
    assert database.read(_values) == {"a": 0, "b": 1}


def test_what_is_read_and_written_in_one_write_on_sqlite_is_not_interleaved(sqlite: Database) -> None:
    def work(connection: Connection) -> None:
        before = _values(connection)["a"]
        connection.exec_driver_sql(f"UPDATE counters SET value = {before + 1} WHERE name = 'a'")

    def work_often() -> None:
        for _ in range(25):
            sqlite.write(work)

    assert _in_threads(*[work_often] * 8) == []
    assert sqlite.read(_values)["a"] == 200


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM nowhere",
        "SELECT nothing FROM counters",
        "SELEKT",
        "INSERT INTO counters VALUES ('a', 1)",
    ],
)
def test_a_mistake_of_ours_is_not_taken_for_an_outage(database: Database, statement: str) -> None:
    with pytest.raises(exc.DBAPIError):
        database.write(lambda connection: connection.exec_driver_sql(statement))


def test_an_error_does_not_show_the_values_that_it_was_about(database: Database) -> None:
    parameters = ("a", 4711) if database.is_sqlite else {"name": "a", "value": 4711}
    marks = "?, ?" if database.is_sqlite else "%(name)s, %(value)s"
    with pytest.raises(exc.IntegrityError) as caught:
        database.write(lambda c: c.exec_driver_sql(f"INSERT INTO counters VALUES ({marks})", parameters))
    assert "4711" not in str(caught.value)


# Once more


def test_a_deadlock_is_repeated_until_both_are_done(postgres: Database) -> None:
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    def work_in_order(first: str, second: str) -> Callable[[], None]:
        def work(connection: Connection) -> None:
            attempts.append(first)
            _add(connection, first)
            if attempts.count(first) == 1:
                both_hold_one.wait()
            _add(connection, second)

        return lambda: postgres.write(work)

    assert _in_threads(work_in_order("a", "b"), work_in_order("b", "a")) == []
    assert postgres.read(_values) == {"a": 2, "b": 2}
    assert len(attempts) == 3


def test_a_serialisation_failure_is_repeated_with_nothing_left_of_the_first_time(postgres: Database) -> None:
    attempts = []

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        attempts.append(_values(connection)["a"])
        if len(attempts) == 1:
            other = Database(postgres.url.render_as_string(hide_password=False))
            other.write(lambda connection: _add(connection, "a"))
            other.close()
        _add(connection, "a")

    postgres.write(work)
    assert attempts == [0, 1]
    assert postgres.read(_values)["a"] == 2


def test_a_write_that_never_gets_through_says_so_in_the_end(postgres: Database) -> None:
    attempts = []

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")

    with pytest.raises(StorageUnavailable, match="again"):
        postgres.write(work)
    assert len(attempts) == 5


# Not now


def test_a_locked_sqlite_file_is_unavailable_and_then_available_again(
    sqlite: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_BUSY_S", 0.05)
    impatient = Database(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        impatient.write(lambda connection: _add(connection, "a"))
    holder.execute("ROLLBACK")
    holder.close()
    impatient.write(lambda connection: _add(connection, "a"))
    assert sqlite.read(_values)["a"] == 1
    impatient.close()


def test_a_file_in_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'tracker.db'}")
    with pytest.raises(StorageUnavailable, match="unable to open"):
        database.read(_values)


def test_a_full_sqlite_file_is_unavailable_and_keeps_what_it_has(sqlite: Database) -> None:
    def fill(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 8")
        _add(connection, "a")
        connection.exec_driver_sql("CREATE TABLE bulk AS SELECT randomblob(100000) AS stuff")

    with pytest.raises(StorageUnavailable, match="full"):
        sqlite.write(fill)
    assert sqlite.read(_values)["a"] == 0


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else answers there
        taken.bind(("127.0.0.1", 0))
        database = Database(f"postgresql://nobody:hush@127.0.0.1:{taken.getsockname()[1]}/calls")
        with pytest.raises(StorageUnavailable) as caught:
            database.read(_values)
    assert "hush" not in str(caught.value)
    database.close()


def _cut(database: Database) -> None:
    """End all connections to this database but the one that says so."""
    other = Database(database.url.render_as_string(hide_password=False))
    other.read(
        lambda connection: connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).all()
    )
    other.close()


def test_connections_that_were_cut_while_idle_are_not_noticed(postgres: Database) -> None:
    _cut(postgres)
    postgres.write(lambda connection: _add(connection, "a"))
    assert postgres.read(_values)["a"] == 1


def test_whoever_only_looks_does_not_notice_it_either(postgres: Database) -> None:
    """Nobody asks beforehand whether the connection is there: what was begun is begun again."""
    for _ in range(3):
        assert postgres.read_autocommit(_values) == {"a": 0, "b": 0}
        _cut(postgres)


def test_what_keeps_being_cut_is_unavailable_in_the_end(postgres: Database) -> None:
    def work(connection: Connection) -> None:
        _cut(postgres)
        _values(connection)

    with pytest.raises(StorageUnavailable):
        postgres.read_autocommit(work)
    assert postgres.read_autocommit(_values) == {"a": 0, "b": 0}


def test_looking_is_one_statement_after_the_other_and_no_transaction(database: Database) -> None:
    def work(connection: Connection) -> tuple[int, int]:
        before = _values(connection)["a"]
        database.write(lambda other: _add(other, "a"))
        return before, _values(connection)["a"]

    assert database.read_autocommit(work) == (0, 1)
    assert database.read(work) == ((1, 1) if database.is_sqlite else (1, 2))


def test_nothing_is_left_of_looking(postgres: Database) -> None:
    """Its planner's choices are its own connections'."""

    def choice(connection: Connection) -> object:
        return connection.exec_driver_sql("SHOW enable_sort").scalar()

    assert [postgres.read_autocommit(choice), postgres.read(choice), postgres.write(choice)] == [
        "off",
        "on",
        "on",
    ]


def test_whoever_looks_waits_for_no_writer(sqlite: Database, path: Path) -> None:
    def work(connection: Connection) -> dict[str, int]:
        _add(connection, "a")
        return sqlite.read_autocommit(_values)

    assert sqlite.write(work) == {"a": 0, "b": 0}


def test_a_connection_cut_in_the_middle_is_unavailable_once_and_nothing_was_written(
    postgres: Database,
) -> None:
    def work(connection: Connection) -> None:
        _add(connection, "a")
        _cut(postgres)
        _add(connection, "b")

    with pytest.raises(StorageUnavailable):
        postgres.write(work)
    assert postgres.read(_values) == {"a": 0, "b": 0}
    postgres.write(lambda connection: _add(connection, "a"))
    assert postgres.read(_values) == {"a": 1, "b": 0}


# Whose turn it is


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


def test_the_lock_is_granted_in_the_order_of_asking() -> None:
    lock = FairLock()
    granted: list[int] = []

    def take(number: int) -> None:
        with lock.held():
            granted.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(10)]
    with lock.held():
        for number, thread in enumerate(threads):
            thread.start()
            _until(lambda number=number: len(lock._waiting) == number + 1)  # type: ignore[misc]
        assert granted == []
    for thread in threads:
        thread.join()
    assert granted == list(range(10))


def test_who_lets_go_and_asks_again_stands_behind_those_who_wait() -> None:
    lock = FairLock()
    granted: list[str] = []

    def take() -> None:
        with lock.held():
            granted.append("who waited")

    thread = threading.Thread(target=take)
    with lock.held():
        thread.start()
        _until(lambda: len(lock._waiting) == 1)
    with lock.held():
        granted.append("who was first")
    thread.join()
    assert granted == ["who waited", "who was first"]


def test_only_one_holds_the_lock_also_after_errors() -> None:
    lock = FairLock()
    holding: list[int] = []
    most: list[int] = []

    def take() -> None:
        for _ in range(200):
            try:
                with lock.held():
                    holding.append(1)
                    most.append(len(holding))
                    holding.pop()
                    raise LookupError
            except LookupError:
                pass

    assert _in_threads(*[take] * 6) == []
    assert (len(most), max(most)) == (1200, 1)


def test_the_lock_forgets_who_was_interrupted_and_nobody_else() -> None:
    lock = FairLock()
    let_go = threading.Event()
    granted: list[str] = []

    def hold(name: str) -> None:
        with lock.held():
            granted.append(name)
            let_go.wait()

    def interrupt() -> None:
        _until(lambda: len(lock._waiting) == 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    first, second = (threading.Thread(target=hold, args=(name,)) for name in ("first", "second"))
    interrupter = threading.Thread(target=interrupt)
    try:
        first.start()
        _until(lambda: granted == ["first"])
        second.start()
        _until(lambda: len(lock._waiting) == 1)
        turn_of_second = lock._waiting[0]
        interrupter.start()
        with pytest.raises(KeyboardInterrupt), lock.held():
            raise AssertionError("it is held")
        assert list(lock._waiting) == [turn_of_second]
        assert not turn_of_second.is_set()
    finally:
        let_go.set()
        for thread in (first, second, interrupter):
            thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert granted == ["first", "second"]
    with lock.held():
        granted.append("third")


def test_a_new_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tracker.db'}")
    database.write(lambda c: c.exec_driver_sql("CREATE TABLE t (n)"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    database.close()
    assert modes == {"tracker.db": 0o600, "tracker.db-wal": 0o600, "tracker.db-shm": 0o600}


def test_a_full_disk_is_no_mistake_of_ours_at_a_checkpoint_either(tmp_path: Path) -> None:
    """What the log holds cannot be moved into the file: that is said as everywhere, and made good later."""
    database = Database(f"sqlite:///{tmp_path / 'tracker.db'}")
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        database.write(lambda c: c.exec_driver_sql("CREATE TABLE t (x BLOB)"))
        for _ in range(12):
            database.write(lambda c: c.exec_driver_sql("INSERT INTO t VALUES (zeroblob(500000))"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, room[1]))
        try:
            with pytest.raises(StorageUnavailable):
                database.checkpoint()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, room)
        database.checkpoint()
    finally:
        database.close()

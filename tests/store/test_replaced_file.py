"""A SQLite file that is removed or replaced while it is in use: nothing counts as written to a file that is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from tracker.errors import StorageUnavailable
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log
from tracker.store.schema import upgrade


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """A database with a counter that stands at 1."""
    with closing(Database(f"sqlite:///{path}")) as database:
        create_counter(database)
        count(database)
        yield database


@pytest.fixture
def lazy_database(path: Path, database: Database) -> Iterator[Database]:
    """The same database, whose commits do not wait for the disk."""
    with closing(Database(f"sqlite:///{path}", durable=False)) as database:
        yield database


def create_counter(database: Database) -> None:
    def work(c: Connection) -> None:
        c.exec_driver_sql("CREATE TABLE counter (count INTEGER NOT NULL)")
        c.exec_driver_sql("INSERT INTO counter VALUES (0)")

    database.write(work)


def count(database: Database) -> None:
    database.write(lambda c: c.exec_driver_sql("UPDATE counter SET count = count + 1").close())


def count_directly(database: Database) -> None:
    database.execute_durable(lambda c: c.execute("UPDATE counter SET count = count + 1"))


def test_missing_inbox_is_not_created_by_reading_it(path: Path, tmp_path: Path) -> None:
    """An empty file in its place would have SQLite end the inbox's write-ahead log."""
    with closing(Database(f"sqlite:///{path}")) as database:
        upgrade.prepare(database, create=True)
        (tmp_path / "t-inbox.db").rename(tmp_path / "aside.db")
        with (
            closing(Database(f"sqlite:///{path}")) as other,
            pytest.raises(StorageUnavailable, match=r"t-inbox\.db is missing"),
        ):
            other.inbox.read(log.last_position)
        assert not (tmp_path / "t-inbox.db").exists()
        (tmp_path / "aside.db").rename(tmp_path / "t-inbox.db")
        assert database.inbox.read(log.last_position) == 0


def read_count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as c:
        found: int = c.execute("SELECT count FROM counter").fetchone()[0]
    return found


def replace(path: Path) -> None:
    os.link(path, path.with_name("aside.db"))
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)


def remove(path: Path) -> None:
    path.rename(path.with_name("aside.db"))


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@pytest.mark.parametrize(
    ("fixture", "write"),
    [("database", count), ("lazy_database", count), ("database", count_directly)],
    ids=["write", "write without fsync", "execute directly"],
)
@pytest.mark.parametrize("move", [replace, remove])
def test_write_is_refused_when_the_file_was_moved(
    request: pytest.FixtureRequest,
    path: Path,
    fixture: str,
    write: Callable[[Database], None],
    move: Callable[[Path], None],
) -> None:
    database: Database = request.getfixturevalue(fixture)
    write(database)
    move(path)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=r"t\.db was (removed|replaced)"):
            write(database)
    assert path.exists() == (move is replace), "a missing file is not made again"
    path.with_name("aside.db").replace(path)
    write(database)
    database.close()
    assert read_count(path) >= 3


def test_write_is_refused_when_the_log_was_removed(database: Database, path: Path) -> None:
    log_of(path).unlink()
    with pytest.raises(StorageUnavailable, match=r"t\.db-wal, which is part of the database, was removed"):
        count(database)


def test_read_of_another_file_is_refused(database: Database, path: Path) -> None:
    database.engine.dispose()
    replace(path)
    with pytest.raises(StorageUnavailable, match="replaced by another file"):
        database.read(lambda c: c.exec_driver_sql("SELECT 1"))


def test_log_of_a_new_connection_is_accepted(database: Database, path: Path) -> None:
    """The last connection removes the log when it closes, and the next one makes a new one."""
    database.close()
    assert not log_of(path).exists()
    count(database)
    assert read_count(path) == 2


def test_database_without_a_log_has_none_to_lose(database: Database, path: Path) -> None:
    """A file system may not permit a log; `tracker db check` reports that."""
    database.close()
    with closing(Database(f"sqlite:///{path}")) as without_log:

        @event.listens_for(without_log.engine, "connect")
        def leave_log_mode(connection: sqlite3.Connection, _: object) -> None:
            connection.execute("PRAGMA journal_mode=DELETE")

        count(without_log)
        assert not log_of(path).exists()
    assert read_count(path) == 2


def test_log_of_a_link_is_that_of_its_file(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with closing(Database(f"sqlite:///{link}")) as database:
        create_counter(database)
        count(database)
        assert log_of(path).exists()
    assert read_count(path) == 1

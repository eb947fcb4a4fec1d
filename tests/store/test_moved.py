"""The file of a SQLite database is removed, or another one put in its place, while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tracker.errors import StorageUnavailable
from tracker.store.engine.database import Connection, Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{path}")) as database:
        make(database)
        count(database)
        yield database


def make(database: Database) -> None:
    def work(c: Connection) -> None:
        c.exec_driver_sql("CREATE TABLE counted (times INTEGER NOT NULL)")
        c.exec_driver_sql("INSERT INTO counted VALUES (0)")

    database.write(work)


def count(database: Database, *, lasting: bool = True) -> None:
    database.write(lambda c: _count(c), lasting=lasting)


def _count(c: Connection) -> None:
    c.exec_driver_sql("UPDATE counted SET times = times + 1")


def count_at_once(database: Database) -> None:
    database.at_once(lambda c: c.execute("UPDATE counted SET times = times + 1"))


def counted(path: Path) -> int:
    with closing(sqlite3.connect(path)) as c:
        found: int = c.execute("SELECT times FROM counted").fetchone()[0]
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


WRITES: dict[str, Callable[[Database], None]] = {
    "written": count,
    "written and not waited for": lambda d: count(d, lasting=False),
    "written at once": count_at_once,
}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("moved", [replace, remove])
def test_nothing_counts_as_written_to_what_nobody_finds_again(
    database: Database, path: Path, moved: Callable[[Path], None], how: str
) -> None:
    write = WRITES[how]
    write(database)
    moved(path)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=r"t\.db was (removed|replaced)"):
            write(database)
    # nobody makes a new one
    assert path.exists() == (moved is replace)
    # it is put back
    path.with_name("aside.db").replace(path)
    write(database)
    database.close()
    assert counted(path) >= 3


def test_nor_does_it_where_the_log_was_removed(database: Database, path: Path) -> None:
    log_of(path).unlink()
    with pytest.raises(StorageUnavailable, match=r"t\.db-wal, which is part of the database, was removed"):
        count(database)


def test_nobody_reads_from_a_file_that_was_put_there(database: Database, path: Path) -> None:
    database.engine.dispose()
    replace(path)
    with pytest.raises(StorageUnavailable, match="replaced by another file"):
        database.read(lambda c: c.exec_driver_sql("SELECT 1"))


def test_a_log_that_comes_with_a_new_connection_is_no_other_one(database: Database, path: Path) -> None:
    """Whoever closes last removes it, and whoever opens first makes a new one."""
    database.close()
    assert not log_of(path).exists()
    count(database)
    assert counted(path) == 2


def test_a_database_without_a_log_has_none_to_lose(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may not let it have one; `tracker db check` says so."""
    database.close()
    monkeypatch.setattr("tracker.store.engine.connect._lay_out", lambda _: None)
    with closing(sqlite3.connect(path)) as c:
        c.execute("PRAGMA journal_mode=DELETE")
    with closing(Database(f"sqlite:///{path}")) as again:
        count(again)
    assert counted(path) == 2


def test_the_log_of_a_link_is_that_of_its_file(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with closing(Database(f"sqlite:///{link}")) as database:
        make(database)
        count(database)
        assert log_of(path).exists()
    assert counted(path) == 1

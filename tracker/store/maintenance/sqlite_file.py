"""Copies and checks whole SQLite files, without opening them as a database in use."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tracker.errors import StorageUnavailable
from tracker.store.maintenance.partial_file import companions, flush

#: the first bytes of each SQLite file
_HEADER: Final = b"SQLite format 3\x00"
#: how long SQLite waits for a lock that another process holds, in seconds
_BUSY_S: Final = 5.0


class Damaged(StorageUnavailable):
    """The file is damaged, or only a part of it is there. Restore it from a backup."""


def copy_sqlite_file(source: Path, target: Path, *, in_use: bool) -> None:
    """Copy all pages as they are at one moment, with the write-ahead log, into one file on the disk.

    All pages are copied in one step, because a copy that is made page by page starts again whenever somebody writes,
    and never ends under load. Writers are not held up: the log grows until the copy is made.
    in_use: other processes may write meanwhile. Otherwise the file may lie in a place where nobody can write.
    Raises Damaged and StorageUnavailable.
    """
    with (
        sqlite_errors(source, target),
        closing(_open_source(source, in_use=in_use)) as pages,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        copy.execute("PRAGMA synchronous=OFF")  # it is flushed once, at the end
        count, page_size = (
            pages.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        size = count * page_size
        if (free := shutil.disk_usage(target.absolute().parent).free) < size:
            raise StorageUnavailable(
                f"The disk of {target.absolute().parent} has {free // 2**20} MiB free, and the copy needs "
                f"{size // 2**20 + 1} MiB. Name another folder."
            )
        pages.backup(copy, pages=-1)
        # the copied header says "log"; a copy must be one file, and stay one when it is opened
        copy.execute("PRAGMA journal_mode=DELETE").fetchone()
    flush(target)


def is_sqlite_file(path: Path) -> bool:
    """Return whether a file begins as SQLite's do. An empty file is an empty database."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) in (_HEADER, b"")
    except OSError:
        return True  # the reader of the file reports why it cannot be read


def merge_log(path: Path) -> None:
    """Move the write-ahead log of a database that no process uses into its file, on the disk.

    Raises StorageUnavailable.
    """
    with (
        sqlite_errors(path, path),
        closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as file,
    ):
        file.execute("PRAGMA journal_mode=DELETE").fetchone()
    flush(path)


def _open_source(source: Path, *, in_use: bool) -> sqlite3.Connection:
    if not source.exists():
        raise StorageUnavailable(f"{source.absolute()} does not exist.")
    if in_use:
        mode = "mode=rw"  # it takes part in the write-ahead log
    elif any(companion.exists() for companion in companions(source)):
        mode = "mode=ro"
    else:
        return open_immutable(source)
    return sqlite3.connect(
        f"file:{quote_path(source)}?{mode}", uri=True, timeout=_BUSY_S, isolation_level=None
    )


def open_immutable(path: Path) -> sqlite3.Connection:
    """Open a file so that SQLite makes no companions beside it."""
    return sqlite3.connect(f"file:{quote_path(path)}?mode=ro&immutable=1", uri=True, isolation_level=None)


def check_pages(file: sqlite3.Connection, path: Path) -> set[str]:
    """Check all pages of an open file, and return the names of its tables. Raises Damaged."""
    result = file.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if result != "ok":
        raise Damaged(f"{path} is damaged: {result}")
    if dangling := file.execute("PRAGMA foreign_key_check").fetchone():
        raise Damaged(f"{path} is damaged: a row of {dangling[0]} refers to a row that does not exist")
    return {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def quote_path(path: Path) -> str:
    """Return a path as it stands in a `file:` address."""
    return quote(str(path.absolute()))


@contextmanager
def sqlite_errors(source: Path, target: Path) -> Iterator[None]:
    """Raise SQLite's and the system's errors as Damaged or StorageUnavailable, with the file that they are about."""
    try:
        yield
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        # only the copy is written; every other error is about the original
        path = target if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE")) else source
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise Damaged(f"{path} is damaged: {error}") from error
        raise StorageUnavailable(f"{path}: {error}") from error
    except OSError as error:
        raise StorageUnavailable(f"{error.filename or target}: {error.strerror or error}") from error

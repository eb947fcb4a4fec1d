"""Copies whole SQLite files, checks them, and reads what is in them, without opening them as a database in use."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tracker.errors import StorageUnavailable
from tracker.store.maintenance.partial_file import companions, flush

#: the first bytes of each SQLite file
_HEADER: Final = b"SQLite format 3\x00"
#: how long SQLite waits for a lock that another process holds, in seconds
_BUSY_S: Final = 5.0
#: the tables whose rows tell a person whether everything is in a copy
_COUNTED_TABLES: Final[tuple[str, ...]] = ("calls", "submissions", "events", "callbacks")
#: as inbox_file.py and position.py write them
_DATABASE_ID: Final = "SELECT value FROM settings WHERE name = 'database-id'"
_JOINED_POSITION: Final = "SELECT position FROM positions WHERE consumer = 'joiner'"


class Damaged(StorageUnavailable):
    """The file is damaged, or only a part of it is there. Restore it from a backup."""


@dataclass(frozen=True, kw_only=True)
class RecordsContents:
    """The contents of a file with a database's records."""

    #: bytes
    size: int
    #: the revision of its schema; None if it has none
    schema: str | None
    #: the identity that the database shares with its inbox file; None if it has no inbox file
    database_id: str | None
    #: the last inbox position whose outcome is in the records
    joined_position: int
    #: rows by table
    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class InboxContents:
    """The contents of an inbox file."""

    #: bytes
    size: int
    #: version of the file's layout
    layout: int
    #: the identity that the file shares with its database's records
    database_id: str | None
    #: the newest position that was ever given; its row may be pruned by now
    last_position: int
    #: received requests
    count: int


def copy_sqlite_file(source: Path, target: Path, *, in_use: bool) -> None:
    """Copy all pages as they are at one moment, with the write-ahead log, into one file on the disk.

    All pages are copied in one step, because a copy that is made page by page starts again whenever somebody writes,
    and never ends under load. Writers are not held up: the log grows until the copy is made.
    in_use: other processes may write meanwhile. Otherwise the file may lie in a place where nobody can write.
    Raises Damaged and StorageUnavailable.
    """
    with (
        _sqlite_errors(source, target),
        closing(_open_source(source, in_use=in_use)) as pages,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        copy.execute("PRAGMA synchronous=OFF")  # it is flushed once, at the end
        size = _pragma(pages, "page_count") * _pragma(pages, "page_size")
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


def inspect_records(path: Path) -> RecordsContents:
    """Check all pages of a records file that no process uses, and return what is in it.

    Raises Damaged, and StorageUnavailable if it cannot be read.
    """
    with _sqlite_errors(path, path), closing(_open_immutable(path)) as file:
        tables = _check_pages(file, path)
        schema = (
            _value(file, "SELECT version_num FROM alembic_version") if "alembic_version" in tables else None
        )
        database_id = _value(file, _DATABASE_ID) if "settings" in tables else None
        joined = _value(file, _JOINED_POSITION) if "positions" in tables else None
        counts = {table: _count(file, table) for table in _COUNTED_TABLES if table in tables}
    return RecordsContents(
        size=path.stat().st_size,
        schema=schema,
        database_id=database_id,
        joined_position=joined or 0,
        counts=counts,
    )


def read_database_id(path: Path) -> str | None:
    """Return the identity of the database whose records are in a file that no process uses.

    Raises StorageUnavailable if it cannot be read.
    """
    with _sqlite_errors(path, path), closing(_open_immutable(path)) as file:
        identity: str | None = _value(file, _DATABASE_ID)
        return identity


def inspect_inbox(path: Path) -> InboxContents:
    """Check all pages of an inbox file that no process uses, and return what is in it.

    Raises Damaged if it is damaged or not an inbox file, and StorageUnavailable if it cannot be read.
    """
    with _sqlite_errors(path, path), closing(_open_immutable(path)) as file:
        tables = _check_pages(file, path)
        if not {"inbox", "identity"} <= tables:
            raise Damaged(f"{path} is damaged: it has no inbox")
        return InboxContents(
            size=path.stat().st_size,
            layout=_pragma(file, "user_version"),
            database_id=_value(file, "SELECT database_id FROM identity"),
            last_position=_value(file, "SELECT seq FROM sqlite_sequence WHERE name = 'inbox'") or 0,
            count=_count(file, "inbox"),
        )


def pairing_problem(records: RecordsContents, inbox: InboxContents) -> str | None:
    """Return why an inbox file does not belong to these records, as the end of a sentence; None if it does."""
    if records.database_id != inbox.database_id:
        return "belongs to another database"
    if inbox.last_position < records.joined_position:
        return (
            f"is older than the records: it ends at position {inbox.last_position}, and callbacks up to "
            f"{records.joined_position} were read from it"
        )
    return None


def count_callbacks_after(inbox: Path, position: int) -> int:
    """Return how many requests follow a position in an inbox file that no process uses. Raises StorageUnavailable."""
    with _sqlite_errors(inbox, inbox), closing(_open_immutable(inbox)) as file:
        query = "SELECT count(*) FROM inbox WHERE position > ?"
        return int(file.execute(query, (position,)).fetchone()[0])


def continues(inbox: Path, earlier: Path) -> bool:
    """Return whether an inbox file may be a later state of another one: the newest request of both is the same.

    After a restore, positions are given again. Two inboxes of one database may then have different requests at one
    position. No process uses the files. Raises StorageUnavailable.
    """
    with _sqlite_errors(inbox, inbox), closing(_open_immutable(inbox)) as file:
        file.execute("ATTACH DATABASE ? AS earlier", (f"file:{_quoted(earlier)}?mode=ro&immutable=1",))
        # CROSS JOIN: SQLite begins with the newest request of the earlier file
        query = (
            "SELECT e.id = i.id FROM earlier.inbox AS e CROSS JOIN main.inbox AS i ON i.position = e.position "
            "ORDER BY e.position DESC LIMIT 1"
        )
        row = file.execute(query).fetchone()
    return row is None or bool(row[0])


def merge_log(path: Path) -> None:
    """Move the write-ahead log of a database that no process uses into its file, on the disk.

    Raises StorageUnavailable.
    """
    with (
        _sqlite_errors(path, path),
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
        return _open_immutable(source)
    return sqlite3.connect(f"file:{_quoted(source)}?{mode}", uri=True, timeout=_BUSY_S, isolation_level=None)


def _open_immutable(path: Path) -> sqlite3.Connection:
    """Open a file so that SQLite makes no companions beside it."""
    return sqlite3.connect(f"file:{_quoted(path)}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _check_pages(file: sqlite3.Connection, path: Path) -> set[str]:
    """Return the names of the tables. Raises Damaged."""
    result = file.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if result != "ok":
        raise Damaged(f"{path} is damaged: {result}")
    if dangling := file.execute("PRAGMA foreign_key_check").fetchone():
        raise Damaged(f"{path} is damaged: a row of {dangling[0]} refers to a row that does not exist")
    return {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _value(file: sqlite3.Connection, query: str) -> Any:
    row = file.execute(query).fetchone()
    return row[0] if row else None


def _count(file: sqlite3.Connection, table: str) -> int:
    return int(_value(file, f'SELECT count(*) FROM "{table}"'))  # noqa: S608 (only our own names)


def _pragma(file: sqlite3.Connection, name: str) -> int:
    return int(_value(file, f"PRAGMA {name}"))


def _quoted(path: Path) -> str:
    return quote(str(path.absolute()))


@contextmanager
def _sqlite_errors(source: Path, target: Path) -> Iterator[None]:
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

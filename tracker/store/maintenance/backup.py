"""A copy of a SQLite database that is in use: SQLite's own online backup, all pages in one step.

In one step, because one that is made page by page begins anew whenever somebody writes, and under load never ends. With
the write-ahead log readers hold up nobody: callbacks are stored meanwhile, only the log grows until the copy is made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from tracker.errors import Conflict, StorageUnavailable
from tracker.store.engine.files import kind_of

#: how long SQLite waits for a lock that another process holds, in seconds
_HEADER: Final = b"SQLite format 3\x00"
_BUSY_S: Final = 5.0
#: what a person wants to know of a copy: is everything in it?
COUNTED: Final = ("calls", "submissions", "events", "callbacks")


class Damaged(StorageUnavailable):
    """The file is damaged, or only a part of it is there; restore it from a backup."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in a database file."""

    #: bytes
    size: int
    #: the revision of its schema; None where it has none
    schema: str | None
    #: rows by table
    counts: dict[str, int]


def back_up(source: Path, target: Path, *, force: bool = False) -> Contents:
    """Write a copy of the database at `source` to `target`: whole, checked, in one file, for its owner alone.

    It appears under its name only when it is complete. force: replace a file that is there; of a link the link, and not
    the file that it leads to. Raises Conflict where one is and it must not be replaced, what is there is no regular
    file, or the target is the database itself; StorageUnavailable where it cannot be read or written, or the copy is
    damaged.
    """
    _refuse_itself(source, target)
    _refuse_special(target)
    if target.exists() and not force:
        raise Conflict(f"{target} exists already; name another file, or replace it with --force.")
    with beside(target) as partial:
        copy(source, partial, in_use=True)
        contents = look_into(partial)
        put_in_place(partial, target, replace=force)
    return contents


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """The name of a new, empty file in the same folder, for its owner alone; gone at the end, unless it was renamed.

    What earlier ones for the same target left behind, for they were killed, goes first.
    """
    partial = target.with_name(f".{target.name}.{token_hex(4)}.partial")
    mark = _mark_of(partial)
    _clear_away(target)
    with contextlib.ExitStack() as begun:
        try:
            # The mark is locked as long as somebody writes beside it, and the system unlocks it however he ends; a
            # process id would say nothing where two containers share the folder. The file itself is SQLite's to lock.
            # Before it is locked, another one may take it for a remainder, and remove it.
            there = False
            while not there:
                held = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
                begun.callback(os.close, held)
                for name in (mark, *_companions(partial), partial):  # the last one goes first
                    begun.callback(name.unlink, missing_ok=True)
                with contextlib.suppress(
                    OSError
                ):  # a file system without locks: there nothing is ever cleared away
                    fcntl.flock(held, fcntl.LOCK_EX)
                there = _is_still(mark, held)
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StorageUnavailable(
                f"{target.parent.absolute()} cannot be written: {error.strerror}; "
                "does it exist, and may you write there?"
            ) from error
        yield partial


def _clear_away(target: Path) -> None:
    """Remove what was begun for this target and nobody writes any more."""
    ours = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.partial")
    with contextlib.suppress(OSError):  # whoever cannot write there is told so by what follows
        for mark in target.absolute().parent.glob(".*.partial-lock"):
            partial = mark.with_name(mark.name.removesuffix("-lock"))
            if ours.fullmatch(partial.name):
                _clear_one_away(partial, mark)


def _clear_one_away(partial: Path, mark: Path) -> None:
    with contextlib.suppress(OSError):  # it is being written, or gone
        held = os.open(mark, os.O_RDWR)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in (partial, *_companions(partial), mark):
                name.unlink(missing_ok=True)
        finally:
            os.close(held)


def _is_still(name: Path, descriptor: int) -> bool:
    """Whether the open file has this name."""
    try:
        return os.path.samestat(os.stat(name), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _mark_of(partial: Path) -> Path:
    return partial.with_name(partial.name + "-lock")


def copy(source: Path, target: Path, *, in_use: bool) -> None:
    """Copy all pages as they are at one moment, with what is in the write-ahead log, into one file on the disk.

    in_use: other processes may write meanwhile; else the file may lie where nobody can write. Raises Damaged and
    StorageUnavailable.
    """
    with (
        _told(source, target),
        closing(_opened(source, in_use=in_use)) as pages,
        closing(_written(target)) as written,
    ):
        size = _pragma(pages, "page_count") * _pragma(pages, "page_size")
        if (free := shutil.disk_usage(target.absolute().parent).free) < size:
            raise StorageUnavailable(
                f"The disk of {target.absolute().parent} has {free // 2**20} MiB free and the copy needs "
                f"{size // 2**20 + 1} MiB; name another folder."
            )
        pages.backup(written, pages=-1)
        # the copied header says "log"; whoever opens the copy shall need, and make, no second file
        written.execute("PRAGMA journal_mode=DELETE").fetchone()
    _flush(target)


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as SQLite's do; an empty one is an empty database."""
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) in (_HEADER, b"")
    except OSError:
        return True  # what cannot be read is said by whoever reads it


def look_into(path: Path) -> Contents:
    """Read all of a database file that nobody uses, and say what is in it. Raises Damaged where it is none, or is
    damaged, and StorageUnavailable."""
    address = f"file:{_quoted(path)}?mode=ro&immutable=1"
    with _told(path, path), closing(sqlite3.connect(address, uri=True)) as database:
        found = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise Damaged(f"{path} is damaged: {found}")
        if dangling := database.execute("PRAGMA foreign_key_check").fetchone():
            raise Damaged(f"{path} is damaged: a row of {dangling[0]} refers to one that is not there")
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        schema = None
        if "alembic_version" in tables:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
            schema = str(row[0]) if row else None
        counts = {
            name: int(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608
            for name in COUNTED
            if name in tables
        }
    return Contents(size=path.stat().st_size, schema=schema, counts=counts)


def put_in_place(complete: Path, target: Path, *, replace: bool) -> None:
    """Give a file that is complete its name, in one step that outlasts the loss of power. Raises Conflict where the
    name is taken and must not be replaced, or is that of no regular file; StorageUnavailable."""
    _refuse_special(target)  # once more: making the file took its time
    try:
        if replace:
            os.replace(complete, target)
        else:
            _name_anew(complete, target)
    except FileExistsError:
        raise Conflict(f"{target} exists already; name another file, or replace it with --force.") from None
    except OSError as error:
        raise StorageUnavailable(f"{target} cannot be written: {error.strerror}") from error
    flush_folder(target)


def _name_anew(complete: Path, target: Path) -> None:
    """A renaming that never replaces."""
    try:
        os.link(complete, target)
    except FileExistsError:
        raise
    except OSError:  # a file system that knows no second names
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.replace(complete, target)


def come_home(path: Path) -> None:
    """Bring what is in the log of a database that nobody uses into its file, on the disk. Raises StorageUnavailable."""
    with _told(path, path), closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=DELETE").fetchone()
    _flush(path)


def flush_folder(path: Path) -> None:
    """Have the name of this file on the disk."""
    _flush(path.absolute().parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(source: Path, *, in_use: bool) -> sqlite3.Connection:
    if not source.exists():
        raise StorageUnavailable(f"{source.absolute()} does not exist")
    if in_use:
        mode = "mode=rw"  # it takes part in the log
    elif any(name.exists() for name in _companions(source)):
        mode = "mode=ro"
    else:
        mode = "mode=ro&immutable=1"  # no companions are made beside it
    address = f"file:{_quoted(source)}?{mode}"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)


def _written(target: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")  # it is flushed once, at the end
    return connection


def _companions(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _refuse_itself(source: Path, target: Path) -> None:
    taken = [source, *_companions(source)]
    same = any(t.absolute() == target.absolute() for t in taken)
    with contextlib.suppress(OSError):
        same = same or any(t.exists() and target.exists() and t.samefile(target) for t in taken)
    if same:
        raise Conflict(f"{target} is the database itself; name another file.")


def _refuse_special(target: Path) -> None:
    """A renaming would put a file in the place of /dev/null, or of a pipe on which somebody waits."""
    if kind := kind_of(target):
        raise Conflict(f"{target} is {kind}, which is never replaced; name a file.")


@contextmanager
def _told(source: Path, target: Path) -> Iterator[None]:
    """SQLite's errors as one sentence that says which file it is about."""
    try:
        yield
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        # what cannot be written is the copy, and all else is about the original
        which = target if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE")) else source
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise Damaged(f"{which} is damaged: {error}") from error
        raise StorageUnavailable(f"{which}: {error}") from error
    except OSError as error:
        raise StorageUnavailable(f"{error.filename or target}: {error.strerror or error}") from error

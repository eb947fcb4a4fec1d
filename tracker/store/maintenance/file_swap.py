"""Locks a SQLite file against all other processes, and replaces it by another one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from tracker.errors import Conflict, StorageUnavailable
from tracker.store.maintenance.partial_file import companions, flush

#: where SQLite locks a database file (https://www.sqlite.org/fileformat.html#the_lock_byte_page). A process that has
#: the file open with its write-ahead log holds a read lock there, also while it does nothing
_LOCK_BYTES_START: Final = 0x40000000
_LOCK_BYTES: Final = 512
#: the companions without which a file may lack its newest transactions
_LOG_SUFFIXES: Final = ("-wal", "-journal")


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Keep all other processes out of a SQLite file, which may be damaged or missing. Raises Conflict if it is in use.

    Its write-ahead log is merged first, as far as a damaged file permits that. This process must not open the file
    meanwhile: the system releases a process's locks on a file when the process closes it, by whatever descriptor.
    """
    merge_log_if_unused(path)
    if not path.exists():
        yield
        return
    descriptor = _open(path)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_BYTES_START)
        except OSError as error:
            raise in_use(path) from error
        yield
    finally:
        os.close(descriptor)  # this releases the lock


def require_unused(path: Path) -> None:
    """Raise Conflict if another process has this SQLite file open; this process must not have it open."""
    with exclusive_lock(path):
        pass


def merge_log_if_unused(path: Path) -> None:
    """Merge the write-ahead log of a SQLite file into it. Raises Conflict if the file is in use.

    Does nothing if the file is missing, or too damaged for SQLite.
    """
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as file:
            # leaving the log mode needs the file for this connection alone
            file.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise in_use(path) from error


def in_use(path: Path) -> Conflict:
    """Return the error for a file that another process has open."""
    return Conflict(
        f"{path.absolute()} is in use. Stop `tracker serve`, `tracker worker` and whatever else has it open, and then "
        "try again."
    )


def dated_name(path: Path, now: datetime) -> Path:
    """Return an unused name beside a file under which it can be kept: `tracker.db.replaced-2026-03-02T091500Z`."""
    stem = f"{path.name}.replaced-{now:%Y-%m-%dT%H%M%SZ}"
    kept, n = path.with_name(stem), 1
    while kept.exists():
        n += 1
        kept = path.with_name(f"{stem}-{n}")
    return kept


def replace(path: Path, new: Path, kept: Path) -> bool:
    """Put the file `new` in the place of `path`, which is kept under the name `kept`; return whether there was one.

    Both names are in the folder of `path`, whose lock the caller holds. At each moment one of the two files has the
    name, whole. Raises StorageUnavailable.
    """
    try:
        is_kept = path.exists()
        if is_kept:
            _link(path, kept)
        _remove_companions(path)
        os.replace(new, path)
        flush(path.absolute().parent)
    except OSError as error:
        raise StorageUnavailable(f"{path.absolute()} cannot be replaced: {error.strerror}.") from error
    return is_kept


def set_aside(path: Path, kept: Path) -> None:
    """Rename a SQLite file, with its log, to `kept` in the same folder. Raises StorageUnavailable."""
    try:
        _link(path, kept)
        _remove_companions(path)
        path.unlink()
        flush(path.absolute().parent)
    except OSError as error:
        raise StorageUnavailable(f"{path.absolute()} cannot be renamed: {error.strerror}.") from error


def copy_owner(path: Path, other: Path) -> None:
    """Give a file the owner of another one, or of its folder, so that root can restore a service's database."""
    if os.geteuid() == 0:
        owned = other if other.exists() else other.absolute().parent
        os.chown(path, owned.stat().st_uid, owned.stat().st_gid)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        raise StorageUnavailable(f"{path.absolute()} cannot be opened: {error.strerror}.") from error


def _link(path: Path, kept: Path) -> None:
    """Give a SQLite file a second name, with its log if it still has one."""
    for suffix in _LOG_SUFFIXES:
        log = path.with_name(path.name + suffix)
        if log.exists():
            os.link(log, kept.with_name(kept.name + suffix))
    os.link(path, kept)


def _remove_companions(path: Path) -> None:
    # a log that is left belongs to the old file, and would be played into the new one
    for companion in companions(path):
        companion.unlink(missing_ok=True)

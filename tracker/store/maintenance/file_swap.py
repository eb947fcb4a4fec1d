"""Replacing the file of a SQLite database by another one, while nobody has it open."""

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
from tracker.store.maintenance.backup import flush_folder

#: where SQLite's programs lock a database file (https://www.sqlite.org/fileformat.html#the_lock_byte_page): whoever has
#: it open with its write-ahead log holds a read lock there, also while it does nothing
_LOCKED_FROM: Final = 0x40000000
_LOCKED_BYTES: Final = 512


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Nobody else has this database open, and nobody gets into it meanwhile. Raises Conflict where somebody has.

    It does not matter what is in the file, or whether it is there at all. The write-ahead log is brought home first, so
    that the file is all that there is; in one that is damaged, that may be impossible.
    """
    if not path.exists():
        yield
        return
    _bring_home(path)
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError as error:
        raise StorageUnavailable(f"{path.absolute()} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKED_BYTES, _LOCKED_FROM)
        except OSError as error:
            raise _in_use(path) from error
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process has this database open. Nobody in this process may have it open: they would lose their
    locks. Raises StorageUnavailable."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError as error:
        raise StorageUnavailable(f"{path.absolute()} cannot be opened: {error.strerror}") from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKED_BYTES, _LOCKED_FROM)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _bring_home(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as database:
            # needs the file for itself alone
            database.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _in_use(path) from error
        # too damaged for SQLite: whether somebody has it open is seen by its locks


def _in_use(path: Path) -> Conflict:
    return Conflict(
        f"{path.absolute()} is in use: stop `tracker serve`, `tracker worker` and whatever else has it open, and then "
        "try again."
    )


def replace(path: Path, by: Path, now: datetime) -> Path | None:
    """Put the file `by` in the place of the database, which is kept beside it; gives where, None where there was none.

    The caller is alone with it. At each moment either is there, whole. Raises StorageUnavailable.
    """
    try:
        kept = _keep(path, now) if path.exists() else None
        # a log that is left belongs to what was replaced, and would be played into the new file
        for end in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        os.replace(by, path)
        flush_folder(path)
    except OSError as error:
        raise StorageUnavailable(f"{path.absolute()} cannot be replaced: {error.strerror}") from error
    return kept


def _keep(path: Path, now: datetime) -> Path:
    """Give the database a second, dated name, with its log where it still has one."""
    stem = f"{path.name}.replaced-{now:%Y-%m-%dT%H%M%SZ}"
    kept, n = path.with_name(stem), 1
    while kept.exists():
        n += 1
        kept = path.with_name(f"{stem}-{n}")
    for end in ("-wal", "-journal"):
        log = path.with_name(path.name + end)
        if log.exists():
            os.link(log, kept.with_name(kept.name + end))
    os.link(path, kept)
    return kept


def owned_like(path: Path, other: Path) -> None:
    """Where root restores what is a service's: the file belongs to whom the other one belongs."""
    if os.geteuid() == 0:
        of = other if other.exists() else other.absolute().parent
        os.chown(path, of.stat().st_uid, of.stat().st_gid)

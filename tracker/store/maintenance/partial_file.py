"""Writes a new file under a hidden name in the folder of its final name, and gives it that name when it is complete.

A SQLite file may have an inbox file beside it (`inbox_path`), so each hidden name stands for a pair.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Final

from tracker.errors import Conflict, StorageUnavailable
from tracker.store.engine.database import inbox_path
from tracker.store.engine.files import kind_of

#: the files that SQLite makes beside a database file
COMPANION_SUFFIXES: Final = ("-wal", "-shm", "-journal")


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """Create an empty file in the folder of `target`, readable by its owner alone, and yield its path.

    At the end it is removed with its inbox file, unless it was renamed by then. What killed processes have left behind
    for the same target is removed first. Raises StorageUnavailable if the folder cannot be written.
    """
    partial = target.with_name(f".{target.name}.{token_hex(4)}.partial")
    lock = _lock_path(partial)
    remove_stale_partials(target)
    with contextlib.ExitStack() as cleanup:
        try:
            # The lock file is locked while its partial file is written, and the system unlocks it however the process
            # ends. A process id would mean nothing if two containers share the folder. The partial file itself is
            # SQLite's to lock. Before the lock is taken, another process may remove the lock file as a stale one.
            is_held = False
            while not is_held:
                descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
                cleanup.callback(os.close, descriptor)
                for path in (lock, *_database_files(partial)):  # the last one is removed first
                    cleanup.callback(path.unlink, missing_ok=True)
                with contextlib.suppress(OSError):  # on a file system without locks nothing counts as stale
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                is_held = _is_same_file(lock, descriptor)
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise StorageUnavailable(
                f"{target.parent.absolute()} cannot be written: {error.strerror}. Does it exist, and may you write "
                "there?"
            ) from error
        yield partial


def remove_stale_partials(target: Path) -> None:
    """Remove the partial files for this target that no process writes any more."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.partial")
    with contextlib.suppress(OSError):  # a folder that cannot be read is reported when it is written
        for lock in target.absolute().parent.glob(".*.partial-lock"):
            partial = lock.with_name(lock.name.removesuffix("-lock"))
            if name.fullmatch(partial.name):
                _remove_if_stale(partial, lock)


def _remove_if_stale(partial: Path, lock: Path) -> None:
    with contextlib.suppress(OSError):  # it is being written, or gone
        descriptor = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (*_database_files(partial), lock):
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def publish(complete: Path, target: Path, *, replace: bool) -> None:
    """Give a complete file its final name in one step that survives a loss of power.

    replace: replace a file that has the name; of a link the link, and not the file that it leads to. Raises Conflict if
    the name is taken and must not be replaced, or is not a regular file's; StorageUnavailable if it cannot be written.
    """
    refuse_special(target)  # again, because making the file took a while
    try:
        if replace:
            os.replace(complete, target)
        else:
            _rename_without_replacing(complete, target)
    except FileExistsError:
        raise already_exists(target) from None
    except OSError as error:
        raise StorageUnavailable(f"{target} cannot be written: {error.strerror}.") from error
    flush(target.absolute().parent)


def already_exists(target: Path) -> Conflict:
    """Return the error for a target that must not be replaced."""
    return Conflict(f"{target} exists already. Name another file, or replace it with `--force`.")


def refuse_special(target: Path) -> None:
    """Raise Conflict if `target` is not a regular file: a rename would replace /dev/null, or a pipe that is in use."""
    if kind := kind_of(target):
        raise Conflict(f"{target} is {kind}, which is never replaced. Name a file.")


def companions(path: Path) -> list[Path]:
    """Return the paths of the files that SQLite makes beside a database file."""
    return [path.with_name(path.name + suffix) for suffix in COMPANION_SUFFIXES]


def flush(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_without_replacing(complete: Path, target: Path) -> None:
    try:
        os.link(complete, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.replace(complete, target)


def _database_files(path: Path) -> list[Path]:
    inbox = inbox_path(path)
    return [*companions(inbox), inbox, *companions(path), path]


def _lock_path(partial: Path) -> Path:
    return partial.with_name(partial.name + "-lock")


def _is_same_file(path: Path, descriptor: int) -> bool:
    """Return whether the open file still has this name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False

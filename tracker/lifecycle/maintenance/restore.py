"""Restoring a backup of a SQLite database: nobody can use it before it is safe to.

All is done on a copy beside the database: the backup is looked into, its schema brought up to date, what was open in it
marked. Only then does it take the place of the database, in one step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker.clock import Clock, system_clock
from tracker.errors import Conflict, NotFound, SchemaMismatch
from tracker.lifecycle.maintenance.after_restore import RestoreReport, after_restore
from tracker.store.engine.database import Database
from tracker.store.engine.files import kind_of
from tracker.store.maintenance import backup, file_swap
from tracker.store.maintenance.backup import Contents
from tracker.store.schema import upgrade


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was done."""

    contents: Contents
    #: the revision of the schema that it has now
    schema: str
    #: where the database is that was there before
    kept: Path | None
    aftermath: RestoreReport


def restore(
    source: Path, path: Path, clock: Clock = system_clock, progress: Callable[[int], None] = lambda _: None
) -> Restored:
    """Put the backup `source` in the place of the database at `path`, with dialling paused.

    Raises NotFound where there is no such file, Conflict while another process has the database open, where the backup
    is damaged, none of tracker's or newer than this version, StorageUnavailable where something cannot be read or
    written. Whatever is raised, the database is as it was.
    """
    if kind := kind_of(source):
        raise Conflict(f"{source} is {kind}; name a file that `tracker db backup` wrote.")
    if not source.is_file():
        raise NotFound(
            f"There is no file {source.absolute()}; name one that `tracker db backup` wrote. Nothing was changed."
        )
    if not backup.is_sqlite(source):
        raise Conflict(f"{source} is no SQLite database; name a file that `tracker db backup` wrote.")
    if path.exists() and source.samefile(path):
        raise Conflict(f"{source} is the database itself; name a backup of it.")
    # a link goes on leading to the database, wherever that lies
    path = Path(os.path.realpath(path))
    with file_swap.alone_with(path), backup.beside(path) as copy:
        contents = _taken(source, copy)
        after, aftermath = _made_safe(copy, source, clock, progress)
        file_swap.owned_like(copy, path)
        kept = file_swap.replace(path, copy, clock())
    return Restored(contents=contents, schema=after, kept=kept, aftermath=aftermath)


def _taken(source: Path, copy: Path) -> Contents:
    """What is in the backup, when all of it was copied and looked at."""
    try:
        backup.copy(source, copy, in_use=False)
        return backup.look_into(copy)
    except backup.Damaged as error:  # whatever database is configured
        why = str(error).partition(" is damaged: ")[2]
        raise Conflict(
            f"{source} is damaged or cut off ({why}): restore another backup. Nothing was changed."
        ) from error


def _made_safe(
    copy: Path, source: Path, clock: Clock, progress: Callable[[int], None]
) -> tuple[str, RestoreReport]:
    database = Database(f"sqlite:///{copy.absolute()}")
    try:
        found = upgrade.current(database)
        if found is None:
            raise Conflict(f"{source} is empty: it is no backup of tracker's.")
        _, after = upgrade.upgrade(database)
        aftermath = after_restore(database, clock, progress)
    except SchemaMismatch as error:  # of the backup, whatever database is configured
        raise Conflict(f"{source}: {error}") from None
    finally:
        database.close()
    backup.come_home(copy)
    return after, aftermath

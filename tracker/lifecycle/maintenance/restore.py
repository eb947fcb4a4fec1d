"""Restores a backup of a SQLite database. No process can use the database before nobody can be dialled again.

Everything is done on copies beside the database: both files of the backup are checked, the schema is brought up to
date, and open work is marked. Then the copies replace the database's files, the records first. A crash between the two
leaves records that are behind their inbox, and the joiner catches up.

The database's present inbox file stays if it is a later state of the backup's: it has the callbacks that came after
the backup, and these tell what became of calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracker.clock import Clock, system_clock
from tracker.errors import Conflict, NotFound, SchemaMismatch
from tracker.lifecycle.maintenance.after_restore import RestoreReport, after_restore
from tracker.store.engine.database import Database, inbox_path
from tracker.store.engine.files import kind_of
from tracker.store.inbox.inbox_file import LAYOUT
from tracker.store.maintenance import file_swap, inspection, sqlite_file
from tracker.store.maintenance.inspection import InboxContents, RecordsContents
from tracker.store.maintenance.partial_file import partial_file
from tracker.store.maintenance.sqlite_file import Damaged
from tracker.store.schema import upgrade


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore did."""

    records: RecordsContents
    #: the revision of the schema that the database has now
    schema: str
    #: the names under which the earlier files are kept; None if there was none, or the inbox file stayed
    kept: Path | None
    kept_inbox: Path | None
    #: whether the database's own inbox file stayed
    has_own_inbox: bool
    #: callbacks in the inbox whose outcome is not in the records: the joiner reads them
    unjoined: int
    report: RestoreReport


def restore(
    source: Path, path: Path, clock: Clock = system_clock, progress: Callable[[int], None] = lambda _: None
) -> Restored:
    """Put the backup `source`, with its inbox file, in the place of the database at `path`, with dialling paused.

    progress: is called with the number of submissions that were marked so far.
    Raises NotFound if there is no such backup; Conflict if another process has the database open, or if the backup is
    incomplete, damaged, not tracker's or newer than this version; StorageUnavailable if a file cannot be read or
    written. Whatever is raised, the database is as it was, or its records are the backup's already.
    """
    _require_backup(source, path)
    # a link to the database stays one, and leads to the restored file
    records_path, inbox_file = Path(os.path.realpath(path)), Path(os.path.realpath(inbox_path(path)))
    with (
        file_swap.exclusive_lock(records_path),
        partial_file(records_path) as records_copy,
        partial_file(inbox_file) as inbox_copy,
    ):
        records = _copy_records(source, records_copy)
        schema = _upgrade(source, records_copy)
        inbox = _copy_inbox(source, records, inbox_copy)
        has_own_inbox = _is_later_inbox(inbox_file, inbox, inbox_copy)
        unjoined = inspection.count_callbacks_after(
            inbox_file if has_own_inbox else inbox_copy, records.joined_position
        )
        with file_swap.exclusive_lock(inbox_file):  # from here on it must not be opened
            report = _make_safe(records_copy, clock, progress, has_later_callbacks=has_own_inbox)
            kept = file_swap.dated_name(records_path, clock())
            kept_inbox = inbox_file.with_name(inbox_path(kept).name)
            file_swap.copy_owner(records_copy, records_path)
            file_swap.copy_owner(inbox_copy, inbox_file)
            is_kept = file_swap.replace(records_path, records_copy, kept)
            is_inbox_kept = not has_own_inbox and file_swap.replace(inbox_file, inbox_copy, kept_inbox)
    return Restored(
        records=records, schema=schema, kept=kept if is_kept else None,
        kept_inbox=kept_inbox if is_inbox_kept else None, has_own_inbox=has_own_inbox, unjoined=unjoined,
        report=report,
    )  # fmt: skip


def _require_backup(source: Path, path: Path) -> None:
    if kind := kind_of(source):
        raise Conflict(f"{source} is {kind}. Name a file that `tracker db backup` wrote.")
    if not source.is_file():
        raise NotFound(
            f"There is no file {source.absolute()}. Name one that `tracker db backup` wrote. Nothing was changed."
        )
    if not sqlite_file.is_sqlite_file(source):
        raise Conflict(f"{source} is not a SQLite database. Name a file that `tracker db backup` wrote.")
    if path.exists() and source.samefile(path):
        raise Conflict(f"{source} is the database itself. Name a backup of it.")


def _copy_records(source: Path, copy: Path) -> RecordsContents:
    try:
        sqlite_file.copy_sqlite_file(source, copy, in_use=False)
        return inspection.inspect_records(copy)
    except Damaged as error:
        raise _damaged_backup(source, error) from error


def _copy_inbox(source: Path, records: RecordsContents, copy: Path) -> InboxContents:
    original = inbox_path(source)
    if not original.is_file():
        raise Conflict(
            f"{original}, the inbox file of this backup, is missing. Put it beside {source}, or restore another "
            "backup. Nothing was changed."
        )
    try:
        sqlite_file.copy_sqlite_file(original, copy, in_use=False)
        inbox = inspection.inspect_inbox(copy)
    except Damaged as error:
        raise _damaged_backup(original, error) from error
    if inbox.layout != LAYOUT:
        raise Conflict(
            f"{original} has layout {inbox.layout}, and this version of tracker needs {LAYOUT}. Restore with the "
            "version that made it. Nothing was changed."
        )
    if problem := inspection.pairing_problem(records, inbox):
        raise Conflict(
            f"{original} {problem}. Put the inbox file of this backup there, or restore another backup. Nothing was "
            "changed."
        )
    return inbox


def _damaged_backup(path: Path, error: Damaged) -> Conflict:
    """Return the error for a file of the backup, which has nothing to do with the configured database."""
    cause = str(error).partition(" is damaged: ")[2]
    return Conflict(f"{path} is damaged or cut off ({cause}). Restore another backup. Nothing was changed.")


def _is_later_inbox(path: Path, backup: InboxContents, backup_copy: Path) -> bool:
    """Return whether the database's own inbox file is whole, and the backup's inbox or a later state of it.

    Raises Conflict if another process has it open.
    """
    file_swap.merge_log_if_unused(path)
    try:
        own = inspection.inspect_inbox(path) if path.exists() else None
    except Damaged:
        return False
    return (
        own is not None
        and (own.layout, own.database_id) == (backup.layout, backup.database_id)
        and own.last_position >= backup.last_position
        and inspection.continues(path, backup_copy)
    )


def _upgrade(source: Path, copy: Path) -> str:
    """Bring the schema of the records up to date, and return its revision. Raises Conflict if that is impossible."""
    database = Database(f"sqlite:///{copy.absolute()}", has_inbox=False)
    try:
        if upgrade.current(database) is None:
            raise Conflict(f"{source} is empty, so it is not a backup of tracker's. Nothing was changed.")
        return upgrade.upgrade(database)[1]
    except SchemaMismatch as error:  # it is about the backup, whatever database is configured
        raise Conflict(f"{source}: {error}") from None
    finally:
        database.close()


def _make_safe(
    copy: Path, clock: Clock, progress: Callable[[int], None], *, has_later_callbacks: bool
) -> RestoreReport:
    database = Database(f"sqlite:///{copy.absolute()}", has_inbox=False)
    try:
        report = after_restore(database, clock, progress, has_later_callbacks=has_later_callbacks)
    finally:
        database.close()
    sqlite_file.merge_log(copy)
    return report

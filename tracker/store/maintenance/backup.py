"""Backs up a SQLite database that is in use, with SQLite's own online backup.

A backup is a pair of files as the database is one: the records, and the inbox beside them. The records are copied
first. Callbacks that arrive meanwhile are then only in the inbox, and the joiner of a restored database reads them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import Conflict, NotFound, StorageUnavailable
from tracker.store.engine.database import inbox_path
from tracker.store.maintenance.inspection import (
    InboxContents,
    RecordsContents,
    inspect_inbox,
    inspect_records,
    pairing_problem,
    read_database_id,
)
from tracker.store.maintenance.partial_file import (
    already_exists,
    companions,
    partial_file,
    publish,
    refuse_special,
)
from tracker.store.maintenance.sqlite_file import Damaged, copy_sqlite_file


@dataclass(frozen=True, kw_only=True)
class BackupContents:
    """The contents of both files of a backup."""

    records: RecordsContents
    #: None if the database is of a version without an inbox file
    inbox: InboxContents | None


def back_up(source: Path, target: Path, *, force: bool = False) -> BackupContents:
    """Copy the database at `source` to `target`, and its inbox file to the inbox file of `target`.

    Both copies are complete, checked and readable by their owner alone before they get their names. The inbox gets its
    name first, so a backup whose `target` exists is whole.
    force: replace files that exist; of a link the link, and not the file that it leads to.
    Raises NotFound if there is no database; Conflict if a file exists and must not be replaced, is not a regular file,
    or is part of the database itself; StorageUnavailable if a file cannot be read or written, or a copy is damaged.
    """
    _refuse_itself(source, target)
    for path in (target, inbox_path(target)):
        refuse_special(path)
        if path.exists() and not force:
            raise already_exists(path)
    with partial_file(target) as partial:
        copy_sqlite_file(source, partial, in_use=True)
        records = inspect_records(partial)
        if records.schema is None:
            raise NotFound(f"There is nothing to back up: {source.absolute()} is empty, or not tracker's.")
        inbox = _copy_inbox(source, partial, records)
        publish_pair(partial, target, replace=force)
    return BackupContents(records=records, inbox=inbox)


def publish_pair(partial: Path, target: Path, *, replace: bool) -> None:
    """Give complete records, and the inbox beside them if there is one, their names: the inbox first, the records last.

    A process that is killed in between leaves an inbox without records, or older records with a newer inbox of the same
    database; both are consistent. Raises like `publish`; no new inbox is then left without its records.
    """
    inbox = inbox_path(partial)
    if not inbox.exists():
        publish(partial, target, replace=replace)
        return
    if replace and not _is_same_database(partial, target):
        target.unlink(
            missing_ok=True
        )  # its inbox is replaced first, and older records must not meet another inbox
    publish(inbox, inbox_path(target), replace=replace)
    try:
        publish(partial, target, replace=replace)
    except BaseException:
        if not replace and not _is_published(partial, target):
            inbox_path(target).unlink(missing_ok=True)
        raise


def _copy_inbox(source: Path, partial: Path, records: RecordsContents) -> InboxContents | None:
    """Copy and check the inbox file of `source`, if its records name one."""
    if records.database_id is None:
        return None
    original, copy = inbox_path(source), inbox_path(partial)
    if not original.exists():
        raise StorageUnavailable(
            f"The inbox file {original.absolute()} is missing, so no backup was made. See `tracker db check`."
        )
    copy.touch(mode=0o600)
    copy_sqlite_file(original, copy, in_use=True)
    inbox = inspect_inbox(copy)
    if problem := pairing_problem(records, inbox):
        raise Damaged(
            f"The inbox file {original.absolute()} {problem}, so no backup was made. See `tracker db check`."
        )
    return inbox


def _is_same_database(partial: Path, target: Path) -> bool:
    """Return whether both files are records of one database; False if `target` cannot be read."""
    with contextlib.suppress(StorageUnavailable):
        return read_database_id(partial) == read_database_id(target)
    return False


def _is_published(partial: Path, target: Path) -> bool:
    """Return whether a complete file has its name: as a second one, or moved there."""
    return not partial.exists() or (target.exists() and target.samefile(partial))


def _refuse_itself(source: Path, target: Path) -> None:
    """Raise Conflict if one of the backup's files is one of the database's, by whatever name."""
    used = [path for each in (source, inbox_path(source)) for path in (each, *companions(each))]
    for path in (target, inbox_path(target)):
        is_used = any(each.absolute() == path.absolute() for each in used)
        with contextlib.suppress(OSError):
            is_used = is_used or any(each.exists() and path.exists() and each.samefile(path) for each in used)
        if is_used:
            raise Conflict(f"{path} is the database itself. Name another file.")

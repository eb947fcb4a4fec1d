"""Begins an empty inbox for a SQLite database whose inbox file is lost, damaged, older, or another database's."""

from __future__ import annotations

import contextlib
import os
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from tracker.clock import Clock, system_clock
from tracker.errors import Conflict, StorageUnavailable
from tracker.store.engine.database import Database, inbox_path
from tracker.store.inbox import inbox_file
from tracker.store.maintenance import file_swap, inspection
from tracker.store.maintenance.inspection import RecordsContents
from tracker.store.maintenance.sqlite_file import Damaged
from tracker.store.schema import upgrade

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class InboxLoss:
    """What is lost with an inbox file."""

    #: why the inbox file cannot be used, as a sentence
    problem: str
    #: callbacks whose requests are lost; what they came to stays in the records
    requests: int
    #: callbacks that were stored and not joined; None if that cannot be known
    unjoined: int | None


def find_inbox_loss(path: Path) -> InboxLoss:
    """Return what a new inbox would lose in the database at `path`; change nothing.

    Raises Conflict if the inbox file is sound, or another process has one of the files open; SchemaMismatch,
    StorageUnavailable.
    """
    with closing(Database(f"sqlite:///{path.absolute()}", has_inbox=False)) as database:
        upgrade.require_schema(database)
    inbox = inbox_path(path)
    for each in (path, inbox):
        file_swap.require_unused(each)
    records = inspection.inspect_records(path)
    problem, unjoined = _find_problem(records, inbox)
    if problem is None:
        raise Conflict(
            f"The inbox file {inbox.absolute()} is sound and belongs to this database. Nothing was changed."
        )
    return InboxLoss(problem=problem, requests=records.counts["callbacks"], unjoined=unjoined)


def begin_new_inbox(path: Path, clock: Clock = system_clock) -> Path | None:
    """Keep the inbox file under a dated name, and begin an empty one behind all positions that the records know.

    Call `find_inbox_loss` first: it raises if this must not be done. A process that is killed in between is run again.
    Returns the name under which the old file is kept, None if there was none. Raises Conflict, StorageUnavailable.
    """
    kept = _set_aside(inbox_path(path), clock())
    with closing(Database(f"sqlite:///{path.absolute()}")) as database:
        inbox_file.renew(database)
    file_swap.copy_owner(inbox_path(path), path)
    log.warning("inbox.renewed", kept=str(kept) if kept else None)
    return kept


def _find_problem(records: RecordsContents, path: Path) -> tuple[str | None, int | None]:
    """Return why the inbox file cannot be used, None if it can, and how many callbacks in it were not joined."""
    name = f"The inbox file {path.absolute()}"
    if not path.exists():
        return f"{name} is missing.", None
    try:
        inbox = inspection.inspect_inbox(path)
    except Damaged as error:
        unjoined = None
        with contextlib.suppress(StorageUnavailable):
            unjoined = inspection.count_callbacks_after(path, records.joined_position)
        return f"{error}.", unjoined
    if inbox.layout > inbox_file.LAYOUT:
        raise Conflict(
            f"{name} has layout {inbox.layout}, and this version of tracker needs {inbox_file.LAYOUT}. Install the "
            "version that made it. Nothing was changed."
        )
    if inbox.layout < inbox_file.LAYOUT:
        return f"{name} has layout {inbox.layout}, and this version needs {inbox_file.LAYOUT}.", None
    problem = inspection.pairing_problem(records, inbox)
    return (f"{name} {problem}." if problem else None), None


def _set_aside(inbox: Path, now: datetime) -> Path | None:
    path = Path(os.path.realpath(inbox))  # a link stays one, and leads to the new file
    if not path.exists():
        return None
    kept = file_swap.dated_name(path, now)
    with file_swap.exclusive_lock(path):
        file_swap.set_aside(path, kept)
    return kept

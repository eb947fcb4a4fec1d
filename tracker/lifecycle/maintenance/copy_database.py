"""Copies a database that is not in use, with everything in it, into an empty one.

The copy is written in one transaction, so it is complete or empty. Before it becomes visible, dialling is paused in the
original, so that nobody is dialled from both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.pause import Pause, PauseReason
from tracker.errors import Conflict
from tracker.store.engine.database import Connection, Database
from tracker.store.maintenance import copy_rows
from tracker.store.maintenance.copy_source import source_transaction
from tracker.store.maintenance.copy_target import CopyTarget, OpenTarget, open_target
from tracker.store.policy import pauses
from tracker.store.queue import heartbeats
from tracker.store.schema import upgrade

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class CopyReport:
    """The rows that were copied, by table."""

    rows: dict[str, int]


def count_all_rows(source: Database) -> int:
    """Return how many rows `copy_database` will copy. Raises StorageUnavailable."""
    return source.read(lambda c: sum(copy_rows.count_rows(c, table) for table in copy_rows.copied_tables()))


def copy_database(
    source: Database,
    target: CopyTarget,
    clock: Clock = system_clock,
    progress: Callable[[int], None] = lambda _: None,
) -> CopyReport:
    """Copy `source` to the empty database `target`, and pause dialling in `source`.

    progress: is called with the number of rows that were copied so far.
    Raises Conflict if one of the two databases is in use, the target is not empty, or a table differs in the end;
    TargetUnavailable if the target cannot be used; StorageUnavailable. Whatever is raised, nothing is left in the
    target, and dialling is paused in the source only if it was.
    """
    _require_this_schema(source, "The database")
    _refuse_workers(source, clock(), "the database")
    with open_target(target, lambda database: _prepare_target(database, clock())) as opened:
        with source_transaction(source) as original:
            rows = _copy_rows(source, original, opened, progress)
            earlier = _replace_pause(original, Pause(since=clock(), why=PauseReason.copied))
        try:
            opened.complete()
        except Exception:
            source.write(lambda c: _replace_pause(c, earlier))
            raise
    log.info("database.copied", rows=rows)
    return CopyReport(rows=rows)


def _copy_rows(
    source: Database, original: Connection, target: OpenTarget, progress: Callable[[int], None]
) -> dict[str, int]:
    """Copy all tables and compare the numbers of their rows; return these by table."""
    copied: dict[str, int] = {}
    for table in copy_rows.copied_tables():
        rows = copy_rows.read_rows(source, original, table)
        rows = copy_rows.report_progress(rows, progress, sum(copied.values()))
        with target.database.translated():
            copy_rows.write_rows(target.connection, table, rows)
            copied[table.name] = copy_rows.count_rows(target.connection, table)
        if (expected := copy_rows.count_rows(original, table)) != copied[table.name]:
            raise Conflict(
                f"The copy has {copied[table.name]} rows in {table.name}, and the original has {expected}. Nothing was "
                "kept of the copy. Run this again, and report it if it happens again."
            )
    inbox_position = copy_rows.newest_inbox_position(original)
    with target.database.translated():
        copy_rows.set_sequences(target.connection, inbox_position)
        if any(p.why is PauseReason.copied for p in pauses.find_pauses(target.connection)):
            _replace_pause(target.connection, None)
    return copied


def _replace_pause(c: Connection, pause: Pause | None) -> Pause | None:
    """Let this pause of all calls stand, or none; return the one that stood."""
    earlier = pauses.delete_pause(c, None, None)
    if pause is not None:
        pauses.insert_pause(c, pause)
    return earlier


def _prepare_target(database: Database, now: datetime) -> None:
    """Create the schema in an empty database."""
    if upgrade.current(database) is None:
        upgrade.upgrade(database)
    _require_this_schema(database, "The target")
    _refuse_workers(database, now, "the target")


def _require_this_schema(database: Database, name: str) -> None:
    """Raise Conflict if another version has made the schema, because what only one of them knows would be left out."""
    if (found := upgrade.current(database)) != upgrade.head():
        raise Conflict(
            f"{name} has schema {found}, and this version copies schema {upgrade.head()} only. Copy with the version "
            "that made it."
        )


def _refuse_workers(database: Database, now: datetime, name: str) -> None:
    """Raise Conflict if a worker is alive. On SQLite the locks of the files tell it, and who has it open besides."""
    if database.is_sqlite:
        return
    if workers := database.read(lambda c: heartbeats.find_workers(c, now)):
        raise Conflict(
            f"A worker works on {name} ({workers[0].id}). Stop every `tracker serve` and `tracker worker` of it, and "
            "run this again."
        )

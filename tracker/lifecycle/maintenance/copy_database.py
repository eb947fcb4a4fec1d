"""Moving into another database: a copy of everything, brought up to date as often as wanted, and checked at the end.

The original is only read. The copy dials nobody before it is complete. Each page is a short transaction on either side,
so whoever is interrupted begins again: what is there and equal is only compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from tracker.clock import Clock, system_clock
from tracker.errors import Conflict
from tracker.store.engine.database import Connection, Database
from tracker.store.maintenance import copy_marker, copy_rows
from tracker.store.maintenance.copy_rows import Contradicts, Copied, Key, Row, Sum
from tracker.store.policy import pauses
from tracker.store.queue import heartbeats
from tracker.store.schema import upgrade

log = structlog.get_logger()


@dataclass(kw_only=True)
class CopyReport:
    """What was done, by table."""

    complete: bool
    #: rows that the original has
    rows: dict[str, int] = field(default_factory=dict)
    #: rows that were written, because they were not there or had changed
    written: int = 0
    #: rows that are no longer in the original
    removed: int = 0
    #: rows that a pass beside running processes had to leave to the next one
    left: int = 0

    def document(self) -> dict[str, Any]:
        return {
            "complete": self.complete, "rows": self.rows, "written": self.written, "removed": self.removed,
            "left": self.left,
        }  # fmt: skip


class DatabaseCopier:
    """Copies `source` to `target`.

    while_running: others may write to the source meanwhile; then the copy is not complete, and waits for a last pass.
    """

    def __init__(
        self,
        source: Database,
        target: Database,
        clock: Clock = system_clock,
        *,
        while_running: bool = False,
    ) -> None:
        self._source, self._target, self._clock = source, target, clock
        self._running = while_running
        self._progress: Callable[[int], None] = lambda _: None
        self._tables = [
            # due work comes and goes: it is for the last pass
            table for table in copy_rows.everything() if not (while_running and table.name == "jobs")
        ]  # fmt: skip
        self._looked_at = 0

    def total(self) -> int:
        """How many rows there are to look at, about."""
        counts = [self._source.read(lambda c: copy_rows.count(c, table)) for table in self._tables]  # noqa: B023
        return sum(counts) * (1 if self._running else 2)

    def report(self, progress: Callable[[int], None]) -> None:
        """Have this told how many rows were looked at so far."""
        self._progress = progress

    def move(self) -> CopyReport:
        """Copy what is not there or has changed, remove what is gone, compare the whole.

        Raises Conflict where somebody works on either side, where the target holds anything but an earlier copy, or
        where the two are not equal at the end; StorageUnavailable.
        """
        with copy_rows.watched(self._source) as changed:
            self._refuse_company()
            upgrade.upgrade(self._target)
            for database in (self._source, self._target):
                _refuse_unknown(database)
            self._refuse_others()
            mark = self._source.read(lambda c: copy_marker.mark_for(c, self._clock(), complete=False))
            self._target.write(lambda c: copy_marker.mark_incomplete(c, mark, self._clock()))
            done = CopyReport(complete=not self._running)
            if not self._running:
                self._remove_what_is_gone(done)
            sums = {table.name: self._copy(table, done) for table in self._tables}
            done.rows = {name: total.rows for name, total in sums.items()}
            if self._running:
                self._target.write(copy_rows.finish)
                return done
            self._compare(sums)
            if changed():
                raise Conflict(
                    "The database was written to meanwhile, so the copy is not complete: stop every `tracker serve` "
                    "and `tracker worker`, and run this again."
                )
            self._complete()
        log.info("database.copied", rows=done.rows, written=done.written, removed=done.removed)
        return done

    def _refuse_company(self) -> None:
        now = self._clock()
        if not self._running and (seen := self._source.read(lambda c: heartbeats.find_workers(c, now))):
            raise Conflict(
                f"A worker works on the database ({seen[0].id}): stop every `tracker serve` and `tracker worker`, or "
                "make a first pass beside them with --while-running."
            )

    def _refuse_others(self) -> None:
        now = self._clock()
        if seen := self._target.read(lambda c: heartbeats.find_workers(c, now)):
            raise Conflict(f"A worker works on the target ({seen[0].id}): stop it, or name another database.")
        mark = self._target.read(copy_marker.mark_of)
        if mark is None:
            if not self._target.read(copy_marker.is_empty):
                raise Conflict(
                    "The target holds calls and is no copy of this database; name an empty database."
                )
            return
        if not self._source.read(lambda c: copy_marker.is_original(c, mark, now)):
            raise Conflict("The target is a copy of another database; name an empty one.")
        stranger = self._target.read(lambda c: copy_marker.find_rows_created_in_copy(c, mark, self._known))
        if stranger is not None:
            raise Conflict(
                f"Somebody has worked on the target since it was copied: it has {stranger}, which this database does "
                "not have and which would be lost; name an empty database, and keep that one for what it alone has."
            )

    def _known(self, table: Any, ids: list[str]) -> set[str]:
        keys = [(id,) for id in ids]
        return {key[0] for key in self._source.read(lambda c: copy_rows.present(c, Copied(table), keys))}

    def _remove_what_is_gone(self, done: CopyReport) -> None:
        for table in reversed(self._tables):
            if table.name == "jobs":  # their numbers are given anew, to other work
                self._target.write(lambda c: copy_rows.clear(c, table))  # noqa: B023
                continue
            last: Key | None = None
            while there := self._target.read(lambda c: copy_rows.keys(c, table, last)):  # noqa: B023
                known = self._source.read(lambda c: copy_rows.present(c, table, there))  # noqa: B023
                if gone := [key for key in there if key not in known]:
                    self._target.write(lambda c: copy_rows.remove(c, table, gone))  # noqa: B023
                    done.removed += len(gone)
                last = there[-1]
                self._progress(self._looked_at)  # no further, but at it

    def _copy(self, table: Copied, done: CopyReport) -> Sum:
        total = Sum()
        empty = not self._target.read(lambda c: copy_rows.keys(c, table, None))
        for rows in copy_rows.pages(self._source, table):
            total.add(rows)
            wanted = rows if empty else self._missing(table, rows)
            try:
                written = self._target.write(lambda c: self._write(c, table, wanted, new=empty))  # noqa: B023
            except Contradicts as error:
                if not self._running:
                    raise Conflict(
                        f"The rows of {table.name} cannot stand beside what is in the target by now: see that nobody "
                        "else writes to it, another `tracker db copy` for one, and run this again."
                    ) from error
                written = 0
            done.written += written
            done.left += len(wanted) - written
            self._looked_at += len(rows)
            self._progress(self._looked_at)
        return total

    def _missing(self, table: Copied, rows: list[Row]) -> list[Row]:
        keys = [table.key(row) for row in rows]
        there = self._target.read(lambda c: copy_rows.found(c, table, keys))
        return [row for row in rows if there.get(table.key(row)) != row]

    def _write(self, c: Connection, table: Copied, rows: list[Row], *, new: bool) -> int:
        if self._running:
            # what came after its parents were copied waits, too
            rows = copy_rows.with_parents(c, table, rows)
        copy_rows.write(c, table, rows, new=new)
        return len(rows)

    def _compare(self, sums: dict[str, Sum]) -> None:
        for table in self._tables:
            there = Sum()
            for rows in copy_rows.pages(self._target, table):
                there.add(rows)
                self._looked_at += len(rows)
                self._progress(self._looked_at)
            if there != sums[table.name]:
                raise Conflict(
                    f"The copy is not equal to the original in {table.name}: {there.rows} rows there, "
                    f"{sums[table.name].rows} here; see that nobody writes to either of them, and run this again."
                )

    def _complete(self) -> None:
        standing = self._source.read(pauses.find_pauses)
        of_all = next((p for p in standing if p.scope == "all"), None)
        mark = self._source.read(lambda c: copy_marker.mark_for(c, self._clock(), complete=True))

        def finish(c: Connection) -> None:
            copy_rows.finish(c)
            copy_marker.mark_complete(c, of_all)
            copy_marker.write_mark(c, mark)

        self._target.write(finish)


def _refuse_unknown(database: Database) -> None:
    """What a newer version has added would be left behind."""
    if (found := upgrade.current(database)) != upgrade.head():
        raise Conflict(
            f"One of the two has schema {found}, and this version knows all of {upgrade.head()} only: copy with the "
            "version that made it."
        )

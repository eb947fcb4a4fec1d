"""Removes what is old and settled, in transactions so short that nothing waits for them, and never what is open."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.clock import Clock, system_clock
from tracker.domain.time_text import iso
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log as inbox_log
from tracker.store.inbox import position, states
from tracker.store.maintenance import prune as old_rows
from tracker.store.maintenance.prune import OldRow

#: seconds that a transaction should take; others have their turn afterwards, for at least as long
_TRANSACTION_S: Final = 0.05
_MIN_PAUSE_S: Final = 0.02
#: seconds for which pages are given back in one transaction; its commit takes longer than that
_GIVE_BACK_S: Final = 0.02
#: rows that a survey reads together
_SURVEY_ROWS: Final = 2_000
#: requests that are removed from the inbox in one transaction
_REMOVED_REQUESTS: Final = 500


@dataclass(kw_only=True)
class Pruned:
    """What was removed, or would be."""

    #: rows by table
    rows: Counter[str] = field(default_factory=Counter)
    #: about how many bytes; only of a survey
    size: int = 0
    #: when the first and the last of the calls changed last
    oldest: datetime | None = None
    newest: datetime | None = None
    #: bytes by which SQLite's files became shorter
    given_back: int = 0

    def add_ages(self, calls: list[OldRow]) -> None:
        """Extend `oldest` and `newest` to these calls."""
        times = [old.at for old in calls] + [at for at in (self.oldest, self.newest) if at]
        self.oldest, self.newest = min(times, default=None), max(times, default=None)

    def document(self) -> dict[str, Any]:
        """Return the rows and the ages as JSON values."""
        return {
            "rows": dict(sorted(self.rows.items())),
            "oldest": iso(self.oldest) if self.oldest else None,
            "newest": iso(self.newest) if self.newest else None,
        }


class BatchSize:
    """How many rows one transaction removes: more if it is quick, fewer if it is slow."""

    def __init__(self, first: int = 50, smallest: int = 25, largest: int = 500) -> None:
        """smallest: if a commit itself takes long, smaller transactions would only be more of them."""
        self.rows = first
        self._smallest, self._largest = smallest, largest

    def adapt(self, took_s: float) -> None:
        """Choose the size of the next transaction after one that took this long."""
        if took_s > _TRANSACTION_S:
            self.rows = max(self._smallest, self.rows // 2)
        elif took_s < _TRANSACTION_S / 2:
            self.rows = min(self._largest, self.rows + self.rows // 4 + 1)


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """Old rows of one kind, in the order of an index."""

    of_calls: bool
    #: a call's status, or a callback's state
    kind: str

    def read(
        self, connection: Connection, before: datetime, after: OldRow | None, limit: int
    ) -> list[OldRow]:
        find = old_rows.old_calls if self.of_calls else old_rows.old_callbacks
        return find(connection, self.kind, before, after, limit)


class Pruner:
    """Removes settled calls, and callbacks of no call, that have not changed for a while."""

    def __init__(
        self, database: Database, clock: Clock = system_clock, batch: BatchSize | None = None
    ) -> None:
        self._database, self._clock = database, clock
        self._batch = batch or BatchSize()

    def survey(self, keep: timedelta, progress: Callable[[int], None] = lambda _: None) -> Pruned:
        """Return what would be removed; read only, in short transactions.

        progress: is called with the number of calls that were found so far. Raises StorageUnavailable.
        """
        before, found = self._clock() - keep, Pruned()
        for stream in _streams():
            last: OldRow | None = None
            while old := self._database.read(
                lambda c: stream.read(c, before, last, _SURVEY_ROWS)  # noqa: B023
            ):
                ids = [row.id for row in old]
                calls, callbacks = (ids, []) if stream.of_calls else ([], ids)
                rows, size = self._database.read(
                    lambda c: old_rows.estimate(c, calls, callbacks)  # noqa: B023
                )
                found.rows += rows
                found.size += size
                if stream.of_calls:
                    found.add_ages(old)
                last = old[-1]
                progress(found.rows["calls"])
        return found

    def prune(self, keep: timedelta, progress: Callable[[int], None] = lambda _: None) -> Pruned:
        """Remove what is old, and give its space back. After an interruption the next run goes on.

        progress: is called with the number of calls that were removed so far. Raises StorageUnavailable.
        """
        before, done = self._clock() - keep, Pruned()
        for stream in _streams():
            last: OldRow | None = None
            while True:
                began = time.monotonic()
                old = self._remove(stream, before, last, done)
                if not old:
                    break
                last = old[-1]
                progress(done.rows["calls"])
                took_s = time.monotonic() - began
                self._batch.adapt(took_s)
                time.sleep(max(_MIN_PAUSE_S, took_s))
        done.given_back = self._give_all_back()
        return done

    def prune_step(self, keep: timedelta) -> Pruned:
        """Remove as much as fits into one transaction, or give back some space; return nothing if all is done."""
        before, done = self._clock() - keep, Pruned()
        for stream in _streams():
            began = time.monotonic()
            if self._remove(stream, before, None, done) and done.rows:
                self._batch.adapt(time.monotonic() - began)
                return done
        done.given_back = self._give_back()
        return done

    def _remove(self, stream: _Stream, before: datetime, last: OldRow | None, done: Pruned) -> list[OldRow]:
        """Remove the next rows of a stream from the records, and their requests from the inbox; return the rows."""
        old = self._database.read(lambda c: stream.read(c, before, last, self._batch.rows))
        if not old:
            return []
        ids = [row.id for row in old]

        def remove(c: Connection) -> Counter[str]:
            states.lock_joining(c)  # before any call, as a joiner does
            if stream.of_calls:
                return old_rows.remove_calls(c, ids, before)
            return old_rows.remove_callbacks(c, ids)

        done.rows += self._database.write(remove)
        self._remove_from_inbox()
        if stream.of_calls:
            done.add_ages(old)
        return old

    def _remove_from_inbox(self) -> None:
        """Remove the requests whose outcomes were removed, also those that a killed process has left."""
        while positions := self._database.read(lambda c: position.planned_removals(c, _REMOVED_REQUESTS)):
            self._database.inbox.write(lambda c: inbox_log.remove(c, positions))
            self._database.write(lambda c: position.finish_removals(c, positions))

    def _give_all_back(self) -> int:
        given_back = 0
        while True:
            began = time.monotonic()
            step = self._give_back()
            if not step:
                return given_back
            given_back += step
            time.sleep(max(_MIN_PAUSE_S, time.monotonic() - began))

    def _give_back(self) -> int:
        """Shorten SQLite's files a little; return by how many bytes. PostgreSQL has its autovacuum."""
        if not self._database.is_sqlite:
            return 0
        return sum(_give_back_pages(database) for database in (self._database, self._database.inbox))


def _give_back_pages(database: Database) -> int:
    pages, size = database.read(old_rows.unused_pages)
    if not pages:
        return 0
    database.write(lambda c: old_rows.give_back(c, _GIVE_BACK_S))
    left, _ = database.read(old_rows.unused_pages)
    return max(0, pages - left) * size


def _streams() -> Iterator[_Stream]:
    """Yield callbacks of no call first, because they are matched with the calls of their time while these exist."""
    for state in old_rows.CALLBACK_STATES:
        yield _Stream(of_calls=False, kind=state)
    for status in old_rows.CALL_STATUSES:
        yield _Stream(of_calls=True, kind=status)

"""Pruning: what is old and over goes, in transactions so short that nobody notices, and never what is open."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.clock import Clock, system_clock
from tracker.domain.time_text import iso
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log as inbox_log
from tracker.store.inbox import position, states
from tracker.store.maintenance import prune as pruning
from tracker.store.maintenance.prune import Old

#: seconds that a transaction is to take; others have their turn in between, for at least as long
_TRANSACTION_S: Final = 0.05
_PAUSE_S: Final = 0.02
_FIRST_BATCH: Final = 50
#: where a commit itself takes long, smaller ones would only be more of them
_SMALLEST_BATCH: Final = 25
_LARGEST_BATCH: Final = 500
#: seconds for which pages are given back in one transaction; its commit takes longer than that
_GIVE_BACK_S: Final = 0.02
#: rows that are looked at together when nothing is removed
_LOOKED_AT: Final = 2_000


@dataclass(kw_only=True)
class Pruned:
    """What was removed, or would be."""

    #: rows by table
    rows: Counter[str] = field(default_factory=Counter)
    #: bytes, about; of a survey
    size: int = 0
    #: when the first and the last of the calls changed last
    oldest: datetime | None = None
    newest: datetime | None = None
    #: bytes by which a SQLite file became shorter
    given_back: int = 0

    def saw(self, calls: list[Old]) -> None:
        moments = [old.at for old in calls] + [at for at in (self.oldest, self.newest) if at]
        self.oldest, self.newest = min(moments, default=None), max(moments, default=None)

    def document(self) -> dict[str, Any]:
        return {
            "rows": dict(sorted(self.rows.items())),
            "oldest": iso(self.oldest) if self.oldest else None,
            "newest": iso(self.newest) if self.newest else None,
        }


class Pruner:
    """Removes what did not change for a while and is over."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database, self._clock = database, clock
        self._batch = _FIRST_BATCH

    def survey(self, keep: timedelta, progress: Callable[[int], None] = lambda _: None) -> Pruned:
        """What would be removed; reads only, in short transactions. Raises StorageUnavailable."""
        before, found = self._clock() - keep, Pruned()
        for find, kinds in ((pruning.old_callbacks, pruning.CALLBACKS), (pruning.old_calls, pruning.CALLS)):
            of_calls = find is pruning.old_calls
            for kind in kinds:
                last: Old | None = None
                while old := self._database.read(
                    lambda c: find(c, kind, before, last, _LOOKED_AT)  # noqa: B023
                ):
                    ids = [o.id for o in old]
                    calls, callbacks = (ids, []) if of_calls else ([], ids)
                    rows, size = self._database.read(
                        lambda c: pruning.estimate(c, calls, callbacks)  # noqa: B023
                    )
                    found.rows += rows
                    found.size += size
                    if of_calls:
                        found.saw(old)
                    last = old[-1]
                    progress(found.rows["calls"])
        return found

    def prune(self, keep: timedelta, progress: Callable[[int], None] = lambda _: None) -> Pruned:
        """Remove it, and give the space back; a process that ends in between has done what it did, and the next one
        goes on. progress: told how many calls were removed so far. Raises StorageUnavailable."""
        before, done = self._clock() - keep, Pruned()
        for of_calls, kind in _streams():
            last: Old | None = None
            while True:
                began = time.monotonic()
                old = self._remove(of_calls, kind, before, last, done)
                if not old:
                    break
                last = old[-1]
                progress(done.rows["calls"])
                self._let_others(began)
        done.given_back = self._give_all_back()
        return done

    def prune_a_little(self, keep: timedelta) -> Pruned:
        """One transaction's worth, or one step of giving back space; nothing in it: there is nothing more to do."""
        before, done = self._clock() - keep, Pruned()
        for of_calls, kind in _streams():
            began = time.monotonic()
            if self._remove(of_calls, kind, before, None, done) and done.rows:
                self._adapt(time.monotonic() - began)
                return done
        done.given_back = self._give_back()
        return done

    def _remove(
        self, of_calls: bool, kind: str, before: datetime, last: Old | None, done: Pruned
    ) -> list[Old]:
        find = pruning.old_calls if of_calls else pruning.old_callbacks
        old = self._database.read(lambda c: find(c, kind, before, last, self._batch))
        if not old:
            return []
        ids = [o.id for o in old]

        def remove(c: Connection) -> Counter[str]:
            states.lock_joining(c)  # before any call, as every joiner does
            return pruning.remove_calls(c, ids, before) if of_calls else pruning.remove_callbacks(c, ids)

        done.rows += self._database.write(remove)
        self._remove_from_inbox()
        if of_calls:
            done.saw(old)
        return old

    def _remove_from_inbox(self) -> None:
        """Remove the requests whose outcomes are removed, also those that a killed process has left."""
        while positions := self._database.read(lambda c: position.planned_removals(c, _LARGEST_BATCH)):
            self._database.inbox.write(lambda c: inbox_log.remove(c, positions))
            self._database.write(lambda c: position.finish_removals(c, positions))

    def _let_others(self, began: float) -> None:
        took = time.monotonic() - began
        self._adapt(took)
        time.sleep(max(_PAUSE_S, took))

    def _adapt(self, took: float) -> None:
        if took > _TRANSACTION_S:
            self._batch = max(_SMALLEST_BATCH, self._batch // 2)
        elif took < _TRANSACTION_S / 2:
            self._batch = min(_LARGEST_BATCH, self._batch + self._batch // 4 + 1)

    def _give_all_back(self) -> int:
        given = 0
        while True:
            began = time.monotonic()
            step = self._give_back()
            if not step:
                return given
            given += step
            time.sleep(max(_PAUSE_S, time.monotonic() - began))

    def _give_back(self) -> int:
        """Some pages of a SQLite file; gives the bytes, 0 where there are none. PostgreSQL has its autovacuum."""
        if not self._database.is_sqlite:
            return 0
        return sum(_give_back_pages(database) for database in (self._database, self._database.inbox))


def _give_back_pages(database: Database) -> int:
    pages, size = database.read(pruning.unused_pages)
    if not pages:
        return 0
    database.write(lambda c: pruning.give_back(c, _GIVE_BACK_S))
    left, _ = database.read(pruning.unused_pages)
    return max(0, pages - left) * size


def _streams() -> list[tuple[bool, str]]:
    """Callbacks of no call first: as long as the calls of their time are there, they are weighed against them."""
    return [(False, state) for state in pruning.CALLBACKS] + [(True, status) for status in pruning.CALLS]

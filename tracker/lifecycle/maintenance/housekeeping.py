"""Keeping the house: what a worker does in the background, a little at a time, so that nothing else waits for it."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.lifecycle.maintenance.prune import Pruner
from tracker.lifecycle.operations.pauses import Pauser
from tracker.store.engine.database import Database

log = structlog.get_logger()

#: seconds between two looks for what became old, and between two looks for work that a pause has left behind
_LOOK_S: Final = 3600.0
_RELEASE_S: Final = 10.0
#: seconds after which a long run tells how far it is
_TELL_S: Final = 300.0


class Housekeeper:
    """keep: how long what is over stays; None: for ever."""

    def __init__(self, database: Database, pauser: Pauser, clock: Clock, keep: timedelta | None) -> None:
        self._pauser, self._keep = pauser, keep
        self._pruner = Pruner(database, clock)
        self._look_at = self._release_at = 0.0
        self._tell_at = 0.0
        self._removed: Counter[str] = Counter()

    def tidy(self) -> None:
        """One small step; to be called again and again, about once a second. Raises StorageUnavailable."""
        now = time.monotonic()
        if now >= self._release_at:
            self._release_at = now + _RELEASE_S
            if released := self._pauser.finish_resuming():
                log.warning("dialling.released", released=released)
        if self._keep is not None and now >= self._look_at:
            self._prune(self._keep, now)

    def _prune(self, keep: timedelta, now: float) -> None:
        done = self._pruner.prune_a_little(keep)
        self._removed += done.rows
        over = not done.rows and not done.given_back
        if over:
            self._look_at = now + _LOOK_S
        if self._removed and (over or now >= self._tell_at):
            log.info("retention.pruned", keep_days=keep.days, rows=dict(sorted(self._removed.items())))
            self._removed.clear()
            self._tell_at = now + _TELL_S

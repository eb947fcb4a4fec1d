"""Tidies the database in the background of a worker, in steps so small that nothing else waits for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.lifecycle.maintenance.prune import Pruner
from tracker.lifecycle.operations.pauses import Pauser
from tracker.store.engine.database import Database

log = structlog.get_logger()

#: seconds between two searches for old rows, and between two for calls that an interrupted resume still holds back
_PRUNE_S: Final = 3600.0
_RELEASE_S: Final = 10.0
#: seconds between two log entries of a long removal
_LOG_S: Final = 300.0


class Housekeeper:
    """Removes what is older than the retention, and finishes what an interrupted resume has left."""

    def __init__(
        self,
        database: Database,
        pauser: Pauser,
        clock: Clock,
        keep: timedelta | None,
        *,
        pruner: Pruner | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """keep: the retention; None keeps everything. monotonic: seconds, between which the steps are due."""
        self._pauser, self._keep, self._monotonic = pauser, keep, monotonic
        self._pruner = pruner or Pruner(database, clock)
        self._prune_at = self._release_at = self._log_at = monotonic()
        self._removed: Counter[str] = Counter()

    def tidy(self) -> None:
        """Do one small step if it is due; call this about once a second. Raises StorageUnavailable."""
        now = self._monotonic()
        if now >= self._release_at:
            self._release_at = now + _RELEASE_S
            if released := self._pauser.finish_resuming():
                log.warning("dialling.released", released=released)
        if self._keep is not None and now >= self._prune_at:
            self._prune(self._keep, now)

    def _prune(self, keep: timedelta, now: float) -> None:
        done = self._pruner.prune_step(keep)
        self._removed += done.rows
        is_finished = not done.rows and not done.given_back
        if is_finished:
            self._prune_at = now + _PRUNE_S
        if self._removed and (is_finished or now >= self._log_at):
            log.info("retention.pruned", keep_days=keep.days, rows=dict(sorted(self._removed.items())))
            self._removed.clear()
            self._log_at = now + _LOG_S

"""The pipeline: while one batch of callbacks is written, a companion works out the next.

For a few callbacks it is not worth a process: it is started when batches are full again and again, and ended when they
have not been for a while. Without it, or when it is lost, all is done here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import monotonic
from typing import Final

import structlog

from tracker.domain.accounts import Account
from tracker.flow import ahead
from tracker.flow.clock import Clock
from tracker.flow.companion import Companion, Lost, code
from tracker.store.database import Database

log = structlog.get_logger()

#: full batches in a row that show that many callbacks come
_FULL: Final = 3
#: seconds without a full batch after which the companion goes
_IDLE_S: Final = 30.0
#: seconds until another one is tried after one was lost
_AGAIN_S: Final = 60.0


class Pipeline:
    """Gives one batch after the other. Used by one thread at a time."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock, *, beside: bool
    ) -> None:
        """beside: use a companion where there is a second processor for it."""
        self._database, self._accounts, self._clock = database, accounts, clock
        self._beside = beside and len(os.sched_getaffinity(0)) > 1
        self._code = code() if self._beside else ""
        self._companion: Companion | None = None
        self._full = 0
        self._full_at = 0.0
        self._not_before = 0.0

    def next(self, most: int) -> ahead.Batch:
        """The oldest pending callbacks, at most so many, that this process does not work on already.

        Each batch is to be written before the next is asked for; what is not written comes again, some time. Raises
        StorageUnavailable.
        """
        batch = self._from_companion(most)
        if batch is None:
            batch = ahead.work_out(self._database, self._accounts, self._clock, most)
        if self._beside:
            self._look_ahead(batch, most)
        return batch

    def close(self) -> None:
        """End the companion, if there is one."""
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.close()

    def _from_companion(self, most: int) -> ahead.Batch | None:
        companion = self._companion
        try:
            if companion is None or not companion.ready:
                return None
            if not companion.asked:
                companion.ask(most, (), self._clock())
            return companion.answer()
        except Lost as error:
            self._give_up(error)
            return None

    def _look_ahead(self, batch: ahead.Batch, most: int) -> None:
        now = monotonic()
        if batch.full:
            self._full, self._full_at = self._full + 1, now
        else:
            self._full = 0
        try:
            if self._companion is None:
                if self._full >= _FULL and now >= self._not_before:
                    self._companion = Companion(self._database, self._accounts, self._code)
            elif now - self._full_at > _IDLE_S:
                self.close()
            elif batch.full and self._companion.ready:
                self._companion.ask(most, batch.ids, self._clock())
        except (Lost, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("companion.lost", error=str(error))
        self._not_before = monotonic() + _AGAIN_S
        self.close()

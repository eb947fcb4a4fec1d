"""The pipeline: while one batch of callbacks is written, piece by piece, a companion works out the next.

For a few callbacks it is not worth a process: it is started when batches are full again and again, and ended when they
have not been for a while. Without it, or when it is lost, all is done here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.domain.accounts import Account
from tracker.lifecycle.joining import prepare
from tracker.lifecycle.joining.fast_path import Prepared
from tracker.lifecycle.joining.parse import ParsedCallback
from tracker.lifecycle.joining.prefetch_process import Companion, Lost, code
from tracker.store.engine.database import Database

log = structlog.get_logger()

#: callbacks in a batch that is worked out here, and in one that is worked out beside: among more, more lie side by side
HERE: Final = 500
BESIDE: Final = 2_000
#: full batches in a row that show that many callbacks come
_FULL: Final = 3
#: pieces of a batch that take so long that the next is worked out meanwhile, full or not
_PIECES: Final = 2
#: seconds without a batch of several pieces after which the companion goes
_IDLE_S: Final = 30.0
#: seconds until another one is tried after one was lost
_AGAIN_S: Final = 60.0


class Pipeline:
    """Gives pieces of batches, one after the other. Used by one thread at a time."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock, *, beside: bool
    ) -> None:
        """beside: use a companion where there is a second processor for it."""
        self._database, self._accounts, self._clock = database, accounts, clock
        self._beside = beside and _processors() > 1
        self._code = code() if self._beside else ""
        self._companion: Companion | None = None
        #: what is left of the batch
        self._prepared: Iterator[Prepared] = iter(())
        self._said: Iterator[ParsedCallback] = iter(())
        self._left = 0
        self._is_full = False
        #: full batches in a row, and when there was last a large one
        self._full, self._many_at = 0, 0.0
        self._not_before = 0.0

    @property
    def more(self) -> bool:
        """Whether more pieces may come at once."""
        return self._left > 0 or self._is_full

    def next(self, straight: int, others: int) -> Prepared | Sequence[ParsedCallback]:
        """The next piece of the oldest pending callbacks: what follows from some that are straight, or what others say;
        of either no more than so many. An empty one where none is pending.

        Each piece is to be written before the next is asked for; what is not written comes again, some time. Raises
        StorageUnavailable.
        """
        if not self._left:
            self._begin(straight)
        piece: Prepared | Sequence[ParsedCallback] | None = next(self._prepared, None)
        if piece is None:
            piece = list(islice(self._said, others))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """End the companion, if there is one."""
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.close()

    def _begin(self, at_once: int) -> None:
        batch = self._from_companion(at_once)
        if batch is None:
            batch = prepare.work_out(self._database, self._accounts, self._question(HERE, at_once))
        self._prepared, self._said = iter(batch.prepared), iter(batch.said)
        self._left, self._is_full = len(batch.ids), batch.full
        if self._beside:
            self._look_ahead(batch, at_once)

    def _question(self, most: int, at_once: int, besides: Sequence[str] = ()) -> prepare.Question:
        return prepare.Question(most, at_once, frozenset(besides))

    def _from_companion(self, at_once: int) -> prepare.Batch | None:
        companion = self._companion
        try:
            if companion is None or not companion.ready:
                return None
            if not companion.asked:
                companion.ask(self._question(BESIDE, at_once))
            return companion.answer()
        except Lost as error:
            self._give_up(error)
            return None

    def _look_ahead(self, batch: prepare.Batch, at_once: int) -> None:
        now = monotonic()
        self._full = self._full + 1 if batch.full else 0
        # after a few pieces there is no rest: whoever comes meanwhile is next
        many = batch.full or len(batch.ids) > _PIECES * at_once
        if many:
            self._many_at = now
        try:
            if self._companion is None:
                if self._full >= _FULL and now >= self._not_before:
                    self._companion = Companion(self._database, self._accounts, self._code)
            elif many and self._companion.ready:
                self._companion.ask(self._question(BESIDE, at_once, batch.ids))
            elif now - self._many_at > _IDLE_S:
                self.close()
        except (Lost, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("companion.lost", error=str(error))
        self._not_before = monotonic() + _AGAIN_S
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.close(at_once=True)


def _processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

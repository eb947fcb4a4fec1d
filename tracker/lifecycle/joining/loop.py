"""Run a joiner until it is told to stop: the loop itself, and a thread around it."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import Final, Protocol

import structlog

from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining.joiner import Joiner

log = structlog.get_logger()

#: pause while the inbox is empty. We poll instead of using NOTIFY: a NOTIFY inside the storing transaction would
#: serialise all commits of PostgreSQL
_IDLE_S: Final = 0.1
#: pause between batches, in which other writers of a SQLite file get its lock; they poll for it every millisecond
_YIELD_S: Final = 0.002
#: pause after an error
_ERROR_S: Final = 1.0
#: how often callbacks of accounts that were not configured before are looked for
_LEFT_PENDING_S: Final = 60.0


def run_joiner(joiner: Joiner, stopping: threading.Event) -> None:
    """Join batch after batch until `stopping` is set; the batch under way is finished. Logs errors and goes on."""
    next_left_pending = 0.0
    while not stopping.is_set():
        try:
            joined = joiner.join_batch()
            if not joined and monotonic() >= next_left_pending:
                next_left_pending = monotonic() + _LEFT_PENDING_S
                while not stopping.is_set() and joiner.join_left_pending():
                    pass
            pause_s = _YIELD_S if joined else _IDLE_S
        except StorageUnavailable as error:
            log.warning("joiner.batch_failed", error=str(error))
            pause_s = _ERROR_S
        except Exception:
            log.exception("joiner.batch_failed")
            pause_s = _ERROR_S
        stopping.wait(pause_s)


class JoinerRunner(Protocol):
    """Something that keeps a joiner running: a thread, or a process of its own."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Return once `stopping` is set and the batch under way is finished."""
        ...


class JoinerThread:
    """Runs a joiner in a thread of this process, where a process of its own would be too much: the demo, and tests."""

    def __init__(self, joiner: Joiner) -> None:
        self._joiner = joiner

    async def run(self, stopping: asyncio.Event) -> None:
        """Join until `stopping` is set."""
        stop = threading.Event()
        joining = asyncio.create_task(asyncio.to_thread(run_joiner, self._joiner, stop))
        try:
            await stopping.wait()
        finally:  # also if this is cancelled: a thread that goes on would keep the process from ending
            stop.set()
        await joining

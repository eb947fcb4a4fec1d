"""Whether a callback could be stored now, found out by storing one and taking it back."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.errors import TrackerError
from tracker.store.engine.database import Database
from tracker.store.read import system_status
from tracker.store.schema import upgrade

log = structlog.get_logger()

_PATIENCE_S: Final = 2.5


class ReadinessProbe:
    """Tries whether a callback can be stored; whoever asks while one is running is told its result."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._running: asyncio.Task[str | None] | None = None

    async def problems(self) -> list[str]:
        """What is wrong, one sentence each. A locked database is not asked again by everybody who wants to know."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(asyncio.to_thread(self._try))
        try:
            found = await asyncio.wait_for(asyncio.shield(self._running), _PATIENCE_S)
        except TimeoutError:
            found = f"the database did not take a write within {_PATIENCE_S} seconds"
        return [found] if found else []

    def _try(self) -> str | None:
        try:
            upgrade.prepare(self._database, create=False)
            system_status.write_probe(self._database, self._clock())
        except TrackerError as error:
            return str(error)
        except Exception as error:
            log.exception("server.trial_failed")
            return f"a callback cannot be stored: {type(error).__name__}; see the log"
        return None

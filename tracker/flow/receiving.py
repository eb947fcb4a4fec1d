"""Receiving: a request is stored, committed, and only then answered.

Requests that arrive while a commit is running share the next one: no timer, no added delay when idle. It understands
nothing of what it stores; `joining` does, afterwards.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.errors import InboxFull, StorageUnavailable
from tracker.flow.clock import Clock, system_clock
from tracker.store import inbox, sending
from tracker.store.counts import count
from tracker.store.database import Database
from tracker.store.quarantine import QUARANTINE_PAUSE

log = structlog.get_logger()

#: requests that may wait for a commit, and bytes of them
QUEUE_ROWS: Final = 5_000
QUEUE_BYTES: Final = 64 * 1024 * 1024
#: what one commit may hold
_BATCH: Final = 1_000
#: seconds between tries to plan the asking for what was missed
_MISSED_PAUSE_S: Final = 1.0
#: seconds between commits of counts
_COUNTS_PAUSE_S: Final = 1.0

_Waiting = tuple[inbox.NewCallback, asyncio.Future[None]]


class Inbox:
    """Stores callbacks in groups. `start` before use, `stop` afterwards; `put` from the event loop only."""

    def __init__(
        self, database: Database, *, stored: Callable[[], None] = lambda: None, clock: Clock = system_clock
    ) -> None:
        """stored: called after each commit, from the writing thread; wakes whoever joins."""
        self._database, self._stored, self._clock = database, stored, clock
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        #: by name and account; and the moment (monotonic) from which on they may be written again
        self._counts: dict[tuple[str, str], int] = {}
        self._counts_due = 0.0
        #: when an account's last request was set aside
        self._aside: dict[str, datetime] = {}
        self._missed: set[str] = set()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Store what waits, then end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def put(self, new: inbox.NewCallback, *, timeout_s: float) -> None:
        """Return when it is committed. Raises StorageUnavailable if it cannot be, or not in time; then it may be
        stored or not. Raises InboxFull at once where too much waits already."""
        assert self._loop is not None
        done: asyncio.Future[None] = self._loop.create_future()
        with self._wake:
            if self._stopping:
                raise StorageUnavailable("The server is stopping; send it again.")
            if len(self._waiting) >= QUEUE_ROWS or self._bytes + _weight(new) > QUEUE_BYTES:
                raise InboxFull
            self._append(new, done)
        try:
            await asyncio.wait_for(done, timeout_s)
        except TimeoutError:
            raise StorageUnavailable("The database did not take it in time; send it again.") from None

    def count(self, name: str, account: str) -> None:
        """Count something that is not kept; written soon."""
        with self._wake:
            self._counts[name, account] = self._counts.get((name, account), 0) + 1
            self._wake.notify()

    def set_aside(self, new: inbox.NewCallback, presented: bytes) -> None:
        """Store a request that was not believed, if there is room, else count it; nobody waits for either."""
        assert self._loop is not None
        with self._wake:
            # half of the queue is for those who are believed, and one of an account's is enough for a second
            full = len(self._waiting) >= QUEUE_ROWS // 2 or self._bytes + _weight(new) > QUEUE_BYTES // 2
            last = self._aside.get(new.account)
            soon = last is not None and timedelta(0) <= new.received_at - last < QUARANTINE_PAUSE
            if not (self._stopping or full or soon):
                self._aside[new.account] = new.received_at
                unheard: asyncio.Future[None] = self._loop.create_future()
                unheard.add_done_callback(lambda done: done.cancelled() or done.exception())
                self._append(replace(new, presented=presented), unheard)
                return
        self.count("quarantined", new.account)

    def missed(self, account: str) -> None:
        """A callback of this account was refused because it could not be stored: once something can be, have the
        provider asked about every open submission."""
        with self._wake:
            self._missed.add(account)
            self._wake.notify()

    @property
    def alive(self) -> bool:
        """Whether anybody stores what is put in."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def depth(self) -> int:
        """How many requests wait for a commit."""
        return len(self._waiting)

    def _append(self, new: inbox.NewCallback, done: asyncio.Future[None]) -> None:
        self._waiting.append((new, done))
        self._bytes += _weight(new)
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._stopping):
                    pause = self._until_counts_are_due() if self._counts else None
                    if pause is not None and pause <= 0:
                        break
                    if not self._wake.wait(_MISSED_PAUSE_S if self._missed else pause):
                        break
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                self._bytes -= sum(_weight(new) for new, _ in batch)
                last = self._stopping and not self._waiting
            # whoever stopped waiting was told 503 and will send again
            self._store([(new, done) for new, done in batch if not done.cancelled()])
            if self._counts and (last or self._until_counts_are_due() <= 0):
                self._store_counts()
            if self._missed:
                self._plan_asking()
            if last:
                return

    def _plan_asking(self) -> None:
        with self._wake:
            accounts, self._missed = self._missed, set()
        try:
            now = self._clock()
            planned = sum(
                self._database.write(lambda c, a=account: sending.ask_about_open(c, a, now))  # type: ignore[misc]
                for account in accounts
            )
            log.info("callbacks.missed", accounts=sorted(accounts), asking_about=planned)
        except StorageUnavailable:
            with self._wake:
                self._missed |= accounts
        except Exception:  # a mistake of ours must not end the thread that stores callbacks
            log.exception("callbacks.not_asked_about", accounts=sorted(accounts))

    def _store(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        try:
            self._database.write(lambda c: inbox.insert(c, [new for new, _ in batch]))
        except StorageUnavailable as error:
            log.warning("callbacks.not_stored", count=len(batch), error=str(error))
            self._tell(batch, error)
        except Exception as error:
            if len(batch) > 1:  # one of them cannot be stored; it costs only itself
                for one in batch:
                    self._store([one])
                return
            log.exception("callback.not_stored")
            self._tell(batch, StorageUnavailable(f"It cannot be stored: {type(error).__name__}"))
        else:
            self._tell(batch, None)
            try:
                self._stored()
            except Exception:  # what others do with it must not end this thread
                log.exception("callbacks.not_told", count=len(batch))

    def _until_counts_are_due(self) -> float:
        return self._counts_due - time.monotonic()

    def _store_counts(self) -> None:
        """Apart from callbacks, which no count may hold up; thousands who are turned away cost one commit a second."""
        with self._wake:
            counts, self._counts = self._counts, {}
        self._counts_due = time.monotonic() + _COUNTS_PAUSE_S
        try:
            self._database.write(lambda c: count(c, counts, self._clock()))
        except StorageUnavailable:
            with self._wake:
                for what, n in counts.items():
                    self._counts[what] = self._counts.get(what, 0) + n
        except Exception:
            log.exception("callbacks.not_counted")

    def _tell(
        self,
        batch: Sequence[_Waiting],
        error: StorageUnavailable | None,
    ) -> None:
        def settle() -> None:
            for _, done in batch:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is closed: nobody waits for the answer any more
            log.warning("callbacks.unanswered", count=len(batch))


def _weight(new: inbox.NewCallback) -> int:
    """The bytes that a waiting request holds, about."""
    return len(new.body) + len(new.path) + len(new.query) + sum(len(k) + len(v) for k, v in new.headers)

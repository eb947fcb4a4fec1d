"""Receiving: a request is stored, committed, and only then answered.

Requests that arrive while a commit is running share the next one: no timer, no added delay when idle. It understands
nothing of what it stores; `joining` does, afterwards.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from tracker.errors import InboxFull, StorageUnavailable
from tracker.flow.clock import Clock, system_clock
from tracker.store import inbox, sending
from tracker.store.database import Connection, Database

log = structlog.get_logger()

#: requests that may wait for a commit, and bytes of them
QUEUE_ROWS: Final = 5_000
QUEUE_BYTES: Final = 64 * 1024 * 1024
#: what one commit may hold
_BATCH: Final = 1_000
#: seconds between tries to plan the asking for what was missed
_MISSED_PAUSE_S: Final = 1.0


class Inbox:
    """Stores callbacks in groups. `start` before use, `stop` afterwards; `put` from the event loop only."""

    def __init__(
        self, database: Database, *, stored: Callable[[], None] = lambda: None, clock: Clock = system_clock
    ) -> None:
        """stored: called after each commit, from the writing thread; wakes whoever joins."""
        self._database, self._stored, self._clock = database, stored, clock
        self._waiting: deque[tuple[inbox.NewCallback, asyncio.Future[None]]] = deque()
        self._bytes = 0
        self._counts: dict[tuple[str, str], int] = {}
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
            if len(self._waiting) >= QUEUE_ROWS or self._bytes + new.size > QUEUE_BYTES:
                raise InboxFull
            self._waiting.append((new, done))
            self._bytes += len(new.body)
            self._wake.notify()
        try:
            await asyncio.wait_for(done, timeout_s)
        except TimeoutError:
            raise StorageUnavailable("The database did not take it in time; send it again.") from None

    def count(self, name: str, account: str) -> None:
        """Count something that is not kept; written with the next commit."""
        with self._wake:
            self._counts[name, account] = self._counts.get((name, account), 0) + 1
            self._wake.notify()

    def set_aside(self, new: inbox.NewCallback, presented: bytes) -> None:
        """Store a request that was not believed, if there is room; nobody waits for it."""
        assert self._loop is not None
        with self._wake:
            # half of the queue is for those who are believed
            full = len(self._waiting) >= QUEUE_ROWS // 2 or self._bytes + len(new.body) > QUEUE_BYTES // 2
            if self._stopping or full:
                self._counts["quarantined", new.account] = (
                    self._counts.get(("quarantined", new.account), 0) + 1
                )
                return
            unheard: asyncio.Future[None] = self._loop.create_future()
            unheard.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._waiting.append((replace(new, presented=presented), unheard))
            self._bytes += len(new.body)
            self._wake.notify()

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

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._counts or self._stopping):
                    if not self._wake.wait(_MISSED_PAUSE_S if self._missed else None):
                        break
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                self._bytes -= sum(len(new.body) for new, _ in batch)
                counts, self._counts = self._counts, {}
                last = self._stopping and not batch and not counts
            # whoever stopped waiting was told 503 and will send again
            self._store([(new, done) for new, done in batch if not done.cancelled()], counts)
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

    def _store(
        self,
        batch: Sequence[tuple[inbox.NewCallback, asyncio.Future[None]]],
        counts: dict[tuple[str, str], int],
    ) -> None:
        if not batch and not counts:
            return
        try:
            self._write([new for new, _ in batch], counts)
        except StorageUnavailable as error:
            log.warning("callbacks.not_stored", count=len(batch), error=str(error))
            self._tell(batch, error)
        except Exception as error:
            if len(batch) > 1:  # one of them cannot be stored; it costs only itself
                for one in batch:
                    self._store([one], {})
                return
            log.exception("callback.not_stored")
            self._tell(batch, StorageUnavailable(f"It cannot be stored: {type(error).__name__}"))
        else:
            self._tell(batch, None)
            self._stored()

    def _write(self, new: Sequence[inbox.NewCallback], counts: dict[tuple[str, str], int]) -> None:
        def work(c: Connection) -> None:
            inbox.insert(c, new)
            if counts:
                inbox.count(c, counts, self._clock())

        self._database.write(work)

    def _tell(
        self,
        batch: Sequence[tuple[inbox.NewCallback, asyncio.Future[None]]],
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

"""Receiving: a request is stored, committed, and only then answered.

Requests that arrive while a commit is running share the next one: no timer, no added delay when idle. It understands
nothing of what it stores; `joining` does, afterwards.

The event loop and the thread that stores meet twice for a batch, however large it is: a bell, and the news that it is
committed. Each has counters of its own, so that neither waits for a lock of the other's.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from tracker.clock import Clock, system_clock
from tracker.errors import InboxFull, StorageUnavailable
from tracker.store.calls import exchanges
from tracker.store.engine.database import Database
from tracker.store.inbox import log as receipts
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.quarantine import QUARANTINE_PAUSE
from tracker.store.queue.counters import add_counts

log = structlog.get_logger()

#: requests that may wait for a commit, and bytes of them
QUEUE_ROWS: Final = 5_000
QUEUE_BYTES: Final = 64 * 1024 * 1024
#: what one commit may hold, beside the first
_BATCH_BYTES: Final = 4 * 1024 * 1024
#: seconds between looks for those who have waited too long
_SWEEP_S: Final = 0.1
#: seconds between tries to plan the asking for what was missed
_MISSED_PAUSE_S: Final = 1.0
#: seconds between commits of counts
_COUNTS_PAUSE_S: Final = 1.0


class CommitListener(Protocol):
    """Whoever is told what became of a request; a future is one. From the event loop only."""

    def done(self) -> bool:
        """Whether that was said already, or nobody waits any more."""
        ...

    def set_result(self, result: None, /) -> None:
        """It is committed."""
        ...

    def set_exception(self, exception: StorageUnavailable, /) -> None:
        """It cannot be stored, or was not in time; then it may be stored or not."""
        ...


_Row = tuple[NewCallback, CommitListener]


class InboxWriter:
    """Stores callbacks in groups. `start` before use, `stop` afterwards; `put` from the event loop only."""

    def __init__(
        self,
        database: Database,
        *,
        stored: Callable[[int], None] = lambda _: None,
        clock: Clock = system_clock,
    ) -> None:
        """stored: called after each commit with how many it had, from the writing thread; wakes whoever joins."""
        self._database, self._stored, self._clock = database, stored, clock
        self._waiting: deque[_Row] = deque()
        self._strangers: deque[NewCallback] = deque()
        #: bytes that were put in, counted by the event loop, and taken out, counted by the thread
        self._bytes_in = self._bytes_out = 0
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._rung = False
        #: who is to be told by when; and whether somebody looks after that
        self._deadlines: list[tuple[float, CommitListener]] = []
        self._sweeping: asyncio.TimerHandle | None = None
        #: when an account's last request was set aside
        self._aside: dict[str, datetime] = {}
        #: how many the commit has that is under way
        self._committing = 0
        self._lock = threading.Lock()
        #: by name and account; and the moment (monotonic) from which on they may be written again
        self._counts: dict[tuple[str, str], int] = {}
        self._counts_due = 0.0
        self._missed: set[str] = set()
        self._missed_due = 0.0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Store what waits, then end."""
        self._stopping = True
        self._ring()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def put(self, new: NewCallback, *, timeout_s: float) -> None:
        """Return when it is committed. Raises StorageUnavailable if it cannot be, or not in time; then it may be
        stored or not. Raises InboxFull at once where too much waits already."""
        assert self._loop is not None
        done = self._loop.create_future()
        self.give(new, done, timeout_s=timeout_s)
        await done

    def give(self, new: NewCallback, waiting: CommitListener, *, timeout_s: float) -> None:
        """The same for who has no coroutine: `waiting` is told. Raises StorageUnavailable and InboxFull at once."""
        loop = self._loop
        assert loop is not None
        if self._stopping:
            raise StorageUnavailable("The server is stopping; send it again.")
        weight = _weight(new)
        if len(self._waiting) >= QUEUE_ROWS or self._bytes + weight > QUEUE_BYTES:
            raise InboxFull
        self._bytes_in += weight
        self._waiting.append((new, waiting))
        self._deadlines.append((loop.time() + timeout_s, waiting))
        if self._sweeping is None or timeout_s < _SWEEP_S:
            self._sweep_within(min(timeout_s, _SWEEP_S))
        if not self._rung:
            # not at once: what is ready to be put in together shall be stored together
            self._rung = True
            loop.call_soon(self._bell.put, None)

    def count(self, name: str, account: str) -> None:
        """Count something that is not kept; written soon."""
        with self._lock:
            self._counts[name, account] = self._counts.get((name, account), 0) + 1
        self._ring()

    def set_aside(self, new: NewCallback, presented: bytes) -> None:
        """Store a request that was not believed, if there is room, else count it; nobody waits for either."""
        # half of the queue is for those who are believed, and one of an account's is enough for a second
        full = self.depth >= QUEUE_ROWS // 2 or self._bytes + _weight(new) > QUEUE_BYTES // 2
        last = self._aside.get(new.account)
        soon = last is not None and timedelta(0) <= new.received_at - last < QUARANTINE_PAUSE
        if self._stopping or full or soon:
            self.count("quarantined", new.account)
            return
        self._aside[new.account] = new.received_at
        self._bytes_in += _weight(new)
        self._strangers.append(new._replace(presented=presented))
        self._ring()

    def missed(self, account: str) -> None:
        """A callback of this account was refused because it could not be stored: once something can be, have the
        provider asked about every open submission."""
        with self._lock:
            self._missed.add(account)
        self._ring()

    @property
    def alive(self) -> bool:
        """Whether anybody stores what is put in."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def depth(self) -> int:
        """How many requests wait for a commit."""
        return len(self._waiting) + len(self._strangers)

    @property
    def crowd(self) -> int:
        """How many callbacks are on their way to the disk: they wait for a commit, or are in one."""
        return len(self._waiting) + self._committing

    @property
    def _bytes(self) -> int:
        return self._bytes_in - self._bytes_out

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    # the event loop's part

    def _sweep_within(self, seconds: float) -> None:
        assert self._loop is not None
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = self._loop.call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Tell those who have waited too long; whoever is told so is not stored, unless that has begun."""
        assert self._loop is not None
        now = self._loop.time()
        left, late = [], []
        for deadline, waiting in self._deadlines:
            if waiting.done():
                continue
            if deadline <= now:
                late.append(waiting)
            else:
                left.append((deadline, waiting))
        self._deadlines = left
        self._sweeping = None
        if left:
            self._sweep_within(_SWEEP_S)
        _notify(late, StorageUnavailable("The database did not take it in time; send it again."))

    def _settle(self, batch: Sequence[_Row], error: StorageUnavailable | None) -> None:
        _notify([waiting for _, waiting in batch], error)

    # the thread's part

    def _run(self) -> None:
        while True:
            if not (self._waiting or self._strangers or self._stopping):
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=self._until_something_is_due())
            self._rung = False  # before looking: whoever comes after the look rings again
            last = self._stopping and not (self._waiting or self._strangers)
            batch = self._next_batch()
            self._committing = len(batch)
            self._store(batch)
            self._committing = 0
            self._store_strangers()
            now = time.monotonic()
            if self._counts and (last or self._counts_due <= now):
                self._store_counts()
            if self._missed and (last or self._missed_due <= now):
                self._plan_asking()
            if last:
                return

    def _until_something_is_due(self) -> float | None:
        """Seconds; None where nothing will be."""
        due = [self._counts_due] if self._counts else []
        if self._missed:
            due.append(self._missed_due)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _next_batch(self) -> list[_Row]:
        batch: list[_Row] = []
        size = 0
        while self._waiting and len(batch) < receipts.MOST_ROWS and size < _BATCH_BYTES:
            new, waiting = self._waiting.popleft()
            size += _weight(new)
            # whoever waits no more was told 503 and will send again
            if not waiting.done():
                batch.append((new, waiting))
        self._bytes_out += size
        return batch

    def _store(self, batch: Sequence[_Row]) -> None:
        if not batch:
            return
        try:
            receipts.store(self._database, [new for new, _ in batch])
        except StorageUnavailable as error:
            log.warning("callbacks.not_stored", count=len(batch), error=str(error))
            self._tell(batch, error)
        except Exception as error:
            if len(batch) > 1:  # one of them cannot be stored; it costs only itself
                half = len(batch) // 2
                self._store(batch[:half])
                self._store(batch[half:])
                return
            log.exception("callback.not_stored")
            self._tell(batch, StorageUnavailable(f"It cannot be stored: {type(error).__name__}"))
        else:
            self._tell(batch, None)
            try:
                self._stored(len(batch))
            except Exception:  # what others do with it must not end this thread
                log.exception("callbacks.not_told", count=len(batch))

    def _tell(self, batch: Sequence[_Row], error: StorageUnavailable | None) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._settle, batch, error)
        except RuntimeError:  # the loop is closed: nobody waits for the answer any more
            log.warning("callbacks.unanswered", count=len(batch))

    def _store_strangers(self) -> None:
        """Apart from callbacks, which no stranger may hold up."""
        aside = []
        while self._strangers:
            aside.append(self._strangers.popleft())
            self._bytes_out += _weight(aside[-1])
        if not aside:
            return
        try:
            self._database.write(lambda c: receipts.insert(c, aside))
        except StorageUnavailable as error:
            log.warning("callbacks.not_set_aside", count=len(aside), error=str(error))
        except Exception:
            log.exception("callbacks.not_set_aside", count=len(aside))

    def _store_counts(self) -> None:
        """Apart from callbacks, which no count may hold up; thousands who are turned away cost one commit a second."""
        with self._lock:
            counts, self._counts = self._counts, {}
        self._counts_due = time.monotonic() + _COUNTS_PAUSE_S
        try:
            self._database.write(lambda c: add_counts(c, counts, self._clock()))
        except StorageUnavailable:
            with self._lock:
                for what, n in counts.items():
                    self._counts[what] = self._counts.get(what, 0) + n
        except Exception:
            log.exception("callbacks.not_counted")

    def _plan_asking(self) -> None:
        with self._lock:
            accounts, self._missed = self._missed, set()
        self._missed_due = time.monotonic() + _MISSED_PAUSE_S
        try:
            now = self._clock()
            planned = sum(
                self._database.write(lambda c, a=account: exchanges.ask_about_open(c, a, now))  # type: ignore[misc]
                for account in accounts
            )
            log.info("callbacks.missed", accounts=sorted(accounts), asking_about=planned)
        except StorageUnavailable:
            with self._lock:
                self._missed |= accounts
        except Exception:  # a mistake of ours must not end the thread that stores callbacks
            log.exception("callbacks.not_asked_about", accounts=sorted(accounts))


def _notify(to: Sequence[CommitListener], error: StorageUnavailable | None) -> None:
    """Tell each what became of its request. One that cannot be told, for its sender is gone, costs only itself."""
    untold, why = 0, ""
    for waiting in to:
        if waiting.done():
            continue
        try:
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)
        except Exception as trouble:
            untold, why = untold + 1, f"{type(trouble).__name__}: {trouble}"
    if untold:  # once, however many: senders can bring this about as often as they like
        log.warning("callbacks.unanswered", count=untold, error=why)


def _weight(new: NewCallback) -> int:
    """The bytes that a waiting request holds, about."""
    return len(new.body) + len(new.path) + len(new.query) + len(new.headers)

"""Store received requests in groups: a request is answered only after the commit that stores it.

Requests that arrive while a commit is running share the next one (group commit): no timer, and no added delay when
idle. The writer understands nothing of what it stores.

The event loop and the writer thread synchronise twice per batch, whatever its size: a wake-up, and the commit
notification. Each has counters of its own, so that neither waits for a lock of the other.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from tracker.clock import Clock, system_clock
from tracker.errors import InboxFull, StorageUnavailable
from tracker.lifecycle.receiving.refusals import Refusals
from tracker.store.engine.database import Database
from tracker.store.inbox import log as inbox_log
from tracker.store.inbox.log import NewCallback

log = structlog.get_logger()

#: requests that may wait for a commit, and bytes of them
QUEUE_ROWS: Final = 5_000
QUEUE_BYTES: Final = 64 * 1024 * 1024
#: bytes of one commit, beside its first request
_BATCH_BYTES: Final = 4 * 1024 * 1024
#: seconds between looks for requests that have waited too long
_SWEEP_S: Final = 0.1


class CommitListener(Protocol):
    """Something to be notified of what became of a request, such as a future. Used on the event loop only."""

    def done(self) -> bool:
        """Return whether it was notified already, or nothing waits any more."""
        ...

    def set_result(self, result: None, /) -> None:
        """The request is committed."""
        ...

    def set_exception(self, exception: StorageUnavailable, /) -> None:
        """The request cannot be stored, or was not stored in time; in the second case it may be stored all the same."""
        ...


_Row = tuple[NewCallback, CommitListener]


class InboxWriter:
    """Stores callbacks in groups. `start` it before use and `stop` it afterwards; call `submit` on the event loop."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database = database
        #: records the requests that are not stored; started and stopped together with the writer
        self.refusals = Refusals(database, clock)
        self._waiting: deque[_Row] = deque()
        #: bytes that were put in, counted by the event loop, and taken out, counted by the thread
        self._bytes_in = self._bytes_out = 0
        self._wakeup: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._wakeup_sent = False
        #: listeners with the time by which they are to be notified, and the timer that looks for late ones
        self._deadlines: list[tuple[float, CommitListener]] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the writer thread for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()
        self.refusals.start()

    async def stop(self) -> None:
        """Store what waits, then end."""
        self._stopping = True
        self._wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self.refusals.stop()

    async def submit(self, new: NewCallback, *, timeout_s: float) -> None:
        """Return when the request is committed.

        Raises StorageUnavailable if it cannot be stored, or not in time; in the second case it may be stored all the
        same. Raises InboxFull at once if too much waits already.
        """
        assert self._loop is not None
        committed = self._loop.create_future()
        self.submit_nowait(new, committed, timeout_s=timeout_s)
        await committed

    def submit_nowait(self, new: NewCallback, listener: CommitListener, *, timeout_s: float) -> None:
        """Queue the request and return; `listener` is notified. Raises StorageUnavailable and InboxFull at once."""
        loop = self._loop
        assert loop is not None
        if self._stopping:
            raise StorageUnavailable("The server is stopping; send it again.")
        size = _size(new)
        if len(self._waiting) >= QUEUE_ROWS or self.queued_bytes + size > QUEUE_BYTES:
            raise InboxFull
        self._bytes_in += size
        self._waiting.append((new, listener))
        self._deadlines.append((loop.time() + timeout_s, listener))
        if self._sweeping is None or timeout_s < _SWEEP_S:
            self._sweep_within(min(timeout_s, _SWEEP_S))
        if not self._wakeup_sent:
            # not at once: requests that are ready together are stored together
            self._wakeup_sent = True
            loop.call_soon(self._wakeup.put, None)

    @property
    def is_alive(self) -> bool:
        """Whether the writer thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def queued(self) -> int:
        """How many requests wait for a commit."""
        return len(self._waiting)

    @property
    def queued_bytes(self) -> int:
        """How many bytes of requests wait for a commit."""
        return self._bytes_in - self._bytes_out

    def _wake(self) -> None:
        if not self._wakeup_sent:
            self._wakeup_sent = True
            self._wakeup.put(None)

    # on the event loop

    def _sweep_within(self, seconds: float) -> None:
        assert self._loop is not None
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = self._loop.call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Notify listeners that have waited too long; their requests are not stored unless that has begun."""
        assert self._loop is not None
        now = self._loop.time()
        in_time, late = [], []
        for deadline, listener in self._deadlines:
            if listener.done():
                continue
            if deadline <= now:
                late.append(listener)
            else:
                in_time.append((deadline, listener))
        self._deadlines = in_time
        self._sweeping = None
        if in_time:
            self._sweep_within(_SWEEP_S)
        _notify(late, StorageUnavailable("The database did not take it in time; send it again."))

    # on the writer thread

    def _run(self) -> None:
        while True:
            if not (self._waiting or self._stopping):
                self._wakeup.get()
            self._wakeup_sent = False  # before looking: a request that comes after the look wakes again
            is_last = self._stopping and not self._waiting
            self._store(self._next_batch())
            if is_last:
                return

    def _next_batch(self) -> list[_Row]:
        batch: list[_Row] = []
        size = 0
        while self._waiting and len(batch) < inbox_log.MOST_ROWS and size < _BATCH_BYTES:
            new, listener = self._waiting.popleft()
            size += _size(new)
            # a listener that is done was answered 503, and its provider sends the callback again
            if not listener.done():
                batch.append((new, listener))
        self._bytes_out += size
        return batch

    def _store(self, batch: Sequence[_Row]) -> None:
        if not batch:
            return
        try:
            inbox_log.append(self._database, [new for new, _ in batch])
        except StorageUnavailable as error:
            log.warning("inbox.append_failed", count=len(batch), error=str(error))
            self._settle(batch, error)
        except Exception as error:
            if len(batch) > 1:  # one of them cannot be stored; it costs only itself
                half = len(batch) // 2
                self._store(batch[:half])
                self._store(batch[half:])
                return
            log.exception("inbox.append_failed", callback=batch[0][0].id)
            self._settle(batch, StorageUnavailable(f"It cannot be stored: {type(error).__name__}"))
        else:
            self._settle(batch, None)

    def _settle(self, batch: Sequence[_Row], error: StorageUnavailable | None) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_notify, [listener for _, listener in batch], error)
        except RuntimeError:  # the loop is closed: nothing waits for the answer any more
            log.warning("inbox.notify_failed", count=len(batch))


def _notify(listeners: Sequence[CommitListener], error: StorageUnavailable | None) -> None:
    """Notify each listener. One that fails, because its client is gone, costs only itself."""
    failed, cause = 0, ""
    for listener in listeners:
        if listener.done():
            continue
        try:
            if error is None:
                listener.set_result(None)
            else:
                listener.set_exception(error)
        except Exception as trouble:
            failed, cause = failed + 1, f"{type(trouble).__name__}: {trouble}"
    if failed:  # one line, however many: clients can bring this about as often as they like
        log.warning("inbox.notify_failed", count=failed, error=cause)


def _size(new: NewCallback) -> int:
    """Return about how many bytes a waiting request holds."""
    return len(new.body) + len(new.path) + len(new.query) + len(new.headers)

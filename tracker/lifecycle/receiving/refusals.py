"""Record what becomes of callbacks that are not stored: the quarantine, counts, and polls after a failed commit.

This is apart from the inbox writer, so that no stranger and no count ever holds up a callback.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.errors import StorageUnavailable
from tracker.store.calls import exchanges
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log as inbox_log
from tracker.store.inbox import position
from tracker.store.inbox.log import NewCallback
from tracker.store.inbox.quarantine import QUARANTINE_PAUSE, Room, room_of
from tracker.store.queue.counters import add_counts
from tracker.store.queue.keyed_digests import keyed_digest

log = structlog.get_logger()

#: pause between two rounds: however many requests are refused, they cost one commit a second
_ROUND_S: Final = 1.0
#: requests that wait for the quarantine; one a second and account is kept anyway
_MOST_WAITING: Final = 100


class Refusals:
    """Records refused requests in the background. `start` before use, `stop` afterwards; the rest from any thread."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._wakeup, self._stopping = threading.Event(), threading.Event()
        #: requests for the quarantine, each with the secret that it presented
        self._quarantine: deque[tuple[NewCallback, bytes]] = deque()
        #: when each account's last request was put there
        self._quarantined_at: dict[str, datetime] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._unstored: set[str] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Write what is left, then end."""
        self._stopping.set()
        self._wakeup.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def count(self, name: str, account: str) -> None:
        """Count a request that is not kept."""
        with self._lock:
            self._counts[name, account] = self._counts.get((name, account), 0) + 1
        self._wakeup.set()

    def quarantine(self, new: NewCallback, presented: bytes) -> None:
        """Keep a request that was not authenticated, at most one a second and account; count the others.

        presented: the secret that it carried; only a keyed digest of it is stored.
        """
        with self._lock:
            last = self._quarantined_at.get(new.account)
            too_soon = last is not None and timedelta(0) <= new.received_at - last < QUARANTINE_PAUSE
            is_kept = not too_soon and len(self._quarantine) < _MOST_WAITING
            if is_kept:
                self._quarantined_at[new.account] = new.received_at
                self._quarantine.append((new, presented))
        if is_kept:
            self._wakeup.set()
        else:
            self.count("quarantined", new.account)

    def note_unstored(self, account: str) -> None:
        """Note that a callback of this account was answered 503: its open submissions are then polled."""
        with self._lock:
            self._unstored.add(account)
        self._wakeup.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakeup.wait()
            self._wakeup.clear()
            self._write_all()
            self._stopping.wait(_ROUND_S)
        self._write_all()

    def _write_all(self) -> None:
        for step in (self._store_quarantine, self._write_counts, self._plan_polls):
            try:
                step()
            except StorageUnavailable as error:
                log.warning("refusals.write_failed", step=step.__name__, error=str(error))
            except Exception:  # our own mistake must not end the thread
                log.exception("refusals.write_failed", step=step.__name__)

    def _store_quarantine(self) -> None:
        rooms: dict[str, Room] = {}
        kept: list[NewCallback] = []
        while self._quarantine:
            new, presented = self._quarantine.popleft()
            room = rooms.get(new.account) or rooms.setdefault(new.account, self._room(new.account))
            if room.take(new.received_at):
                kept.append(new._replace(fingerprint=self._fingerprint(presented)))
            else:
                self.count("quarantined", new.account)
        inbox_log.append(self._database, kept)

    def _room(self, account: str) -> Room:
        """Return the room of an account's quarantine; what the joiner has not read counts as if it were all there."""
        joined, room = self._database.read(lambda c: (position.joined_position(c), room_of(c, account)))
        unread = self._database.inbox.read(lambda c: inbox_log.count_after(c, joined))
        return Room(room.held + unread, room.last)

    def _fingerprint(self, presented: bytes) -> str | None:
        return self._database.write(lambda c: keyed_digest(c, presented)) if presented else None

    def _write_counts(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        try:
            if counts:
                self._database.write(lambda c: add_counts(c, counts, self._clock()))
        except StorageUnavailable:
            with self._lock:
                for name, count in counts.items():
                    self._counts[name] = self._counts.get(name, 0) + count
            self._wakeup.set()
            raise

    def _plan_polls(self) -> None:
        """Have the provider asked about every open submission of an account whose callback was not stored."""
        with self._lock:
            accounts, self._unstored = self._unstored, set()
        try:
            if accounts:
                planned = self._database.write(lambda c: self._plan_polls_of(c, accounts))
                log.info("polls.planned", accounts=sorted(accounts), count=planned)
        except StorageUnavailable:
            for account in accounts:
                self.note_unstored(account)
            raise

    def _plan_polls_of(self, c: Connection, accounts: Collection[str]) -> int:
        now = self._clock()
        return sum(exchanges.ask_about_open(c, account, now) for account in sorted(accounts))

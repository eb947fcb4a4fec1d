"""Two or more who use one PostgreSQL database, steered statement by statement: each stops where a test says, until it
may go on. To the database they are processes of their own: each has its own connections and its own transactions.

The seams are at the driver, before every statement and every commit, so they are there whatever the program does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

from tracker.store.engine.database import Database

#: a net under what hangs
_HANGS_S = 30.0


class Steered:
    """A database as one of them sees it. `stop_before(n)`: the n-th statement or commit from now on waits for `go`."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._passed = 0
        self._stop_at: int | None = None
        self._stopped, self._go = threading.Event(), threading.Event()
        self._backends: set[int] = set()
        self._actor: threading.Thread | None = None
        self.error: BaseException | None = None
        steered = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, *args: Any, **more: Any) -> Any:
                steered._gate()
                return super().execute(*args, **more)

            def executemany(self, *args: Any, **more: Any) -> None:
                steered._gate()
                super().executemany(*args, **more)

        @event.listens_for(self.database.engine, "connect")
        def connected(connection: Any, _record: object) -> None:
            self._backends.add(connection.info.backend_pid)
            connection.cursor_factory = Cursor
            commit = connection.commit

            def gated_commit() -> None:
                self._gate()
                commit()

            connection.commit = gated_commit

    def close(self) -> None:
        self.database.close()

    def count(self, work: Callable[[], object]) -> int:
        """Do it unhindered; gives before how many statements and commits it could have been stopped."""
        before = self._passed
        work()
        return self._passed - before

    def start(self, work: Callable[[], object], *, stop_before: int | None = None) -> None:
        """Do it in a thread; `until_halted` comes back when it has stopped there, waits for somebody, or is done."""
        self.error = None
        self._stopped.clear()
        self._go.clear()
        self._passed, self._stop_at = 0, stop_before

        def run() -> None:
            try:
                work()
            except BaseException as error:  # whoever asks is told by `finish`
                self.error = error

        self._actor = threading.Thread(target=run, daemon=True)
        self._actor.start()

    def until_halted(self, admin: psycopg.Connection) -> None:
        assert self._actor is not None
        until = time.monotonic() + _HANGS_S
        while self._actor.is_alive() and not self._stopped.is_set() and not self._waits(admin):
            assert time.monotonic() < until, "it neither stops nor goes on"
            self._actor.join(0.001)

    def go(self) -> None:
        self._stop_at = None
        self._go.set()

    def finish(self) -> BaseException | None:
        """It goes on to its end; gives what it raised."""
        self.go()
        assert self._actor is not None
        self._actor.join(_HANGS_S)
        assert not self._actor.is_alive()
        return self.error

    def crash(self, admin: psycopg.Connection) -> BaseException | None:
        """Its connections end, as those of a process that was killed; then it can do nothing any more."""
        for backend in self._backends:
            admin.execute("select pg_terminate_backend(%s)", [backend])
        self._backends.clear()
        return self.finish()

    def _waits(self, admin: psycopg.Connection) -> bool:
        """Whether it waits for a lock that somebody else holds."""
        query = "select 1 from pg_stat_activity where pid = any(%s) and wait_event_type = 'Lock'"
        return admin.execute(query, [list(self._backends)]).fetchone() is not None

    def _gate(self) -> None:
        if self._actor is not None and threading.current_thread() is self._actor:
            if self._passed == self._stop_at:
                self._stopped.set()
                assert self._go.wait(_HANGS_S)
            self._passed += 1
        elif self._actor is None:
            self._passed += 1


def admin_of(url: str) -> psycopg.Connection:
    """A connection that stands beside them all."""
    return psycopg.connect(
        sa.make_url(url).set(drivername="postgresql").render_as_string(False), autocommit=True
    )

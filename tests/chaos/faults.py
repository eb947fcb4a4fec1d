"""The faults of a chaos run: each happens, lasts for a while, and is mended again."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

import psycopg

from tests.chaos.fleet import Fleet
from tests.postgres_server import ObedientServer

ON_BOTH = ("kill", "kill", "kill", "kill all", "terminate", "hold")
ON_SQLITE = ("lock", "full disk")
ON_POSTGRESQL = ("stop the database", "crash the database", "kill a backend", "cut connections")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens, to which process, for how long, and how long it is quiet before."""

    what: str
    quiet_s: float
    target: float
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.what} for {self.lasts_s:.1f} s"


def schedule(seed: int, *, sqlite: bool) -> Iterator[Fault]:
    """The faults of this seed, one after the other, without end."""
    chance = Random(f"faults/{seed}")
    kinds = ON_BOTH + (ON_SQLITE if sqlite else ON_POSTGRESQL)
    while True:
        # most are short; some are longer than a lease, or than anybody waits for a lock
        lasts_s = chance.choice([0.0, 0.3, 1.0, 2.0, 4.0, 8.0])
        yield Fault(
            what=chance.choice(kinds),
            quiet_s=chance.uniform(0.2, 2.0),
            target=chance.random(),
            lasts_s=lasts_s,
        )


class Faults:
    """Brings faults over a fleet and its database.

    server: where the database is PostgreSQL's, its server, which must be one of our own.
    """

    def __init__(self, fleet: Fleet, database_url: str, server: ObedientServer | None) -> None:
        self._fleet, self._url, self._server = fleet, database_url, server
        self._kinds: dict[str, Callable[[Fault], list[str]]] = {
            "kill": self._kill, "kill all": self._kill_all, "terminate": self._terminate, "hold": self._hold,
            "lock": self._lock, "full disk": self._full_disk, "stop the database": self._stop_database,
            "crash the database": self._crash_database, "kill a backend": self._kill_backend,
            "cut connections": self._cut_connections,
        }  # fmt: skip

    def bring(self, fault: Fault) -> list[str]:
        """Let it happen and mend it; gives what went otherwise than it has to."""
        broken = self._kinds[fault.what](fault)
        return broken + self._fleet.repair()

    def _target(self, fault: Fault) -> int:
        running = self._fleet.running
        return running[int(fault.target * len(running))]

    def _kill(self, fault: Fault) -> list[str]:
        self._fleet.kill(self._target(fault))
        time.sleep(fault.lasts_s)
        return []

    def _kill_all(self, fault: Fault) -> list[str]:
        for n in self._fleet.running:
            self._fleet.kill(n)
        time.sleep(fault.lasts_s / 4)
        return []

    def _terminate(self, fault: Fault) -> list[str]:
        target = self._target(fault)
        status = self._fleet.terminate(target)
        return [] if status == 0 else [f"{self._fleet.name(target)} ended with {status} after SIGTERM"]

    def _hold(self, fault: Fault) -> list[str]:
        """Now and then for longer than its leases, so that others take over and it comes back."""
        target = self._target(fault)
        self._fleet.hold(target)
        time.sleep(fault.lasts_s if fault.lasts_s < 8 else 18)
        self._fleet.release(target)
        return []

    def _lock(self, fault: Fault) -> list[str]:
        file = urlsplit(self._url).path.removeprefix("/")
        with closing(sqlite3.connect(f"/{file.lstrip('/')}", isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(fault.lasts_s)
            other.execute("ROLLBACK")
        return []

    def _full_disk(self, fault: Fault) -> list[str]:
        for n in self._fleet.running:
            self._fleet.fill_disk(n, 0 if fault.target < 0.5 else 200_000)
        time.sleep(fault.lasts_s)
        for n in self._fleet.running:
            self._fleet.empty_disk(n)
        return []

    def _stop_database(self, fault: Fault) -> list[str]:
        return self._database_away(fault, crash=False)

    def _crash_database(self, fault: Fault) -> list[str]:
        return self._database_away(fault, crash=True)

    def _database_away(self, fault: Fault, *, crash: bool) -> list[str]:
        assert self._server is not None
        self._server.down(crash=crash)
        time.sleep(fault.lasts_s)
        self._server.up()
        return []

    def _kill_backend(self, fault: Fault) -> list[str]:
        """The server throws away all that it remembers, and recovers from its log."""
        with self._admin() as admin:
            found = admin.execute(
                "select pid from pg_stat_activity where datname = %s order by pid", [self._name]
            ).fetchall()
        if found:
            os.kill(found[int(fault.target * len(found))][0], signal.SIGKILL)
        assert self._server is not None
        time.sleep(0.2)
        self._server.wait_until_up()
        return []

    def _cut_connections(self, fault: Fault) -> list[str]:
        until = time.monotonic() + fault.lasts_s
        while True:
            with self._admin() as admin:
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [self._name]
                )
            if time.monotonic() >= until:
                return []
            time.sleep(0.1)

    @property
    def _name(self) -> str:
        return self._url.rpartition("/")[2]

    @contextmanager
    def _admin(self) -> Iterator[psycopg.Connection]:
        assert self._server is not None
        with psycopg.connect(self._server.url, autocommit=True, connect_timeout=10) as admin:
            yield admin

"""The processes of a chaos run: some may be killed, stopped or held up, and are brought back afterwards."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Sequence

from tests.processes import Process, Processes, Server


class Fleet:
    """Servers and workers over one database. Made running.

    servers, workers: the flags of each process. What is down is not among `urls`.
    """

    def __init__(
        self, processes: Processes, *, servers: Sequence[Sequence[str]], workers: Sequence[Sequence[str]] = ()
    ) -> None:
        self._processes = processes
        self._mutex = threading.Lock()
        self._flags = [("serve", tuple(flags)) for flags in servers] + [
            ("worker", tuple(flags)) for flags in workers
        ]
        self._members: list[Process | None] = [None] * len(self._flags)
        self.starts = 0
        self.repair()

    def __len__(self) -> int:
        return len(self._flags)

    def urls(self) -> list[str]:
        """Where the servers are that should be there now."""
        with self._mutex:
            return [member.url for member in self._members if isinstance(member, Server)]

    def name(self, n: int) -> str:
        return f"{self._flags[n][0]} {n + 1}"

    def pid(self, n: int) -> int:
        member = self._members[n]
        assert member is not None
        return member.pid

    @property
    def running(self) -> list[int]:
        return [n for n, member in enumerate(self._members) if member is not None]

    def kill(self, n: int) -> None:
        """`kill -9`."""
        if member := self._remove(n):
            member.kill()

    def terminate(self, n: int) -> int | None:
        """SIGTERM; gives its exit status when it has ended. Until then it answers those who are connected."""
        member = self._remove(n)
        return member.terminate() if member else None

    def hold(self, n: int) -> None:
        """It stands still, and nobody is told."""
        os.kill(self.pid(n), signal.SIGSTOP)

    def release(self, n: int) -> None:
        if self._members[n] is not None:
            os.kill(self.pid(n), signal.SIGCONT)

    def fill_disk(self, n: int, most: int) -> None:
        """No file of its may grow beyond so many bytes."""
        resource.prlimit(self.pid(n), resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def empty_disk(self, n: int) -> None:
        if self._members[n] is not None:
            resource.prlimit(
                self.pid(n), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )

    def repair(self) -> list[str]:
        """Start what is not there; gives the names of those that had ended by themselves."""
        ended = []
        for n, (kind, flags) in enumerate(self._flags):
            member = self._members[n]
            if member is not None and member.running.poll() is None:
                continue
            if member is not None:
                ended.append(f"{self.name(n)} ended by itself with {member.running.returncode}")
            fresh = self._processes.serve(*flags) if kind == "serve" else self._processes.worker(*flags)
            self.starts += 1
            with self._mutex:
                self._members[n] = fresh
        return ended

    def end(self) -> list[int]:
        """SIGTERM to all; gives their exit statuses."""
        members = [member for n in range(len(self)) if (member := self._remove(n))]
        for member in members:
            member.running.terminate()
        return [member.running.wait(60) for member in members]

    def _remove(self, n: int) -> Process | None:
        with self._mutex:
            member, self._members[n] = self._members[n], None
        return member

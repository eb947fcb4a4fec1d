"""`tracker …` as real processes: configured by the environment alone, on free ports, in a folder of their own.

They can be killed as a power cut would kill them, and whatever a test does, none outlives its `Processes`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

API_TOKEN = "the-api-token-of-the-tests"
ACCESS_TOKEN = "the-access-token-of-the-account"
SECRET = "the-secret-of-the-webhook"
BRIDGE = "918068280000"

#: nets under what hangs; nothing is measured by them
_START_S = 60.0
_END_S = 30.0
_EVENTUALLY_S = 60.0


class Process:
    """One `tracker` process; what it writes goes to files."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: tuple[str, ...],
        environ: Mapping[str, str],
        within: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.running = subprocess.Popen(
                [*within, sys.executable, "-m", "tracker", *arguments],
                cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,  # Ctrl-C is for pytest, which then ends them
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.running.pid

    def output(self) -> str:
        """All that it wrote, on both streams."""
        return self._out.read_text(errors="replace") + self._err.read_text(errors="replace")

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The entries of its log, all or those of one event; also what it says as JSON on standard output."""
        entries = []
        for line in self.output().splitlines(keepends=True):
            # a process that was killed may have left half a line
            if line.startswith("{") and line.endswith("}\n"):
                entries.append(json.loads(line))
        return [e for e in entries if event in (None, e.get("event"))]

    def says(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first entry that fits; waits for it. Raises AssertionError if the process ends before."""
        deadline = time.monotonic() + _START_S
        while True:
            ended = self.running.poll() is not None
            for entry in self.log():
                if what(entry):
                    return entry
            assert not ended, f"{self.name} ended with {self.running.returncode}: {self.output()[-3000:]}"
            assert time.monotonic() < deadline, f"{self.name} did not get ready: {self.output()[-3000:]}"
            time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`: not a word more."""
        self.running.kill()
        self.running.wait()

    def terminate(self) -> int:
        """Ask it to end; gives its exit status."""
        self.running.terminate()
        return self.running.wait(_END_S)

    def end(self) -> None:
        """Whatever state it is in: it has ended afterwards."""
        if self.running.poll() is None:
            self.running.terminate()
            try:
                self.running.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.kill()


class Server(Process):
    """`tracker serve`; made when it listens."""

    url = ""

    def client(self, token: str | None = API_TOKEN) -> httpx.Client:
        """A client of its API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30.0)


class Processes:
    """The processes of one test over one database. Use as a context manager.

    account: settings of the account `thundersms` beside those that every test needs. `within`: a command that they are
    run by, such as one that puts them into a namespace.
    """

    within: tuple[str, ...] = ()

    def __init__(
        self, folder: Path, database_url: str, base_url: str = "http://127.0.0.1:9/", **account: Any
    ) -> None:
        self.folder = folder
        self._all: list[Process] = []
        settings: dict[str, Any] = {
            "DATABASE__URL": database_url,
            "SERVER__API_TOKEN": API_TOKEN,
            **{
                f"ACCOUNTS__THUNDERSMS__{key.upper()}": value
                for key, value in {
                    "base_url": base_url, "access_token": ACCESS_TOKEN, "webhook_secrets": [SECRET],
                    "bridge": BRIDGE, "calls_per_second": 1000.0, **account,
                }.items()
            },
        }  # fmt: skip
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("TRACKER_")}
        self.environ |= {
            f"TRACKER_{k}": v if isinstance(v, str) else json.dumps(v)
            for k, v in settings.items()
            if v is not None
        }

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._all:
            process.running.kill() if process.running.poll() is None else None
        for process in self._all:
            process.running.wait()

    def serve(self, *flags: str) -> Server:
        server = self._start(Server, "serve", "--port", "0", "--log-format", "json", *flags)
        server.url = server.says(lambda e: e.get("event") == "server.listening")["url"]
        return server

    def worker(self, *flags: str) -> Process:
        worker = self._start(Process, "worker", "--log-format", "json", *flags)
        worker.says(lambda e: e.get("event") == "worker.started")
        return worker

    def simulate(self, *flags: str) -> dict[str, str]:
        """A simulated provider: `url`, which is an account's base_url, and `control`."""
        simulator = self._start(Process, "simulate", "--port", "0", "--json", "--token", ACCESS_TOKEN, *flags)
        return simulator.says(lambda e: "control" in e)

    def outputs(self) -> str:
        """All that all of them wrote."""
        return "\n".join(process.output() for process in self._all)

    def _start(self, kind: Callable[..., T], *arguments: str) -> T:
        name = f"{len(self._all) + 1}-{arguments[0]}"
        started: Any = kind(name, self.folder, arguments, self.environ, self.within)
        self._all.append(started)
        found: T = started
        return found


def eventually(what: Callable[[], T], why: str) -> T:
    """The first true answer; asks again and again. The bound is no expectation, it only ends what would never end."""
    deadline = time.monotonic() + _EVENTUALLY_S
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, why
        time.sleep(0.05)

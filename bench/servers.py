"""The server processes that are measured: started whole, as one would run them, and watched from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.plan import BRIDGE

SECRET: Final = "the-secret-of-the-webhook"
API_TOKEN: Final = "the-api-token-of-the-bench"
PATH: Final = "/callbacks/thundersms"
_START_S: Final = 60.0
_END_S: Final = 60.0


class Running:
    """A server that listens. `url` is where callbacks go."""

    def __init__(self, process: subprocess.Popen[bytes], origin: str, log: Path) -> None:
        self._process, self.origin, self.log = process, origin, log
        self.url = origin + PATH

    @property
    def pid(self) -> int:
        return self._process.pid

    def peak_bytes(self) -> int:
        """The most memory that the process and its children ever had in use, each at its own worst."""
        return sum(_status(pid, "VmHWM") for pid in _family(self._process.pid))

    def cpu_s(self) -> float:
        """CPU seconds of the process and its children so far."""
        return sum(_cpu_s(pid) for pid in _family(self._process.pid))

    def alive(self) -> bool:
        return self._process.poll() is None


@contextmanager
def bare(folder: Path) -> Iterator[Running]:
    """(a)"""
    with _uvicorn("bench.bare:app", folder, {}) as running:
        yield running


@contextmanager
def taught(folder: Path, database: str) -> Iterator[Running]:
    """(b) and (d)"""
    with _uvicorn(
        "bench.taught_app:app", folder, {"BENCH_DATABASE": database, "BENCH_SECRET": SECRET}
    ) as running:
        yield running


@contextmanager
def tracker(folder: Path, database: str, *options: str, log_level: str = "info") -> Iterator[Running]:
    """(c) and (e): `tracker serve` as it comes, with its worker in the same process."""
    port = _free_port()
    command = ["-m", "tracker", "serve", *options, "--port", str(port), "--log-format", "json"]
    with _running([*command, "--log-level", log_level], port, folder, _environ(database)) as running:
        yield running


@contextmanager
def apart(folder: Path, database: str) -> Iterator[Running]:
    """`tracker serve --no-worker`, with a `tracker worker` beside it."""
    with (
        tracker(folder, database, "--no-worker") as running,
        _started(
            ["-m", "tracker", "worker", "--log-format", "json"], folder / "worker.log", _environ(database)
        ),
    ):
        yield running


def _environ(database: str) -> dict[str, str]:
    account = {
        "base_url": "http://127.0.0.1:9/", "access_token": "a-token-of-the-account", "webhook_secrets": [SECRET],
        "bridge": BRIDGE,
    }  # fmt: skip
    settings: dict[str, Any] = {
        "DATABASE__URL": database,
        "SERVER__API_TOKEN": API_TOKEN,
        **{f"ACCOUNTS__THUNDERSMS__{key.upper()}": value for key, value in account.items()},
    }
    return {f"TRACKER_{k}": v if isinstance(v, str) else json.dumps(v) for k, v in settings.items()}


@contextmanager
def _uvicorn(app: str, folder: Path, environ: Mapping[str, str]) -> Iterator[Running]:
    port = _free_port()
    command = ["-m", "uvicorn", app, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    with _running([*command, "--timeout-keep-alive", "30"], port, folder, environ) as running:
        yield running


@contextmanager
def _running(command: list[str], port: int, folder: Path, environ: Mapping[str, str]) -> Iterator[Running]:
    """Start it, wait until it listens, and end it afterwards, by force where it does not end by itself."""
    path = folder / f"server-{port}.log"
    with _started(command, path, environ) as process:
        running = Running(process, f"http://127.0.0.1:{port}", path)
        _wait_until_it_listens(running, port)
        yield running


@contextmanager
def _started(command: list[str], path: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The same of what does not listen; `path` is its log."""
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKER_")}
    root = str(Path(__file__).resolve().parent.parent)
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", *command], cwd=folder, env={**kept, "PYTHONPATH": root, **environ},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(running: Running, port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if not running.alive() or time.monotonic() > deadline:
                words = running.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"a server did not start: {words}") from None
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children += [int(child) for child in task.read_text().split()]
    return [pid, *(member for child in children for member in _family(child))]


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

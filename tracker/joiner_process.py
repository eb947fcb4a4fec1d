"""The joiner as a process of its own, so that it never competes with a server or a worker for Python's one lock.

A worker starts it, restarts it if it dies, and ends it. It also ends by itself as soon as its standard input closes,
which happens however the worker's process ends. Its configuration, which includes the database's password, comes over
standard input and not over its command line or environment.

    python -m tracker.joiner_process    (started by `JoinerProcess` only)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

import tracker
from tracker.domain.accounts import Account
from tracker.logs import configure_logs

log = structlog.get_logger()

#: a joiner that is told to stop finishes its batch; after this it is killed, which loses nothing
_STOP_S: Final = 5.0
#: pauses before a joiner that died is started again; the last one repeats
_RESTART_PAUSES_S: Final = (0.1, 1.0, 5.0, 15.0)
#: a joiner that ran for so long was healthy: the pauses begin again
_HEALTHY_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class JoinerConfig:
    """Everything that the process needs to know."""

    database_url: str
    accounts: Mapping[str, Account]
    #: what the log must not show
    log_secrets: Sequence[str]
    #: None: JSON unless standard error is a terminal
    log_json: bool | None
    log_level: str


class JoinerProcess:
    """Keeps one joiner process running."""

    def __init__(self, config: JoinerConfig) -> None:
        # parsing callbacks needs no credentials
        accounts = {
            name: replace(account, access_token="", webhook_secrets=(), webhook_token=None)
            for name, account in config.accounts.items()
        }
        self._config = pickle.dumps(replace(config, accounts=accounts))
        #: the process that was started last
        self.pid: int | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Start the process, and again whenever it dies, until `stopping` is set; then end it."""
        deaths = 0
        while not stopping.is_set():
            began = monotonic()
            process = await asyncio.to_thread(self._start)
            self.pid = process.pid
            log.info("joiner.started", pid=process.pid)
            died = asyncio.create_task(asyncio.to_thread(process.wait))
            stopped = asyncio.create_task(stopping.wait())
            try:
                await asyncio.wait({died, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
                _tell_to_stop(process)
            if stopping.is_set():
                await asyncio.to_thread(_end, process)
                await died
                log.info("joiner.stopped", pid=process.pid)
                return
            deaths = 0 if monotonic() - began > _HEALTHY_S else deaths
            pause_s = _RESTART_PAUSES_S[min(deaths, len(_RESTART_PAUSES_S) - 1)]
            deaths += 1
            log.error("joiner.died", pid=process.pid, exit_status=process.returncode, restart_in_s=pause_s)
            try:
                await asyncio.wait_for(stopping.wait(), pause_s)
            except TimeoutError:
                continue

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(tracker.__file__).parent.parent)
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        # a process group of its own: Ctrl-C is for the worker, which then ends it
        process = subprocess.Popen(  # noqa: S603 (ourselves)
            [sys.executable, "-P", "-m", __name__],
            env=kept | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; `run` sees that
            process.stdin.write(self._config)
            process.stdin.flush()
        return process


def _tell_to_stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to stop; kill it if it takes too long."""
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Be the process: join until standard input closes."""
    config: JoinerConfig = pickle.load(sys.stdin.buffer)  # noqa: S301 (from our own worker)
    configure_logs(secrets=config.log_secrets, json=config.log_json, level=config.log_level)
    from tracker.lifecycle.joining.joiner import Joiner
    from tracker.lifecycle.joining.loop import run_joiner
    from tracker.runtime import tune_runtime
    from tracker.store.engine.database import Database

    stopping = threading.Event()
    # a service manager may signal all processes at once
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda _sign, _frame: stopping.set())
    threading.Thread(target=_set_at_end_of_input, args=(stopping,), daemon=True).start()
    # a join that a power loss takes back is done again, because its position goes back with it
    database = Database(config.database_url, durable=False)
    tune_runtime()
    run_joiner(Joiner(database, config.accounts), stopping)
    database.close()


def _set_at_end_of_input(stopping: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    stopping.set()


if __name__ == "__main__":
    # under its own name, so that the pickled class is the same on both sides
    from tracker import joiner_process

    joiner_process.main()

"""A companion: a process beside this one that works out batches of callbacks, so that this one has its interpreter for
taking in and for writing.

It only reads the database, and ends when this process does, however that comes about: its end of the line closes. What
it is told, the database's password among it, goes over that line and not over its command line or its environment.

    python -m tracker.flow.companion FD    (by `Companion` only)
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import replace
from datetime import datetime
from multiprocessing.connection import Connection as Line
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

import tracker
from tracker import interpreter
from tracker.domain.accounts import Account
from tracker.errors import StorageUnavailable
from tracker.flow import ahead
from tracker.store.database import Database

log = structlog.get_logger()

#: seconds; longer than any statement may take
_PATIENCE_S: Final = 60.0
_GOODBYE_S: Final = 5.0

Said = tuple[str, dict[str, Any]]


class Lost(Exception):
    """The companion is gone, or makes no sense."""


class _Question(NamedTuple):
    most: int
    besides: Collection[str]
    now: datetime


class _Answer(NamedTuple):
    #: or why the database cannot be used
    batch: ahead.Batch | str
    #: for the log: level, and entry
    said: list[Said]


class Companion:
    """The other process, as this one sees it. Not for several threads at once."""

    def __init__(self, database: Database, accounts: Mapping[str, Account], our_code: str) -> None:
        """Start it; it is of use when it is `ready`, some tenths of a second later.

        our_code: `code` as it was when this process was started.
        """
        self._our_code = our_code
        ours, theirs = socket.socketpair()
        self._line = Line(ours.detach())
        self._asked = self._is_ready = False
        with theirs:
            root = str(Path(tracker.__file__).parent.parent)
            path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
            kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
            # a group of its own: Ctrl-C is for this process, which then ends it
            self._process = subprocess.Popen(  # noqa: S603 (ourselves)
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno())], env=kept | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()], process_group=0,
            )  # fmt: skip
        log.info("companion.started", pid=self._process.pid)
        url = database.url.render_as_string(hide_password=False)
        self._send((url, {name: _without_secrets(account) for name, account in accounts.items()}))

    @property
    def ready(self) -> bool:
        """Whether it can be asked. Raises Lost."""
        if not self._is_ready and self._line_has_something(0):
            if self._receive() != self._our_code:
                raise Lost("the program was changed on the disk since this process was started")
            self._is_ready = True
        return self._is_ready

    @property
    def asked(self) -> bool:
        """Whether an answer is to come."""
        return self._asked

    def ask(self, most: int, besides: Collection[str], now: datetime) -> None:
        """Have it work out a batch: `ahead.work_out`. Raises Lost."""
        self._send(_Question(most, besides, now))
        self._asked = True

    def answer(self) -> ahead.Batch:
        """What came of it; waits for it. Raises Lost, and StorageUnavailable."""
        self._asked = False
        if not self._line_has_something(_PATIENCE_S):
            raise Lost(f"it has not answered for {_PATIENCE_S:.0f} s")
        answer = self._receive()
        if not isinstance(answer, _Answer):
            raise Lost(str(answer))
        for level, entry in answer.said:
            getattr(log, level)(**entry)
        if isinstance(answer.batch, str):
            raise StorageUnavailable(answer.batch)
        return answer.batch

    def close(self) -> None:
        """End it."""
        self._line.close()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        log.info("companion.ended", pid=self._process.pid)

    def _line_has_something(self, wait_s: float) -> bool:
        try:
            return self._line.poll(wait_s)
        except OSError as error:
            raise Lost("it is gone") from error

    def _send(self, what: object) -> None:
        try:
            self._line.send(what)
        except OSError as error:
            raise Lost("it is gone") from error

    def _receive(self) -> Any:
        try:
            return self._line.recv()
        except (OSError, EOFError) as error:
            raise Lost("it is gone") from error


def _without_secrets(account: Account) -> Account:
    """What reading callbacks needs of it."""
    return replace(account, access_token="", webhook_secrets=(), webhook_token=None)


def code() -> str:
    """Which program lies on the disk now. What one pickles the other must unpickle with the same."""
    files = sorted(Path(tracker.__file__).parent.rglob("*.py"))
    return repr((sys.version, [(str(file), file.stat().st_mtime_ns) for file in files]))


def main(fd: int) -> None:
    """The companion's own life: answer until the line closes."""
    said: list[Said] = []

    def keep(_logger: Any, level: str, entry: MutableMapping[str, Any]) -> Any:
        if entry.pop("exc_info", None):
            entry["exception"] = traceback.format_exc()
        said.append((level, dict(entry)))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    line = Line(fd)
    try:
        url, accounts = line.recv()
        database = Database(url)
        interpreter.tune()
        line.send(code())
        while True:
            line.send(_Answer(_worked_out(database, accounts, line.recv()), said))
            said.clear()
    except (EOFError, OSError):
        return
    except Exception:
        line.send(traceback.format_exc())


def _worked_out(
    database: Database, accounts: Mapping[str, Account], question: _Question
) -> ahead.Batch | str:
    try:
        return ahead.work_out(
            database, accounts, lambda: question.now, question.most, frozenset(question.besides)
        )
    except StorageUnavailable as error:
        return str(error)


if __name__ == "__main__":
    # under its own name, so that both sides mean the same classes
    from tracker.flow import companion

    companion.main(int(sys.argv[1]))

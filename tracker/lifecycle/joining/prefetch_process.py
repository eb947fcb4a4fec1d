"""A companion: a process beside this one that works out batches of callbacks, so that this one has its interpreter for
taking in and for writing.

It only reads the database, and ends when this process does, however that comes about: its end of the line closes. What
it is told, the database's password among it, goes over that line and not over its command line or its environment.

    python -m tracker.lifecycle.joining.prefetch_process FD    (by `Companion` only)
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, overload

import structlog

import tracker
from tracker import runtime
from tracker.domain.accounts import Account
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining import fast_path, prepare
from tracker.lifecycle.joining.line import Line
from tracker.store.engine.database import Database

log = structlog.get_logger()

#: seconds for an answer, all of it: a batch takes some tenths, and who is told to end must not wait for longer
_PATIENCE_S: Final = 8.0
_GOODBYE_S: Final = 2.0

Said = tuple[str, dict[str, Any]]


class Lost(Exception):
    """The companion is gone, or makes no sense."""


class _Answer(NamedTuple):
    #: without its pieces; or why the database cannot be used
    batch: prepare.Batch | str
    #: the pieces, pickled, so that they need not all be unpickled at once: nobody is answered meanwhile
    pieces: list[bytes]
    #: for the log: level, and entry
    said: list[Said]


class _Pieces(Sequence[fast_path.Prepared]):
    """They are unpickled when they are asked for."""

    def __init__(self, pickled: Sequence[bytes]) -> None:
        self._pickled = pickled

    def __len__(self) -> int:
        return len(self._pickled)

    @overload
    def __getitem__(self, at: int) -> fast_path.Prepared: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[fast_path.Prepared]: ...

    def __getitem__(self, at: int | slice) -> fast_path.Prepared | Sequence[fast_path.Prepared]:
        if isinstance(at, slice):
            return _Pieces(self._pickled[at])
        piece: fast_path.Prepared = pickle.loads(self._pickled[at])  # noqa: S301 (from ourselves)
        return piece


class Companion:
    """The other process, as this one sees it. Not for several threads at once."""

    def __init__(self, database: Database, accounts: Mapping[str, Account], our_code: str) -> None:
        """Start it; it is of use when it is `ready`, some tenths of a second later.

        our_code: `code` as it was when this process was started.
        """
        self._our_code = our_code
        ours, theirs = socket.socketpair()
        self._line = Line(ours)
        self._asked = self._is_ready = False
        with theirs:
            try:
                self._process = _started(theirs)
            except OSError:
                self._line.close()
                raise
        log.info("companion.started", pid=self._process.pid)
        url = database.url.render_as_string(hide_password=False)
        try:
            self._send((url, {name: _without_secrets(account) for name, account in accounts.items()}))
        except Lost:
            self.close(at_once=True)
            raise

    @property
    def ready(self) -> bool:
        """Whether it can be asked. Raises Lost."""
        if not self._is_ready and self._line_has_something():
            if self._receive() != self._our_code:
                raise Lost("the program was changed on the disk since this process was started")
            self._is_ready = True
        return self._is_ready

    @property
    def asked(self) -> bool:
        """Whether an answer is to come."""
        return self._asked

    def ask(self, question: prepare.Question) -> None:
        """Have it work out a batch: `ahead.work_out`. Raises Lost."""
        self._send(question)
        self._asked = True

    def answer(self) -> prepare.Batch:
        """What came of it; waits for it. Raises Lost, and StorageUnavailable."""
        self._asked = False
        answer = self._receive()
        if not isinstance(answer, _Answer):
            raise Lost(str(answer))
        for level, entry in answer.said:
            getattr(log, level)(**entry)
        if isinstance(answer.batch, str):
            raise StorageUnavailable(answer.batch)
        return replace(answer.batch, prepared=_Pieces(answer.pieces))

    def close(self, *, at_once: bool = False) -> None:
        """End it; at_once: it is not trusted to end by itself."""
        self._line.close()
        try:
            self._process.wait(0 if at_once else _GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        log.info("companion.ended", pid=self._process.pid)

    def _line_has_something(self) -> bool:
        try:
            return self._line.has_something()
        except OSError as error:
            raise Lost(self._how(error)) from error

    def _send(self, what: object) -> None:
        try:
            self._line.send(what, _PATIENCE_S)
        except OSError as error:
            raise Lost(self._how(error)) from error

    def _receive(self) -> Any:
        try:
            return self._line.receive(_PATIENCE_S)
        except (OSError, EOFError) as error:
            raise Lost(self._how(error)) from error

    def _how(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"it has not answered for {_PATIENCE_S:.0f} s"
        return "it is gone" if self._is_ready else "it did not start; was the program changed on the disk?"


def _started(line: socket.socket) -> subprocess.Popen[bytes]:
    """The process, with its end of the line. Raises OSError."""
    root = str(Path(tracker.__file__).parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    # a group of its own: Ctrl-C is for this process, which then ends it
    return subprocess.Popen(  # noqa: S603 (ourselves)
        [sys.executable, "-P", "-m", __name__, str(line.fileno())], env=kept | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=[line.fileno()], process_group=0,
    )  # fmt: skip


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
    line = Line(socket.socket(fileno=fd))
    try:
        url, accounts = line.receive()
        database = Database(url)
        runtime.tune_runtime()
        line.send(code())
        while True:
            line.send(_answer(database, accounts, line.receive(), said))
            said.clear()
    except (EOFError, OSError):
        return
    except Exception:
        line.send(traceback.format_exc())
    finally:
        line.close()


def _answer(
    database: Database, accounts: Mapping[str, Account], question: prepare.Question, said: list[Said]
) -> _Answer:
    try:
        batch = prepare.work_out(database, accounts, question)
    except StorageUnavailable as error:
        return _Answer(str(error), [], said)
    return _Answer(replace(batch, prepared=()), [pickle.dumps(piece, -1) for piece in batch.prepared], said)


if __name__ == "__main__":
    # under its own name, so that both sides mean the same classes
    from tracker.lifecycle.joining import prefetch_process

    prefetch_process.main(int(sys.argv[1]))

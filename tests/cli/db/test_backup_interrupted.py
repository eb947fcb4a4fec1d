"""`tracker db backup` that ends while it writes: nothing half done stays."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.processes import Processes, eventually
from tracker.store.engine.database import Database
from tracker.store.schema import upgrade

#: bytes of its 64 MiB that a backup has written when it is stopped
_WRITTEN: Final = 1024 * 1024


@pytest.fixture(params=["tracker.db", "tracker-inbox.db"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A database of which one file takes a moment to copy, and a folder for backups of it."""
    database = Database(f"sqlite:///{tmp_path / 'tracker.db'}")
    upgrade.prepare(database, create=True)
    database.close()
    with closing(sqlite3.connect(tmp_path / request.param, isolation_level=None)) as file:
        file.execute("CREATE TABLE filler AS SELECT zeroblob(64 * 1024 * 1024) AS zeros")
    (tmp_path / "backups").mkdir()
    return tmp_path


@pytest.fixture
def processes(folder: Path) -> Iterator[Processes]:
    with Processes(folder, f"sqlite:///{folder / 'tracker.db'}") as processes:
        yield processes


def backups(folder: Path) -> set[str]:
    """The names in the folder for backups."""
    return {path.name for path in (folder / "backups").iterdir()}


def partials(folder: Path) -> set[Path]:
    """Return the files that backups are writing."""
    return {path for path in (folder / "backups").iterdir() if path.name.endswith(".partial")}


class StoppedBackup:
    """A process that has begun to write a backup, and was stopped there."""

    def __init__(self, processes: Processes) -> None:
        before = partials(processes.folder)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tracker", "db", "backup", "backups/y.db"],
            cwd=processes.folder, env=processes.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        # not sooner: it would keep a lock of the original that others need to open it
        while not any(path.stat().st_size > _WRITTEN for path in partials(processes.folder) - before):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.0005)
        self.signal(signal.SIGSTOP)
        eventually(self._is_stopped, "it should be stopped")
        assert partials(processes.folder) - before, "it was too fast to be stopped while it writes"

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def run_to_end(self) -> tuple[int, str]:
        """Let it go on; return its exit status and what it printed to standard error."""
        self.signal(signal.SIGCONT)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


Begin = Callable[[], StoppedBackup]


@pytest.fixture
def begin_backup(processes: Processes) -> Iterator[Begin]:
    """Begin a backup and stop it. None outlives the test."""
    begun: list[StoppedBackup] = []

    def begin() -> StoppedBackup:
        begun.append(StoppedBackup(processes))
        return begun[-1]

    yield begin
    for each in begun:
        each.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_backup_that_is_ended_by_a_signal_leaves_nothing(
    folder: Path, begin_backup: Begin, number: signal.Signals
) -> None:
    backup = begin_backup()
    backup.signal(number)
    code, err = backup.run_to_end()
    assert code != 0
    assert err.startswith(f"Ended by {number.name}. Nothing half done is left. Run it again.\n")
    assert backups(folder) == set()


def test_next_backup_removes_only_what_is_not_written_any_more(
    folder: Path, processes: Processes, begin_backup: Begin
) -> None:
    killed = begin_backup()
    killed.kill()
    stale = backups(folder)
    assert stale
    foreign = {".y.db.partial-lock", ".x.db.0123abcd.partial-lock", ".x.db.0123abcd.partial"}
    for name in foreign:
        (folder / "backups" / name).touch()
    stopped = begin_backup()
    assert not stale & backups(folder)
    written = backups(folder) - foreign
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "db", "backup", "backups/y.db"],
        cwd=folder, env=processes.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pair = {"y.db", "y-inbox.db"}
    assert backups(folder) == {*pair, *written, *foreign}
    code, err = stopped.run_to_end()
    assert code == 1
    assert "y-inbox.db exists already" in err
    assert backups(folder) == {*pair, *foreign}

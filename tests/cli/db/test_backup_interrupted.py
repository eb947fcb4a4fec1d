"""A backup that is ended while it writes leaves no partial file."""

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

import pytest

from tests.processes import Processes, eventually
from tracker.store.engine.database import Database
from tracker.store.schema import upgrade


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a database that takes a moment to copy, and a folder for its backups."""
    database = Database(f"sqlite:///{tmp_path / 'tracker.db'}")
    upgrade.prepare(database, create=True)
    database.close()
    with closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)) as filled:
        filled.execute("CREATE TABLE much AS SELECT zeroblob(64 * 1024 * 1024) AS of_it")
    (tmp_path / "backups").mkdir()
    return tmp_path


@pytest.fixture
def processes(folder: Path) -> Iterator[Processes]:
    with Processes(folder, f"sqlite:///{folder / 'tracker.db'}") as processes_of_folder:
        yield processes_of_folder


def backup_files(folder: Path) -> list[str]:
    """Return the names of the files in the folder for backups."""
    return sorted(path.name for path in (folder / "backups").iterdir())


class StoppedBackup:
    """A process that writes a backup and is stopped in the middle."""

    def __init__(self, processes: Processes) -> None:
        before = backup_files(processes.folder)
        self.running = subprocess.Popen(
            [sys.executable, "-m", "tracker", "db", "backup", "backups/y.db"],
            cwd=processes.folder, env=processes.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not any(n.endswith(".partial") and n not in before for n in backup_files(processes.folder)):
            assert self.running.poll() is None, self.running.communicate()
            time.sleep(0.0005)
        self.send_signal(signal.SIGSTOP)
        eventually(self._is_stopped, "it was not stopped")
        assert "y.db" not in backup_files(processes.folder), "it was too fast to be stopped while it writes"

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.running.pid, number)

    def finish(self) -> tuple[int, str]:
        """Let the process go on until it ends; return its exit status and standard error."""
        self.send_signal(signal.SIGCONT)
        _, output = self.running.communicate(timeout=60)
        return self.running.returncode, output

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self.running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


StartBackup = Callable[[], StoppedBackup]


@pytest.fixture
def start_backup(processes: Processes) -> Iterator[StartBackup]:
    """Return a function that starts a backup; none outlives the test."""
    started: list[StoppedBackup] = []

    def start() -> StoppedBackup:
        started.append(StoppedBackup(processes))
        return started[-1]

    yield start
    for each in started:
        each.running.kill()
        each.running.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_backup_leaves_nothing_when_ended_by_a_signal(
    folder: Path, start_backup: StartBackup, number: signal.Signals
) -> None:
    backup = start_backup()
    backup.send_signal(number)
    code, output = backup.finish()
    assert (code, output) == (1, f"Ended by {number.name}. Nothing half done is left; run it again.\n")
    assert backup_files(folder) == []


def test_backup_leaves_nothing_when_ended_by_ctrl_c(folder: Path, start_backup: StartBackup) -> None:
    backup = start_backup()
    backup.send_signal(signal.SIGINT)
    code, output = backup.finish()
    assert code != 0
    assert output.startswith("Ended by SIGINT. Nothing half done is left; run it again.\n")
    assert backup_files(folder) == []


def test_backup_removes_only_what_killed_backups_left(
    folder: Path, processes: Processes, start_backup: StartBackup
) -> None:
    killed = start_backup()
    killed.running.kill()
    killed.running.communicate()
    remains = backup_files(folder)
    assert remains
    foreign = {".y.db.partial-lock", ".x.db.0123abcd.partial-lock", ".x.db.0123abcd.partial"}
    for name in foreign:
        (folder / "backups" / name).touch()
    # another backup removes what the killed one left, but nothing of one that is alive
    slow = start_backup()
    assert not set(remains) & set(backup_files(folder))
    written = set(backup_files(folder)) - foreign
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "db", "backup", "backups/y.db"],
        cwd=folder, env=processes.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(backup_files(folder)) == {"y.db", *written, *foreign}
    code, output = slow.finish()
    assert code == 1
    assert "exists already" in output
    assert set(backup_files(folder)) == {"y.db", *foreign}

"""`tracker db backup` that is ended while it writes: what is half done does not stay."""

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
    """With a database that takes a moment to copy, and a folder for backups of it."""
    database = Database(f"sqlite:///{tmp_path / 'tracker.db'}")
    upgrade.prepare(database, create=True)
    database.close()
    with closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)) as filled:
        filled.execute("CREATE TABLE much AS SELECT zeroblob(64 * 1024 * 1024) AS of_it")
    (tmp_path / "backups").mkdir()
    return tmp_path


@pytest.fixture
def processes(folder: Path) -> Iterator[Processes]:
    with Processes(folder, f"sqlite:///{folder / 'tracker.db'}") as these:
        yield these


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "backups").iterdir())


class Begun:
    """A backup that has begun to write, and was stopped there."""

    def __init__(self, processes: Processes) -> None:
        before = left(processes.folder)
        self.running = subprocess.Popen(
            [sys.executable, "-m", "tracker", "db", "backup", "backups/y.db"],
            cwd=processes.folder, env=processes.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not any(n.endswith(".partial") and n not in before for n in left(processes.folder)):
            assert self.running.poll() is None, self.running.communicate()
            time.sleep(0.0005)
        self.tell(signal.SIGSTOP)
        eventually(self._stands, "it was not stopped")
        assert "y.db" not in left(processes.folder), "it was too fast to be stopped while it writes"

    def tell(self, number: signal.Signals) -> None:
        os.kill(self.running.pid, number)

    def ends(self) -> tuple[int, str]:
        self.tell(signal.SIGCONT)
        _, told = self.running.communicate(timeout=60)
        return self.running.returncode, told

    def _stands(self) -> bool:
        return Path(f"/proc/{self.running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


Begin = Callable[[], Begun]


@pytest.fixture
def begin(processes: Processes) -> Iterator[Begin]:
    """None of them outlives the test, also where it stands still."""
    every: list[Begun] = []

    def one() -> Begun:
        every.append(Begun(processes))
        return every[-1]

    yield one
    for each in every:
        each.running.kill()
        each.running.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_leaves_nothing(folder: Path, begin: Begin, number: signal.Signals) -> None:
    begun = begin()
    begun.tell(number)
    code, told = begun.ends()
    assert (code, told) == (1, f"Ended by {number.name}. Nothing half done is left; run it again.\n")
    assert left(folder) == []


def test_ctrl_c_says_how_things_are_as_well(folder: Path, begin: Begin) -> None:
    begun = begin()
    begun.tell(signal.SIGINT)
    code, told = begun.ends()
    assert code != 0
    assert told.startswith("Ended by SIGINT. Nothing half done is left; run it again.\n")
    assert left(folder) == []


def test_what_a_killed_one_left_goes_with_the_next_and_what_is_being_written_stays(
    folder: Path, processes: Processes, begin: Begin
) -> None:
    killed = begin()
    killed.running.kill()
    killed.running.communicate()
    remains = left(folder)
    assert remains
    foreign = {".y.db.partial-lock", ".x.db.0123abcd.partial-lock", ".x.db.0123abcd.partial"}
    for name in foreign:
        (folder / "backups" / name).touch()
    # its remains go when another begins, and this one is alive, though it stands still
    slow = begin()
    assert not set(remains) & set(left(folder))
    written = set(left(folder)) - foreign
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "db", "backup", "backups/y.db"],
        cwd=folder, env=processes.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(left(folder)) == {"y.db", *written, *foreign}
    code, told = slow.ends()
    assert code == 1
    assert "exists already" in told
    assert set(left(folder)) == {"y.db", *foreign}

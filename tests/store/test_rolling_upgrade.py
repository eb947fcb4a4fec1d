"""A rolling upgrade loses nothing: the schema goes ahead while processes of the version before are at work.

The version before is the one whose commit stands in LAST_LANDED, run as it is out of git's history. What it can work
with from then on says each migration (`oldest_able`), and start-up checks it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from tests.burst import Burst
from tests.processes import Processes, Server, eventually
from tests.recording_provider import RecordingProvider
from tests.store import releases
from tracker.errors import SchemaMismatch
from tracker.store.engine.database import Database
from tracker.store.schema import compatibility, migration_lock, upgrade

NUMBERS = [f"+9189195252{n:02}" for n in range(8)]


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    with RecordingProvider() as server:
        yield server


@contextmanager
def version(processes: Processes, package: Path) -> Iterator[Processes]:
    """Processes that are started meanwhile are of the version in this folder."""
    before = processes.environ
    processes.environ = before | {"PYTHONPATH": str(package)}
    yield processes
    processes.environ = before


def tracker(
    processes: Processes, *arguments: str, package: Path = releases.ROOT
) -> subprocess.CompletedProcess[str]:
    """A command of a version, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        cwd=processes.folder, env=processes.environ | {"PYTHONPATH": str(package)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def place_calls(server: Server) -> dict[str, str]:
    """A call to each number; gives the provider's ids, and the call of each."""
    found = {}
    with server.client() as client:
        for number in NUMBERS:
            placed = client.post("/api/v1/calls", json={"to": number, "flow_id": "24"}).json()
            found[placed["submissions"][0]["submission_id"]] = placed["id"]
    return found


def burst(server: Server, name: str, ids: list[str]) -> Burst:
    """Callbacks of the calls, each with a marker and an end of its own, so that each is a fact of its own."""

    def say(n: int) -> dict[str, Any]:
        return {
            "marker": f"{name}-{n}", "id": ids[n % len(ids)], "status": "BUSY", "to": "",
            "start_at": "2026-01-05 10:00:00", "end_at": f"2026-01-05 10:{n // 60 % 60:02}:{n % 60:02}",
        }  # fmt: skip

    # a fact is joined with all that was said of its call before: without rests there would be thousands of each call
    # by the time a process has started, and no end of joining them
    return Burst(server.url, say, rest_s=0.1)


def joined(database: Database) -> dict[str, str]:
    """The markers of the callbacks that are there, and the state of each."""
    query = sa.text("SELECT body, state FROM callbacks")
    rows = database.read(lambda c: c.execute(query).all())
    return {json.loads(row.body)["marker"]: row.state for row in rows}


def test_a_migration_and_a_new_version_beside_the_old_one_lose_nothing(
    postgres_database: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    """The old server receives and joins; under this traffic the schema is brought forward, to this version's and one
    migration more: there is always one. It goes on, a new one comes beside it, and takes over when it ends."""
    old_package = releases.last_landed(tmp_path / "landed")
    database = Database(postgres_database)
    answered: set[str] = set()
    with Processes(tmp_path, postgres_database, provider.base_url) as processes:
        with version(processes, old_package):
            old = processes.serve()
        landed = upgrade.current(database)
        assert landed is not None
        assert landed <= upgrade.head()
        newer = f"{int(upgrade.head()) + 1:04}"
        new_package = releases.next_version(tmp_path / "new", newer, upgrade.head(), oldest_able=landed)
        calls = place_calls(old)
        ids = list(calls)
        with burst(old, "old", ids) as during:
            during.more(50)
            upgraded = tracker(processes, "db", "upgrade", "--json", package=new_package)
            assert (upgraded.returncode, upgraded.stderr) == (0, "")
            assert json.loads(upgraded.stdout) == {"before": landed, "after": newer}
            during.more(50)
            with version(processes, new_package):
                new = processes.serve()
            with burst(new, "new", ids) as beside:
                beside.more(50)
                during.more(50)
                during.stop()
                assert old.terminate() in (0, -15)
                beside.more(50)
        assert not during.surprises
        assert not beside.surprises
        answered = {f"old-{n}" for n in during.answered} | {f"new-{n}" for n in beside.answered}
        with new.client() as client:
            eventually(
                lambda: client.get("/statusz").json()["callbacks"]["pending"] == 0,
                "all that was answered should be joined",
            )
            there = joined(database)
            assert answered <= there.keys()
            assert {there[marker] for marker in answered} == {"joined"}
            for call in calls.values():
                shown = client.get(f"/api/v1/calls/{call}").json()
                assert (shown["status"], shown["settled"]) == ("busy", True)
    assert "Traceback" not in new.output()
    database.close()


def test_the_last_landed_version_is_one_before_this(tmp_path: Path) -> None:
    """LAST_LANDED names a version whose migrations are the first of this one's, unchanged."""
    old = releases.last_landed(tmp_path) / "tracker" / "store" / "migrations" / "versions"
    for path in old.glob("[0-9]*_*.py"):
        mine = releases.ROOT / "tracker" / "store" / "schema" / "migrations" / "versions" / path.name
        assert mine.read_text() == path.read_text(), f"{path.name} has landed and must not change"


# the range that start-up checks


def test_every_migration_but_the_first_says_how_old_a_version_can_still_work() -> None:
    scripts = list(ScriptDirectory(str(Path(upgrade.__file__).parent / "migrations")).walk_revisions())
    for script in scripts:
        declared = getattr(script.module, "oldest_able", None)
        assert (declared is None) == (script.revision == "0001"), script.revision
        assert declared is None or (declared in upgrade.revisions() and declared <= script.revision)


@pytest.mark.parametrize(
    ("declared", "oldest"),
    [
        ([("0001", None)], "0001"),
        ([("0001", None), ("0002", "0001"), ("0003", "0001")], "0001"),
        ([("0001", None), ("0002", "0002"), ("0003", "0001")], "0002"),
        ([("0001", None), ("0002", "0001"), ("0003", None)], "0003"),
    ],
)
def test_a_version_must_be_able_to_work_after_all_migrations(
    declared: list[tuple[str, str | None]], oldest: str
) -> None:
    assert compatibility.oldest(declared) == oldest
    assert compatibility.oldest(reversed(declared)) == oldest


def test_a_newer_schema_that_allows_it_is_worked_with(database_url: str, tmp_path: Path) -> None:
    """As after the next version's migration: this version starts, is ready, finds nothing wrong and leaves it alone."""
    newer = f"{int(upgrade.head()) + 1:04}"
    package = releases.next_version(tmp_path / "newer", newer, upgrade.head(), oldest_able=upgrade.head())
    database = Database(database_url)
    with Processes(tmp_path, database_url) as processes:
        upgrade.prepare(database, create=True)
        assert tracker(processes, "db", "upgrade", package=package).returncode == 0
        assert upgrade.current(database) == newer
        upgrade.prepare(database, create=False)
        server = processes.serve()
        with server.client() as client:
            assert client.get("/readyz").status_code == 200
            posted = client.post("/api/v1/calls", json={"to": NUMBERS[0], "flow_id": "24"})
            assert posted.status_code in (201, 202)
            assert len(client.get("/api/v1/calls").json()["data"]) == 1
        again = tracker(processes, "db", "upgrade")
        assert (again.returncode, again.stderr) == (0, "")
        assert f"has schema {newer}, newer than this version's {upgrade.head()}" in again.stdout
        assert json.loads(tracker(processes, "db", "upgrade", "--json").stdout) == {
            "before": newer,
            "after": newer,
        }
        # the tests' own PostgreSQL trades safety for speed, which a check tells of
        found = [p for p in upgrade.check(database) if "is off on the server" not in p]
        assert found == []
        assert "newer than this version" in tracker(processes, "doctor").stdout or not database.is_sqlite
    database.close()


def test_a_newer_schema_that_does_not_allow_it_is_refused_with_a_sentence(
    database_url: str, tmp_path: Path
) -> None:
    newer = f"{int(upgrade.head()) + 1:04}"
    package = releases.next_version(tmp_path / "newer", newer, upgrade.head(), oldest_able=newer)
    database = Database(database_url)
    head = upgrade.head()
    said = (
        f"it knows schemas up to {head}, and the database has {newer}, with which only versions from schema"
    )
    with Processes(tmp_path, database_url) as processes:
        assert tracker(processes, "db", "upgrade", package=package).returncode == 0
        for refused in (
            lambda: upgrade.prepare(database, create=False),
            lambda: upgrade.prepare(database, create=True),
            lambda: upgrade.upgrade(database),
        ):
            with pytest.raises(SchemaMismatch, match=said):
                refused()
        assert said in upgrade.check(database)[-1]
        for command in (["serve", "--port", "0"], ["worker"], ["db", "check"], ["db", "upgrade"], ["calls"]):
            done = tracker(processes, *command)
            assert done.returncode == 1, command
            assert said in done.stderr, command
        assert said in tracker(processes, "doctor").stdout
    assert upgrade.current(database) == newer
    database.close()


def test_an_upgrade_that_meets_others_in_a_deadlock_is_begun_again(postgres_database: str) -> None:
    """Two transactions that want each other's table: one of them is the upgrade, which is told to give way."""
    database = Database(postgres_database)
    upgrade.upgrade(database)
    attempts: list[int] = []

    def work(connection: Any) -> str:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            connection.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"
            )
        return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))

    assert migration_lock.run_exclusively(database, work) == upgrade.head()
    assert len(attempts) == 2
    database.close()

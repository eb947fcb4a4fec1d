"""A rolling upgrade loses nothing: the schema is upgraded while processes of the version before are at work.

The version before is the one whose commit stands in LAST_LANDED, run as it is out of git's history. Each migration says
which versions can still work after it (`oldest_able`), and each start checks that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
from tracker.store.maintenance.integrity import find_problems
from tracker.store.schema import compatibility, migration_lock, upgrade

NUMBERS = [f"+9189195252{n:02}" for n in range(8)]


@pytest.fixture
def provider() -> Iterator[RecordingProvider]:
    with RecordingProvider() as server:
        yield server


@contextmanager
def use_version(processes: Processes, package: Path) -> Iterator[None]:
    """Start processes of the version in this folder meanwhile."""
    before = processes.environ
    processes.environ = before | {"PYTHONPATH": str(package)}
    yield
    processes.environ = before


def run_tracker(
    processes: Processes, *arguments: str, package: Path = releases.ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command of a version to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        cwd=processes.folder, env=processes.environ | {"PYTHONPATH": str(package)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def place_calls(server: Server) -> dict[str, str]:
    """Place a call to each number; return the calls by the provider's ids."""
    calls = {}
    with server.client() as client:
        for number in NUMBERS:
            call = client.post("/api/v1/calls", json={"to": number, "flow_id": "24"}).json()
            calls[call["submissions"][0]["submission_id"]] = call["id"]
    return calls


def burst(server: Server, name: str, ids: list[str]) -> Burst:
    """Return a burst of callbacks about these ids, each with a marker and an end of its own, so that none repeats."""

    def callback(n: int) -> dict[str, Any]:
        return {
            "marker": f"{name}-{n}", "id": ids[n % len(ids)], "status": "BUSY", "to": "",
            "start_at": "2026-01-05 10:00:00", "end_at": f"2026-01-05 10:{n // 60 % 60:02}:{n % 60:02}",
        }  # fmt: skip

    # each callback is joined with all earlier ones of its call; without rests there would be thousands of each call by
    # the time a process has started, and no end of joining them
    return Burst(server.url, callback, rest_s=0.1)


def joined_markers(database: Database) -> dict[str, str]:
    """Return the states of the callbacks by their markers."""
    query = sa.text("SELECT body, callbacks.state FROM callbacks JOIN inbox USING (position)")
    rows = database.read(lambda c: c.execute(query).all())
    return {json.loads(bytes(row.body))["marker"]: row.state for row in rows}


def test_rolling_upgrade_loses_no_answered_callback(
    postgres_database: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    """The old server receives and joins while the schema is upgraded, by one migration more than this version has.

    It goes on, a new server starts beside it, and takes over when the old one ends.
    """
    old_package = releases.last_landed(tmp_path / "landed")
    database = Database(postgres_database)
    with Processes(tmp_path, postgres_database, provider.base_url) as processes:
        with use_version(processes, old_package):
            old = processes.serve()
        landed = upgrade.current(database)
        assert landed is not None
        assert landed <= upgrade.head()
        new_package = releases.next_version(tmp_path / "new", oldest_able=landed)
        calls = place_calls(old)
        ids = list(calls)
        with burst(old, "old", ids) as during:
            during.more(50)
            upgraded = run_tracker(processes, "db", "upgrade", "--json", package=new_package)
            assert (upgraded.returncode, upgraded.stderr) == (0, "")
            assert json.loads(upgraded.stdout) == {"before": landed, "after": releases.next_revision()}
            during.more(50)
            with use_version(processes, new_package):
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
                "every answered callback should be joined",
            )
            states = joined_markers(database)
            assert answered <= states.keys()
            assert {states[marker] for marker in answered} == {"joined"}
            for call in calls.values():
                document = client.get(f"/api/v1/calls/{call}").json()
                assert (document["status"], document["settled"]) == ("busy", True)
    assert "Traceback" not in new.output()
    database.close()


def test_landed_migrations_are_unchanged(tmp_path: Path) -> None:
    folder = Path("tracker") / "store" / "schema" / "migrations" / "versions"
    landed = list((releases.last_landed(tmp_path / "landed") / folder).glob("[0-9]*_*.py"))
    assert landed
    for path in landed:
        text = (releases.ROOT / folder / path.name).read_text()
        assert text == path.read_text(), f"{path.name} has landed and must not change"


# the range of versions that each start checks


def test_every_later_migration_says_how_old_a_version_may_be() -> None:
    folder = str(Path(upgrade.__file__).parent / "migrations")
    for script in ScriptDirectory(folder).walk_revisions():
        declared = getattr(script.module, "oldest_able", None)
        assert (declared is None) == (script.revision == upgrade.revisions()[0]), script.revision
        assert declared is None or (declared in upgrade.revisions() and declared <= script.revision)


@pytest.mark.parametrize(
    ("declared", "oldest"),
    [
        ([("0004", None)], "0004"),
        ([("0004", None), ("0005", "0004"), ("0006", "0004")], "0004"),
        ([("0004", None), ("0005", "0005"), ("0006", "0004")], "0005"),
        ([("0004", None), ("0005", "0004"), ("0006", None)], "0006"),
    ],
)
def test_oldest_version_must_work_after_all_migrations(
    declared: list[tuple[str, str | None]], oldest: str
) -> None:
    assert compatibility.find_oldest(declared) == oldest
    assert compatibility.find_oldest(reversed(declared)) == oldest


def test_compatible_newer_schema_is_used_and_left_as_it_is(database_url: str, tmp_path: Path) -> None:
    package = releases.next_version(tmp_path / "newer", oldest_able=upgrade.head())
    newer = releases.next_revision()
    database = Database(database_url)
    with Processes(tmp_path, database_url) as processes:
        upgrade.prepare(database, create=True)
        assert run_tracker(processes, "db", "upgrade", package=package).returncode == 0
        assert upgrade.current(database) == newer
        upgrade.prepare(database, create=False)
        server = processes.serve()
        with server.client() as client:
            assert client.get("/readyz").status_code == 200
            posted = client.post("/api/v1/calls", json={"to": NUMBERS[0], "flow_id": "24"})
            assert posted.status_code in (201, 202)
            assert len(client.get("/api/v1/calls").json()["data"]) == 1
        again = run_tracker(processes, "db", "upgrade")
        assert (again.returncode, again.stderr) == (0, "")
        assert f"has schema {newer}, newer than this version's {upgrade.head()}" in again.stdout
        assert json.loads(run_tracker(processes, "db", "upgrade", "--json").stdout) == {
            "before": newer,
            "after": newer,
        }
        # the tests' own PostgreSQL server trades safety for speed
        assert [p for p in find_problems(database) if "is off on the server" not in p] == []
        assert "newer than this version" in run_tracker(processes, "doctor").stdout or not database.is_sqlite
    database.close()


def test_incompatible_newer_schema_is_refused_by_every_command(database_url: str, tmp_path: Path) -> None:
    newer, head = releases.next_revision(), upgrade.head()
    package = releases.next_version(tmp_path / "newer", oldest_able=newer)
    database = Database(database_url)
    expected = (
        f"it knows schemas up to {head}, and the database has {newer}, with which only versions from schema"
    )
    with Processes(tmp_path, database_url) as processes:
        assert run_tracker(processes, "db", "upgrade", package=package).returncode == 0
        for use in (
            lambda: upgrade.prepare(database, create=False),
            lambda: upgrade.prepare(database, create=True),
            lambda: upgrade.upgrade(database),
        ):
            with pytest.raises(SchemaMismatch, match=expected):
                use()
        assert expected in find_problems(database)[-1]
        for command in (["serve", "--port", "0"], ["worker"], ["db", "check"], ["db", "upgrade"], ["calls"]):
            done = run_tracker(processes, *command)
            assert done.returncode == 1, command
            assert expected in done.stderr, command
        assert expected in run_tracker(processes, "doctor").stdout
    assert upgrade.current(database) == newer
    database.close()


def test_upgrade_begins_again_after_a_deadlock(postgres_database: str) -> None:
    """Two transactions want each other's table, and PostgreSQL ends the upgrade's."""
    attempts: list[int] = []

    def work(connection: Any) -> str:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            connection.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"
            )
        return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))

    with closing(Database(postgres_database)) as database:
        upgrade.upgrade(database)
        assert migration_lock.run_exclusively(database, work) == upgrade.head()
    assert len(attempts) == 2

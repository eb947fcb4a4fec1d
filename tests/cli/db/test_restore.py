"""The commands `tracker db restore` and `tracker db after-restore`."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command

from tests.cli.conftest import NUMBER, Cli
from tests.processes import Processes, eventually
from tests.recording_provider import RecordingProvider
from tracker.store.engine.database import Database
from tracker.store.maintenance import file_swap
from tracker.store.queue import heartbeats
from tracker.store.schema import migration_lock, upgrade


def test_restore_replaces_the_database_and_keeps_the_old_one(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    cli_with_call("call", "+918867130003", "--flow", "24")
    document = cli_with_call.json("db", "restore", "backup.db")
    assert document["rows"]["calls"] == 1
    assert (document["asked"], document["unconfirmed"]) == (1, 0)
    assert [call["to"] for call in cli_with_call.json("calls")["data"]] == [NUMBER]
    with closing(sqlite3.connect(document["kept"])) as kept:
        assert kept.execute("SELECT count(*) FROM calls").fetchone() == (2,)
    assert Path(document["kept"]).name.startswith("tracker.db.replaced-2")
    status = cli_with_call.json("status", code=1)
    assert [p["why"] for p in status["paused"]] == ["restored"]
    assert [s for s in status["problems"] if "backup was restored" in s]
    assert stat.S_IMODE((cli_with_call.folder / "tracker.db").stat().st_mode) == 0o600


def test_restore_keeps_a_link_to_the_database(cli_with_call: Cli) -> None:
    """The data may be on another disk, and must stay there."""
    cli_with_call("db", "backup", "backup.db")
    cli_with_call("call", "+918867130003", "--flow", "24")
    name, disk = cli_with_call.folder / "tracker.db", cli_with_call.folder / "disk"
    disk.mkdir()
    name.rename(disk / "real.db")
    name.symlink_to(disk / "real.db")
    document = cli_with_call.json("db", "restore", "backup.db")
    assert name.readlink() == disk / "real.db"
    assert Path(document["kept"]).parent == disk
    assert [call["to"] for call in cli_with_call.json("calls")["data"]] == [NUMBER]


def test_restore_prints_the_next_steps(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    out = cli_with_call("db", "restore", "backup.db").stdout
    for words in (
        "Dialling is paused",
        "pause --resume",
        "--status unconfirmed",
        "Idempotency-Keys",
        "replaced-",
    ):
        assert words in out
    again = cli_with_call("db", "after-restore").stdout
    assert again.startswith("Dialling is paused")


def test_after_restore_asks_on_a_terminal(cli_with_call: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks because it cannot be taken back; a script without a terminal is not asked."""
    cli_with_call("pause")
    cli_with_call("call", "+918867130003", "--flow", "24")
    monkeypatch.setattr("tracker.cli.commands.db.restore.can_ask", lambda: True)
    refused = cli_with_call("db", "after-restore", stdin="n\n")
    assert refused.exit_code == 1
    assert str(cli_with_call.folder / "tracker.db") in refused.stdout
    assert [call["status"] for call in cli_with_call.json("calls")["data"]] == ["pending", "queued"]
    assert [p["why"] for p in cli_with_call.json("status", code=1)["paused"]] == ["operator"]

    done = cli_with_call("db", "after-restore", "--yes")
    assert done.exit_code == 0
    assert "for good?" not in done.stdout
    assert "1 submission was waiting" in done.stdout
    assert [call["status"] for call in cli_with_call.json("calls")["data"]] == ["unconfirmed", "queued"]
    assert "Dialling is paused" in cli_with_call("db", "after-restore", stdin="y\n").stdout
    assert cli_with_call.json("db", "after-restore")["unconfirmed"] == 0


def test_after_restore_warns_of_a_living_worker(cli_with_call: Cli) -> None:
    database = Database(f"sqlite:///{cli_with_call.folder / 'tracker.db'}")
    try:
        database.write(lambda c: heartbeats.record_heartbeat(c, "vm-abc", datetime.now(UTC)))
        for option in ([], ["--json"]):
            database.write(lambda c: heartbeats.record_heartbeat(c, "vm-abc", datetime.now(UTC)))
            done = cli_with_call("db", "after-restore", *option)
            assert done.exit_code == 0
            assert "A worker was heard of" in done.stderr
            assert "vm-abc" in done.stderr
        assert "worker was heard" not in cli_with_call("db", "after-restore").stderr
    finally:
        database.close()


def test_after_restore_marks_later_calls_when_run_again(cli_with_call: Cli) -> None:
    """The help and docs/how-to/backup-and-restore.md promise it."""
    assert cli_with_call.json("db", "after-restore")["unconfirmed"] == 0
    cli_with_call("call", "+918867130003", "--flow", "24")
    assert cli_with_call.json("db", "after-restore")["unconfirmed"] == 1


def test_restores_within_a_second_keep_all_old_databases(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    kept = {cli_with_call.json("db", "restore", "backup.db")["kept"] for _ in range(3)}
    assert len(kept) == 3
    assert all(Path(name).exists() for name in kept)


def test_restore_works_without_a_previous_database(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    (cli_with_call.folder / "tracker.db").unlink()
    assert cli_with_call.json("db", "restore", "backup.db")["kept"] is None
    assert cli_with_call.json("calls")["data"]


def test_restore_ignores_the_wal_of_a_damaged_database(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    (cli_with_call.folder / "tracker.db").write_bytes(b"no database at all" * 1000)
    (cli_with_call.folder / "tracker.db-wal").write_bytes(b"a log of something else")
    document = cli_with_call.json("db", "restore", "backup.db")
    assert cli_with_call.json("calls")["data"]
    assert Path(document["kept"]).read_bytes().startswith(b"no database")
    assert cli_with_call("db", "check").exit_code == 0


def test_restore_is_refused_while_an_idle_server_runs(
    cli_with_call: Cli, tmp_path: Path, provider: RecordingProvider
) -> None:
    cli_with_call("db", "backup", "backup.db")
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}", provider.base_url) as processes:
        server = processes.serve("--no-worker")
        refused = cli_with_call("db", "restore", "backup.db")
        assert refused.exit_code == 1
        assert "stop `" in refused.stderr
        assert server.terminate() == 0
    assert cli_with_call("db", "restore", "backup.db").exit_code == 0
    assert [n for n in cli_with_call.file_names() if n.endswith(".partial")] == []


def test_command_fails_when_its_database_is_replaced(cli_with_call: Cli) -> None:
    """The command has the old file open already, and waits for its lock."""
    path = cli_with_call.folder / "tracker.db"
    new = cli_with_call.folder / "new.db"
    cli_with_call("db", "backup", "new.db")
    environ = os.environ | {"TRACKER_CONFIG": str(cli_with_call.folder / "tracker.toml")}
    with file_swap.alone_with(path):
        opening = subprocess.Popen(
            [sys.executable, "-m", "tracker", "calls"],
            cwd=cli_with_call.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        eventually(lambda: has_open(opening.pid, path), "it should open the database")
        kept = file_swap.replace(path, new, datetime.now(UTC))
    out, err = opening.communicate(timeout=60)
    assert (opening.returncode, out) == (1, "")
    assert "replaced" in err
    assert "try again" in err
    assert len(err.splitlines()) == 1
    assert kept is not None
    # no log of the old database is left that would be taken for the new one's
    assert cli_with_call.json("calls")["data"]
    assert cli_with_call("db", "check").exit_code == 0


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has this file open."""
    with suppress(OSError):
        return any(each.samefile(path) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    return False


def refused_backups(folder: Path) -> dict[str, str]:
    """Make files that are no backups; return what the error says of each."""
    (folder / "text.db").write_text("something else entirely" * 100)
    (folder / "empty.db").touch()
    with closing(sqlite3.connect(folder / "foreign.db")) as database:
        database.execute("CREATE TABLE thing (n)")
    newer = folder / "newer.db"
    newer.write_bytes((folder / "backup.db").read_bytes())
    with closing(sqlite3.connect(newer)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE settings SET value = '9999' WHERE name = 'oldest-able-schema'")
    half = (folder / "backup.db").read_bytes()
    (folder / "half.db").write_bytes(half[: len(half) // 2])
    return {
        "text.db": "no SQLite database",
        "empty.db": "empty",
        "foreign.db": "not tracker's",
        "newer.db": "older than the database",
        "half.db": "is damaged or cut off",
        "nothing.db": "no file",
    }


def test_restore_of_a_file_that_is_no_backup_changes_nothing(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    wrong = refused_backups(cli_with_call.folder)
    before = cli_with_call.file_names()
    for name, words in wrong.items():
        refused = cli_with_call("db", "restore", name)
        assert refused.exit_code == 1, name
        assert words in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        if name != "newer.db":
            assert name in refused.stderr
            assert "tracker.toml" not in refused.stderr, "the configuration has nothing to do with it"
    assert cli_with_call.file_names() == before
    assert cli_with_call.json("calls")["data"]


def test_restore_keeps_the_schema_of_a_newer_backup(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "newer.db")
    with closing(sqlite3.connect(cli_with_call.folder / "newer.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    document = cli_with_call.json("db", "restore", "newer.db")
    assert document["schema"] == "9999"
    out = cli_with_call("db", "restore", "newer.db").stdout
    assert "brought up" not in out


def test_restore_upgrades_an_older_backup(cli_with_call: Cli) -> None:
    old = Database(f"sqlite:///{cli_with_call.folder / 'old.db'}")
    with upgrade._alembic, migration_lock._alone(old) as connection:
        command.upgrade(upgrade.alembic_config(connection), "0001")
    old.close()
    document = cli_with_call.json("db", "restore", "old.db")
    assert document["schema"] == upgrade.head()
    assert cli_with_call.json("calls")["data"] == []
    assert cli_with_call("db", "check").exit_code == 0

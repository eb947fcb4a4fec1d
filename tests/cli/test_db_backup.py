"""`tracker db backup`, `restore` and `after-restore`: what a careful operator would try."""

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


@pytest.fixture
def used(cli: Cli, provider: RecordingProvider) -> Cli:
    """A database with one call that the provider took."""
    cli.configure(provider.base_url)
    assert cli("call", NUMBER, "--flow", "24").exit_code == 0
    return cli


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"tracker.toml", "tracker.db-wal", "tracker.db-shm"}


def test_a_backup_is_one_whole_file_for_its_owner_alone(used: Cli) -> None:
    told = used.json("db", "backup", "backup.db")
    file = used.folder / "backup.db"
    assert told["file"] == str(file)
    assert told["bytes"] == file.stat().st_size
    assert told["schema"] == upgrade.head()
    assert told["rows"]["calls"] == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names(used.folder) == {"tracker.db", "backup.db"}
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert database.execute('SELECT "to" FROM calls').fetchall() == [(NUMBER,)]
    assert "1 calls" in used("db", "backup", "another.db").stdout


def test_what_is_in_the_log_alone_is_in_the_backup(used: Cli) -> None:
    """As after a kill: the log was not brought home."""
    with closing(sqlite3.connect(used.folder / "tracker.db")) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("UPDATE calls SET name = 'in the log'")
        writer.commit()
        used("db", "backup", "backup.db")
    with closing(sqlite3.connect(used.folder / "backup.db")) as copy:
        assert copy.execute("SELECT name FROM calls").fetchall() == [("in the log",)]


def test_a_file_that_is_there_is_not_replaced_by_accident(used: Cli) -> None:
    file = used.folder / "backup.db"
    file.write_text("precious")
    refused = used("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert file.read_text() == "precious"
    assert used("db", "backup", "backup.db", "--force").exit_code == 0
    assert file.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("name", ["tracker.db", "tracker.db-wal", "link.db"])
def test_the_database_itself_is_never_the_target(used: Cli, name: str) -> None:
    (used.folder / "link.db").symlink_to(used.folder / "tracker.db")
    refused = used("db", "backup", name, "--force")
    assert refused.exit_code == 1
    assert "is the database itself" in refused.stderr
    assert used.json("calls")["data"]


def test_a_folder_that_is_not_there_is_said(used: Cli) -> None:
    refused = used("db", "backup", "nowhere/backup.db")
    assert refused.exit_code == 1
    assert "does it exist" in refused.stderr


def test_without_a_database_there_is_nothing_to_copy(cli: Cli) -> None:
    refused = cli("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert not (cli.folder / "tracker.db").exists()


def test_a_database_that_is_to_be_upgraded_can_be_copied_before(cli: Cli) -> None:
    old = Database(f"sqlite:///{cli.folder / 'tracker.db'}")
    with upgrade._alembic, migration_lock._alone(old) as connection:
        command.upgrade(upgrade.alembic_config(connection), "0001")
    old.close()
    assert cli.json("db", "backup", "before.db")["schema"] == "0001"


def test_a_backup_on_postgresql_names_the_way_there(
    cli: Cli, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    assert "pg_dump" in cli("db", "backup", "x.db").stderr
    refused = cli("db", "restore", "x.db")
    assert refused.exit_code == 1
    assert "pg_restore" in refused.stderr
    assert "after-restore" in refused.stderr


def test_restoring_brings_the_backup_back_and_keeps_what_was_there(used: Cli) -> None:
    used("db", "backup", "backup.db")
    used("call", "+918867130003", "--flow", "24")
    told = used.json("db", "restore", "backup.db")
    assert told["rows"]["calls"] == 1
    assert (told["asked"], told["unconfirmed"]) == (1, 0)
    assert [call["to"] for call in used.json("calls")["data"]] == [NUMBER]
    with closing(sqlite3.connect(told["kept"])) as kept:
        assert kept.execute("SELECT count(*) FROM calls").fetchone() == (2,)
    assert Path(told["kept"]).name.startswith("tracker.db.replaced-2")
    status = used.json("status", code=1)
    assert [p["why"] for p in status["paused"]] == ["restored"]
    assert [s for s in status["problems"] if "backup was restored" in s]
    assert stat.S_IMODE((used.folder / "tracker.db").stat().st_mode) == 0o600


def test_a_link_to_the_database_stays_one(used: Cli) -> None:
    """The data may lie on another disk; restoring must not bring them home without a word."""
    used("db", "backup", "backup.db")
    used("call", "+918867130003", "--flow", "24")
    name, disk = used.folder / "tracker.db", used.folder / "disk"
    disk.mkdir()
    name.rename(disk / "real.db")
    name.symlink_to(disk / "real.db")
    told = used.json("db", "restore", "backup.db")
    assert name.readlink() == disk / "real.db"
    assert Path(told["kept"]).parent == disk
    assert [call["to"] for call in used.json("calls")["data"]] == [NUMBER]


def test_it_says_what_to_do_next(used: Cli) -> None:
    used("db", "backup", "backup.db")
    out = used("db", "restore", "backup.db").stdout
    for words in (
        "Dialling is paused",
        "pause --resume",
        "--status unconfirmed",
        "Idempotency-Keys",
        "replaced-",
    ):
        assert words in out
    again = used("db", "after-restore").stdout
    assert again.startswith("Dialling is paused")


def test_a_database_that_was_never_restored_is_asked_about_at_a_terminal(
    used: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does cannot be taken back. Scripts, which run it right after a restore, are not asked."""
    used("pause")
    used("call", "+918867130003", "--flow", "24")
    monkeypatch.setattr("tracker.cli.commands.db.restore.can_ask", lambda: True)
    refused = used("db", "after-restore", stdin="n\n")
    assert refused.exit_code == 1
    assert str(used.folder / "tracker.db") in refused.stdout
    assert [call["status"] for call in used.json("calls")["data"]] == ["pending", "queued"]
    assert [p["why"] for p in used.json("status", code=1)["paused"]] == ["operator"]

    done = used("db", "after-restore", "--yes")
    assert done.exit_code == 0
    assert "for good?" not in done.stdout
    assert "1 submission was waiting" in done.stdout
    assert [call["status"] for call in used.json("calls")["data"]] == ["unconfirmed", "queued"]
    assert "Dialling is paused" in used("db", "after-restore", stdin="y\n").stdout
    assert used.json("db", "after-restore")["unconfirmed"] == 0


def test_a_worker_that_was_heard_of_lately_is_warned_of(used: Cli) -> None:
    database = Database(f"sqlite:///{used.folder / 'tracker.db'}")
    try:
        database.write(lambda c: heartbeats.record_heartbeat(c, "vm-abc", datetime.now(UTC)))
        for option in ([], ["--json"]):
            database.write(lambda c: heartbeats.record_heartbeat(c, "vm-abc", datetime.now(UTC)))
            done = used("db", "after-restore", *option)
            assert done.exit_code == 0
            assert "A worker was heard of" in done.stderr
            assert "vm-abc" in done.stderr
        assert "worker was heard" not in used("db", "after-restore").stderr
    finally:
        database.close()


def test_a_call_placed_after_the_restore_is_marked_when_it_is_run_again(used: Cli) -> None:
    """As its help and the page about backups say."""
    assert used.json("db", "after-restore")["unconfirmed"] == 0
    used("call", "+918867130003", "--flow", "24")
    assert used.json("db", "after-restore")["unconfirmed"] == 1


def test_twice_within_a_second_keeps_both(used: Cli) -> None:
    used("db", "backup", "backup.db")
    kept = {used.json("db", "restore", "backup.db")["kept"] for _ in range(3)}
    assert len(kept) == 3
    assert all(Path(name).exists() for name in kept)


def test_a_database_that_was_lost_is_restored(used: Cli) -> None:
    used("db", "backup", "backup.db")
    (used.folder / "tracker.db").unlink()
    assert used.json("db", "restore", "backup.db")["kept"] is None
    assert used.json("calls")["data"]


def test_a_database_that_is_damaged_is_restored_and_its_log_is_not_played_into_the_new_one(used: Cli) -> None:
    used("db", "backup", "backup.db")
    (used.folder / "tracker.db").write_bytes(b"no database at all" * 1000)
    (used.folder / "tracker.db-wal").write_bytes(b"a log of something else")
    told = used.json("db", "restore", "backup.db")
    assert used.json("calls")["data"]
    assert Path(told["kept"]).read_bytes().startswith(b"no database")
    assert used("db", "check").exit_code == 0


def test_an_idle_server_is_noticed(used: Cli, tmp_path: Path, provider: RecordingProvider) -> None:
    used("db", "backup", "backup.db")
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}", provider.base_url) as processes:
        server = processes.serve("--no-worker")
        refused = used("db", "restore", "backup.db")
        assert refused.exit_code == 1
        assert "stop `" in refused.stderr
        assert server.terminate() == 0
    assert used("db", "restore", "backup.db").exit_code == 0
    assert [n for n in names(used.folder) if n.endswith(".partial")] == []


def test_who_opens_the_database_while_it_is_replaced_does_not_work_on_what_was_there(used: Cli) -> None:
    """It has the old file open already, and waits for it."""
    path = used.folder / "tracker.db"
    new = used.folder / "new.db"
    used("db", "backup", "new.db")
    environ = os.environ | {"TRACKER_CONFIG": str(used.folder / "tracker.toml")}
    with file_swap.alone_with(path):
        opening = subprocess.Popen(
            [sys.executable, "-m", "tracker", "calls"],
            cwd=used.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        eventually(lambda: has_open(opening.pid, path), "it should open the database")
        kept = file_swap.replace(path, new, datetime.now(UTC))
    out, err = opening.communicate(timeout=60)
    assert (opening.returncode, out) == (1, "")
    assert "replaced" in err
    assert "try again" in err
    assert len(err.splitlines()) == 1
    assert kept is not None
    # nothing of it is left that would be taken for the new one's
    assert used.json("calls")["data"]
    assert used("db", "check").exit_code == 0


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has this file open."""
    with suppress(OSError):
        return any(each.samefile(path) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    return False


def refused_backups(folder: Path) -> dict[str, str]:
    """Files that are no backups, and what is said of them."""
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


def test_what_is_no_backup_changes_nothing(used: Cli) -> None:
    used("db", "backup", "backup.db")
    wrong = refused_backups(used.folder)
    before = names(used.folder)
    for name, words in wrong.items():
        refused = used("db", "restore", name)
        assert refused.exit_code == 1, name
        assert words in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        if name != "newer.db":
            assert name in refused.stderr
            assert "tracker.toml" not in refused.stderr, "the configuration has nothing to do with it"
    assert names(used.folder) == before
    assert used.json("calls")["data"]


def test_a_newer_backup_that_this_version_can_work_with_stays_newer(used: Cli) -> None:
    used("db", "backup", "newer.db")
    with closing(sqlite3.connect(used.folder / "newer.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    told = used.json("db", "restore", "newer.db")
    assert told["schema"] == "9999"
    out = used("db", "restore", "newer.db").stdout
    assert "brought up" not in out


def test_an_older_backup_is_brought_up_to_date(used: Cli) -> None:
    old = Database(f"sqlite:///{used.folder / 'old.db'}")
    with upgrade._alembic, migration_lock._alone(old) as connection:
        command.upgrade(upgrade.alembic_config(connection), "0001")
    old.close()
    told = used.json("db", "restore", "old.db")
    assert told["schema"] == upgrade.head()
    assert used.json("calls")["data"] == []
    assert used("db", "check").exit_code == 0

"""`tracker db restore` and `after-restore`: both files come back, or nothing changes."""

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

from tests.cli.conftest import NUMBER, Cli
from tests.cli.db.database_files import PAIR, cut_off, damage, database_names, rename_database, rewind
from tests.processes import Processes, eventually
from tests.recording_provider import RecordingProvider
from tests.store.releases import create_unreleased
from tracker.store.engine.database import Database, inbox_path
from tracker.store.maintenance import file_swap
from tracker.store.queue import heartbeats

OTHER_NUMBER = "+918867130003"


@pytest.fixture
def backed_up(cli_with_call: Cli) -> Cli:
    """A database with one call that the provider took, and a backup of it: `backup.db`."""
    assert cli_with_call("db", "backup", "backup.db").exit_code == 0
    return cli_with_call


def called_numbers(cli: Cli) -> list[str]:
    return [call["to"] for call in cli.json("calls")["data"]]


def test_restore_brings_the_backup_back_and_keeps_the_old_file(backed_up: Cli) -> None:
    backed_up("call", OTHER_NUMBER, "--flow", "24")
    report = backed_up.json("db", "restore", "backup.db")
    assert report["rows"]["calls"] == 1
    assert (report["asked"], report["unconfirmed"]) == (1, 0)
    assert (report["inbox"], report["kept_inbox"], report["unjoined_callbacks"]) == ("stayed", None, 0)
    assert called_numbers(backed_up) == [NUMBER]
    with closing(sqlite3.connect(report["kept"])) as kept:
        assert kept.execute("SELECT count(*) FROM calls").fetchone() == (2,)
    assert Path(report["kept"]).name.startswith("tracker.db.replaced-2")
    status = backed_up.json("status", code=1)
    assert [p["why"] for p in status["paused"]] == ["restored"]
    assert [s for s in status["problems"] if "backup was restored" in s]
    for name in PAIR:
        assert stat.S_IMODE((backed_up.folder / name).stat().st_mode) == 0o600
    assert backed_up("db", "check").exit_code == 0


def test_restore_of_a_lost_database_puts_both_files_there(backed_up: Cli) -> None:
    for name in PAIR:
        (backed_up.folder / name).unlink()
    report = backed_up.json("db", "restore", "backup.db")
    assert (report["inbox"], report["kept"], report["kept_inbox"]) == ("restored", None, None)
    assert called_numbers(backed_up) == [NUMBER]
    assert backed_up("db", "check").exit_code == 0


@pytest.mark.parametrize("spoil", [damage, cut_off, rewind, rename_database])
def test_restore_replaces_an_inbox_file_that_does_not_fit(backed_up: Cli, spoil: object) -> None:
    inbox = backed_up.folder / "tracker-inbox.db"
    assert callable(spoil)
    spoil(inbox)
    content = inbox.read_bytes()
    report = backed_up.json("db", "restore", "backup.db")
    assert report["inbox"] == "restored"
    assert Path(report["kept_inbox"]) == inbox_path(Path(report["kept"]))
    # the first 100 bytes are SQLite's header, which says whether there is a log
    assert Path(report["kept_inbox"]).read_bytes()[100:] == content[100:]
    assert called_numbers(backed_up) == [NUMBER]
    assert backed_up("db", "check").exit_code == 0


def test_kept_files_are_a_pair_that_can_be_restored(backed_up: Cli) -> None:
    backed_up("call", OTHER_NUMBER, "--flow", "24")
    rename_database(backed_up.folder / "tracker-inbox.db")
    with closing(sqlite3.connect(backed_up.folder / "tracker.db")) as file, file:
        file.execute("UPDATE settings SET value = 'another' WHERE name = 'database-id'")
    kept = backed_up.json("db", "restore", "backup.db")["kept"]
    assert backed_up.json("db", "restore", kept)["rows"]["calls"] == 2


def test_restore_says_what_happened_to_the_inbox(backed_up: Cli) -> None:
    assert (
        "Its inbox stayed in place. No callback came after" in backed_up("db", "restore", "backup.db").stdout
    )
    (backed_up.folder / "tracker-inbox.db").unlink()
    out = backed_up("db", "restore", "backup.db").stdout
    assert "Its inbox is the backup's, too (0 callbacks to read)" in out


def test_restore_keeps_links_to_both_files(backed_up: Cli) -> None:
    """The data may lie on another disk; a restore must not bring it back without a word."""
    backed_up("call", OTHER_NUMBER, "--flow", "24")
    disk = backed_up.folder / "disk"
    disk.mkdir()
    for name in PAIR:
        (backed_up.folder / name).rename(disk / f"real-{name}")
        (backed_up.folder / name).symlink_to(disk / f"real-{name}")
    damage(disk / "real-tracker-inbox.db")
    report = backed_up.json("db", "restore", "backup.db")
    for name in PAIR:
        assert (backed_up.folder / name).readlink() == disk / f"real-{name}"
    assert Path(report["kept"]).parent == Path(report["kept_inbox"]).parent == disk
    assert called_numbers(backed_up) == [NUMBER]


def test_restore_twice_within_a_second_keeps_both(backed_up: Cli) -> None:
    kept = {backed_up.json("db", "restore", "backup.db")["kept"] for _ in range(3)}
    assert len(kept) == 3
    assert all(Path(name).exists() for name in kept)


def test_restore_does_not_play_an_old_log_into_the_new_file(backed_up: Cli) -> None:
    (backed_up.folder / "tracker.db").write_bytes(b"no database at all" * 1000)
    (backed_up.folder / "tracker.db-wal").write_bytes(b"a log of something else")
    report = backed_up.json("db", "restore", "backup.db")
    assert called_numbers(backed_up) == [NUMBER]
    assert Path(report["kept"]).read_bytes().startswith(b"no database")
    assert backed_up("db", "check").exit_code == 0


def test_restore_is_refused_while_an_idle_server_runs(
    backed_up: Cli, tmp_path: Path, provider: RecordingProvider
) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}", provider.base_url) as processes:
        server = processes.serve("--no-worker")
        refused = backed_up("db", "restore", "backup.db")
        assert refused.exit_code == 1
        assert "is in use. Stop `tracker serve`" in refused.stderr
        assert server.terminate() == 0
    assert backed_up("db", "restore", "backup.db").exit_code == 0
    assert [name for name in database_names(backed_up.folder) if name.endswith(".partial")] == []


def test_restore_is_refused_while_the_inbox_file_is_open(backed_up: Cli) -> None:
    before = database_names(backed_up.folder)
    with closing(sqlite3.connect(backed_up.folder / "tracker-inbox.db")) as other:
        other.execute("SELECT * FROM identity").fetchall()
        refused = backed_up("db", "restore", "backup.db")
    assert refused.exit_code == 1
    assert "tracker-inbox.db is in use" in refused.stderr
    assert database_names(backed_up.folder) == before


def test_process_that_waits_for_the_swap_leaves_the_old_file(backed_up: Cli) -> None:
    """It has the old file open already, and waits for its lock."""
    path, new = backed_up.folder / "tracker.db", backed_up.folder / "backup.db"
    environ = os.environ | {"TRACKER_CONFIG": str(backed_up.folder / "tracker.toml")}
    with file_swap.exclusive_lock(path):
        opening = subprocess.Popen(
            [sys.executable, "-m", "tracker", "calls"],
            cwd=backed_up.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        eventually(lambda: has_open(opening.pid, path), "it should open the database")
        assert file_swap.replace(path, new, file_swap.dated_name(path, datetime.now(UTC)))
    out, err = opening.communicate(timeout=60)
    assert (opening.returncode, out) == (1, "")
    assert "replaced" in err
    assert "try again" in err
    assert len(err.splitlines()) == 1
    # nothing is left of the old file that would be taken for the new one's
    assert called_numbers(backed_up) == [NUMBER]
    assert backed_up("db", "check").exit_code == 0


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has this file open."""
    with suppress(OSError):
        return any(each.samefile(path) for each in Path(f"/proc/{pid}/fd").iterdir() if each.exists())
    return False


def make_wrong_backups(folder: Path) -> dict[str, str]:
    """Write files that are no backups; return the error for each."""
    (folder / "text.db").write_text("something else entirely" * 100)
    (folder / "empty.db").touch()
    with closing(sqlite3.connect(folder / "foreign.db")) as database:
        database.execute("CREATE TABLE thing (n)")
    create_unreleased(f"sqlite:///{folder / 'older.db'}", "0003")
    backup, inbox = (folder / "backup.db").read_bytes(), (folder / "backup-inbox.db").read_bytes()
    (folder / "newer.db").write_bytes(backup)
    with closing(sqlite3.connect(folder / "newer.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE settings SET value = '9999' WHERE name = 'oldest-able-schema'")
    (folder / "half.db").write_bytes(backup[: len(backup) // 2])
    (folder / "alone.db").write_bytes(backup)
    for name in ("half-inbox", "other-inbox", "old-inbox", "layout-inbox"):
        (folder / f"{name}.db").write_bytes(backup)
        (folder / f"{name}-inbox.db").write_bytes(inbox)
    (folder / "half-inbox-inbox.db").write_bytes(inbox[: len(inbox) // 2])
    rename_database(folder / "other-inbox-inbox.db")
    rewind(folder / "old-inbox-inbox.db")
    with closing(sqlite3.connect(folder / "layout-inbox-inbox.db")) as file:
        file.execute("PRAGMA user_version=99")
    return {
        "text.db": "not a SQLite database",
        "empty.db": "is empty",
        "foreign.db": "not tracker's",
        "older.db": "before the first release",
        "newer.db": "older than the database",
        "half.db": "is damaged or cut off",
        "nothing.db": "There is no file",
        "alone.db": "alone-inbox.db, the inbox file of this backup, is missing",
        "half-inbox.db": "half-inbox-inbox.db is damaged or cut off",
        "other-inbox.db": "other-inbox-inbox.db belongs to another database",
        "old-inbox.db": "old-inbox-inbox.db is older than the records",
        "layout-inbox.db": "layout-inbox-inbox.db has layout 99",
    }


def test_restore_of_a_wrong_file_changes_nothing(backed_up: Cli) -> None:
    wrong = make_wrong_backups(backed_up.folder)
    before = database_names(backed_up.folder)
    contents = {name: (backed_up.folder / name).read_bytes()[100:] for name in PAIR}  # without the header
    for name, words in wrong.items():
        refused = backed_up("db", "restore", name)
        assert refused.exit_code == 1, name
        assert words in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert name.removesuffix(".db") in refused.stderr
        assert "tracker.toml" not in refused.stderr, "the configuration has nothing to do with it"
    assert database_names(backed_up.folder) == before
    assert {name: (backed_up.folder / name).read_bytes()[100:] for name in PAIR} == contents


def test_restore_of_the_database_itself_is_refused(backed_up: Cli) -> None:
    assert "is the database itself" in backed_up("db", "restore", "tracker.db").stderr


def test_restore_of_a_newer_compatible_backup_leaves_its_schema(backed_up: Cli) -> None:
    with closing(sqlite3.connect(backed_up.folder / "backup.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert backed_up.json("db", "restore", "backup.db")["schema"] == "9999"
    assert "upgraded" not in backed_up("db", "restore", "backup.db").stdout


def test_restore_says_what_to_do_next(backed_up: Cli) -> None:
    out = backed_up("db", "restore", "backup.db").stdout
    for words in (
        "Dialling is paused",
        "pause --resume",
        "--status unconfirmed",
        "Idempotency-Keys",
        "replaced-",
    ):
        assert words in out
    assert backed_up("db", "after-restore").stdout.startswith("Dialling is paused")


def test_after_restore_asks_on_a_terminal(backed_up: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be taken back. Scripts, which run it right after a restore, are not asked."""
    backed_up("pause")
    backed_up("call", OTHER_NUMBER, "--flow", "24")
    monkeypatch.setattr("tracker.cli.commands.db.restore.can_ask", lambda: True)
    refused = backed_up("db", "after-restore", stdin="n\n")
    assert refused.exit_code == 1
    assert str(backed_up.folder / "tracker.db") in refused.stdout
    assert [call["status"] for call in backed_up.json("calls")["data"]] == ["pending", "queued"]
    assert [p["why"] for p in backed_up.json("status", code=1)["paused"]] == ["operator"]

    done = backed_up("db", "after-restore", "--yes")
    assert done.exit_code == 0
    assert "for good?" not in done.stdout
    assert "1 submission was waiting" in done.stdout
    assert [call["status"] for call in backed_up.json("calls")["data"]] == ["unconfirmed", "queued"]
    assert "Dialling is paused" in backed_up("db", "after-restore", stdin="y\n").stdout
    assert backed_up.json("db", "after-restore")["unconfirmed"] == 0


def test_after_restore_warns_of_a_living_worker(backed_up: Cli) -> None:
    with closing(Database(f"sqlite:///{backed_up.folder / 'tracker.db'}")) as database:
        for options in ([], ["--json"]):
            database.write(lambda c: heartbeats.record_heartbeat(c, "vm-abc", datetime.now(UTC)))
            done = backed_up("db", "after-restore", *options)
            assert done.exit_code == 0
            assert "A worker was heard of" in done.stderr
            assert "vm-abc" in done.stderr
        assert "A worker was heard of" not in backed_up("db", "after-restore").stderr


def test_after_restore_marks_later_calls_when_run_again(backed_up: Cli) -> None:
    assert backed_up.json("db", "after-restore")["unconfirmed"] == 0
    backed_up("call", OTHER_NUMBER, "--flow", "24")
    assert backed_up.json("db", "after-restore")["unconfirmed"] == 1

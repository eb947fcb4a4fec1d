"""`tracker db backup`: two whole files, whatever happens meanwhile."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.cli.db.database_files import PAIR, database_names
from tests.store.releases import create_unreleased
from tracker.errors import Conflict
from tracker.store.maintenance.backup import back_up
from tracker.store.schema import upgrade


def test_backup_is_two_whole_files_for_their_owner_alone(cli_with_call: Cli) -> None:
    report = cli_with_call.json("db", "backup", "backup.db")
    file, inbox = cli_with_call.folder / "backup.db", cli_with_call.folder / "backup-inbox.db"
    assert (report["file"], report["inbox_file"]) == (str(file), str(inbox))
    assert (report["bytes"], report["inbox_bytes"]) == (file.stat().st_size, inbox.stat().st_size)
    assert report["schema"] == upgrade.head()
    assert (report["rows"]["calls"], report["rows"]["inbox"]) == (1, 0)
    assert database_names(cli_with_call.folder) == PAIR | {"backup.db", "backup-inbox.db"}
    for path in (file, inbox):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as copy:
            assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
            assert copy.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute('SELECT "to" FROM calls').fetchall() == [(NUMBER,)]
    out = cli_with_call("db", "backup", "another.db").stdout
    assert "1 calls" in out
    assert "A backup is both files." in out


@pytest.mark.parametrize("suffix", ["", "-inbox"])
def test_backup_has_what_is_in_the_log_alone(cli_with_call: Cli, suffix: str) -> None:
    """As after a kill, which leaves the log unmerged."""
    with closing(sqlite3.connect(cli_with_call.folder / f"tracker{suffix}.db")) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE in_the_log (n)")
        writer.commit()
        assert cli_with_call("db", "backup", "backup.db").exit_code == 0
    with closing(sqlite3.connect(cli_with_call.folder / f"backup{suffix}.db")) as copy:
        assert copy.execute("SELECT * FROM in_the_log").fetchall() == []


@pytest.mark.parametrize("name", ["backup.db", "backup-inbox.db"])
def test_backup_replaces_files_only_with_force(cli_with_call: Cli, name: str) -> None:
    file = cli_with_call.folder / name
    file.write_text("precious")
    refused = cli_with_call("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert f"{name} exists already" in refused.stderr
    assert "--force" in refused.stderr
    assert database_names(cli_with_call.folder) == PAIR | {name}
    assert file.read_text() == "precious"
    assert cli_with_call("db", "backup", "backup.db", "--force").exit_code == 0
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_forced_backup_replaces_another_databases_backup(cli_with_call: Cli) -> None:
    cli_with_call("db", "backup", "backup.db")
    for name in PAIR:
        (cli_with_call.folder / name).unlink()
    cli_with_call("db", "upgrade")
    assert cli_with_call.json("db", "backup", "backup.db", "--force")["rows"]["calls"] == 0
    assert cli_with_call.json("db", "restore", "backup.db")["rows"]["calls"] == 0


@pytest.mark.parametrize("name", ["tracker.db", "tracker-inbox.db", "tracker.db-wal", "link.db"])
def test_backup_never_replaces_the_database_itself(cli_with_call: Cli, name: str) -> None:
    (cli_with_call.folder / "link.db").symlink_to(cli_with_call.folder / "tracker.db")
    refused = cli_with_call("db", "backup", name, "--force")
    assert refused.exit_code == 1
    assert "is the database itself" in refused.stderr
    assert cli_with_call.json("calls")["data"]


def test_backup_refuses_a_target_whose_inbox_is_the_database(tmp_path: Path) -> None:
    database = tmp_path / "x-inbox.db"
    database.touch()
    with pytest.raises(Conflict, match="is the database itself"):
        back_up(database, tmp_path / "x.db", force=True)


def test_backup_into_a_missing_folder_is_refused(cli_with_call: Cli) -> None:
    refused = cli_with_call("db", "backup", "nowhere/backup.db")
    assert refused.exit_code == 1
    assert "Does it exist" in refused.stderr


def test_backup_of_no_database_is_refused_and_makes_none(cli: Cli) -> None:
    refused = cli("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert "There is nothing to back up" in refused.stderr
    assert database_names(cli.folder) == set()


def test_backup_of_an_empty_database_is_refused(cli: Cli) -> None:
    (cli.folder / "tracker.db").touch()
    refused = cli("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert "There is nothing to back up" in refused.stderr
    assert database_names(cli.folder) == {"tracker.db"}


def test_backup_without_the_inbox_file_is_refused(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker-inbox.db").unlink()
    refused = cli_with_call("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert "tracker-inbox.db is missing, so no backup was made" in refused.stderr
    assert database_names(cli_with_call.folder) == {"tracker.db"}


def test_backup_with_another_inbox_file_is_refused(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker.db").rename(cli_with_call.folder / "kept.db")
    (cli_with_call.folder / "tracker-inbox.db").unlink()
    cli_with_call("db", "upgrade")
    (cli_with_call.folder / "kept.db").rename(cli_with_call.folder / "tracker.db")
    refused = cli_with_call("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert "belongs to another database, so no backup was made" in refused.stderr
    assert database_names(cli_with_call.folder) == PAIR


@pytest.mark.parametrize("name", ["tracker.db", "tracker-inbox.db"])
def test_backup_of_a_damaged_file_is_refused(cli_with_call: Cli, name: str) -> None:
    (cli_with_call.folder / name).write_bytes(b"no database at all" * 1000)
    refused = cli_with_call("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert f"{name} is damaged" in refused.stderr
    assert database_names(cli_with_call.folder) == PAIR


def test_backup_of_a_version_without_an_inbox_is_one_file(cli: Cli) -> None:
    create_unreleased(f"sqlite:///{cli.folder / 'tracker.db'}", "0003")
    report = cli.json("db", "backup", "before.db")
    assert (report["schema"], report["inbox_file"], report["rows"]["calls"]) == ("0003", None, 1)
    assert database_names(cli.folder) == {"tracker.db", "before.db"}


def test_backup_of_postgresql_names_its_own_tools(
    cli: Cli, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    assert "pg_dump" in cli("db", "backup", "x.db").stderr
    refused = cli("db", "restore", "x.db")
    assert refused.exit_code == 1
    assert "pg_restore" in refused.stderr
    assert "after-restore" in refused.stderr

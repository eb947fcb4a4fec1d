"""The command `tracker db backup`."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing

import pytest
from alembic import command

from tests.cli.conftest import NUMBER, Cli
from tracker.store.engine.database import Database
from tracker.store.schema import migration_lock, upgrade


def test_backup_is_one_file_that_only_its_owner_can_read(cli_with_call: Cli) -> None:
    document = cli_with_call.json("db", "backup", "backup.db")
    file = cli_with_call.folder / "backup.db"
    assert document["file"] == str(file)
    assert document["bytes"] == file.stat().st_size
    assert document["schema"] == upgrade.head()
    assert document["rows"]["calls"] == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert cli_with_call.file_names() == {"tracker.db", "backup.db"}
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert database.execute('SELECT "to" FROM calls').fetchall() == [(NUMBER,)]
    assert "1 calls" in cli_with_call("db", "backup", "another.db").stdout


def test_backup_contains_commits_that_are_only_in_the_wal(cli_with_call: Cli) -> None:
    """After a kill, the newest commits are only in SQLite's log."""
    with closing(sqlite3.connect(cli_with_call.folder / "tracker.db")) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("UPDATE calls SET name = 'in the log'")
        writer.commit()
        cli_with_call("db", "backup", "backup.db")
    with closing(sqlite3.connect(cli_with_call.folder / "backup.db")) as copy:
        assert copy.execute("SELECT name FROM calls").fetchall() == [("in the log",)]


def test_backup_replaces_a_file_only_with_force(cli_with_call: Cli) -> None:
    file = cli_with_call.folder / "backup.db"
    file.write_text("precious")
    refused = cli_with_call("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert file.read_text() == "precious"
    assert cli_with_call("db", "backup", "backup.db", "--force").exit_code == 0
    assert file.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("name", ["tracker.db", "tracker.db-wal", "link.db"])
def test_backup_onto_the_database_itself_is_refused(cli_with_call: Cli, name: str) -> None:
    (cli_with_call.folder / "link.db").symlink_to(cli_with_call.folder / "tracker.db")
    refused = cli_with_call("db", "backup", name, "--force")
    assert refused.exit_code == 1
    assert "is the database itself" in refused.stderr
    assert cli_with_call.json("calls")["data"]


def test_backup_into_a_missing_folder_is_refused(cli_with_call: Cli) -> None:
    refused = cli_with_call("db", "backup", "nowhere/backup.db")
    assert refused.exit_code == 1
    assert "does it exist" in refused.stderr


def test_backup_is_refused_when_there_is_no_database(cli: Cli) -> None:
    refused = cli("db", "backup", "backup.db")
    assert refused.exit_code == 1
    assert not (cli.folder / "tracker.db").exists()


def test_backup_works_with_an_old_schema(cli: Cli) -> None:
    old = Database(f"sqlite:///{cli.folder / 'tracker.db'}")
    with upgrade._alembic, migration_lock._alone(old) as connection:
        command.upgrade(upgrade.alembic_config(connection), "0001")
    old.close()
    assert cli.json("db", "backup", "before.db")["schema"] == "0001"


def test_backup_and_restore_name_postgresql_tools(
    cli: Cli, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    assert "pg_dump" in cli("db", "backup", "x.db").stderr
    refused = cli("db", "restore", "x.db")
    assert refused.exit_code == 1
    assert "pg_restore" in refused.stderr
    assert "after-restore" in refused.stderr

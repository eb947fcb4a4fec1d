"""A database that cannot be used is noticed, and the hint fits its error."""

from __future__ import annotations

import ctypes
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from tests.cli.conftest import Cli
from tracker.store.engine import file_rights
from tracker.store.engine.database import Database

_PR_CAPBSET_DROP = 24
#: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: they let root write and read what modes forbid
_OVERRIDES = (1, 2)


def obey_file_modes() -> None:
    """Let root in a child process do only what the modes of files allow."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in _OVERRIDES if os.geteuid() == 0 else ():
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def run_unprivileged(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `tracker …` in a process that obeys the modes of files."""
    command = [sys.executable, "-m", "tracker", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        preexec_fn=obey_file_modes,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def _restored_modes(cli: Cli) -> Iterator[None]:
    """Let the folder be removed after the test."""
    yield
    cli.folder.chmod(0o700)


def database_check(cli: Cli) -> tuple[str, str]:
    document = json.loads(run_unprivileged(cli.folder, "doctor", "--json").stdout)
    [check] = [c for c in document["checks"] if c["name"] == "database"]
    return check["state"], check["message"]


def test_read_only_file_is_named_with_its_mode(cli_with_call: Cli) -> None:
    file = cli_with_call.folder / "tracker.db"
    assert database_check(cli_with_call)[0] == "ok"
    file.chmod(0o444)
    state, message = database_check(cli_with_call)
    assert state == "fail"
    for words in (str(file), "may not write", "mode 0444", "chown", "chmod", "as another user, such as root"):
        assert words in message
    checked = run_unprivileged(cli_with_call.folder, "db", "check", "--json")
    assert checked.returncode == 1
    document = json.loads(checked.stdout)
    assert document["ok"] is False
    assert "may not write" in document["problems"][0]
    assert "may not write" in run_unprivileged(cli_with_call.folder, "status").stdout
    paused = run_unprivileged(cli_with_call.folder, "pause")
    assert paused.returncode == 1
    assert "may not write" in paused.stderr
    assert "its directory exists" not in paused.stderr


def test_read_only_inbox_file_is_named(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker-inbox.db").chmod(0o444)
    assert database_check(cli_with_call)[0] == "fail"
    for command in (["db", "check"], ["status"]):
        done = run_unprivileged(cli_with_call.folder, *command)
        assert "tracker-inbox.db cannot be written" in done.stdout + done.stderr, command


def test_read_only_directory_is_named(cli_with_call: Cli) -> None:
    """SQLite writes its log and the log's index beside the file."""
    assert not (cli_with_call.folder / "tracker.db-wal").exists()
    cli_with_call.folder.chmod(0o500)
    state, message = database_check(cli_with_call)
    assert state == "fail"
    assert f"may not write {cli_with_call.folder} (" in message
    checked = run_unprivileged(cli_with_call.folder, "db", "check")
    assert checked.returncode == 1
    assert f"may not write {cli_with_call.folder} (" in checked.stderr


def test_locked_file_is_no_obstacle(cli_with_call: Cli) -> None:
    file = cli_with_call.folder / "tracker.db"
    database = Database(f"sqlite:///{file}")
    with closing(database), closing(sqlite3.connect(file, isolation_level=None)) as busy:
        before = file.read_bytes()
        assert file_rights.obstacles(database) == []
        assert file.read_bytes() == before
        busy.execute("BEGIN IMMEDIATE")
        assert file_rights.obstacles(database) == []
        assert cli_with_call.json("db", "check")["ok"] is True


@pytest.fixture
def reader(postgres_database: str) -> Iterator[tuple[Database, str, str]]:
    """Return the owner's database, the name of a role that owns nothing in it, and the role's URL."""
    role = f"reader_{postgres_database.rpartition('/')[2][-8:]}"
    with closing(Database(postgres_database)) as owner:

        def do(*statements: str) -> None:
            for statement in statements:
                owner.write(lambda c: c.execute(sa.text(statement)).close())  # noqa: B023 -- called at once

        try:
            do(f"CREATE ROLE {role} LOGIN PASSWORD 'a-password'")
        except ProgrammingError:
            pytest.skip("the server of the tests makes no roles")
        address = owner.url.set(drivername="postgresql", username=role, password="a-password")
        try:
            yield owner, role, address.render_as_string(hide_password=False)
        finally:
            do(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_role_without_write_access_is_named(
    cli: Cli, postgres_database: str, reader: tuple[Database, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, role, url = reader
    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    cli("db", "upgrade")
    assert file_rights.obstacles(owner) == []
    monkeypatch.setenv("TRACKER_DATABASE__URL", url)
    for granted in (
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    ):
        owner.write(lambda c: c.execute(sa.text(granted)).close())  # noqa: B023 -- called at once
        [problem] = cli.json("db", "check", code=1)["problems"]
        assert f"The role {role} may not read and write all tables (call_secrets, " in problem
        assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}" in problem
        assert "a-password" not in problem


def test_hint_for_a_file_that_is_no_database(cli_with_call: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (cli_with_call.folder / "text.db").write_text("no database at all" * 1000)
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///text.db")
    refused = cli_with_call("calls")
    assert refused.exit_code == 1
    assert "It is no SQLite database. Name another file" in refused.stderr
    assert "directory" not in refused.stderr


def test_hint_for_a_copy_that_cannot_be_written(cli_with_call: Cli) -> None:
    shut = cli_with_call.folder / "shut"
    shut.mkdir(mode=0o500)
    refused = run_unprivileged(cli_with_call.folder, "db", "copy", "--to", "sqlite:///shut/copy.db")
    assert refused.returncode == 1
    assert f"may not write {shut} (" in refused.stderr


def test_restore_of_a_truncated_backup_is_refused(cli_with_call: Cli) -> None:
    assert cli_with_call("db", "backup", "b.db").exit_code == 0
    whole = (cli_with_call.folder / "b.db").read_bytes()
    for n in (300, len(whole) // 3, len(whole) - 100):
        (cli_with_call.folder / "cut.db").write_bytes(whole[:n])
        refused = cli_with_call("db", "restore", "cut.db")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("cut.db is damaged or cut off (")
        assert refused.stderr.endswith("). Restore another backup. Nothing was changed.\n")
    assert cli_with_call.json("calls")["data"]


def test_server_logs_at_start_that_it_cannot_write(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker.db").chmod(0o444)
    command = [sys.executable, "-m", "tracker", "serve", "--port", "0", "--log-format", "json"]
    server = subprocess.Popen(
        command, cwd=cli_with_call.folder, preexec_fn=obey_file_modes, stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    try:
        entries = (json.loads(line) for line in server.stderr)
        output = next(entry for entry in entries if entry["event"] == "database.write_check_failed")
    finally:
        server.terminate()
        server.stderr.read()
        server.wait(30)
        server.stderr.close()
    assert output["level"] == "error"
    assert "may not write" in output["problem"]

"""A database that this user may not write, or cannot use otherwise: it is noticed, and the hint fits."""

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

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider
from tracker.store.engine import file_rights
from tracker.store.engine.database import Database

_PR_CAPBSET_DROP = 24
#: what lets root write what modes forbid (CAP_DAC_OVERRIDE), and read it (CAP_DAC_READ_SEARCH)
_OVERRIDES = (1, 2)


def bound_by_modes() -> None:
    """In the child: root, too, may do only what the modes of files say."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in _OVERRIDES if os.geteuid() == 0 else ():
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tracker …` in a process that modes keep from writing."""
    command = [sys.executable, "-m", "tracker", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        preexec_fn=bound_by_modes,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def used(cli: Cli, provider: RecordingProvider) -> Iterator[Cli]:
    """A database with a call, whose modes are given back at the end."""
    cli.configure(provider.base_url)
    assert cli("call", NUMBER, "--flow", "24").exit_code == 0
    yield cli
    cli.folder.chmod(0o700)


def database_check(cli: Cli) -> tuple[str, str]:
    told = json.loads(run(cli.folder, "doctor", "--json").stdout)
    [check] = [c for c in told["checks"] if c["name"] == "database"]
    return check["state"], check["message"]


def test_a_file_that_cannot_be_written_is_noticed(used: Cli) -> None:
    file = used.folder / "tracker.db"
    assert database_check(used)[0] == "ok"
    file.chmod(0o444)
    state, message = database_check(used)
    assert state == "fail"
    for words in (str(file), "may not write", "mode 0444", "chown", "chmod", "as another user, such as root"):
        assert words in message
    checked = run(used.folder, "db", "check", "--json")
    assert checked.returncode == 1
    told = json.loads(checked.stdout)
    assert told["ok"] is False
    assert "may not write" in told["problems"][0]
    assert "may not write" in run(used.folder, "status").stdout
    paused = run(used.folder, "pause")
    assert paused.returncode == 1
    assert "may not write" in paused.stderr
    assert "its directory exist" not in paused.stderr


def test_a_directory_that_cannot_be_written_is_noticed(used: Cli) -> None:
    """SQLite's log and its index lie beside the file."""
    assert not (used.folder / "tracker.db-wal").exists()
    used.folder.chmod(0o500)
    state, message = database_check(used)
    assert state == "fail"
    assert f"may not write {used.folder} (" in message
    checked = run(used.folder, "db", "check")
    assert checked.returncode == 1
    assert f"may not write {used.folder} (" in checked.stderr


def test_a_file_on_which_somebody_works_is_no_obstacle_and_is_not_waited_for(used: Cli) -> None:
    file = used.folder / "tracker.db"
    database = Database(f"sqlite:///{file}")
    with closing(database), closing(sqlite3.connect(file, isolation_level=None)) as busy:
        before = file.read_bytes()
        assert file_rights.obstacles(database) == []
        assert file.read_bytes() == before
        busy.execute("BEGIN IMMEDIATE")
        assert file_rights.obstacles(database) == []
        assert used.json("db", "check")["ok"] is True


@pytest.fixture
def reader(postgres_database: str) -> Iterator[tuple[Database, str, str]]:
    """The owner's database, the name of a role that owns nothing in it, and its URL."""
    role = f"reader_{postgres_database.rpartition('/')[2][-8:]}"
    with closing(Database(postgres_database)) as owner:

        def do(*statements: str) -> None:
            for statement in statements:
                owner.write(lambda c: c.execute(sa.text(statement)).close())  # noqa: B023 -- it is done at once

        try:
            do(f"CREATE ROLE {role} LOGIN PASSWORD 'a-password'")
        except ProgrammingError:
            pytest.skip("the server of the tests makes no roles")
        address = owner.url.set(drivername="postgresql", username=role, password="a-password")
        try:
            yield owner, role, address.render_as_string(hide_password=False)
        finally:
            do(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_role_that_may_not_write_is_noticed(
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
        owner.write(lambda c: c.execute(sa.text(granted)).close())  # noqa: B023 -- it is done at once
        [problem] = cli.json("db", "check", code=1)["problems"]
        assert f"The role {role} may not read and write all tables (call_secrets, " in problem
        assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}" in problem
        assert "a-password" not in problem


def test_the_hint_fits_a_file_that_is_no_database(used: Cli) -> None:
    (used.folder / "text.db").write_text("no database at all" * 1000)
    refused = used("db", "copy", "--to", "sqlite:///text.db")
    assert refused.exit_code == 1
    assert "it is no SQLite database: name another file" in refused.stderr
    assert "directory" not in refused.stderr


def test_the_hint_fits_a_copy_that_cannot_be_written(used: Cli) -> None:
    used("db", "copy", "--to", "sqlite:///copy.db")
    (used.folder / "copy.db").chmod(0o444)
    with closing(sqlite3.connect(used.folder / "tracker.db")) as database, database:
        database.execute("UPDATE calls SET name = 'changed'")
    refused = run(used.folder, "db", "copy", "--to", "sqlite:///copy.db")
    assert refused.returncode == 1
    assert f"may not write {used.folder / 'copy.db'} (" in refused.stderr


def test_a_backup_that_is_cut_off_is_said_to_be_damaged(used: Cli) -> None:
    assert used("db", "backup", "b.db").exit_code == 0
    whole = (used.folder / "b.db").read_bytes()
    for n in (300, len(whole) // 3, len(whole) - 100):
        (used.folder / "cut.db").write_bytes(whole[:n])
        refused = used("db", "restore", "cut.db")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("cut.db is damaged or cut off (")
        assert refused.stderr.endswith("): restore another backup. Nothing was changed.\n")
    assert used.json("calls")["data"]


def test_a_server_says_at_its_start_that_it_can_store_nothing(used: Cli) -> None:
    (used.folder / "tracker.db").chmod(0o444)
    command = [sys.executable, "-m", "tracker", "serve", "--port", "0", "--log-format", "json"]
    server = subprocess.Popen(
        command, cwd=used.folder, preexec_fn=bound_by_modes, stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    try:
        entries = (json.loads(line) for line in server.stderr)
        told = next(entry for entry in entries if entry["event"] == "database.not_writable")
    finally:
        server.terminate()
        server.stderr.read()
        server.wait(30)
        server.stderr.close()
    assert told["level"] == "error"
    assert "may not write" in told["problem"]

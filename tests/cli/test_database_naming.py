"""Commands name the database that they change, so that nobody pauses the wrong one in a hurry."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import NUMBER, Cli

CHANGING = [
    ["pause"],
    ["pause", "--resume"],
    ["db", "after-restore"],
    ["db", "prune", "--older-than", "30d", "--yes"],
    ["db", "check"],
    ["db", "backup", "b.db"],
]


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_database_is_named_without_a_configuration(cli: Cli, command: list[str], as_json: bool) -> None:
    cli("db", "upgrade")
    done = cli(*command, *(["--json"] if as_json else []))
    assert done.exit_code == 0
    place = str(cli.folder / "tracker.db")
    [warning] = done.stderr.splitlines()
    assert warning.startswith(f"No configuration was found (no tracker.toml in {cli.folder}, ")
    assert f"this is about {place}." in warning
    if as_json:
        json.loads(done.stdout)
    else:
        assert place in done.stdout


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_no_warning_is_printed_with_a_configuration(cli: Cli, command: list[str]) -> None:
    cli.configure("http://127.0.0.1:9/")
    cli("db", "upgrade")
    done = cli(*command)
    assert (done.exit_code, done.stderr) == (0, "")
    assert str(cli.folder / "tracker.db") in done.stdout


def test_environment_alone_is_a_configuration(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///another.db")
    cli("db", "upgrade")
    done = cli("pause")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Database: {cli.folder / 'another.db'}\n")


def test_database_password_is_never_printed(
    cli: Cli, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, rest = postgres_database.partition("://")[2].partition("@")
    monkeypatch.setenv("TRACKER_DATABASE__URL", f"postgresql://{name.partition(':')[0]}:a-password@{rest}")
    cli("db", "upgrade")
    for command in CHANGING[:-1]:
        done = cli(*command)
        assert f":***@{rest}" in done.stdout + done.stderr
        assert "a-password" not in done.stdout + done.stderr


def test_missing_database_is_not_called_empty(cli: Cli) -> None:
    for command in (["db", "check"], ["db", "backup", "b.db"]):
        refused = cli(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        notice, problem = refused.stderr.splitlines()
        assert notice.startswith("No configuration was found")
        assert str(cli.folder / "tracker.db") in problem
    assert "does not exist yet" in cli("db", "check").stderr
    assert list(cli.folder.iterdir()) == []


def test_restore_warns_without_a_configuration(cli: Cli) -> None:
    cli("db", "upgrade")
    cli("db", "backup", "b.db")
    done = cli("db", "restore", "b.db")
    assert done.exit_code == 0
    assert f"this is about {cli.folder / 'tracker.db'}." in done.stderr


def test_reading_commands_warn_without_a_configuration(cli: Cli) -> None:
    cli("db", "upgrade")
    for command in (["calls"], ["status"], ["inbox", "list"]):
        assert f"this is about {cli.folder / 'tracker.db'}" in cli(*command).stderr
    assert "No configuration was found" in cli("call", NUMBER, "--flow", "24").stderr


def test_unknown_id_names_the_database_and_lists(cli: Cli) -> None:
    cli.configure("http://127.0.0.1:9/")
    cli("db", "upgrade")
    for command in (["show", "nope"], ["inbox", "show", "nope"]):
        refused = cli(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        for words in ("nope", "tracker calls`", "tracker inbox list`", str(cli.folder / "tracker.db")):
            assert words in refused.stderr
    refused = cli("db", "restore", "nofile.db")
    assert str(cli.folder / "nofile.db") in refused.stderr
    assert "`tracker db backup` wrote" in refused.stderr

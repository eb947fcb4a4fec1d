"""Whoever changes something is told where: in an emergency nobody is to believe that production is paused."""

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
def test_without_a_configuration_that_is_said_and_the_database_named(
    cli: Cli, command: list[str], as_json: bool
) -> None:
    cli("db", "upgrade")
    done = cli(*command, *(["--json"] if as_json else []))
    assert done.exit_code == 0
    place = str(cli.folder / "tracker.db")
    [told] = done.stderr.splitlines()
    assert told.startswith(f"No configuration was found (no tracker.toml in {cli.folder}, ")
    assert f"this is about {place}." in told
    if as_json:
        json.loads(done.stdout)
    else:
        assert place in done.stdout


@pytest.mark.parametrize("command", CHANGING, ids=" ".join)
def test_with_one_the_database_is_named_and_nothing_else_said(cli: Cli, command: list[str]) -> None:
    cli.configure("http://127.0.0.1:9/")
    cli("db", "upgrade")
    done = cli(*command)
    assert (done.exit_code, done.stderr) == (0, "")
    assert str(cli.folder / "tracker.db") in done.stdout


def test_the_environment_alone_is_a_configuration(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///another.db")
    cli("db", "upgrade")
    done = cli("pause")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Database: {cli.folder / 'another.db'}\n")


def test_the_password_is_never_shown(
    cli: Cli, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, rest = postgres_database.partition("://")[2].partition("@")
    monkeypatch.setenv("TRACKER_DATABASE__URL", f"postgresql://{name.partition(':')[0]}:a-password@{rest}")
    cli("db", "upgrade")
    for command in CHANGING[:-1]:
        done = cli(*command)
        assert f":***@{rest}" in done.stdout + done.stderr
        assert "a-password" not in done.stdout + done.stderr


def test_that_there_is_no_database_is_not_said_as_if_it_were_empty(cli: Cli) -> None:
    for command in (["db", "check"], ["db", "backup", "b.db"]):
        refused = cli(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        notice, problem = refused.stderr.splitlines()
        assert notice.startswith("No configuration was found")
        assert str(cli.folder / "tracker.db") in problem
    assert "does not exist yet" in cli("db", "check").stderr
    assert list(cli.folder.iterdir()) == []


def test_a_restore_into_what_nothing_names_is_told_as_well(cli: Cli) -> None:
    cli("db", "upgrade")
    cli("db", "backup", "b.db")
    done = cli("db", "restore", "b.db")
    assert done.exit_code == 0
    assert f"this is about {cli.folder / 'tracker.db'}." in done.stderr


def test_whoever_reads_is_told_as_well(cli: Cli) -> None:
    cli("db", "upgrade")
    for command in (["calls"], ["status"], ["inbox", "list"]):
        assert f"this is about {cli.folder / 'tracker.db'}" in cli(*command).stderr
    assert "No configuration was found" in cli("call", NUMBER, "--flow", "24").stderr


def test_what_is_not_there_is_said_with_the_place_and_a_way_on(cli: Cli) -> None:
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

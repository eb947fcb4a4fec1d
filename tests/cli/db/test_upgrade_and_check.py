"""`tracker db upgrade` and `db check`, on both databases, and the refusal of unreleased databases."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.store.releases import create_unreleased
from tracker.store.schema import upgrade


@pytest.fixture
def configured(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("TRACKER_DATABASE__URL", database_url)
    return cli


def test_upgrade_creates_the_schema_once(configured: Cli) -> None:
    assert configured.json("db", "upgrade") == {"before": None, "after": upgrade.head()}
    assert configured.json("db", "upgrade") == {"before": upgrade.head(), "after": upgrade.head()}
    assert "there was nothing to do" in configured("db", "upgrade").stdout


def test_check_says_whether_the_schema_fits(configured: Cli) -> None:
    empty = configured("db", "check")
    assert empty.exit_code == 1
    assert "tracker db upgrade" in empty.stderr
    assert configured.json("db", "check", code=1)["ok"] is False
    configured("db", "upgrade")
    assert [problem for problem in problems(configured) if "on the server" not in problem] == []


def problems(configured: Cli) -> list[str]:
    """What `db check` finds; the tests' own PostgreSQL server may be set up to be fast rather than safe."""
    result = configured("db", "check", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code == 0) == document["ok"] == (document["problems"] == [])
    assert result.stderr.splitlines() == document["problems"]
    return list(document["problems"])


@pytest.mark.parametrize("name", ["tracker.db", "tracker-inbox.db"])
def test_check_finds_a_damaged_file(cli: Cli, name: str) -> None:
    cli("db", "upgrade")
    (cli.folder / name).write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
    result = cli("db", "check")
    assert result.exit_code == 1
    assert result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert str(cli.folder / "tracker.db") in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["db", "upgrade"],
        ["db", "check"],
        ["serve", "--port", "0"],
        ["worker"],
        ["calls"],
        ["call", NUMBER, "--flow", "24"],
        ["db", "copy", "--to", "sqlite:///copy.db"],
        ["db", "new-inbox", "--yes"],
    ],
    ids=" ".join,
)
def test_commands_refuse_an_unreleased_database(cli: Cli, command: list[str]) -> None:
    cli.configure("http://127.0.0.1:9/")
    create_unreleased(f"sqlite:///{cli.folder / 'tracker.db'}", "0003")
    before = {path: path.read_bytes()[100:] for path in cli.folder.iterdir()}
    done = cli(*command)
    assert done.exit_code == 1
    assert "schema 0003 of a version before the first release" in done.stderr
    assert "Name a new database in `database.url`" in done.stderr
    assert {path: path.read_bytes()[100:] for path in cli.folder.iterdir()} == before

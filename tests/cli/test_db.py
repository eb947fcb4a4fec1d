"""The schema, on both databases."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli
from tracker.store.schema import upgrade


@pytest.fixture
def configured(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("TRACKER_DATABASE__URL", database_url)
    return cli


def test_upgrade_makes_the_schema_once(configured: Cli) -> None:
    assert configured.json("db", "upgrade") == {"before": None, "after": upgrade.head()}
    assert configured.json("db", "upgrade") == {"before": upgrade.head(), "after": upgrade.head()}
    assert "there was nothing to do" in configured("db", "upgrade").stdout


def test_check_says_whether_it_fits(configured: Cli) -> None:
    empty = configured("db", "check")
    assert empty.exit_code == 1
    assert "tracker db upgrade" in empty.stderr
    assert configured.json("db", "check", code=1)["ok"] is False
    configured("db", "upgrade")
    assert [p for p in problems(configured) if "on the server" not in p] == []


def problems(configured: Cli) -> list[str]:
    """What `db check` says; the tests' own PostgreSQL server may be set up to be fast rather than safe."""
    result = configured("db", "check", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code == 0) == told["ok"] == (told["problems"] == [])
    assert result.stderr.splitlines() == told["problems"]
    return list(told["problems"])


def test_check_finds_a_damaged_file(cli: Cli) -> None:
    cli("db", "upgrade")
    file = cli.folder / "tracker.db"
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
    result = cli("db", "check")
    assert result.exit_code == 1
    assert result.stderr
    assert len(result.stderr.splitlines()) <= 3

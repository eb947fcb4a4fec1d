"""The commands `tracker db upgrade` and `tracker db check`, on both databases."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli
from tracker.store.schema import upgrade


@pytest.fixture
def configured(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("TRACKER_DATABASE__URL", database_url)
    return cli


def test_upgrade_creates_the_schema_once(configured: Cli) -> None:
    assert configured.json("db", "upgrade") == {"before": None, "after": upgrade.head()}
    assert configured.json("db", "upgrade") == {"before": upgrade.head(), "after": upgrade.head()}
    assert "there was nothing to do" in configured("db", "upgrade").stdout


def test_check_fails_until_the_schema_is_there(configured: Cli) -> None:
    empty = configured("db", "check")
    assert empty.exit_code == 1
    assert "tracker db upgrade" in empty.stderr
    assert configured.json("db", "check", code=1)["ok"] is False
    configured("db", "upgrade")
    assert [p for p in problems(configured) if "on the server" not in p] == []


def problems(configured: Cli) -> list[str]:
    """Return the problems of `db check`. The PostgreSQL server of the tests may be set up to be fast and not safe."""
    result = configured("db", "check", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code == 0) == document["ok"] == (document["problems"] == [])
    assert result.stderr.splitlines() == document["problems"]
    return list(document["problems"])


def test_check_finds_a_damaged_file(cli: Cli) -> None:
    cli("db", "upgrade")
    file = cli.folder / "tracker.db"
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
    result = cli("db", "check")
    assert result.exit_code == 1
    assert result.stderr
    assert len(result.stderr.splitlines()) <= 3

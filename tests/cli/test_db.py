"""The schema, on both databases."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tracker.store import schema


@pytest.fixture
def configured(cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("TRACKER_DATABASE__URL", database_url)
    return cli


def test_upgrade_makes_the_schema_once(configured: Cli) -> None:
    assert configured.json("db", "upgrade") == {"before": None, "after": schema.head()}
    assert configured.json("db", "upgrade") == {"before": schema.head(), "after": schema.head()}
    assert "nothing was to be done" in configured("db", "upgrade").stdout


def test_check_says_whether_it_fits(configured: Cli) -> None:
    empty = configured("db", "check")
    assert empty.exit_code == 1
    assert "tracker db upgrade" in empty.stderr
    assert configured.json("db", "check", code=1)["ok"] is False
    configured("db", "upgrade")
    assert configured("db", "check").exit_code == 0
    assert configured.json("db", "check")["ok"] is True

"""The command `tracker db prune` shows what would go, asks, and removes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider, error


@pytest.fixture
def cli_with_old_calls(cli: Cli, provider: RecordingProvider) -> Cli:
    """Place a call that was rejected long ago, and one that has been open since then."""
    cli.configure(provider.base_url)
    provider.sends.append(error(400, "no"))
    cli("call", NUMBER, "--flow", "24")
    cli("call", "+918867130003", "--flow", "24")
    with closing(sqlite3.connect(cli.folder / "tracker.db")) as database, database:
        database.execute("UPDATE calls SET updated_at = '2020-01-01 00:00:00.000000'")
    return cli


def calls(cli: Cli) -> list[str]:
    return [call["status"] for call in cli.json("calls")["data"]]


def test_prune_dry_run_changes_nothing(cli_with_old_calls: Cli) -> None:
    document = cli_with_old_calls.json("db", "prune", "--older-than", "400d", "--dry-run")
    assert document["rows"]["calls"] == document["rows"]["submissions"] == document["rows"]["exchanges"] == 1
    assert document["oldest"] == document["newest"] == "2020-01-01T00:00:00Z"
    assert document["bytes"] > 1000
    assert document["dry_run"] is True
    assert (
        ": 1 call, 3 events, 1 exchange with the provider, "
        in cli_with_old_calls("db", "prune", "--older-than", "400d", "--dry-run").stdout
    )
    assert sorted(calls(cli_with_old_calls)) == ["queued", "rejected"]


def test_prune_removes_what_the_dry_run_showed(cli_with_old_calls: Cli) -> None:
    document = cli_with_old_calls.json("db", "prune", "--older-than", "400d", "--dry-run")
    done = cli_with_old_calls.json("db", "prune", "--older-than", "400d", "--yes")
    assert done["rows"] == document["rows"]
    assert calls(cli_with_old_calls) == ["queued"]
    nothing = cli_with_old_calls("db", "prune", "--older-than", "52w", "--yes").stdout
    assert nothing == f"Nothing in {cli_with_old_calls.folder / 'tracker.db'} is that old and settled.\n"
    assert cli_with_old_calls("db", "check").exit_code == 0


def test_prune_without_terminal_needs_yes(cli_with_old_calls: Cli) -> None:
    for flags in ((), ("--json",)):
        refused = cli_with_old_calls("db", "prune", "--older-than", "400d", *flags)
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
    assert len(calls(cli_with_old_calls)) == 2


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 2), ("\n", 2)])
def test_prune_asks_on_a_terminal(
    cli_with_old_calls: Cli, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr("tracker.cli.commands.db.prune.can_ask", lambda: True)
    refused = cli_with_old_calls("db", "prune", "--older-than", "400d", "--json", stdin=answer)
    assert (refused.exit_code, refused.stdout) == (2, ""), "a program that reads JSON answers no questions"
    assert "`--json` asks nothing" in refused.stderr
    assert "--yes" in cli_with_old_calls("db", "prune", "--help").stdout.partition("--json")[2]
    done = cli_with_old_calls("db", "prune", "--older-than", "400d", stdin=answer)
    assert "Remove all this for good?" in done.stdout
    assert done.exit_code == (0 if left == 1 else 1)
    assert len(calls(cli_with_old_calls)) == left


@pytest.mark.parametrize("age", ["400", "3d", "soon"])
def test_prune_refuses_a_wrong_age(cli_with_old_calls: Cli, age: str) -> None:
    refused = cli_with_old_calls("db", "prune", "--older-than", age, "--yes")
    assert refused.exit_code == 2
    assert "--older-than must be" in refused.stderr

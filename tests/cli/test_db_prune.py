"""`tracker db prune`: it says what would go, asks, and does it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider, error


@pytest.fixture
def used(cli: Cli, provider: RecordingProvider) -> Cli:
    """One call that was refused long ago, and one that is open since then."""
    cli.configure(provider.base_url)
    provider.sends.append(error(400, "no"))
    cli("call", NUMBER, "--flow", "24")
    cli("call", "+918867130003", "--flow", "24")
    with closing(sqlite3.connect(cli.folder / "tracker.db")) as database, database:
        database.execute("UPDATE calls SET updated_at = '2020-01-01 00:00:00.000000'")
    return cli


def calls(cli: Cli) -> list[str]:
    return [call["status"] for call in cli.json("calls")["data"]]


def test_a_dry_run_changes_nothing(used: Cli) -> None:
    told = used.json("db", "prune", "--older-than", "400d", "--dry-run")
    assert told["rows"]["calls"] == told["rows"]["submissions"] == told["rows"]["exchanges"] == 1
    assert told["oldest"] == told["newest"] == "2020-01-01T00:00:00Z"
    assert told["bytes"] > 1000
    assert told["dry_run"] is True
    assert (
        ": 1 call, 3 events, 1 exchange with the provider, "
        in used("db", "prune", "--older-than", "400d", "--dry-run").stdout
    )
    assert sorted(calls(used)) == ["queued", "rejected"]


def test_it_does_what_it_said(used: Cli) -> None:
    told = used.json("db", "prune", "--older-than", "400d", "--dry-run")
    done = used.json("db", "prune", "--older-than", "400d", "--yes")
    assert done["rows"] == told["rows"]
    assert calls(used) == ["queued"]
    nothing = used("db", "prune", "--older-than", "52w", "--yes").stdout
    assert nothing == f"Nothing in {used.folder / 'tracker.db'} is that old and settled.\n"
    assert used("db", "check").exit_code == 0


def test_it_does_nothing_that_nobody_was_asked_about(used: Cli) -> None:
    for flags in ((), ("--json",)):
        refused = used("db", "prune", "--older-than", "400d", *flags)
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
    assert len(calls(used)) == 2


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 2), ("\n", 2)])
def test_at_a_terminal_it_asks(used: Cli, monkeypatch: pytest.MonkeyPatch, answer: str, left: int) -> None:
    monkeypatch.setattr("tracker.cli.commands.db.prune.can_ask", lambda: True)
    refused = used("db", "prune", "--older-than", "400d", "--json", stdin=answer)
    assert (refused.exit_code, refused.stdout) == (2, ""), "what reads JSON answers no questions"
    assert "`--json` asks nothing" in refused.stderr
    assert "--yes" in used("db", "prune", "--help").stdout.partition("--json")[2]
    done = used("db", "prune", "--older-than", "400d", stdin=answer)
    assert "Remove all this for good?" in done.stdout
    assert done.exit_code == (0 if left == 1 else 1)
    assert len(calls(used)) == left


@pytest.mark.parametrize("age", ["400", "3d", "soon"])
def test_an_age_that_is_none_is_said(used: Cli, age: str) -> None:
    refused = used("db", "prune", "--older-than", age, "--yes")
    assert refused.exit_code == 2
    assert "--older-than must be" in refused.stderr

"""`tracker db new-inbox`: says what is lost, asks, and begins an empty inbox."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.cli.db.database_files import PAIR, damage, database_names, rename_database, rewind


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (Path.unlink, "is missing"),
        (damage, "is damaged"),
        (rewind, "is older than"),
        (rename_database, "belongs to another database"),
    ],
)
def test_database_starts_again_with_a_new_inbox(
    cli_with_call: Cli, spoil: Callable[[Path], object], problem: str
) -> None:
    inbox = cli_with_call.folder / "tracker-inbox.db"
    spoil(inbox)
    [found] = cli_with_call.json("db", "check", code=1)["problems"]
    assert problem in found
    assert "`tracker db new-inbox`" in found
    assert cli_with_call("calls").exit_code == 1
    report = cli_with_call.json("db", "new-inbox", "--yes")
    assert problem in report["problem"]
    assert (report["lost_requests"], report["lost_callbacks"]) == (0, None)
    assert report["inbox_file"] == str(inbox)
    if spoil is Path.unlink:
        assert report["kept"] is None
    else:
        assert Path(report["kept"]).name.startswith("tracker-inbox.db.replaced-2")
        assert Path(report["kept"]).exists()
    assert [call["to"] for call in cli_with_call.json("calls")["data"]] == [NUMBER]
    assert cli_with_call("db", "check").exit_code == 0
    assert stat.S_IMODE(inbox.stat().st_mode) == 0o600


@pytest.mark.parametrize(("answer", "is_renewed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_new_inbox_asks_on_a_terminal(
    cli_with_call: Cli, monkeypatch: pytest.MonkeyPatch, answer: str, is_renewed: bool
) -> None:
    (cli_with_call.folder / "tracker-inbox.db").unlink()
    monkeypatch.setattr("tracker.cli.commands.db.new_inbox.can_ask", lambda: True)
    done = cli_with_call("db", "new-inbox", stdin=answer)
    assert done.exit_code == (0 if is_renewed else 1)
    assert "tracker-inbox.db is missing." in done.stdout
    assert "The requests of 0 callbacks are lost" in done.stdout
    assert "Begin an empty inbox, for good?" in done.stdout
    assert database_names(cli_with_call.folder) == (PAIR if is_renewed else {"tracker.db"})


def test_new_inbox_needs_yes_without_a_terminal(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker-inbox.db").unlink()
    for options in ([], ["--json"]):
        refused = cli_with_call("db", "new-inbox", *options)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "--yes" in refused.stderr
    assert database_names(cli_with_call.folder) == {"tracker.db"}


def test_sound_inbox_stays(cli_with_call: Cli) -> None:
    refused = cli_with_call("db", "new-inbox", "--yes")
    assert refused.exit_code == 1
    assert "is sound and belongs to this database. Nothing was changed." in refused.stderr


@pytest.mark.parametrize("name", sorted(PAIR))
def test_new_inbox_is_refused_while_a_file_is_open(cli_with_call: Cli, name: str) -> None:
    rewind(cli_with_call.folder / "tracker-inbox.db")
    with closing(sqlite3.connect(cli_with_call.folder / name)) as other:
        other.execute("SELECT * FROM sqlite_master").fetchall()
        refused = cli_with_call("db", "new-inbox", "--yes")
    assert refused.exit_code == 1
    assert f"{name} is in use" in refused.stderr


def test_new_inbox_of_a_damaged_database_is_refused(cli_with_call: Cli) -> None:
    for name in PAIR:
        damage(cli_with_call.folder / name)
    refused = cli_with_call("db", "new-inbox", "--yes")
    assert refused.exit_code == 1
    assert database_names(cli_with_call.folder) == PAIR


def test_new_inbox_of_postgresql_is_refused(
    cli: Cli, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    refused = cli("db", "new-inbox", "--yes")
    assert refused.exit_code == 1
    assert "PostgreSQL" in refused.stderr

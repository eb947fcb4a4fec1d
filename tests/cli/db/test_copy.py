"""The command `tracker db copy`, from SQLite into PostgreSQL."""

from __future__ import annotations

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.processes import Processes
from tests.recording_provider import RecordingProvider


def test_copy_from_sqlite_to_postgresql(
    cli_with_call: Cli, postgres_database: str, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cli_with_call.json("calls")
    with Processes(
        cli_with_call.folder, f"sqlite:///{cli_with_call.folder / 'tracker.db'}", provider.base_url
    ) as processes:
        server = processes.serve("--no-worker")
        refused = cli_with_call("db", "copy", "--to", postgres_database)
        assert refused.exit_code == 1
        assert "--while-running" in refused.stderr
        first = cli_with_call("db", "copy", "--to", postgres_database, "--while-running")
        assert "is not complete" in first.stdout
        assert server.terminate() == 0
    document = cli_with_call.json("db", "copy", "--to", postgres_database)
    assert document["complete"] is True
    assert document["rows"]["calls"] == document["rows"]["submissions"] == 1
    assert "is equal to" in cli_with_call("db", "copy", "--to", postgres_database).stdout

    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    assert cli_with_call.json("calls") == before
    assert cli_with_call("call", "+918867130003", "--flow", "24").exit_code == 0
    monkeypatch.delenv("TRACKER_DATABASE__URL")
    refused = cli_with_call("db", "copy", "--to", postgres_database)
    assert refused.exit_code == 1
    assert "worked on the target" in refused.stderr


def test_incomplete_copy_is_opened_only_with_force(
    cli_with_call: Cli, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in an incomplete copy would make the last pass of the copy fail."""
    assert (
        cli_with_call.json("db", "copy", "--to", "sqlite:///copy.db", "--while-running")["complete"] is False
    )
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///copy.db")
    for command in (["pause", "--resume"], ["call", NUMBER, "--flow", "24"]):
        refused = cli_with_call(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "tracker db copy` again" in refused.stderr
        assert "--force" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert len(cli_with_call.json("calls")["data"]) == 1
    assert [p["why"] for p in cli_with_call.json("status", code=1)["paused"]] == ["copying"]
    assert cli_with_call.json("status", code=1)["incomplete_copy"] is True
    assert len([p for p in cli_with_call.json("status", code=1)["problems"] if "copy" in p]) == 1

    assert cli_with_call.json("pause", "--resume", "--force")["paused"] == []
    document = cli_with_call.json("status", code=1)
    assert document["incomplete_copy"] is True
    assert not [p for p in document["problems"] if "copy" in p]
    [note] = document["notes"]
    assert "is an incomplete copy" in note

    monkeypatch.delenv("TRACKER_DATABASE__URL")
    assert cli_with_call.json("db", "copy", "--to", "sqlite:///copy.db")["complete"] is True
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///copy.db")
    assert cli_with_call.json("status", code=1)["incomplete_copy"] is False


def test_copy_to_an_impossible_target_is_refused(cli_with_call: Cli) -> None:
    for to, code, words in (
        ("sqlite:///tracker.db", 1, "the configured database itself"),
        (f"sqlite:///{cli_with_call.folder / 'tracker.db'}", 1, "the configured database itself"),
        ("mysql://host/name", 2, "--to names mysql; use sqlite:/// or postgresql://"),
        ("postgresql://user:secret@127.0.0.1:9/name", 1, "cannot be used now"),
    ):
        refused = cli_with_call("db", "copy", "--to", to)
        assert refused.exit_code == code, to
        assert words in refused.stderr
        assert "secret" not in refused.stderr


@pytest.mark.parametrize(
    ("to", "place", "todo"),
    [
        (
            "postgresql://user:secret@127.0.0.1:9/name",
            "postgresql://user:***@127.0.0.1:9/name",
            "its server",
        ),
        ("sqlite:///nowhere/copy.db", "nowhere/copy.db", "its directory"),
    ],
)
def test_copy_error_names_the_target(cli_with_call: Cli, to: str, place: str, todo: str) -> None:
    refused = cli_with_call("db", "copy", "--to", to)
    assert (refused.exit_code, refused.stdout) == (1, "")
    for words in ("--to", place, todo):
        assert words in refused.stderr
    assert "tracker.db" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_copy_error_names_the_original(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker.db").write_bytes(b"no database at all" * 1000)
    refused = cli_with_call("db", "copy", "--to", "sqlite:///copy.db")
    assert refused.exit_code == 1
    assert str(cli_with_call.folder / "tracker.db") in refused.stderr
    assert "--to" not in refused.stderr


def test_copy_to_a_file_is_readable_by_its_owner_only(cli_with_call: Cli) -> None:
    assert cli_with_call.json("db", "copy", "--to", "sqlite:///copy.db")["complete"] is True
    assert (cli_with_call.folder / "copy.db").stat().st_mode & 0o777 == 0o600

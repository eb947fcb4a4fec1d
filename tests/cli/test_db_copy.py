"""`tracker db copy`: from SQLite into PostgreSQL, as the page about growing says."""

from __future__ import annotations

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.processes import Processes
from tests.recording_provider import RecordingProvider


@pytest.fixture
def used(cli: Cli, provider: RecordingProvider) -> Cli:
    cli.configure(provider.base_url)
    assert cli("call", NUMBER, "--flow", "24").exit_code == 0
    return cli


def test_growing(
    used: Cli, postgres_database: str, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = used.json("calls")
    with Processes(used.folder, f"sqlite:///{used.folder / 'tracker.db'}", provider.base_url) as processes:
        server = processes.serve("--no-worker")
        refused = used("db", "copy", "--to", postgres_database)
        assert refused.exit_code == 1
        assert "--while-running" in refused.stderr
        first = used("db", "copy", "--to", postgres_database, "--while-running")
        assert "is not complete" in first.stdout
        assert server.terminate() == 0
    told = used.json("db", "copy", "--to", postgres_database)
    assert told["complete"] is True
    assert told["rows"]["calls"] == told["rows"]["submissions"] == 1
    assert "is equal to" in used("db", "copy", "--to", postgres_database).stdout

    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    assert used.json("calls") == before
    assert used("call", "+918867130003", "--flow", "24").exit_code == 0
    monkeypatch.delenv("TRACKER_DATABASE__URL")
    refused = used("db", "copy", "--to", postgres_database)
    assert refused.exit_code == 1
    assert "worked on the target" in refused.stderr


def test_an_incomplete_copy_is_opened_by_force_alone(
    used: Cli, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work would go on in it, and the last pass of the copy would be refused."""
    assert used.json("db", "copy", "--to", "sqlite:///copy.db", "--while-running")["complete"] is False
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///copy.db")
    for command in (["pause", "--resume"], ["call", NUMBER, "--flow", "24"]):
        refused = used(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "tracker db copy` again" in refused.stderr
        assert "--force" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert len(used.json("calls")["data"]) == 1
    assert [p["why"] for p in used.json("status", code=1)["paused"]] == ["copying"]
    assert used.json("status", code=1)["incomplete_copy"] is True
    assert len([p for p in used.json("status", code=1)["problems"] if "copy" in p]) == 1

    assert used.json("pause", "--resume", "--force")["paused"] == []
    told = used.json("status", code=1)
    assert told["incomplete_copy"] is True
    assert not [p for p in told["problems"] if "copy" in p]
    [note] = told["notes"]
    assert "is an incomplete copy" in note

    monkeypatch.delenv("TRACKER_DATABASE__URL")
    assert used.json("db", "copy", "--to", "sqlite:///copy.db")["complete"] is True
    monkeypatch.setenv("TRACKER_DATABASE__URL", "sqlite:///copy.db")
    assert used.json("status", code=1)["incomplete_copy"] is False


def test_what_cannot_be_a_target(used: Cli) -> None:
    for to, code, words in (
        ("sqlite:///tracker.db", 1, "the configured database itself"),
        (f"sqlite:///{used.folder / 'tracker.db'}", 1, "the configured database itself"),
        ("mysql://host/name", 2, "--to names mysql; use sqlite:/// or postgresql://"),
        ("postgresql://user:secret@127.0.0.1:9/name", 1, "cannot be used now"),
    ):
        refused = used("db", "copy", "--to", to)
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
def test_a_target_that_cannot_be_used_is_named_and_not_the_original(
    used: Cli, to: str, place: str, todo: str
) -> None:
    refused = used("db", "copy", "--to", to)
    assert (refused.exit_code, refused.stdout) == (1, "")
    for words in ("--to", place, todo):
        assert words in refused.stderr
    assert "tracker.db" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_original_that_cannot_be_used_is_named_and_not_the_target(used: Cli) -> None:
    (used.folder / "tracker.db").write_bytes(b"no database at all" * 1000)
    refused = used("db", "copy", "--to", "sqlite:///copy.db")
    assert refused.exit_code == 1
    assert str(used.folder / "tracker.db") in refused.stderr
    assert "--to" not in refused.stderr


def test_a_copy_in_a_file(used: Cli) -> None:
    assert used.json("db", "copy", "--to", "sqlite:///copy.db")["complete"] is True
    assert (used.folder / "copy.db").stat().st_mode & 0o777 == 0o600

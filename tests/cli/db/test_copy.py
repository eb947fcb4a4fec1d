"""`tracker db copy`: moves a stopped database, as docs/how-to/grow-to-postgresql.md says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.processes import Processes
from tests.recording_provider import RecordingProvider
from tracker.store.maintenance import copy_rows

OTHER_NUMBER = "+918867130003"


def test_copy_to_postgresql_takes_over_from_a_stopped_server(
    cli_with_call: Cli, postgres_database: str, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cli_with_call.json("calls")
    with Processes(
        cli_with_call.folder, f"sqlite:///{cli_with_call.folder / 'tracker.db'}", provider.base_url
    ) as processes:
        server = processes.serve("--no-worker")
        refused = cli_with_call("db", "copy", "--to", postgres_database)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert f"{cli_with_call.folder / 'tracker.db'} is in use. Stop `tracker serve`" in refused.stderr
        assert server.terminate() == 0
    done = cli_with_call("db", "copy", "--to", postgres_database)
    assert done.exit_code == 0, done.stderr
    assert f"has everything of {cli_with_call.folder / 'tracker.db'}: 1 call, " in done.stdout
    assert f"Dialling is paused in {cli_with_call.folder / 'tracker.db'}" in done.stdout
    assert "there, and there only" in done.stdout

    again = cli_with_call("db", "copy", "--to", postgres_database)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "The target is not empty" in again.stderr
    monkeypatch.setenv("TRACKER_DATABASE__URL", postgres_database)
    assert cli_with_call.json("calls") == before
    assert cli_with_call("call", OTHER_NUMBER, "--flow", "24").exit_code == 0
    assert len(provider.sent) == 2


def test_copied_database_dials_nobody_until_it_is_resumed(
    cli_with_call: Cli, provider: RecordingProvider
) -> None:
    assert cli_with_call.json("db", "copy", "--to", "sqlite:///copy.db")["rows"]["calls"] == 1
    assert cli_with_call.json("call", OTHER_NUMBER, "--flow", "24")["status"] == "pending"
    assert len(provider.sent) == 1
    status = cli_with_call.json("status", code=1)
    assert [p["why"] for p in status["paused"]] == ["copied"]
    [problem] = [p for p in status["problems"] if "paused" in p]
    assert "the copy dials instead" in problem
    assert "`tracker pause --resume`" in problem
    assert "because `tracker db copy` has copied this database" in cli_with_call("pause").stdout
    assert cli_with_call.json("pause", "--resume") == {"paused": [], "released": 1}


def test_copy_to_a_file_is_readable_by_its_owner_alone(cli_with_call: Cli) -> None:
    assert cli_with_call("db", "copy", "--to", "sqlite:///copy.db").exit_code == 0
    for name in ("copy.db", "copy-inbox.db"):
        assert (cli_with_call.folder / name).stat().st_mode & 0o777 == 0o600
    assert not [p.name for p in cli_with_call.folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("to", "code", "words"),
    [
        ("sqlite:///tracker.db", 1, "the configured database itself"),
        ("sqlite:///{folder}/tracker.db", 1, "the configured database itself"),
        ("mysql://host/name", 2, "--to names mysql; use sqlite:/// or postgresql://"),
        ("sqlite:///file:copy.db", 1, "Name the file plainly"),
    ],
)
def test_copy_to_something_else_is_refused(cli_with_call: Cli, to: str, code: int, words: str) -> None:
    refused = cli_with_call("db", "copy", "--to", to.format(folder=cli_with_call.folder))
    assert refused.exit_code == code
    assert words in refused.stderr


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
def test_error_of_the_target_names_the_target(cli_with_call: Cli, to: str, place: str, todo: str) -> None:
    refused = cli_with_call("db", "copy", "--to", to)
    assert (refused.exit_code, refused.stdout) == (1, "")
    for words in ("--to", place, todo):
        assert words in refused.stderr
    assert "tracker.db" not in refused.stderr
    assert "secret" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_error_of_the_original_names_the_original(cli_with_call: Cli) -> None:
    (cli_with_call.folder / "tracker.db").write_bytes(b"no database at all" * 1000)
    refused = cli_with_call("db", "copy", "--to", "sqlite:///copy.db")
    assert refused.exit_code == 1
    assert str(cli_with_call.folder / "tracker.db") in refused.stderr
    assert "--to" not in refused.stderr


@pytest.fixture
def _default_signal_handlers() -> Iterator[None]:
    """Let the command handle these signals, which the process that runs the tests may handle itself."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_default_signal_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_copy_that_is_ended_by_a_signal_runs_again(
    cli_with_call: Cli, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def end(*_: Any) -> None:
        signal.raise_signal(number)
        raise AssertionError("it went on")

    with monkeypatch.context() as patched:
        patched.setattr(copy_rows, "write_rows", end)
        ended = cli_with_call("db", "copy", "--to", "sqlite:///copy.db")
    assert ended.exit_code != 0
    assert ended.stderr.startswith(f"Ended by {number.name}. Nothing was copied. Run it again.")
    assert not [path for path in Path(cli_with_call.folder).iterdir() if "copy" in path.name]
    assert cli_with_call("db", "copy", "--to", "sqlite:///copy.db").exit_code == 0

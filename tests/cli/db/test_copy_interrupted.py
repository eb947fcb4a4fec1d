"""A copy that is ended by a signal says so, and continues when it is run again."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider
from tracker.lifecycle.maintenance.copy_database import CopyReport, DatabaseCopier
from tracker.store.maintenance.copy_rows import Copied, Sum


@pytest.fixture
def default_signal_handlers() -> Iterator[None]:
    """Set the usual handlers, because the runner of the tests may handle these signals itself."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("default_signal_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_copy_can_be_run_again_when_ended_by_a_signal(
    cli: Cli, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    cli.configure(provider.base_url)
    assert cli("call", NUMBER, "--flow", "24").exit_code == 0

    def ended(self: DatabaseCopier, table: Copied, done: CopyReport) -> Sum:
        signal.raise_signal(number)
        raise AssertionError("it went on")

    with monkeypatch.context() as slow:
        slow.setattr(DatabaseCopier, "_copy", ended)
        output = cli("db", "copy", "--to", "sqlite:///copy.db")
    assert output.exit_code != 0
    assert output.stderr.startswith(
        f"Ended by {number.name}. The copy is not complete, and nobody is dialled from it; "
    )
    assert "Run this again" in output.stderr
    assert cli.json("db", "copy", "--to", "sqlite:///copy.db")["complete"] is True

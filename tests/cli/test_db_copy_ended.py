"""`tracker db copy` that is ended while it copies says how things are, and goes on when it is run again."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider
from tracker.cli.output import progress
from tracker.lifecycle.maintenance.copy_database import CopyReport, DatabaseCopier
from tracker.store.maintenance.copy_rows import Copied, Sum


@pytest.fixture
def as_in_a_shell() -> Iterator[None]:
    """What runs the tests may hear these signals itself."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("as_in_a_shell")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_end_it_says_that_it_can_be_run_again(
    cli: Cli, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    cli.configure(provider.base_url)
    assert cli("call", NUMBER, "--flow", "24").exit_code == 0

    def ended(self: DatabaseCopier, table: Copied, done: CopyReport) -> Sum:
        signal.raise_signal(number)
        raise AssertionError("it went on")

    with monkeypatch.context() as slow:
        slow.setattr(DatabaseCopier, "_copy", ended)
        told = cli("db", "copy", "--to", "sqlite:///copy.db")
    assert told.exit_code != 0
    assert told.stderr.startswith(
        f"Ended by {number.name}. The copy is not complete, and nobody is dialled from it; "
    )
    assert "Run this again" in told.stderr
    assert cli.json("db", "copy", "--to", "sqlite:///copy.db")["complete"] is True


def test_progress_without_terminal_is_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    with progress.show_progress("rows", total=5000, clock=lambda: now) as count:
        for second in range(30):
            now = 100.0 + second
            count(second * 100)
    assert capsys.readouterr().err.splitlines() == [
        "200 of 5,000 rows",
        "1,200 of 5,000 rows",
        "2,200 of 5,000 rows",
    ]

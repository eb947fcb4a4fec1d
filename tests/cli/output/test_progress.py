"""The progress of long work on standard error."""

from __future__ import annotations

import pytest

from tracker.cli.output import progress


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

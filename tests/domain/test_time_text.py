"""Tests how times are written and read."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.domain.factories import at
from tracker.domain.time_text import format_duration, from_iso, iso


def test_iso_and_from_iso_are_inverse() -> None:
    assert iso(at(0)) == "2026-03-02T10:00:00Z"
    assert from_iso(iso(at(0.25))) == at(0.25)
    assert from_iso("2026-03-02T15:30:00+05:30") == at(0)
    with pytest.raises(ValueError, match="zone"):
        from_iso("2026-03-02T10:00:00")


def test_repeated_hour_is_written_as_two_times() -> None:
    """The cache of written times distinguishes the two moments that a clock shows alike."""
    once = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert [iso(once), iso(once.replace(fold=1))] == ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (75, "1 min 15 s"), (3600, "1 h"), (5.5 * 3600, "5 h 30 min"),
     (86400 + 60, "1 d"), (3 * 86400 + 7200, "3 d 2 h")],
)  # fmt: skip
def test_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text

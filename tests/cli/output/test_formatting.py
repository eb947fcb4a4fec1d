"""Numbers of rows in words."""

from __future__ import annotations

from tracker.cli.output.formatting import format_row_counts
from tracker.store.maintenance import copy_rows


def test_row_counts_have_singular_and_plural() -> None:
    assert (
        format_row_counts({"events": 1, "calls": 2_000, "jobs": 1, "pace": 0})
        == "2,000 calls, 1 event, 1 piece of due work"
    )
    assert format_row_counts({}) == ""


def test_row_counts_name_every_table_in_words() -> None:
    several = format_row_counts({table.name: 2 for table in copy_rows.copied_tables()})
    assert "_" not in several
    assert "pace," not in several
    assert format_row_counts({"settings": 2}) == "2 notes of the database's own"

"""Control characters are escaped, so that a terminal does not obey them."""

from __future__ import annotations

import pytest

from tracker.cli.output.text import escape_control


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("ä – 電話", "ä – 電話"),
        ("a\tb\nc", "a\\x09b\\x0ac"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
    ],
)
def test_escape_control_keeps_printable_text(given: str, seen: str) -> None:
    assert escape_control(given) == seen


def test_escape_control_keeps_lines_when_wanted() -> None:
    assert escape_control("a\tb\nc\r\x00", lines=True) == "a\tb\nc\\x0d\\x00"

"""Whoever writes a backup holds the mark that the others see, also where one of them took the first for a remainder."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from tracker.store.maintenance import backup


def test_a_mark_that_was_cleared_away_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.db"
    lock = fcntl.flock
    cleared: list[list[Path]] = []

    def late(descriptor: Any, operation: int) -> None:
        if operation == fcntl.LOCK_EX and len(cleared) < 2:
            cleared.append(list(tmp_path.iterdir()))
            backup._clear_away(target)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with backup.beside(target) as partial:
        assert [len(each) for each in cleared] == [1, 1]
        both = {partial, partial.with_name(partial.name + "-lock")}
        assert set(tmp_path.iterdir()) == both
        # it is seen to be written
        backup._clear_away(target)
        assert set(tmp_path.iterdir()) == both
    assert list(tmp_path.iterdir()) == []

"""A partial file: its writer holds a lock that others see, even if one of them removes the lock file as stale."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from tracker.store.engine.database import inbox_path
from tracker.store.maintenance.partial_file import partial_file, remove_stale_partials


def test_lock_file_that_was_removed_as_stale_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.db"
    lock = fcntl.flock
    removed: list[list[Path]] = []

    def lock_late(descriptor: Any, operation: int) -> None:
        if operation == fcntl.LOCK_EX and len(removed) < 2:
            removed.append(list(tmp_path.iterdir()))
            remove_stale_partials(target)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with partial_file(target) as partial:
        assert [len(each) for each in removed] == [1, 1]
        both = {partial, partial.with_name(partial.name + "-lock")}
        assert set(tmp_path.iterdir()) == both
        # it is being written, so it is not stale
        remove_stale_partials(target)
        assert set(tmp_path.iterdir()) == both
    assert list(tmp_path.iterdir()) == []


def test_partial_file_is_removed_with_its_inbox(tmp_path: Path) -> None:
    with partial_file(tmp_path / "copy.db") as partial:
        inbox_path(partial).touch()
        inbox_path(partial).with_name(f"{inbox_path(partial).name}-wal").touch()
    assert list(tmp_path.iterdir()) == []

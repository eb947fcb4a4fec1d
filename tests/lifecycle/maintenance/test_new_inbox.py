"""A new inbox: calls keep their timelines, and new callbacks are joined as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider
from tracker.errors import Conflict, SchemaMismatch
from tracker.lifecycle.maintenance.new_inbox import begin_new_inbox, find_inbox_loss
from tracker.store.engine.database import Database, inbox_path
from tracker.store.inbox import log
from tracker.store.read.callbacks import get_callback
from tracker.store.schema import upgrade


def open_house(path: Path, provider: RecordingProvider) -> House:
    return House(f"sqlite:///{path}", provider.base_url)


def test_new_inbox_follows_all_known_positions(tmp_path: Path, provider: RecordingProvider) -> None:
    path = tmp_path / "tracker.db"
    house = open_house(path, provider)
    call, other = house.place(), house.place("+918867130003")
    busy = house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.receive({"id": house.provider_id(other), "status": "RINGING"})
    house.close()
    inbox_path(path).unlink()
    loss = find_inbox_loss(path)
    assert (loss.requests, loss.unjoined) == (2, None)
    assert "is missing" in loss.problem
    assert begin_new_inbox(path) is None

    house = open_house(path, provider)
    assert house.timeline(call).outcome == "busy"
    assert house.database.read(lambda c: get_callback(c, busy))[2] is None
    house.receive({"id": house.provider_id(other), "status": "BUSY"})
    assert house.timeline(other).outcome == "busy"
    assert house.database.inbox.read(log.last_position) == 3
    house.close()


def test_unjoined_callbacks_of_a_damaged_inbox_are_counted(
    tmp_path: Path, provider: RecordingProvider
) -> None:
    path = tmp_path / "tracker.db"
    house = open_house(path, provider)
    house.receive(b"{}")
    house.receive(b"{}", join=False)
    house.close()
    inbox = inbox_path(path)
    content = bytearray(inbox.read_bytes())
    content += bytes(8192)  # a page that belongs to nothing
    content[28:32] = (len(content) // 8192).to_bytes(4, "big")
    inbox.write_bytes(content)
    loss = find_inbox_loss(path)
    assert (loss.requests, loss.unjoined) == (1, 1)
    assert "is damaged" in loss.problem


def test_sound_inbox_is_not_renewed(tmp_path: Path, provider: RecordingProvider) -> None:
    path = tmp_path / "tracker.db"
    open_house(path, provider).close()
    with pytest.raises(Conflict, match="is sound and belongs to this database"):
        find_inbox_loss(path)


def test_new_inbox_that_was_killed_halfway_is_begun_again(
    tmp_path: Path, provider: RecordingProvider
) -> None:
    """The file is there, and the records do not name it yet."""
    path = tmp_path / "tracker.db"
    open_house(path, provider).close()
    inbox_path(path).unlink()
    other = tmp_path / "other.db"
    open_house(other, provider).close()
    inbox_path(other).rename(inbox_path(path))
    database = Database(f"sqlite:///{path}")
    with pytest.raises(SchemaMismatch, match="belongs to another database"):
        upgrade.prepare(database, create=True)
    database.close()
    assert "belongs to another database" in find_inbox_loss(path).problem
    assert begin_new_inbox(path) is not None
    open_house(path, provider).close()

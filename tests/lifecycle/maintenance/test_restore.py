"""`restore`: records and inbox fit together afterwards, and callbacks after the backup tell what became of calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, error
from tracker.errors import StorageUnavailable
from tracker.lifecycle.maintenance.prune import Pruner
from tracker.lifecycle.maintenance.restore import Restored, restore
from tracker.store.engine.database import Database, inbox_path
from tracker.store.maintenance import file_swap
from tracker.store.maintenance.backup import back_up
from tracker.store.schema import upgrade

NUMBERS = [f"+91886713000{n}" for n in range(10)]


class Site:
    """A SQLite database that is backed up and restored, and opened again afterwards."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.path, self._base_url = folder / "tracker.db", base_url
        self.house = self._open()

    def back_up(self, name: str) -> Path:
        target = self.path.with_name(name)
        back_up(self.path, target)
        return target

    def restore(self, backup: Path) -> Restored:
        """Stop, restore and start again."""
        clock = self.house.clock
        self.house.close()
        restored = restore(backup, self.path, clock)
        self.house = self._open()
        self.house.clock.ahead = clock.ahead
        return restored

    def lose_inbox(self) -> None:
        self.house.close()
        inbox_path(self.path).unlink()

    def _open(self) -> House:
        return House(f"sqlite:///{self.path}", self._base_url)


@pytest.fixture
def site(tmp_path: Path, provider: RecordingProvider) -> Iterator[Site]:
    site = Site(tmp_path, provider.base_url)
    yield site
    site.house.close()


def outcome_of(house: House, call: str) -> str | None:
    outcome = house.timeline(call).outcome
    return outcome.value if outcome else None


def test_callbacks_after_the_backup_tell_what_became_of_calls(
    site: Site, provider: RecordingProvider
) -> None:
    house = site.house
    queued, pending = house.place(NUMBERS[0]), house.place(NUMBERS[1], send=False)
    provider.sends.append(error(429, "slow down", Retry_After="60"))
    awaiting_resend = house.place(NUMBERS[2])
    backup = site.back_up("backup.db")

    house.receive({"id": house.provider_id(queued), "status": "BUSY"})
    house.submit(house.submissions(pending)[0].id)
    house.receive({"id": house.provider_id(pending), "status": "NO ANSWER", "to": NUMBERS[1].lstrip("+")})
    house.clock.forward(seconds=60)
    house.program.sender.resend(house.submissions(awaiting_resend)[0].id)
    house.submit(house.submissions(awaiting_resend)[1].id)
    house.receive(
        {"id": house.provider_id(awaiting_resend), "status": "ANSWER", "to": NUMBERS[2].lstrip("+")}
    )
    unknown = house.place(NUMBERS[3])
    orphan = house.receive({"id": house.provider_id(unknown), "status": "BUSY"}, join=False)
    sent = len(provider.sent)

    restored = site.restore(backup)
    assert (restored.has_own_inbox, restored.unjoined) == (True, 4)
    assert (restored.report.unconfirmed, restored.report.asked) == (2, 1)
    house = site.house
    assert [house.timeline(call).status for call in (pending, awaiting_resend)] == ["unconfirmed"] * 2
    house.join()
    assert outcome_of(house, queued) == "busy"
    assert outcome_of(house, pending) == "no-answer"
    assert outcome_of(house, awaiting_resend) == "completed"
    assert house.standing(orphan).state == "orphaned"
    assert len(provider.sent) == sent


def test_earlier_callbacks_are_not_about_waiting_calls(site: Site, provider: RecordingProvider) -> None:
    house = site.house
    foreign = house.receive({"id": "of-somebody-else", "status": "BUSY", "to": NUMBER.lstrip("+")})
    pending = house.place(NUMBER, send=False)
    backup = site.back_up("backup.db")
    site.restore(backup)
    site.house.join()
    assert site.house.standing(foreign).call is None
    assert site.house.timeline(pending).status == "unconfirmed"


def test_lost_inbox_is_restored_from_the_backup(site: Site) -> None:
    house = site.house
    call = house.place()
    before = house.receive({"id": house.provider_id(call), "status": "BUSY"}, join=False)
    backup = site.back_up("backup.db")
    house.receive({"id": "of-somebody-else", "status": "BUSY"})
    site.lose_inbox()
    restored = site.restore(backup)
    assert (restored.has_own_inbox, restored.unjoined) == (False, 1)
    site.house.join()
    assert site.house.standing(before).call == call
    assert outcome_of(site.house, call) == "busy"


def test_inbox_of_another_history_does_not_stay(site: Site) -> None:
    """After a restore without the newest inbox, positions are given again, to other callbacks."""
    house = site.house
    first = site.back_up("first.db")
    house.receive({"id": "one", "status": "BUSY"})
    call = house.place()
    house.receive({"id": house.provider_id(call), "status": "BUSY"}, join=False)
    second = site.back_up("second.db")
    site.lose_inbox()
    site.restore(first)
    for n in range(3):
        site.house.receive({"id": f"other-{n}", "status": "BUSY"})
    restored = site.restore(second)
    assert (restored.has_own_inbox, restored.unjoined) == (False, 1)
    assert restored.kept_inbox is not None
    site.house.join()
    assert outcome_of(site.house, call) == "busy"


def test_pruned_inbox_stays(site: Site) -> None:
    site.house.receive(b"\xff")
    backup = site.back_up("backup.db")
    site.house.clock.forward(days=500)
    assert Pruner(site.house.database, site.house.clock).prune(timedelta(days=400)).rows["callbacks"] == 1
    restored = site.restore(backup)
    assert (restored.has_own_inbox, restored.unjoined) == (True, 0)


def test_restore_that_was_killed_between_the_files_is_run_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = site.house
    call = house.place()
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    backup = site.back_up("backup.db")
    house.close()
    inbox_path(site.path).write_bytes(b"damaged" * 1000)
    swap = file_swap.replace

    def fail_on_the_inbox(path: Path, *arguments: Any) -> bool:
        if path == inbox_path(site.path):
            raise StorageUnavailable("the power failed")
        return swap(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(file_swap, "replace", fail_on_the_inbox)
        with pytest.raises(StorageUnavailable, match="the power failed"):
            restore(backup, site.path)
    database = Database(f"sqlite:///{site.path}")
    with closing(database), pytest.raises(StorageUnavailable, match=r"tracker-inbox\.db cannot be read"):
        upgrade.prepare(database, create=True)
    restored = restore(backup, site.path)
    assert not restored.has_own_inbox
    with closing(Database(f"sqlite:///{site.path}")) as database:
        upgrade.prepare(database, create=False)

"""Refused callbacks: the quarantine, the counts, and the polls after a commit that failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.inbox import new_callback
from tests.lifecycle.house import House
from tracker.errors import StorageUnavailable
from tracker.lifecycle.receiving.refusals import Refusals
from tracker.store.inbox import states
from tracker.store.queue import jobs


def with_refusals(house: House, scenario: Callable[[Refusals], None]) -> None:
    refusals = Refusals(house.database, house.clock)
    refusals.start()
    try:
        scenario(refusals)
    finally:
        asyncio.run(refusals.stop())


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def planned_polls(house: House) -> int:
    return house.database.read(lambda c: jobs.count_due(c, house.clock())).get(jobs.POLL, 0)


def test_open_submissions_are_polled_after_a_failed_commit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.place("+918919525224")
    house.place("+918919525225")
    over = house.place("+918919525226")
    house.receive({"id": house.provider_id(over), "status": "BUSY"})
    house.place("+918919525227", send=False)
    real, failures = house.database.write, [StorageUnavailable("not now"), StorageUnavailable("not now")]

    def write(work: Callable[[Any], Any]) -> Any:
        if failures:
            raise failures.pop()
        return real(work)

    monkeypatch.setattr(house.database, "write", write)

    def scenario(refusals: Refusals) -> None:
        # it fails twice, and no further callback comes
        refusals.note_unstored("thundersms")
        until(lambda: planned_polls(house))

    with_refusals(house, scenario)
    assert planned_polls(house) == 2
    assert failures == []


def test_a_mistake_of_ours_does_not_end_the_thread(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = house.database.write, [ZeroDivisionError()]

    def write(work: Callable[[Any], Any]) -> Any:
        if failures:
            raise failures.pop()
        return real(work)

    monkeypatch.setattr(house.database, "write", write)

    def scenario(refusals: Refusals) -> None:
        refusals.note_unstored("thundersms")
        until(lambda: not failures)
        refusals.count("unknown-account", "")
        until(lambda: counts(house))

    with_refusals(house, scenario)
    assert counts(house) == [("unknown-account", "", 1)]


def counts(house: House) -> list[tuple[str, str, int]]:
    query = sa.text("select name, account, count from counts")
    return [tuple(row) for row in house.database.read(lambda c: c.execute(query).all())]


def quarantined(house: House, columns: str) -> list[Any]:
    query = sa.text(f"select {columns} from inbox where state = 'quarantined' order by received_at, account")
    return list(house.database.read(lambda c: c.execute(query).all()))


def test_the_quarantine_keeps_one_a_second_and_counts_the_rest(house: House) -> None:
    now = datetime.now(UTC)

    def scenario(refusals: Refusals) -> None:
        for account in ("thundersms", "thundersms", "thundersms", "another"):
            refusals.quarantine(
                new_callback(state=states.QUARANTINED, account=account, received_at=now), b"wrong"
            )
        for seconds in (0.999, 1.0, 1.5):
            later = now + timedelta(seconds=seconds)
            refusals.quarantine(new_callback(state=states.QUARANTINED, received_at=later), b"wrong")

    with_refusals(house, scenario)
    assert sorted(row.account for row in quarantined(house, "account")) == [
        "another",
        "thundersms",
        "thundersms",
    ]
    assert counts(house) == [("quarantined", "thundersms", 4)]


def test_the_quarantine_has_room_for_so_many_also_while_nobody_joins(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.store.inbox.quarantine.QUARANTINE_ROWS", 3)
    now = datetime.now(UTC)

    def fill(first: int) -> Callable[[Refusals], None]:
        def scenario(refusals: Refusals) -> None:
            for n in range(first, first + 5):
                at = now + timedelta(seconds=2 * n)
                refusals.quarantine(new_callback(state=states.QUARANTINED, received_at=at), b"wrong")

        return scenario

    with_refusals(house, fill(0))
    with_refusals(house, fill(10))
    assert len(quarantined(house, "id")) == 3
    house.join()
    with_refusals(house, fill(20))
    assert len(quarantined(house, "id")) == 3
    assert counts(house) == [("quarantined", "thundersms", 12)]


def test_a_fingerprint_tells_presented_secrets_apart(house: House) -> None:
    def scenario(refusals: Refusals) -> None:
        for seconds, presented in enumerate((b"one", b"two", b"one", b"")):
            at = datetime.fromtimestamp(1_800_000_000 + 2 * seconds, UTC)
            refusals.quarantine(new_callback(state=states.QUARANTINED, received_at=at), presented)

    with_refusals(house, scenario)
    one, two, again, none = [row.fingerprint for row in quarantined(house, "fingerprint")]
    assert one == again != two
    assert len(one) == 32
    assert "one" not in one
    assert none is None

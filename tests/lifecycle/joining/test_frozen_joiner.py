"""Whoever joins is stopped in the middle, as a frozen machine is: the others go on, and nobody waits for it long."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.errors import StorageUnavailable
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import states
from tracker.store.queue import jobs

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"


@pytest.fixture
def house(postgres_database: str, provider: RecordingProvider) -> House:
    """On SQLite whoever writes is alone, and a process that stands still there keeps the file."""
    return House(postgres_database, provider.base_url)


@pytest.fixture
def other(house: House) -> Database:
    """What another process has."""
    return Database(house.database.url.render_as_string(hide_password=False))


def test_a_joiner_that_stands_still_is_out_of_the_way_before_others_lose_their_patience(
    house: House, other: Database
) -> None:
    """It holds the lock and says nothing; whoever joins waits five seconds for it, and asks again after that."""
    callback = house.receive({"id": ID, "status": "BUSY"}, join=False)

    def stand_still(c: Connection) -> None:
        states.lock_joining(c, idle_timeout_s=3)
        for _ in range(3):
            try:
                house.join()
            except StorageUnavailable:
                continue
            break
        c.execute(sa.text("SELECT 1"))

    with pytest.raises(StorageUnavailable, match="idle"):
        other.write(stand_still)
    assert house.standing(callback).state == "orphaned"
    # it goes on with another connection
    assert other.write(lambda c: c.scalar(sa.text("SELECT 1"))) == 1
    other.close()
    house.close()


def test_placing_a_call_does_not_wait_for_who_joins_and_stands_still(
    house: House, other: Database, provider: RecordingProvider
) -> None:
    # once: it is not tried again and again
    house.with_sender(match_lock_timeout_s=0.1, record_for_s=0.0)
    provider.sends.append(accepted(ID))
    callback = house.receive({"id": ID, "status": "BUSY"})
    assert house.standing(callback).state == "orphaned"
    placed = []

    def stand_still(c: Connection) -> None:
        states.lock_joining(c)
        placed.append(house.place())
        c.execute(sa.text("SELECT 1"))  # the lock was held all the time

    other.write(stand_still)
    (call,) = placed
    assert house.timeline(call).status == "queued"
    assert house.standing(callback).state == "orphaned"
    # what was earlier is not lost
    house.clock.forward(seconds=6)
    (left,) = house.database.write(
        lambda c: jobs.claim(
            c,
            jobs.MATCH_EARLY,
            ["thundersms"],
            owner="worker",
            now=house.clock(),
            lease=house.clock.ahead,
            limit=9,
        )
    )
    house.program.joiner.match_early(left.subject)
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"
    other.close()
    house.close()

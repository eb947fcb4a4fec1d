"""The worker holds what it works on by a lease that it renews, and what a dead one held is taken over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tracker.lifecycle.joining.loop import JoinerThread
from tracker.lifecycle.services import build_services
from tracker.store.queue import jobs
from tracker.store.schema import tables as t
from tracker.worker import Worker

LEASE = timedelta(seconds=15)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with closing(House(database_url, "http://127.0.0.1:9/")) as opened:
        yield opened


def plan(house: House, subject: str = "sub_1") -> None:
    house.database.write(lambda c: jobs.plan(c, jobs.POLL, subject, "thundersms", house.clock()))


def claim(house: House, owner: str) -> list[jobs.Job]:
    return house.database.write(
        lambda c: jobs.claim(
            c, jobs.POLL, ["thundersms"], owner=owner, now=house.clock(), lease=LEASE, limit=10
        )
    )


def lease(house: House) -> datetime | None:
    return house.database.read(lambda c: c.scalar(sa.select(t.jobs.c.lease_until)))


def test_what_is_renewed_is_nobody_elses(house: House) -> None:
    plan(house)
    held = claim(house, "one")
    for _ in range(3):
        house.clock.forward(seconds=10)
        assert claim(house, "other") == []
        house.database.write(lambda c: jobs.renew(c, held, house.clock() + LEASE))


def test_what_nobody_renews_is_taken_over_and_the_first_owner_has_no_say_any_more(house: House) -> None:
    plan(house)
    held = claim(house, "one")
    house.clock.forward(seconds=16)
    taken = claim(house, "other")
    assert [job.subject for job in taken] == ["sub_1"]
    until = lease(house)
    # the first one was only slow, and comes back
    house.database.write(lambda c: jobs.renew(c, held, house.clock() + timedelta(hours=1)))
    house.database.write(lambda c: jobs.postpone(c, held[0], house.clock()))
    house.database.write(lambda c: jobs.finish(c, held[0]))
    assert lease(house) == until
    house.database.write(lambda c: jobs.finish(c, taken[0]))
    assert lease(house) is None


def test_many_who_claim_at_once_never_claim_the_same(house: House) -> None:
    """Each as much as it asked for at most, and in the end everything is somebody's."""
    subjects = {f"sub_{n:03}" for n in range(120)}
    house.database.write(
        lambda c: jobs.plan_all(c, jobs.POLL, subjects, "thundersms", house.clock() - timedelta(seconds=1))
    )
    start = threading.Barrier(6)

    def take(owner: str) -> list[str]:
        taken: list[str] = []
        start.wait()
        while claimed := claim(house, owner):
            assert len(claimed) <= 10
            taken += [job.subject for job in claimed]
        return taken

    with ThreadPoolExecutor(6) as pool:
        found = [subject for taken in pool.map(take, "abcdef") for subject in taken]
    assert sorted(found) == sorted(subjects)


@asynccontextmanager
async def running(
    house: House, poll: Callable[[str, int], Coroutine[Any, Any, datetime | None]] | None = None
) -> AsyncIterator[Worker]:
    """Run a worker that is another process as far as the database can tell. poll: what it does instead of polling."""
    services = build_services(house.database, house.program.accounts, house.clock)
    if poll is not None:
        services.poller.poll_until_known = poll  # type: ignore[assignment, method-assign]
    worker = Worker(services, JoinerThread(services.joiner), heartbeat_s=0.02)
    task = asyncio.create_task(worker.run())
    yield worker
    worker.stop()
    await asyncio.wait_for(task, 30)


async def until(what: asyncio.Event) -> None:
    await asyncio.wait_for(what.wait(), 30)


def test_a_worker_renews_the_lease_of_a_long_job_also_while_it_ends(house: House) -> None:
    """The provider answers a question slowly; meanwhile the lease would end several times over."""
    begun: list[str] = []

    async def story() -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def ask(subject: str, _tries: int) -> datetime | None:
            begun.append(subject)
            asked.set()
            await answer.wait()
            return None

        async def renewed() -> None:
            while True:
                now = lease(house)
                if now is not None and now > house.clock() + timedelta(seconds=10):
                    return
                await asyncio.sleep(0.01)

        async with running(house, ask) as slow, running(house, ask) as other:
            plan(house)
            await until(asked)
            for _ in range(3):
                house.clock.forward(seconds=10)
                await asyncio.wait_for(renewed(), 30)
            for worker in (slow, other):
                worker.stop()
            house.clock.forward(seconds=10)
            await asyncio.wait_for(renewed(), 30)
            answer.set()

    asyncio.run(story())
    assert begun == ["sub_1"]
    assert lease(house) is None
    assert house.database.read(lambda c: jobs.count_due(c, house.clock())) == {}

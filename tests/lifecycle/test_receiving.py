"""The inbox: committed before it is answered, in groups, and whatever fails, the next one is stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider
from tracker.errors import InboxFull, StorageUnavailable
from tracker.lifecycle.receiving import inbox_writer
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.store.engine.database import Database
from tracker.store.ids import new_id
from tracker.store.inbox import states
from tracker.store.inbox.log import NewCallback
from tracker.store.queue import jobs


class Held(Database):
    """A database whose writes a test can hold up, or let fail."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.open = threading.Event()
        self.open.set()
        self.failures: list[Exception] = []
        self.begun = threading.Semaphore(0)
        self.writes = 0

    def write(self, work: Callable[[Any], Any], *, lasting: bool = True) -> Any:
        return self._held(partial(super().write, lasting=lasting), work)

    def _held(self, write: Callable[[Any], Any], work: Callable[[Any], Any]) -> Any:
        self.begun.release()
        assert self.open.wait(60)
        if self.failures:
            raise self.failures.pop(0)
        done = write(work)
        self.writes += 1
        return done

    def at_once(self, work: Callable[[Any], Any]) -> Any:
        return self._held(super().at_once, work)

    async def is_writing(self) -> None:
        """Wait until one more write was begun."""
        assert await asyncio.to_thread(self.begun.acquire, True, 60)


@pytest.fixture
def database(house: House, database_url: str) -> Iterator[Held]:
    held = Held(database_url)
    yield held
    held.open.set()
    held.close()


def request(**changes: Any) -> NewCallback:
    plain = NewCallback(
        id=new_id("cb"), account="thundersms", lane=None, received_at=datetime.now(UTC), method="POST",
        path=b"/callbacks/thundersms", query=b"", headers=b"", body=b"{}", size=2, remote=None,
    )  # fmt: skip
    return plain._replace(**changes)


def kept(database: Database) -> list[str]:
    return list(database.read(lambda c: c.execute(sa.text("select id from callbacks order by id")).scalars()))


def with_inbox(database: Database, what: Callable[[InboxWriter], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        box = InboxWriter(database, **options)
        box.start()
        try:
            await what(box)
        finally:
            await box.stop()

    asyncio.run(run())


async def until(what: Callable[[], Any]) -> None:
    """The bound only ends what would never end."""
    async with asyncio.timeout(60):
        while not what():  # noqa: ASYNC110 -- what is waited for happens in a thread that sets no event
            await asyncio.sleep(0.005)


def test_what_was_put_in_is_committed(database: Held) -> None:
    told = threading.Event()

    async def what(box: InboxWriter) -> None:
        new = request()
        await box.put(new, timeout_s=60)
        assert kept(database) == [new.id]
        # whoever joins is told after the commit
        assert await asyncio.to_thread(told.wait, 60)

    with_inbox(database, what, stored=lambda _: told.set())


def test_what_arrives_during_a_commit_shares_the_next_one(database: Held) -> None:
    async def what(box: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        rest = [asyncio.create_task(box.put(request(), timeout_s=60)) for _ in range(20)]
        await until(lambda: box.depth == 20)
        assert not first.done()
        database.open.set()
        await asyncio.gather(first, *rest)
        assert database.writes == 2

    with_inbox(database, what)
    assert len(kept(database)) == 21


def test_one_that_cannot_be_stored_costs_only_itself(database: Held) -> None:
    async def what(box: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        good, bad = [request() for _ in range(3)], request(method=None)
        waiting = [asyncio.create_task(box.put(each, timeout_s=60)) for each in (good[0], bad, *good[1:])]
        await until(lambda: box.depth == 4)
        database.open.set()
        answers = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [
            type(None),
            type(None),
            StorageUnavailable,
            *[type(None)] * 2,
        ]
        assert {each.id for each in good} < set(kept(database))

    with_inbox(database, what)


def test_who_was_told_that_it_took_too_long_is_not_stored_behind_the_back(database: Held) -> None:
    late = request()

    async def what(box: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        with pytest.raises(StorageUnavailable, match="in time"):
            await box.put(late, timeout_s=0.01)
        database.open.set()
        await first

    with_inbox(database, what)
    assert late.id not in kept(database)


def test_a_database_that_takes_nothing_now_takes_the_next(database: Held) -> None:
    async def what(box: InboxWriter) -> None:
        database.failures.append(StorageUnavailable("not now"))
        with pytest.raises(StorageUnavailable, match="not now"):
            await box.put(request(), timeout_s=60)
        await box.put(request(), timeout_s=60)

    with_inbox(database, what)
    assert len(kept(database)) == 1


def test_too_many_that_wait_are_refused_at_once(database: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_writer, "QUEUE_ROWS", 4)

    async def what(box: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        rest = [asyncio.create_task(box.put(request(), timeout_s=60)) for _ in range(4)]
        await until(lambda: box.depth == 4)
        with pytest.raises(InboxFull):
            await box.put(request(), timeout_s=60)
        # a stranger does not take the place of those who are believed
        box.set_aside(request(state=states.QUARANTINED), b"wrong")
        assert box.depth == 4
        database.open.set()
        await asyncio.gather(first, *rest)

    with_inbox(database, what)
    assert len(kept(database)) == 5


def test_bytes_that_wait_are_bounded_too(database: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_writer, "QUEUE_BYTES", 300)
    large = request(body=b"x" * 160, size=160)

    async def what(box: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        waiting = asyncio.create_task(box.put(large, timeout_s=60))
        await until(lambda: box.depth == 1)
        with pytest.raises(InboxFull):
            await box.put(large._replace(id=new_id("cb")), timeout_s=60)
        database.open.set()
        await asyncio.gather(first, waiting)
        await box.put(large._replace(id=new_id("cb")), timeout_s=60)

    with_inbox(database, what)


def test_stopping_stores_what_waits_and_takes_nothing_more(database: Held) -> None:
    async def run() -> None:
        box = InboxWriter(database)
        box.start()
        database.open.clear()
        waiting = [asyncio.create_task(box.put(request(), timeout_s=60)) for _ in range(5)]
        await database.is_writing()
        stopping = asyncio.create_task(box.stop())
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable, match="stopping"):
            await box.put(request(), timeout_s=60)
        database.open.set()
        await asyncio.gather(stopping, *waiting)
        assert not box.alive

    asyncio.run(run())
    assert len(kept(database)) == 5


# what was missed


def asks(house: House) -> int:
    return house.database.read(lambda c: jobs.count_due(c, house.clock())).get(jobs.POLL, 0)


def test_what_may_have_been_missed_is_asked_for_once_something_can_be_stored(
    house: House, database: Held, provider: RecordingProvider
) -> None:
    house.place("+918919525224")
    house.place("+918919525225")
    over = house.place("+918919525226")
    house.receive({"id": house.provider_id(over), "status": "BUSY"})
    house.place("+918919525227", send=False)

    async def what(box: InboxWriter) -> None:
        # it fails twice, and nobody calls again
        database.failures += [StorageUnavailable("not now"), StorageUnavailable("not now")]
        box.missed("thundersms")
        await until(lambda: asks(house))

    with_inbox(database, what)
    assert asks(house) == 2
    assert database.failures == []


def test_a_mistake_of_ours_does_not_end_the_storing(house: House, database: Held) -> None:
    async def what(box: InboxWriter) -> None:
        database.failures.append(ZeroDivisionError())
        box.missed("thundersms")
        await until(lambda: not database.failures)
        await box.put(request(), timeout_s=60)
        assert box.alive

    with_inbox(database, what)
    assert len(kept(database)) == 1


class Deaf:
    """Somebody who is gone, and whom telling it is an error; the web's wire was one."""

    def done(self) -> bool:
        return False

    def set_result(self, result: None, /) -> None:
        raise RuntimeError("the transport is closed")

    def set_exception(self, exception: StorageUnavailable, /) -> None:
        raise RuntimeError("the transport is closed")


def test_one_that_cannot_be_told_costs_the_others_of_its_commit_nothing(
    house: House, database: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int]] = []
    heard = SimpleNamespace(warning=lambda event, count, error: told.append((event, count)))
    monkeypatch.setattr(inbox_writer, "log", heard)

    async def what(box: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        box.give(request(), Deaf(), timeout_s=60)
        box.give(request(), Deaf(), timeout_s=60)
        others = [asyncio.create_task(box.put(request(), timeout_s=60)) for _ in range(3)]
        await asyncio.sleep(0)
        database.open.set()
        await asyncio.wait_for(asyncio.gather(first, *others), 30)

    with_inbox(database, what)
    assert len(kept(database)) == 6
    # not once for each, and without a traceback: whoever has the secret can do so at will
    assert told == [("callbacks.unanswered", 2)]


def test_one_that_cannot_be_told_that_it_was_too_late_does_not_keep_others_from_hearing_it(
    house: House, database: Held
) -> None:
    async def what(box: InboxWriter) -> None:
        database.open.clear()
        box.give(request(), Deaf(), timeout_s=0.05)
        for _ in range(2):  # the sweep goes on, too
            with pytest.raises(StorageUnavailable, match="in time"):
                await asyncio.wait_for(box.put(request(), timeout_s=0.2), 30)
        database.open.set()

    with_inbox(database, what)


# the quarantine


def test_of_strangers_one_a_second_is_kept_and_the_others_are_counted(house: House, database: Held) -> None:
    async def what(box: InboxWriter) -> None:
        now = datetime.now(UTC)
        database.open.clear()
        first = asyncio.create_task(box.put(request(), timeout_s=60))
        await database.is_writing()
        for account in ("thundersms", "thundersms", "thundersms", "another"):
            box.set_aside(request(state=states.QUARANTINED, account=account, received_at=now), b"wrong")
        database.open.set()
        await first
        for seconds in (0.999, 1.0, 1.5):
            later = datetime.fromtimestamp(now.timestamp() + seconds, UTC)
            box.set_aside(request(state=states.QUARANTINED, received_at=later), b"wrong")
            await box.put(request(), timeout_s=60)

    with_inbox(database, what)
    query = sa.text(
        "select account, count(*) from callbacks where state = 'quarantined' group by 1 order by 1"
    )
    assert house.database.read(lambda c: c.execute(query).all()) == [("another", 1), ("thundersms", 2)]
    counted = sa.text("select name, account, count from counts")
    assert house.database.read(lambda c: c.execute(counted).all()) == [("quarantined", "thundersms", 4)]


def test_the_fingerprint_tells_presented_secrets_apart_and_is_none(house: House, database: Held) -> None:
    async def what(box: InboxWriter) -> None:
        for seconds, presented in enumerate((b"one", b"two", b"one", b"")):
            at = datetime.fromtimestamp(1_800_000_000 + 2 * seconds, UTC)
            box.set_aside(request(state=states.QUARANTINED, received_at=at), presented)
            await box.put(request(), timeout_s=60)

    with_inbox(database, what)
    query = sa.text("select fingerprint from callbacks where state = 'quarantined' order by received_at")
    one, two, again, none = house.database.read(lambda c: list(c.execute(query).scalars()))
    assert one == again != two
    assert len(one) == 32
    assert "one" not in one
    assert none is None

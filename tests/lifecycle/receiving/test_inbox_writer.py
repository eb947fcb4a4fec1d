"""The inbox writer: requests are committed in groups before they are answered, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from tests.inbox import new_callback
from tests.lifecycle.house import House
from tracker.errors import InboxFull, StorageUnavailable
from tracker.lifecycle.receiving import inbox_writer
from tracker.lifecycle.receiving.inbox_writer import InboxWriter
from tracker.store.engine.database import Database
from tracker.store.ids import new_id


class SlowInbox(Database):
    """A database whose inbox a test can hold up, or let fail."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.open = threading.Event()
        self.open.set()
        self.failures: list[Exception] = []
        self.begun = threading.Semaphore(0)
        self.commits = 0
        if not options:
            self._append = self.inbox.execute_durable
            self.inbox.execute_durable = self._held  # type: ignore[method-assign]

    def _held(self, work: Callable[[Any], Any]) -> Any:
        self.begun.release()
        assert self.open.wait(60)
        if self.failures:
            raise self.failures.pop(0)
        done = self._append(work)
        self.commits += 1
        return done

    async def is_writing(self) -> None:
        """Wait until one more commit was begun."""
        assert await asyncio.to_thread(self.begun.acquire, True, 60)


@pytest.fixture
def database(house: House, database_url: str) -> Iterator[SlowInbox]:
    opened = SlowInbox(database_url)
    yield opened
    opened.open.set()
    opened.close()


def stored(database: Database) -> list[str]:
    query = sa.text("select id from inbox order by id")
    return list(database.inbox.read(lambda c: c.execute(query).scalars()))


def with_writer(database: Database, scenario: Callable[[InboxWriter], Awaitable[None]]) -> None:
    async def run() -> None:
        writer = InboxWriter(database)
        writer.start()
        try:
            await scenario(writer)
        finally:
            await writer.stop()

    asyncio.run(run())


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; the bound only ends a test that would hang."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 -- the thread that makes it true sets no event
            await asyncio.sleep(0.005)


def test_submit_returns_after_the_commit(database: SlowInbox) -> None:
    async def scenario(writer: InboxWriter) -> None:
        new = new_callback()
        await writer.submit(new, timeout_s=60)
        assert stored(database) == [new.id]

    with_writer(database, scenario)


def test_requests_during_a_commit_share_the_next_one(database: SlowInbox) -> None:
    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(writer.submit(new_callback(), timeout_s=60))
        await database.is_writing()
        rest = [asyncio.create_task(writer.submit(new_callback(), timeout_s=60)) for _ in range(20)]
        await until(lambda: writer.queued == 20)
        assert not first.done()
        database.open.set()
        await asyncio.gather(first, *rest)
        assert database.commits == 2

    with_writer(database, scenario)
    assert len(stored(database)) == 21


def test_a_row_that_cannot_be_stored_costs_only_itself(database: SlowInbox) -> None:
    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(writer.submit(new_callback(), timeout_s=60))
        await database.is_writing()
        good, bad = [new_callback() for _ in range(3)], new_callback(method=None)
        waiting = [
            asyncio.create_task(writer.submit(each, timeout_s=60)) for each in (good[0], bad, *good[1:])
        ]
        await until(lambda: writer.queued == 4)
        database.open.set()
        answers = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [
            type(None),
            type(None),
            StorageUnavailable,
            *[type(None)] * 2,
        ]
        assert {each.id for each in good} < set(stored(database))

    with_writer(database, scenario)


def test_a_request_that_timed_out_is_not_stored_later(database: SlowInbox) -> None:
    late = new_callback()

    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(writer.submit(new_callback(), timeout_s=60))
        await database.is_writing()
        with pytest.raises(StorageUnavailable, match="in time"):
            await writer.submit(late, timeout_s=0.01)
        database.open.set()
        await first

    with_writer(database, scenario)
    assert late.id not in stored(database)


def test_a_failed_commit_does_not_stop_the_next(database: SlowInbox) -> None:
    async def scenario(writer: InboxWriter) -> None:
        database.failures.append(StorageUnavailable("not now"))
        with pytest.raises(StorageUnavailable, match="not now"):
            await writer.submit(new_callback(), timeout_s=60)
        await writer.submit(new_callback(), timeout_s=60)

    with_writer(database, scenario)
    assert len(stored(database)) == 1


def test_submit_raises_at_once_when_the_queue_is_full(
    database: SlowInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_writer, "QUEUE_ROWS", 4)

    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(writer.submit(new_callback(), timeout_s=60))
        await database.is_writing()
        rest = [asyncio.create_task(writer.submit(new_callback(), timeout_s=60)) for _ in range(4)]
        await until(lambda: writer.queued == 4)
        with pytest.raises(InboxFull):
            await writer.submit(new_callback(), timeout_s=60)
        database.open.set()
        await asyncio.gather(first, *rest)

    with_writer(database, scenario)
    assert len(stored(database)) == 5


def test_queued_bytes_are_bounded(database: SlowInbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_writer, "QUEUE_BYTES", 700)
    large = new_callback(b"x" * 400)

    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(writer.submit(new_callback(), timeout_s=60))
        await database.is_writing()
        waiting = asyncio.create_task(writer.submit(large, timeout_s=60))
        await until(lambda: writer.queued == 1)
        with pytest.raises(InboxFull):
            await writer.submit(large._replace(id=new_id("cb")), timeout_s=60)
        database.open.set()
        await asyncio.gather(first, waiting)
        await writer.submit(large._replace(id=new_id("cb")), timeout_s=60)

    with_writer(database, scenario)


def test_stop_stores_what_waits_and_accepts_nothing_more(database: SlowInbox) -> None:
    async def run() -> None:
        writer = InboxWriter(database)
        writer.start()
        database.open.clear()
        waiting = [asyncio.create_task(writer.submit(new_callback(), timeout_s=60)) for _ in range(5)]
        await database.is_writing()
        stopping = asyncio.create_task(writer.stop())
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable, match="stopping"):
            await writer.submit(new_callback(), timeout_s=60)
        database.open.set()
        await asyncio.gather(stopping, *waiting)
        assert not writer.is_alive

    asyncio.run(run())
    assert len(stored(database)) == 5


class BrokenListener:
    """A listener whose client is gone, so that notifying it is an error, as a closed transport is."""

    def done(self) -> bool:
        return False

    def set_result(self, result: None, /) -> None:
        raise RuntimeError("the transport is closed")

    def set_exception(self, exception: StorageUnavailable, /) -> None:
        raise RuntimeError("the transport is closed")


def test_a_broken_listener_costs_the_others_nothing(
    house: House, database: SlowInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int]] = []
    heard = SimpleNamespace(warning=lambda event, count, error: told.append((event, count)))
    monkeypatch.setattr(inbox_writer, "log", heard)

    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        first = asyncio.create_task(writer.submit(new_callback(), timeout_s=60))
        await database.is_writing()
        writer.submit_nowait(new_callback(), BrokenListener(), timeout_s=60)
        writer.submit_nowait(new_callback(), BrokenListener(), timeout_s=60)
        others = [asyncio.create_task(writer.submit(new_callback(), timeout_s=60)) for _ in range(3)]
        await asyncio.sleep(0)
        database.open.set()
        await asyncio.wait_for(asyncio.gather(first, *others), 30)

    with_writer(database, scenario)
    assert len(stored(database)) == 6
    # one line for all of them, without a traceback: any client with the secret can cause it at will
    assert told == [("inbox.notify_failed", 2)]


def test_a_broken_listener_does_not_stop_the_sweep(house: House, database: SlowInbox) -> None:
    async def scenario(writer: InboxWriter) -> None:
        database.open.clear()
        writer.submit_nowait(new_callback(), BrokenListener(), timeout_s=0.05)
        for _ in range(2):  # the sweep goes on, too
            with pytest.raises(StorageUnavailable, match="in time"):
                await asyncio.wait_for(writer.submit(new_callback(), timeout_s=0.2), 30)
        database.open.set()

    with_writer(database, scenario)

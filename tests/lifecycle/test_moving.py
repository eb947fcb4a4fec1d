"""Moving into another database: everything, as often as wanted, checked; the original is only read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, callstatus, error
from tracker.errors import Conflict, IncompleteCopy
from tracker.lifecycle.maintenance.copy_database import CopyReport, DatabaseCopier
from tracker.lifecycle.maintenance.prune import Pruner
from tracker.store.calls.secrets import load_secrets
from tracker.store.engine.database import Connection, Database
from tracker.store.maintenance import copy_rows
from tracker.store.queue import heartbeats, jobs
from tracker.store.read import calls as queries
from tracker.store.read.views import CallView, Evidence
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

NUMBERS = [f"+91886713000{n}" for n in range(10)]
SECRET = {"secret_variables": ("otp",)}


@pytest.fixture
def house(tmp_path: Path, provider: RecordingProvider) -> Iterator[House]:
    opened = House(f"sqlite:///{tmp_path / 'original.db'}", provider.base_url, **SECRET)
    yield opened
    opened.close()


@pytest.fixture
def target(database_url: str) -> Iterator[Database]:
    """An empty database of either kind."""
    database = Database(database_url)
    yield database
    database.close()


def live(house: House, provider: RecordingProvider) -> list[str]:
    """A life with everything in it."""
    provider.sends.append(error(429, "slow", Retry_After="60"))
    told_to_come_again = house.place(NUMBERS[0])
    answered = house.place(
        NUMBERS[1], metadata={"ключ": ["ü", 1.5, None, {"a": True}]}, reference="o'rder\\\t42"
    )
    body = {"id": house.provider_id(answered), "status": "ANSWER", "duration": "12", "note": 'a "quote"\\\n'}
    house.receive(body)
    house.receive(body)
    provider.polls.append(
        callstatus({"id": house.provider_id(answered), "status": "ANSWER", "duration": "12"})
    )
    asyncio.run(house.program.poller.poll(house.submissions(answered)[0].id))
    placed = house.program.placer.place({"to": NUMBERS[2], "flow_id": "24"}, scope="me", key="K-1")
    house.submit(placed.submission)
    secret = house.place(NUMBERS[3], send=False, variables={"otp": "123456"})
    house.receive(bytes(range(256)))
    house.receive({"id": "of-somebody-else", "status": "BUSY"})
    house.receive({"status": "BUSY"}, join=False)
    house.database.write(lambda c: c.execute(t.counts.insert().values(
        name="unknown-account", account="", count=3, last_at=house.clock())))  # fmt: skip
    return [told_to_come_again, answered, placed.call, secret]


def move(house: House, target: Database, **how: Any) -> CopyReport:
    return DatabaseCopier(house.database, target, house.clock, **how).move()


def contents(database: Database) -> dict[str, list[Any]]:
    """All rows of all tables as values, but for what is each database's own."""

    def work(c: Any) -> dict[str, list[Any]]:
        return {
            table.name: sorted(repr(tuple(row)) for row in c.execute(sa.select(table)))
            for table in t.metadata.sorted_tables
            if table not in (t.workers, t.settings)
        }

    return database.read(work)


def inbox_ids(c: Any) -> list[str]:
    return list(c.scalars(sa.select(t.callbacks.c.id).order_by(t.callbacks.c.id)))


def settings(database: Database) -> dict[str, str]:
    query = sa.select(t.settings.c.name, t.settings.c.value)
    return database.read(lambda c: {r.name: r.value for r in c.execute(query)})


def test_everything_arrives(house: House, provider: RecordingProvider, target: Database) -> None:
    calls = live(house, provider)
    before = contents(house.database), settings(house.database)
    done = move(house, target)

    assert done.complete
    assert (contents(house.database), settings(house.database)) == before  # it was only read
    assert contents(target) == before[0]
    assert {name for name, rows in before[0].items() if rows} >= {
        "calls", "submissions", "events", "callbacks", "exchanges", "jobs", "idempotency_keys", "call_secrets",
        "waiting_keys", "pace", "counts",
    }  # fmt: skip
    assert settings(target)["digest-key"] == settings(house.database)["digest-key"]
    assert "pause" not in settings(target)
    for call in calls:

        def read(c: Connection, id: str = call) -> tuple[CallView, Evidence]:
            return queries.get_call(c, id), queries.get_evidence(c, id)

        assert target.read(read) == house.database.read(read)
    assert target.read(lambda c: load_secrets(c, calls[-1])) == {"otp": "123456"}


def test_the_copy_works_on(house: House, provider: RecordingProvider, database_url: str) -> None:
    calls = live(house, provider)
    copy = Database(database_url)
    move(house, copy)
    copy.close()
    moved = House(database_url, provider.base_url, **SECRET)
    moved.clock = house.clock
    # the key is known, work gets numbers that are free, what was waiting is joined and sent
    again = moved.program.placer.place({"to": NUMBERS[2], "flow_id": "24"}, scope="me", key="K-1")
    assert (again.call, again.is_replayed) == (calls[2], True)
    moved.place(NUMBERS[5], send=False)
    moved.join()
    moved.submit(moved.submissions(calls[3])[0].id)
    assert moved.timeline(calls[3]).status == "queued"
    moved.close()


def test_a_second_time_writes_only_what_changed(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    live(house, provider)
    first = move(house, target)
    assert first.written == sum(first.rows.values())
    again = move(house, target)
    assert (again.written - again.rows["jobs"], again.removed) == (0, 0)

    call = house.place(NUMBERS[6])
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.database.write(lambda c: jobs.plan(c, jobs.POLL, "sub_x", "thundersms", house.clock()))
    third = move(house, target)
    assert 0 < third.written < 20
    assert contents(target) == contents(house.database)


def test_what_is_gone_goes(house: House, provider: RecordingProvider, target: Database) -> None:
    live(house, provider)
    call = house.place(NUMBERS[6])
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.clock.forward(hours=2)  # ids are given by the real time: so they are old by then
    move(house, target)
    house.clock.forward(days=500)
    pruned = Pruner(house.database, house.clock).prune(timedelta(days=400))
    assert pruned.rows["calls"] == 2
    done = move(house, target)
    assert done.removed >= sum(pruned.rows.values()) - pruned.rows["jobs"]
    assert contents(target) == contents(house.database)


def test_pages_smaller_than_the_tables(
    house: House, provider: RecordingProvider, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_rows, "_ROWS", 2)
    monkeypatch.setattr(copy_rows, "_ROWS_OF_LONG_KEYS", 1)
    monkeypatch.setattr(copy_rows, "_CHUNK", 1)
    monkeypatch.setattr(copy_rows, "_BYTES", 1000)
    live(house, provider)
    for n in range(5):
        house.receive({"id": f"of-somebody-else:{n}", "status": "BUSY"})
    seen: list[int] = []
    mover = DatabaseCopier(house.database, target, house.clock)
    mover.report(seen.append)
    total = mover.total()
    mover.move()
    assert contents(target) == contents(house.database)
    assert seen == sorted(seen)
    assert seen[-1] == total


def test_who_is_interrupted_begins_again_and_meanwhile_nobody_is_dialled(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    live(house, provider)

    def killed(done: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    mover = DatabaseCopier(house.database, target, house.clock)
    mover.report(killed)
    with pytest.raises(KeyboardInterrupt):
        mover.move()
    assert "copying" in settings(target)["pause"]
    assert move(house, target).complete
    assert "pause" not in settings(target)
    assert contents(target) == contents(house.database)


def test_a_pause_of_the_original_is_one_of_the_copy(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    house.program.pauser.pause()
    house.program.pauser.pause(campaign="spring")
    move(house, target)
    ours = settings(house.database)
    assert {n: v for n, v in settings(target).items() if n.startswith("pause")} == {
        n: v for n, v in ours.items() if n.startswith("pause")
    }


def test_a_first_pass_beside_a_worker_and_a_last_one(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    live(house, provider)
    house.database.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", house.clock()))
    with pytest.raises(Conflict, match="--while-running"):
        move(house, target)
    first = move(house, target, while_running=True)
    assert not first.complete
    assert "copying" in settings(target)["pause"]
    assert contents(target)["jobs"] == []

    call = house.place(NUMBERS[6])
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.database.write(lambda c: heartbeats.deregister(c, "a-worker"))
    assert move(house, target).complete
    assert contents(target) == contents(house.database)


def test_what_comes_while_it_copies_waits_for_the_last_pass(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    """A call is placed after the calls were copied and before its events are: they have no call there."""
    live(house, provider)
    late: list[str] = []
    rows = contents(house.database)
    calls_are_copied = len(rows["callbacks"]) + len(rows["calls"])  # that is the order

    def meanwhile(done: int) -> None:
        if done > calls_are_copied and not late:
            late.append(house.place(NUMBERS[7]))

    mover = DatabaseCopier(house.database, target, house.clock, while_running=True)
    mover.report(meanwhile)
    assert mover.move().left > 0
    assert move(house, target).complete
    assert contents(target) == contents(house.database)


def test_whoever_writes_during_the_last_pass_is_noticed(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    live(house, provider)
    other = Database(str(house.database.url))

    def meanwhile(done: int) -> None:
        other.write(lambda c: c.execute(t.counts.update().values(count=t.counts.c.count + 1)))

    mover = DatabaseCopier(house.database, target, house.clock)
    mover.report(meanwhile)
    with pytest.raises(Conflict, match="run this again"):
        mover.move()
    assert "copying" in settings(target)["pause"]
    assert move(house, target).complete
    other.close()


def test_a_copy_that_somebody_works_on_is_left_alone(
    house: House, provider: RecordingProvider, database_url: str
) -> None:
    live(house, provider)
    copy = Database(database_url)
    move(house, copy)
    moved = House(database_url, provider.base_url)
    new = moved.place(NUMBERS[8])
    with pytest.raises(Conflict, match="worked on the target"):
        move(house, copy)
    assert moved.timeline(new).status == "queued"
    copy.write(lambda c: heartbeats.record_heartbeat(c, "a-worker", house.clock()))
    with pytest.raises(Conflict, match="A worker works on the target"):
        move(house, copy)
    copy.close()
    moved.close()


def test_nobody_works_in_a_copy_that_is_not_complete(
    house: House, provider: RecordingProvider, database_url: str
) -> None:
    """What came into being in it would be lost by the last pass, which therefore refuses; so nothing does."""
    told_to_come_again, answered, *_ = live(house, provider)
    copy = Database(database_url)
    move(house, copy, while_running=True)
    moved = House(database_url, provider.base_url)
    program, callback = moved.program, copy.read(lambda c: inbox_ids(c))[0]
    # a request that was seen before the copy is answered, for nothing comes into being by it
    again = moved.program.placer.place({"to": NUMBERS[2], "flow_id": "24"}, scope="me", key="K-1")
    assert again.is_replayed
    for act in (
        lambda: moved.place(NUMBERS[8]),
        lambda: program.call_actions.retry(answered, force=True),
        lambda: program.call_actions.cancel(told_to_come_again),
        lambda: program.callback_actions.join(callback, submission=moved.submissions(answered)[0].id),
        lambda: program.callback_actions.ignore(callback),
    ):
        with pytest.raises(IncompleteCopy, match="tracker db copy"):
            act()
    assert move(house, copy).complete
    assert contents(copy) == contents(house.database)
    assert moved.timeline(moved.place(NUMBERS[8])).status == "queued"
    copy.close()
    moved.close()


def test_who_forces_a_copy_open_works_in_it(
    house: House, provider: RecordingProvider, database_url: str
) -> None:
    live(house, provider)
    copy = Database(database_url)
    move(house, copy, while_running=True)
    moved = House(database_url, provider.base_url)
    moved.program.pauser.resume(force=True)
    assert moved.timeline(moved.place(NUMBERS[8])).status == "queued"
    with pytest.raises(Conflict, match="worked on the target"):
        move(house, copy)
    copy.close()
    moved.close()


def test_a_callback_that_comes_into_an_incomplete_copy_is_stored_and_never_lost(
    house: House, provider: RecordingProvider, database_url: str
) -> None:
    """Answered means stored: no pass of the copy removes it."""
    call = live(house, provider)[2]
    copy = Database(database_url)
    move(house, copy, while_running=True)
    moved = House(database_url, provider.base_url)
    moved.receive({"id": moved.provider_id(call), "status": "BUSY"})
    assert moved.timeline(call).outcome == "busy"
    before = contents(copy)
    for running in (True, False):
        with pytest.raises(Conflict, match="keep that one"):
            move(house, copy, while_running=running)
    assert contents(copy) == before
    copy.close()
    moved.close()


def test_what_is_no_copy_of_this_is_left_alone(
    house: House, provider: RecordingProvider, target: Database, tmp_path: Path
) -> None:
    house.program.placer.place({"to": NUMBERS[0], "flow_id": "24"}, scope="me", key="K-1")
    other = House(f"sqlite:///{tmp_path / 'other.db'}", provider.base_url)
    other.program.placer.place({"to": NUMBERS[0], "flow_id": "24"}, scope="me", key="K-1")
    move(other, target)
    before = contents(target)
    with pytest.raises(Conflict, match="copy of another database"):
        move(house, target)
    with pytest.raises(Conflict, match="no copy of this database"):
        move(house, other.database)
    assert contents(target) == before
    other.close()


def test_without_a_key_of_digests_a_copy_is_known_by_its_calls(
    house: House, provider: RecordingProvider, target: Database, tmp_path: Path
) -> None:
    house.place(send=False)
    assert "digest-key" not in settings(house.database)
    move(house, target)
    other = House(f"sqlite:///{tmp_path / 'other.db'}", provider.base_url)
    other.place(send=False)
    with pytest.raises(Conflict, match="copy of another database"):
        move(other, target)
    house.place(NUMBERS[1], send=False)
    assert move(house, target).complete
    other.close()


def test_an_empty_database_may_have_its_schema_already(
    house: House, provider: RecordingProvider, target: Database
) -> None:
    upgrade.upgrade(target)
    assert move(house, target).rows["calls"] == 0
    live(house, provider)
    assert move(house, target).complete


def test_there_and_back_again(
    house: House, provider: RecordingProvider, postgres_database: str, tmp_path: Path
) -> None:
    live(house, provider)
    there, back = Database(postgres_database), Database(f"sqlite:///{tmp_path / 'back.db'}")
    move(house, there)
    done = DatabaseCopier(there, back, house.clock).move()
    assert done.complete
    assert contents(back) == contents(house.database)
    assert Counter(len(rows) for rows in contents(back).values())
    there.close()
    back.close()


def test_two_who_copy_at_once_are_told_so(
    house: House, provider: RecordingProvider, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one wrote what was not there a moment ago. (On SQLite that is no contradiction: the rows are equal.)"""
    target = Database(postgres_database)
    live(house, provider)
    move(house, target, while_running=True)
    monkeypatch.setattr(copy_rows, "keys", lambda *_: [])
    move(house, target, while_running=True)
    with pytest.raises(Conflict, match="another `tracker db copy`"):
        move(house, target)
    monkeypatch.undo()
    assert move(house, target).complete
    target.close()

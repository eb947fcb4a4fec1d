"""Pruning: what is old and settled goes with all that belongs to it, and nothing else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, callstatus, error
from tracker.errors import NotFound
from tracker.lifecycle.maintenance.housekeeping import Housekeeper
from tracker.lifecycle.maintenance.prune import BatchSize, Pruned, Pruner
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log, position
from tracker.store.maintenance import prune as old_rows
from tracker.store.read import calls
from tracker.store.schema import tables as t

KEEP = timedelta(days=400)
NUMBERS = [f"+91886713000{n}" for n in range(10)]
#: tables that are not about single calls and callbacks
OTHER_TABLES = {"settings", "pace", "counts", "workers", "positions"}


def rows(house: House) -> Counter[str]:
    """Return the number of rows by table, without empty tables."""

    def work(c: Any) -> Counter[str]:
        tables = [table for table in t.metadata.sorted_tables if table.name not in OTHER_TABLES]
        return Counter(
            {table.name: c.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables}
        )

    return +house.database.read(work)


def prune(house: House) -> Pruned:
    """Prune, and check that the survey said the same before, and that nothing is left to do."""
    pruner = Pruner(house.database, house.clock)
    survey = pruner.survey(KEEP)
    done = pruner.prune(KEEP)
    assert survey.rows == done.rows
    assert pruner.survey(KEEP).rows == pruner.prune(KEEP).rows == Counter()
    return done


def assert_nothing_dangles(house: House) -> None:
    """Check that no row refers to a removed one, and that each request in the inbox has its callback."""

    def work(c: Any) -> None:
        for column, target in (
            (t.submissions.c.call_id, t.calls.c.id), (t.events.c.call_id, t.calls.c.id),
            (t.events.c.submission_id, t.submissions.c.id), (t.exchanges.c.submission_id, t.submissions.c.id),
            (t.callbacks.c.call_id, t.calls.c.id), (t.callbacks.c.submission_id, t.submissions.c.id),
            (t.callbacks.c.repeat_of, t.callbacks.c.id), (t.waiting_keys.c.callback_id, t.callbacks.c.id),
            (t.idempotency_keys.c.call_id, t.calls.c.id), (t.events.c.callback_id, t.callbacks.c.id),
            (t.call_secrets.c.call_id, t.calls.c.id), (t.jobs.c.subject, t.submissions.c.id),
            (t.inbox.c.position, t.callbacks.c.position), (t.callbacks.c.position, t.inbox.c.position),
        ):  # fmt: skip
            lost = sa.select(column).where(column.is_not(None), column.not_in(sa.select(target)))
            assert list(c.scalars(lost)) == [], column

    house.database.read(work)


def settled(house: House, provider: RecordingProvider, to: str = NUMBER) -> str:
    """Place a call with everything that a call can have, and settle it."""
    placed = house.program.placer.place({"to": to, "flow_id": "24"}, scope="a", key=f"key of {to}")
    house.submit(placed.submission)
    id = house.provider_id(placed.call)
    body = {"id": id, "status": "BUSY"}
    house.receive(body)
    house.receive(body)  # a repeat
    provider.polls.append(callstatus({"id": id, "mobile": to.lstrip("+"), "status": "BUSY", "dtmf": "1"}))
    asyncio.run(house.program.poller.poll(placed.submission))
    assert house.timeline(placed.call).settled
    return placed.call


def test_settled_call_goes_with_all_its_evidence(house: House, provider: RecordingProvider) -> None:
    old = settled(house, provider)
    before = rows(house)
    tables = {"calls", "submissions", "events", "callbacks", "inbox", "exchanges", "idempotency_keys"}
    assert tables <= before.keys()
    house.clock.forward(days=401)
    done = prune(house)

    removed = before - Counter({"jobs": before["jobs"] - done.rows["jobs"], "inbox": before["inbox"]})
    assert done.rows == removed
    assert rows(house) == Counter()
    with pytest.raises(NotFound):
        house.database.read(lambda c: calls.get_call(c, old))


def test_call_that_changed_lately_stays(house: House, provider: RecordingProvider) -> None:
    old, corrected = settled(house, provider), settled(house, provider, NUMBERS[0])
    house.clock.forward(days=300)
    house.receive({"id": house.provider_id(corrected), "status": "ANSWER", "duration": "3"})
    house.clock.forward(days=101)
    young = settled(house, provider, NUMBERS[1])
    before = {call: house.database.read(lambda c: calls.get_evidence(c, call)) for call in (corrected, young)}  # noqa: B023
    done = prune(house)

    assert done.rows["calls"] == 1
    for call, evidence in before.items():
        assert house.database.read(lambda c: calls.get_evidence(c, call)) == evidence  # noqa: B023
        assert house.timeline(call).settled
    with pytest.raises(NotFound):
        house.database.read(lambda c: calls.get_call(c, old))
    assert_nothing_dangles(house)


def test_open_calls_stay(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend([error(500, "oops"), error(429, "slow", Retry_After="5")])
    open_ones = [house.place(NUMBERS[n]) for n in range(3)]  # unconfirmed, to be sent again, queued
    open_ones.append(house.place(NUMBERS[3], send=False))
    open_ones.append(house.place(NUMBERS[4], interval=5))
    house.receive({"id": house.provider_id(open_ones[-1]), "status": "BUSY"})  # may be redialled
    house.program.pauser.pause()
    open_ones.append(house.place(NUMBERS[5]))
    assert not any(house.timeline(call).settled for call in open_ones)
    before = rows(house)
    house.clock.forward(days=4000)
    assert prune(house).rows == Counter()
    assert rows(house) == before


def test_call_that_is_retried_meanwhile_stays(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = settled(house, provider)
    house.clock.forward(days=401)
    pruner = Pruner(house.database, house.clock)
    find = old_rows.old_calls

    def find_and_retry(*arguments: Any) -> Any:
        old = find(*arguments)
        if old:
            house.program.call_actions.retry(call)
        return old

    monkeypatch.setattr(old_rows, "old_calls", find_and_retry)
    assert pruner.prune(KEEP).rows == Counter()
    assert len(house.submissions(call)) == 2


def test_old_callbacks_of_no_call_go(house: House) -> None:
    unreadable = house.receive(b"\xff\x00not a thing")
    foreign = house.receive({"id": "0000-of-somebody-else:1", "status": "BUSY", "to": NUMBER.lstrip("+")})
    house.clock.forward(days=8)
    house.program.joiner.retry_orphans()
    assert [house.standing(id).state for id in (unreadable, foreign)] == ["unreadable", "ignored"]
    young_at = 401 - 8
    house.clock.forward(days=young_at)
    young = house.receive(b"\xff\x00not a thing either")
    done = prune(house)
    assert done.rows["callbacks"] == 2
    assert rows(house) == Counter({"callbacks": 1, "inbox": 1})
    assert house.standing(young).state == "unreadable"


def test_orphan_that_may_belong_to_an_open_call_stays(house: House) -> None:
    open_ones = [house.place(NUMBER), house.place(NUMBER)]
    ambiguous = house.receive(house.default_push("BUSY"))
    assert house.standing(ambiguous).state == "orphaned"
    lost = house.receive(house.default_push("BUSY", to=NUMBERS[0]))
    for days in (8, 400):
        house.clock.forward(days=days)
        house.program.joiner.retry_orphans()
    assert prune(house).rows["callbacks"] == 1
    assert house.standing(ambiguous).state == "orphaned"
    with pytest.raises(KeyError):
        house.standing(lost)
    # it is still evidence: once the other call is known, it can only be about this one
    house.receive({"id": house.provider_id(open_ones[0]), "status": "ANSWER"})
    assert house.standing(ambiguous).call == open_ones[1]


def test_callback_that_is_not_joined_yet_stays(house: House) -> None:
    house.receive({"status": "BUSY"}, join=False)
    house.clock.forward(days=4000)
    prune(house)
    assert house.database.read(lambda c: log.count_after(c, position.joined_position(c))) == 1
    house.join()
    assert rows(house)["callbacks"] == 1


def test_callback_that_was_joined_by_hand_stays_with_its_call(
    house: House, provider: RecordingProvider
) -> None:
    call = house.place()
    stray = house.receive({"status": "BUSY", "to": NUMBERS[0].lstrip("+")})
    house.program.callback_actions.join(stray, submission=house.submissions(call)[0].id, force=True)
    ignored = house.receive({"status": "BUSY", "to": NUMBERS[1].lstrip("+")})
    house.program.callback_actions.ignore(ignored)
    house.receive({"id": house.provider_id(call), "status": "BUSY"})
    house.clock.forward(days=401)
    house.program.call_actions.retry(call)
    assert prune(house).rows == Counter({"callbacks": 1})
    assert house.standing(stray).call == call
    assert_nothing_dangles(house)


def test_callback_that_was_moved_leaves_nothing_dangling(house: House, provider: RecordingProvider) -> None:
    first, second = house.place(), house.place(NUMBERS[0])
    moved = house.receive({"id": house.provider_id(first), "status": "BUSY"})
    house.receive({"id": house.provider_id(first), "status": "BUSY"})
    house.program.callback_actions.join(moved, submission=house.submissions(second)[0].id)
    house.clock.forward(days=300)
    house.receive({"id": house.provider_id(first), "status": "ANSWER", "duration": "3"})
    house.clock.forward(days=101)
    assert prune(house).rows["calls"] == 1
    timeline = house.database.read(lambda c: calls.get_timeline(c, first))
    assert moved not in {event.callback for event in timeline}

    def repeats(c: Any) -> list[Any]:
        column = t.callbacks.c.repeat_of
        return list(c.scalars(sa.select(column).where(column.is_not(None))))

    assert moved not in house.database.read(repeats)


def test_late_callback_of_a_removed_call_is_an_orphan(house: House, provider: RecordingProvider) -> None:
    call = settled(house, provider)
    id = house.provider_id(call)
    house.clock.forward(days=401)
    prune(house)
    late = house.receive({"id": id, "status": "BUSY"})
    assert house.standing(late).state == "orphaned"


def test_prune_works_in_steps_and_can_be_interrupted(house: House, provider: RecordingProvider) -> None:
    for number in NUMBERS:
        settled(house, provider, number)
    house.clock.forward(days=401)
    # of one size, however busy this machine is
    pruner = Pruner(house.database, house.clock, BatchSize(first=2, smallest=2, largest=2))

    def interrupt(done: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pruner.prune(KEEP, interrupt)
    left = rows(house)
    assert 0 < left["calls"] <= 6
    assert_nothing_dangles(house)
    prune(house)
    assert rows(house)["calls"] == 0


def test_requests_left_by_a_killed_process_go_next_time(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(house, provider)
    settled(house, provider, NUMBERS[0])
    house.clock.forward(days=401)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    pruner = Pruner(house.database, house.clock, BatchSize(first=1))
    with monkeypatch.context() as patched:
        patched.setattr(log, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            pruner.prune(KEEP)
    assert rows(house)["inbox_removals"] == 2
    assert rows(house)["inbox"] == 4
    Pruner(house.database, house.clock).prune(KEEP)
    assert rows(house) == Counter()


def file_size(database: Database) -> int:
    def work(c: Connection) -> int:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * c.exec_driver_sql("PRAGMA page_size").scalar_one())

    return database.read(work)


def test_both_files_become_shorter(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in NUMBERS:
        settled(house, provider, number)
        house.receive_at(b"\xff" * 200_000, house.clock())
    house.join()
    if not house.database.is_sqlite:
        house.clock.forward(days=401)
        assert prune(house).given_back == 0
        return
    before = file_size(house.database) + file_size(house.database.inbox)
    steps: list[float] = []
    give_back = old_rows.give_back

    def count_steps(connection: Connection, seconds: float) -> None:
        steps.append(seconds)
        give_back(connection, seconds)

    monkeypatch.setattr(old_rows, "give_back", count_steps)
    house.clock.forward(days=401)
    done = prune(house)
    assert done.given_back > 1_900_000
    assert len(steps) < done.given_back / 8192 / 10, "each step frees many pages"
    assert file_size(house.database) + file_size(house.database.inbox) == before - done.given_back


def test_housekeeper_removes_one_batch_at_a_time(house: House, provider: RecordingProvider) -> None:
    for number in NUMBERS:
        settled(house, provider, number)
    house.clock.forward(days=401)
    pruner = Pruner(house.database, house.clock, BatchSize(first=3))
    keeper = Housekeeper(house.database, house.program.pauser, house.clock, KEEP, pruner=pruner)
    seen: list[int] = []
    while (left := rows(house)["calls"]) and len(seen) < 100:
        seen.append(left)
        keeper.tidy()
    assert seen[:2] == [10, 7]
    assert rows(house)["calls"] == 0
    assert_nothing_dangles(house)


def test_housekeeper_without_retention_keeps_everything(house: House, provider: RecordingProvider) -> None:
    settled(house, provider)
    before = rows(house)
    house.clock.forward(days=40_000)
    house.program.keeper.tidy()
    assert rows(house) == before


def test_housekeeper_searches_once_an_hour(house: House, provider: RecordingProvider) -> None:
    seconds = 0.0
    keeper = Housekeeper(house.database, house.program.pauser, house.clock, KEEP, monotonic=lambda: seconds)
    for _ in range(20):  # a new file has pages to give back
        keeper.tidy()
    settled(house, provider)
    house.clock.forward(days=401)
    seconds += 3599
    keeper.tidy()
    assert rows(house)["calls"] == 1
    seconds += 1
    keeper.tidy()
    assert rows(house)["calls"] == 0

"""Pruning: what is old and over goes with all that belongs to it, and nothing else does."""

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
from tracker.lifecycle.maintenance import housekeeping
from tracker.lifecycle.maintenance import prune as pruning
from tracker.lifecycle.maintenance.housekeeping import Housekeeper
from tracker.lifecycle.maintenance.prune import Pruned, Pruner
from tracker.store.maintenance import prune as stored
from tracker.store.read import calls
from tracker.store.schema import tables as t

KEEP = timedelta(days=400)
NUMBERS = [f"+91886713000{n}" for n in range(10)]
#: what is not about single calls
HOUSEHOLD = {"settings", "pace", "counts", "workers"}


def rows(house: House) -> Counter[str]:
    def work(c: Any) -> Counter[str]:
        tables = [table for table in t.metadata.sorted_tables if table.name not in HOUSEHOLD]
        return Counter(
            {table.name: c.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables}
        )

    return +house.database.read(work)


def prune(house: House) -> Pruned:
    pruner = Pruner(house.database, house.clock)
    told = pruner.survey(KEEP)
    done = pruner.prune(KEEP)
    # it says first what it does
    assert told.rows == done.rows
    assert pruner.survey(KEEP).rows == pruner.prune(KEEP).rows == Counter()
    return done


def nothing_dangles(house: House) -> None:
    def work(c: Any) -> None:
        for column, target in (
            (t.submissions.c.call_id, t.calls.c.id), (t.events.c.call_id, t.calls.c.id),
            (t.events.c.submission_id, t.submissions.c.id), (t.exchanges.c.submission_id, t.submissions.c.id),
            (t.callbacks.c.call_id, t.calls.c.id), (t.callbacks.c.submission_id, t.submissions.c.id),
            (t.callbacks.c.repeat_of, t.callbacks.c.id), (t.waiting_keys.c.callback_id, t.callbacks.c.id),
            (t.idempotency_keys.c.call_id, t.calls.c.id), (t.events.c.callback_id, t.callbacks.c.id),
            (t.call_secrets.c.call_id, t.calls.c.id), (t.jobs.c.subject, t.submissions.c.id),
        ):  # fmt: skip
            lost = sa.select(column).where(column.is_not(None), column.not_in(sa.select(target)))
            assert list(c.scalars(lost)) == [], column

    house.database.read(work)


def settled(house: House, provider: RecordingProvider, to: str = NUMBER) -> str:
    """A call with everything that a call can have."""
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


def test_a_settled_call_goes_with_all_its_evidence(house: House, provider: RecordingProvider) -> None:
    old = settled(house, provider)
    before = rows(house)
    assert {"calls", "submissions", "events", "callbacks", "exchanges", "idempotency_keys"} <= before.keys()
    house.clock.forward(days=401)
    done = prune(house)

    assert done.rows == before - Counter({"jobs": before["jobs"] - done.rows["jobs"]})
    assert rows(house) == Counter()
    with pytest.raises(NotFound):
        house.database.read(lambda c: calls.get_call(c, old))


def test_what_changed_lately_stays(house: House, provider: RecordingProvider) -> None:
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
    nothing_dangles(house)


def test_what_is_open_is_never_touched(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend([error(500, "oops"), error(429, "slow", Retry_After="5")])
    open_ones = [house.place(NUMBERS[n]) for n in range(3)]  # unconfirmed, told to come again, queued
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


def test_one_that_was_opened_again_meanwhile_stays(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = settled(house, provider)
    house.clock.forward(days=401)
    pruner = Pruner(house.database, house.clock)
    find = stored.old_calls

    def found_and_then_retried(*arguments: Any) -> Any:
        old = find(*arguments)
        if old:
            house.program.call_actions.retry(call)
        return old

    monkeypatch.setattr(stored, "old_calls", found_and_then_retried)
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
    assert rows(house) == Counter({"callbacks": 1})
    assert house.standing(young).state == "unreadable"


def test_an_orphan_that_may_be_an_open_call_s_stays(house: House) -> None:
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
    # and it is evidence still: once the other call is known, it can only be about this one
    house.receive({"id": house.provider_id(open_ones[0]), "status": "ANSWER"})
    assert house.standing(ambiguous).call == open_ones[1]


def test_what_nobody_has_read_yet_stays(house: House) -> None:
    waiting = house.receive({"status": "BUSY"}, join=False)
    house.clock.forward(days=4000)
    prune(house)
    assert house.standing(waiting).state == "pending"


def test_what_was_decided_by_hand_about_a_call_that_stays_stays(
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
    nothing_dangles(house)


def test_a_callback_that_was_moved_leaves_nothing_behind_that_dangles(
    house: House, provider: RecordingProvider
) -> None:
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


def test_a_late_callback_for_a_call_that_is_gone_is_an_orphan_like_any(
    house: House, provider: RecordingProvider
) -> None:
    call = settled(house, provider)
    id = house.provider_id(call)
    house.clock.forward(days=401)
    prune(house)
    late = house.receive({"id": id, "status": "BUSY"})
    assert house.standing(late).state == "orphaned"


def test_it_is_done_in_small_steps_and_can_be_interrupted(house: House, provider: RecordingProvider) -> None:
    for number in NUMBERS:
        settled(house, provider, number)
    house.clock.forward(days=401)
    pruner = Pruner(house.database, house.clock)
    pruner._batch = 2
    pruner._adapt = lambda took: None  # type: ignore[method-assign]  # to how busy this machine is

    def killed(done: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pruner.prune(KEEP, killed)
    left = rows(house)
    assert 0 < left["calls"] <= 6
    nothing_dangles(house)
    prune(house)
    assert rows(house)["calls"] == 0


def test_the_file_becomes_shorter(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = house.database.path
    for number in NUMBERS:
        settled(house, provider, number)
        house.receive_at(b"\xff" * 200_000, house.clock())
    house.join()

    def size() -> int:
        def work(c: Any) -> int:
            pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * c.exec_driver_sql("PRAGMA page_size").scalar_one())

        return house.database.read(work)

    if path is None:
        house.clock.forward(days=401)
        assert prune(house).given_back == 0
        return
    before = size()
    steps: list[float] = []
    give_back = stored.give_back

    def counted(connection: Any, seconds: float) -> None:
        steps.append(seconds)
        give_back(connection, seconds)

    monkeypatch.setattr(stored, "give_back", counted)
    house.clock.forward(days=401)
    done = prune(house)
    assert done.given_back > 1_900_000
    assert len(steps) < done.given_back / 8192 / 10  # many pages in each
    assert size() == before - done.given_back


def test_the_worker_does_it_a_little_at_a_time(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_FIRST_BATCH", 3)
    for number in NUMBERS:
        settled(house, provider, number)
    house.clock.forward(days=401)
    keeper = Housekeeper(house.database, house.program.pauser, house.clock, KEEP)
    seen: list[int] = []
    while (left := rows(house)["calls"]) and len(seen) < 100:
        seen.append(left)
        keeper.tidy()
    assert seen[:2] == [10, 7]
    assert rows(house)["calls"] == 0
    nothing_dangles(house)


def test_without_the_setting_everything_is_kept(house: House, provider: RecordingProvider) -> None:
    settled(house, provider)
    before = rows(house)
    house.clock.forward(days=40_000)
    house.program.keeper.tidy()
    assert rows(house) == before


def test_it_does_not_look_all_the_time(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Housekeeper(house.database, house.program.pauser, house.clock, KEEP)
    while not keeper._look_at:  # a new file has pages to give back
        keeper.tidy()
    settled(house, provider)
    house.clock.forward(days=401)
    keeper.tidy()
    assert rows(house)["calls"] == 1
    monkeypatch.setattr(housekeeping, "_LOOK_S", 0.0)
    keeper._look_at = 0.0
    keeper.tidy()
    assert rows(house)["calls"] == 0

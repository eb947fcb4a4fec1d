"""The joiner under attack: callbacks that somebody stumbles over, thousands for one number, locks in two orders."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import NUMBER, House
from tests.recording_provider import RecordingProvider, accepted, callstatus
from tracker.errors import InvalidInput, NotFound
from tracker.providers.registry import get_provider
from tracker.store.calls.calls import lock_calls
from tracker.store.calls.submissions import find_submissions, update_submissions
from tracker.store.inbox import log, match_queries, position, states
from tracker.store.inbox.log import NewCallback
from tracker.store.queue import jobs
from tracker.store.schema import tables


def count_of(house: House, table: sa.Table, *where: Any) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(*where)
    return int(house.database.read(lambda c: c.scalar(query)) or 0)


def asked_for(house: House) -> set[str]:
    query = sa.select(tables.jobs.c.subject).where(tables.jobs.c.kind == jobs.POLL)
    return set(house.database.read(lambda c: list(c.scalars(query))))


def test_one_callback_that_our_reader_stumbles_over_costs_only_itself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = house.place()
    provider = get_provider("thundersms")
    real = provider.parse_callback

    def read(account: Any, incoming: Any) -> Any:
        if b"stumble" in incoming.body:
            raise RecursionError("a mistake of ours")
        return real(account, incoming)

    monkeypatch.setattr(provider, "parse_callback", read)
    bad = house.receive({"id": "stumble"}, join=False)
    good = house.receive({"id": house.provider_id(call), "status": "BUSY"})
    assert (house.standing(bad).state, house.standing(bad).reason) == (
        "unreadable",
        "internal error: RecursionError",
    )
    assert house.standing(good).state == "joined"


def test_one_orphan_that_cannot_be_weighed_does_not_keep_the_others_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = (
        house.receive({"id": "bad", "status": "BUSY"}),
        house.receive({"id": "good", "status": "BUSY"}),
    )
    real = states.count_retry

    def looked(c: Any, ids: Any) -> Any:
        if bad in ids:
            raise ValueError("a mistake of ours")
        return real(c, ids)

    monkeypatch.setattr(states, "count_retry", looked)
    house.clock.forward(seconds=6)
    assert house.program.joiner.retry_orphans() == 2
    waits = house.standing(good).next_match_at
    assert waits is not None
    assert waits - house.clock() < timedelta(minutes=1)
    later = house.standing(bad).next_match_at
    assert later is not None
    assert later - house.clock() > timedelta(hours=1)


def test_a_callback_with_thousands_of_ids(house: House) -> None:
    """A megabyte of ids: kept and readable, joined by those that come first, found again by a few."""
    call = house.place()
    first = house.provider_id(call)
    body = {"id": first, "status": "BUSY", **{f"x{n}": {"id": f"{n}-" + "i" * 150} for n in range(5_000)}}
    joined = house.receive(body)
    assert house.standing(joined).submission == house.submissions(call)[0].id
    orphan = house.receive({**body, "id": "nobodys"})
    assert house.standing(orphan).state == "orphaned"
    assert 0 < count_of(house, tables.waiting_keys, tables.waiting_keys.c.callback_id == orphan) < 100


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "\\u0000\\ud800", "status": "BUSY\\u0000", "to": "91\\ud8008919525224"}',
        b'{"id": 1e400, "status": "ANSWER", "duration": ' + b"9" * 400 + b"}",
        b'{"id": "x", "status": "ANSWER", "duration": 99999999999, "charges": "' + b"9" * 30 + b'"}',
        b'{"id": "x", "start_at": "0001-01-01 00:00:00", "end_at": "9999-12-31 23:59:59", "status": "BUSY"}',
        b'{"id": "x", "to": 918919525224, "status": "' + b"long " * 10_000 + b'"}',
        b'{"id": "' + b"i" * 10_000 + b'", "mid": "' + b"m" * 10_000 + b'"}',
        b"[" * 50_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
    ids=["nul", "infinite", "huge", "dates", "word", "ids", "brackets", "nested"],
)
def test_poison_stops_nobody(house: House, body: bytes) -> None:
    call = house.place()
    poison = house.receive(body, join=False)
    good = house.receive({"id": house.provider_id(call), "status": "BUSY"})
    assert house.standing(good).state == "joined"
    assert house.standing(poison).state in {"orphaned", "unreadable", "joined"}
    assert "our own" not in (house.standing(poison).reason or "")
    house.clock.forward(seconds=6)
    house.program.joiner.retry_orphans()


def test_more_ids_than_a_statement_takes(house: House) -> None:
    call = house.place()
    many = [f"cb_{n}" for n in range(70_000)]

    def work(c: Any) -> None:
        assert match_queries.receipts(c, many) == []
        assert states.match_states(c, many) == {}
        assert match_queries.submitted_by_keys(c, "thundersms", full=many, base=many, own=many) == []
        assert set(lock_calls(c, [*many, call])) == {call}
        assert [s.call for s in find_submissions(c, [*many, call])] == [call]
        states.write_repeats(c, dict.fromkeys(many))
        states.add_wait_keys(c, "thundersms", dict.fromkeys(many, ()), replace=many)

    house.database.write(work)


def test_megabytes_are_read_a_few_at_a_time(house: House) -> None:
    for n in range(20):
        house.receive({"id": f"n{n}", "status": "BUSY", "filler": "x" * 1_000_000}, join=False)
    sizes = []
    while joined := house.program.joiner.join_batch():
        sizes.append(joined)
    assert sum(sizes) == 20
    assert max(sizes) <= 8


def test_thousands_of_callbacks_for_one_number(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 records without an id for a number that was called 20 times: each call is asked about once, and what was
    written of the earlier ones is not written again for every later one."""
    calls = [house.place() for _ in range(20)]
    written = [0]
    real_insert, real_update = states.insert, states.update

    def insert(c: Any, outcomes: Any) -> None:
        written[0] += len(outcomes)
        real_insert(c, outcomes)

    def update(c: Any, changed: Any) -> None:
        written[0] += len(changed)
        real_update(c, changed)

    monkeypatch.setattr(states, "insert", insert)
    monkeypatch.setattr(states, "update", update)
    for n in range(300):
        body = json.dumps(house.default_push("BUSY", ago_s=n, mid=f"m{n}")).encode()
        house.receive_at(body, house.clock())
        if n % 50 == 0:
            house.join()
    house.join()
    assert written[0] == 300
    assert asked_for(house) == {house.submissions(call)[0].id for call in calls}


def test_the_provider_is_asked_only_about_what_it_can_tell(house: House, provider: RecordingProvider) -> None:
    """Of three calls to the number one was told by its id, and one was given no id: neither is asked about."""
    told, asked = house.place(), house.place()
    provider.sends.append(callstatus())  # success without an id is no acceptance
    house.receive({"id": house.provider_id(told), "status": "BUSY", "to": NUMBER})
    unclear = house.place(send=False)
    assert house.program.sender.claim(house.submissions(unclear)[0].id) is not None
    loose = house.receive(house.default_push("BUSY"))
    assert house.standing(loose).reason == "ambiguous"
    assert asked_for(house) == {house.submissions(asked)[0].id}


def test_a_question_and_the_joiner_do_not_wait_for_each_other(
    house: House, provider: RecordingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a question is written while the joiner writes of the same call: both take the joining lock before
    the calls. Here the joiner is held between the two, so whoever has the call already would never let it go."""
    call = house.place()
    id = house.provider_id(call)
    callback = house.receive({"id": id, "status": "BUSY"}, join=False)
    provider.polls.append(callstatus({"id": id, "status": "BUSY"}))
    holds_the_lock, answer_is_there = threading.Event(), threading.Event()
    errors: list[BaseException] = []
    real_advance = position.advance

    def advance(c: Any, before: int, after: int) -> bool:
        if threading.current_thread() is joiner:
            holds_the_lock.set()
            assert answer_is_there.wait(20)
        return real_advance(c, before, after)

    def ask() -> None:
        try:
            asyncio.run(house.program.poller.poll(house.submissions(call)[0].id))
        except BaseException as error:
            errors.append(error)

    repeats: list[float] = []
    monkeypatch.setattr("tracker.store.engine.database.time.sleep", repeats.append)
    monkeypatch.setattr(position, "advance", advance)
    joiner = threading.Thread(target=house.program.joiner.join_batch)
    joiner.start()
    assert holds_the_lock.wait(20)
    asker = threading.Thread(target=ask)
    asker.start()
    asker.join(0.5)
    answer_is_there.set()
    joiner.join(20)
    asker.join(20)
    assert not errors
    assert not joiner.is_alive()
    assert not asker.is_alive()
    assert repeats == []  # no deadlock that the database had to break
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).status == "busy"


def test_joining_by_hand_prefers_the_id_as_it_was_given(house: House, provider: RecordingProvider) -> None:
    provider.sends.extend([accepted("one-id:1"), accepted("one-id:2")])
    calls = [house.place(), house.place()]
    callback = house.receive(house.default_push("BUSY"))
    with pytest.raises(NotFound, match="More than one"):
        house.program.callback_actions.join(callback, submission_id="one-id")
    house.program.callback_actions.join(callback, submission_id="ONE-ID:2")
    assert house.standing(callback).submission == house.submissions(calls[1])[0].id


def test_a_join_that_was_moved_and_moved_back_is_the_same_fact(house: House) -> None:
    first, second = house.place(), house.place()
    callback = house.receive(house.default_push("BUSY"))
    ids = [house.submissions(call)[0].id for call in (first, second)]
    house.program.callback_actions.join(callback, submission=ids[0])
    facts = {e.key: (e.id, e.recorded_at) for e in house.events(first) if e.callback}
    assert facts
    house.program.callback_actions.join(callback, submission=ids[1])
    assert not [e for e in house.events(first) if e.callback]
    assert house.timeline(first).settled is False
    assert house.timeline(second).status == "busy"
    house.program.callback_actions.join(callback, submission=ids[0])
    assert {e.key: (e.id, e.recorded_at) for e in house.events(first) if e.callback} == facts


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, {"deep": [float("-inf")]}])
def test_metadata_that_no_database_takes_is_refused(house: House, value: Any) -> None:
    with pytest.raises(InvalidInput):
        house.program.placer.place({"to": NUMBER, "flow_id": "24", "metadata": {"x": value}})


def test_a_lane_that_rested_is_not_held_for_a_callback_that_comes_alone(house: House) -> None:
    """Six hours after its last record a lane says nothing, also where that record is older than what is weighed."""
    held, other = house.place(), house.place()
    lanes = {house.submissions(call)[0].id: {"lane": lane} for call, lane in ((held, "a"), (other, "b"))}
    house.database.write(lambda c: update_submissions(c, [], lanes))
    first = house.receive({"status": "BUSY", "to": "918919525224"}, lane="a")
    assert house.standing(first).matched_by == "lane-and-number"
    house.clock.forward(hours=5)
    second = house.receive({"status": "BUSY", "to": "918919525224", "duration": "1"}, lane="a")
    assert house.standing(second).matched_by == "lane-and-number"
    house.clock.forward(hours=7)
    late = house.receive({"status": "BUSY", "to": "918919525224", "duration": "2"}, lane="a")
    assert (house.standing(late).state, house.standing(late).reason) == ("orphaned", "ambiguous")


@pytest.mark.parametrize("record_first", [True, False])
def test_a_lane_is_held_by_a_record_that_came_late(house: House, record_first: bool) -> None:
    """The request was more than a day ago, and the record is what holds the lane: whoever of the two is read first."""
    call = house.place()
    submission = house.submissions(call)[0].id
    house.database.write(lambda c: update_submissions(c, [], {submission: {"lane": "a"}}))
    house.clock.forward(hours=26)
    record = house.receive({"status": "RINGING", "custom": submission}, join=record_first)
    house.clock.forward(hours=1)
    by_lane = house.receive({"status": "BUSY", "to": "918919525224"}, lane="a", join=False)
    if not record_first:
        _hide(house, record)
        house.join()
        assert house.standing(by_lane).state == "orphaned"
        _show(house, record)
    house.join()
    assert house.standing(by_lane).matched_by == "lane-and-number"


def _hide(house: House, callback: str) -> None:
    """Let the joiner pass over a callback, as if it had not come yet."""
    row = tables.inbox
    house.database.inbox.write(
        lambda c: c.execute(row.update().where(row.c.id == callback).values(state="quarantined"))
    )


def _show(house: House, callback: str) -> None:
    """Let the joiner read a hidden callback as if it came now."""
    row = tables.inbox
    new = house.database.inbox.read(lambda c: c.execute(row.select().where(row.c.id == callback)).one())
    fields = {name: getattr(new, name) for name in NewCallback._fields}
    house.database.inbox.write(lambda c: c.execute(row.delete().where(row.c.id == callback)))
    house.database.write(
        lambda c: c.execute(tables.callbacks.delete().where(tables.callbacks.c.id == callback))
    )
    log.append(house.database, [NewCallback(**fields)._replace(state="pending")])

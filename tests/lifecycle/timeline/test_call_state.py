"""A call's state: loaded once, changed in memory, saved once; and what a placed call costs the database."""

from __future__ import annotations

import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tests.recording_provider import RecordingProvider, accepted
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import Event, EventSource
from tracker.domain.timeline.fold import Timeline, fold
from tracker.lifecycle.timeline.call_state import CallStates, load, load_of_submissions
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.store.engine.database import Connection
from tracker.store.queue import jobs
from tracker.store.schema import tables as t

ID = "3b69aca9-3b55-4e2d-bfe0-02b910dbe156"
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|WITH .*? (INSERT INTO|UPDATE|DELETE FROM) )", re.DOTALL)


class Work:
    """What a database was asked to do."""

    def __init__(self) -> None:
        #: the statements of each transaction that wrote something
        self.transactions: list[list[str]] = []
        self.statements: list[str] = []

    def count_reads(self, table: str, *by: str) -> int:
        """Count the statements that return rows of a table, looked up by one of these columns."""
        reads = re.compile(rf"SELECT ((?! FROM ).)* FROM {table} WHERE \"({'|'.join(by)})\"")
        return sum(bool(reads.match(statement)) for statement in self.statements)


@contextmanager
def recorded(house: House) -> Iterator[Work]:
    """Record the statements and the writing transactions of a house."""
    work, open_ones = Work(), defaultdict[Any, list[str]](list)

    def executed(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        open_ones[id(connection)].append(statement)
        work.statements.append(" ".join(statement.split()))

    def committed(connection: Connection) -> None:
        statements = open_ones.pop(id(connection), [])
        if any(_WRITES.match(statement) for statement in statements):
            work.transactions.append(statements)

    listeners: dict[str, Callable[..., None]] = {"before_cursor_execute": executed, "commit": committed}
    for name, listener in listeners.items():
        sa.event.listen(sa.Engine, name, listener)
    try:
        yield work
    finally:
        for name, listener in listeners.items():
            sa.event.remove(sa.Engine, name, listener)


@contextmanager
def counted_calls(function: Callable[..., object]) -> Iterator[list[int]]:
    """Count how often a function is called, in this thread and in those that begin meanwhile."""
    calls = [0]

    def profile(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code is function.__code__:
            calls[0] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    threading.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


def test_placed_call_costs_three_transactions(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(ID))
    with recorded(house) as work, counted_calls(fold) as folds:
        call = house.place()
    assert house.timeline(call).status == "queued"
    assert len(work.transactions) == 3  # placed, claimed, answered
    assert work.count_reads("events", "call_id") == 2
    assert work.count_reads("submissions", "id", "call_id") == 2
    assert folds[0] == 3
    assert house.database.read(lambda c: jobs.count_due(c, house.clock() + timedelta(hours=1))) == {}


def test_early_callback_costs_one_more_transaction(house: House, provider: RecordingProvider) -> None:
    provider.sends.append(accepted(ID))
    callback = house.receive({"id": ID, "status": "BUSY"})
    with recorded(house) as work:
        call = house.place()
    assert len(work.transactions) == 4
    assert house.standing(callback).call == call


def test_loading_takes_as_many_statements_for_many_calls(house: House) -> None:
    calls = [house.place() for _ in range(3)]
    for call in calls:
        house.receive({"id": house.provider_id(call), "status": "BUSY"})
    counts = []
    for ids in (calls[:1], calls):
        with recorded(house) as work:
            loaded = house.database.write(lambda c, ids=ids: load(c, ids, with_reports=True))  # type: ignore[misc]
        assert list(loaded) == sorted(ids)
        assert all(state.timeline.outcome == "busy" for state in loaded.values())
        counts.append(len(work.statements))
    assert counts[0] == counts[1]


def test_saving_takes_one_statement_a_table_for_many_calls(house: House) -> None:
    # on SQLite one statement takes a power of two of rows
    calls = [house.place() for _ in range(4)]

    def change(c: Connection) -> None:
        loaded = load(c, calls)
        for state in loaded.values():
            (submission,) = state.submissions
            state.add(_unconfirmed(submission, house))
            state.change_submission(submission.id, lease_until=None)
        loaded.save(house.clock())

    with recorded(house) as work:
        house.database.write(change)
    (statements,) = work.transactions
    writes = [statement for statement in statements if _WRITES.match(statement)]
    assert len(writes) == 3  # events, calls, submissions
    assert all(_has_lost_its_sender(house.timeline(call)) for call in calls)


def test_call_that_does_not_exist_is_left_out(house: House) -> None:
    call = house.place()

    def work(c: Connection) -> tuple[CallStates, CallStates]:
        return load(c, [call, "call_nobody"]), load_of_submissions(c, ["sub_nobody"])

    by_call, by_submission = house.database.write(work)
    assert list(by_call) == [call]
    assert by_submission.of_submission("sub_nobody") is None


def test_known_key_adds_no_event_and_changes_nothing(house: House) -> None:
    call = house.place()
    before = _updated_at(house, call)

    def add_again(c: Connection) -> bool:
        loaded = load(c, [call])
        state = loaded[call]
        state.add(*state.timeline.events)
        loaded.save(house.clock())
        return state.is_changed

    house.clock.forward(minutes=1)
    assert house.database.write(add_again) is False
    assert _updated_at(house, call) == before


def test_touched_call_counts_as_changed(house: House) -> None:
    call = house.place()
    before, events = _updated_at(house, call), house.events(call)

    def touch(c: Connection) -> None:
        loaded = load(c, [call])
        loaded[call].touch()
        loaded.save(house.clock())

    house.clock.forward(minutes=1)
    house.database.write(touch)
    assert _updated_at(house, call) - before >= timedelta(minutes=1)
    assert house.events(call) == events


def test_timeline_includes_events_before_they_are_saved(house: House) -> None:
    call = house.place()
    with counted_calls(fold) as folds:
        house.database.write(lambda c: _add_and_save(load(c, [call]), call, house))
    assert folds[0] == 1
    assert _has_lost_its_sender(house.timeline(call))


def _add_and_save(loaded: CallStates, call: str, house: House) -> None:
    state = loaded[call]
    (submission,) = state.submissions
    state.add(_unconfirmed(submission, house))
    assert _has_lost_its_sender(state.timeline)
    loaded.save(house.clock())
    assert state.submission(submission.id).status is state.timeline.status
    assert not state.is_changed


def test_derived_events_follow_a_report_that_moves(house: House) -> None:
    first, second = house.place(), house.place("+917619360003")
    house.receive({"id": house.provider_id(first), "status": "BUSY"})

    def move(c: Connection) -> tuple[str, str]:
        loaded = load(c, [first, second], with_reports=True)
        one, other = loaded[first], loaded[second]
        assert one.reports is not None
        ((moved,),) = one.reports.values()
        one.derive(one.submissions[0].id, remove=[moved.id])
        other.derive(other.submissions[0].id, add=[moved])
        # twice is once
        other.derive(other.submissions[0].id, add=[moved])
        loaded.save(house.clock())
        return one.timeline.status, other.timeline.status

    assert house.database.write(move) == ("queued", "busy")
    assert (house.timeline(first).status, house.timeline(second).status) == ("queued", "busy")


def test_deriving_needs_the_reports(house: House) -> None:
    call = house.place()

    def derive(c: Connection) -> None:
        state = load(c, [call])[call]
        state.derive(state.submissions[0].id)

    with pytest.raises(AssertionError, match="with its reports"):
        house.database.write(derive)


def _unconfirmed(submission: Any, house: House) -> Event:
    events = EventFactory(submission, house.clock(), EventSource.inferred)
    return events.status(CallStatus.unconfirmed, Reason.sender_lost, key="sender-lost")


def _has_lost_its_sender(timeline: Timeline) -> bool:
    return any(event.reason == Reason.sender_lost for event in timeline.events)


def _updated_at(house: House, call: str) -> Any:
    query = sa.select(t.calls.c.updated_at).where(t.calls.c.id == call)
    return house.database.read(lambda c: c.scalar(query))

"""What is worked out beforehand is written only while it still holds, and is what would have come out anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import House
from tracker.clock import Clock
from tracker.lifecycle.joining import fast_path, joiner
from tracker.store.schema import tables as t

RECORD = {"status": "BUSY", "start_at": "2026-01-05 10:00:00", "end_at": "2026-01-05 10:00:09"}


def events(house: House, call: str) -> list[tuple[Any, ...]]:
    """What a timeline says, without the ids and times that are drawn anew each time."""
    return [
        (e.type, e.status, e.source, e.reason, e.matched_by, e.at_source, dict(e.detail).get("started_at"))
        for e in house.timeline(call).events
    ]


def told(house: House, call: str) -> tuple[Any, ...]:
    t = house.timeline(call)
    return (t.status, t.outcome, t.settled, t.answered, t.duration_s, t.started_at, t.ended_at, t.charges)


def during(monkeypatch: pytest.MonkeyPatch, house: House, meanwhile: Callable[[], object]) -> list[set[str]]:
    """Join, and let something happen between working out and writing; gives what was written straight."""
    written: list[set[str]] = []
    real_write = fast_path.write

    def write(c: Any, prepared: fast_path.Prepared, clock: Clock) -> set[str]:
        fallen = real_write(c, prepared, clock)
        written.append({claim.receipt for claim in prepared.claims} - fallen)
        return fallen

    real_join = joiner.Joiner._join

    def join(self: Any, piece: Any) -> int:
        monkeypatch.setattr(joiner.Joiner, "_join", real_join)
        meanwhile()
        return real_join(self, piece)

    monkeypatch.setattr(fast_path, "write", write)
    monkeypatch.setattr(joiner.Joiner, "_join", join)
    house.program.joiner.join_pending()
    return written


def test_the_first_callback_of_an_accepted_call_goes_straight(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = house.place()
    callback = house.receive({**RECORD, "id": house.provider_id(call)}, join=False)
    assert during(monkeypatch, house, lambda: None) == [{callback}]
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).outcome == "busy"


@pytest.mark.parametrize("word", ["ANSWER", "BUSY", "NOANSWER", "QUEUED", "SOMETHING NEW", ""])
@pytest.mark.parametrize("interval", [0, 15])
def test_straight_or_weighed_it_comes_to_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch, word: str, interval: int
) -> None:
    record = {**RECORD, "status": word, "duration": "21", "recording_url": "https://example.com/r.mp3"}
    one, other = (house.place(to, interval=interval) for to in ("+918919525224", "+918919525225"))
    house.receive({**record, "id": house.provider_id(one)})
    monkeypatch.setattr(fast_path, "prepare", lambda *_: [])
    house.receive({**record, "id": house.provider_id(other)})
    assert events(house, one) == events(house, other)
    assert told(house, one) == told(house, other)
    assert [s.status for s in house.submissions(one)] == [s.status for s in house.submissions(other)]


@pytest.mark.parametrize(
    "more", [{}, {"recording_url": "https://example.com/r.mp3"}, {"dtmf": "1"}, {"mid": "some-other-id"}]
)
def test_straight_or_weighed_the_rows_are_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    """Columns in which nothing changes are left as they are where nothing else in them does."""
    record = {**RECORD, "status": "ANSWER", "duration": "21", **more}
    straightly, weighed, untouched = (house.place(f"+91891952522{n}") for n in range(3))
    callbacks = [house.receive({**record, "id": house.provider_id(straightly)})]
    monkeypatch.setattr(fast_path, "prepare", lambda *_: [])
    callbacks.append(house.receive({**record, "id": house.provider_id(weighed)}))
    assert row(house, t.calls, straightly) == row(house, t.calls, weighed) != row(house, t.calls, untouched)
    one, other = (row(house, t.callbacks, id) for id in callbacks)
    assert one == other
    assert (one["state"], one["loose_number"], one["twin"], one["reason"]) == ("joined", None, None, None)


def row(house: House, table: sa.Table, id: str) -> dict[str, Any]:
    """All that is stored of something, but for what is its own: ids, numbers, what was sent, and when."""
    own = {
        "id",
        "to",
        "created_at",
        "updated_at",
        "received_at",
        "body",
        "size",
        "reading",
        "submission_id",
        "call_id",
    }
    with house.database.engine.connect() as c:
        found = c.execute(sa.select(table).where(table.c.id == id)).one()
    return {name: value for name, value in found._mapping.items() if name not in own}


def test_a_callback_that_was_joined_meanwhile_is_not_joined_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = house.place()
    callback = house.receive({**RECORD, "id": house.provider_id(call)}, join=False)
    assert during(monkeypatch, house, house.program.joiner.join_pending) == [{callback}, set()]
    assert [e.status for e in house.timeline(call).events if e.source == "callback"] == ["initiated", "busy"]


def test_a_call_that_was_heard_of_meanwhile_is_weighed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody cancels it between the working out and the writing."""
    call = house.place()
    callback = house.receive({**RECORD, "id": house.provider_id(call)}, join=False)
    assert during(monkeypatch, house, lambda: house.program.call_actions.cancel(call)) == [set()]
    assert house.standing(callback).state == "joined"
    assert house.timeline(call).cancel_requested
    assert house.timeline(call).outcome == "busy"


def test_what_still_holds_is_written_without_what_does_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [house.place(f"+91891952522{n}") for n in range(5)]
    callbacks = [house.receive({**RECORD, "id": house.provider_id(c)}, join=False) for c in calls]
    written = during(monkeypatch, house, lambda: [house.program.call_actions.cancel(c) for c in calls[1:3]])
    assert written == [{callbacks[0], *callbacks[3:]}]
    for call, callback in zip(calls, callbacks, strict=True):
        assert house.standing(callback).state == "joined"
        assert house.timeline(call).outcome == "busy"
        assert house.timeline(call).cancel_requested == (call in calls[1:3])
        assert [e.status for e in house.timeline(call).events if e.source == "callback"] == [
            "initiated",
            "busy",
        ]
        assert [s.status for s in house.submissions(call)] == ["busy"]


def test_a_number_for_which_another_waits_is_weighed_as_a_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback without an id fits the call until one with its id contradicts that."""
    call = house.place("+918919525224")
    loose = house.receive({**RECORD, "to": "918919525224"})
    assert house.standing(loose).state == "joined"
    exact = house.receive(
        {"id": house.provider_id(call), "status": "ANSWER", "start_at": "2026-01-05 11:00:00",
         "end_at": "2026-01-05 11:00:09"}, join=False,
    )  # fmt: skip
    assert during(monkeypatch, house, lambda: None) == []
    assert house.standing(exact).state == "joined"
    assert house.standing(loose).state == "orphaned"


def test_what_cannot_be_worked_out_beforehand_is_joined_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = house.place()
    callback = house.receive({**RECORD, "id": house.provider_id(call)}, join=False)

    def stumble(*_: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(fast_path, "prepare", stumble)
    house.program.joiner.join_pending()
    assert house.standing(callback).state == "joined"


def test_what_cannot_be_written_as_it_was_worked_out_is_told_and_joined_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours that struck every batch would otherwise only be slow."""
    call = house.place()
    callback = house.receive({**RECORD, "id": house.provider_id(call)}, join=False)
    unreadable = house.receive(b"no record", join=False)
    told: list[tuple[str, int]] = []

    def stumble(*_: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    class Log:
        def exception(self, event: str, *, count: int) -> None:
            told.append((event, count))

        def info(self, event: str, *, count: int) -> None:
            told.append((event, count))

    monkeypatch.setattr(fast_path, "write", stumble)
    monkeypatch.setattr(joiner, "log", Log())
    house.join()
    assert told == [("callbacks.not_joined", 1), ("callbacks.closed", 1)]
    assert house.standing(callback).state == "joined"
    assert house.standing(unreadable).state == "unreadable"

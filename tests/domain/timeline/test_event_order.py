"""Tests the order of the events in a timeline."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from tests.domain.factories import (
    HOUR,
    INDIA,
    accepted,
    at,
    callback,
    derive,
    fold_call,
    own_status,
    statuses_of,
)
from tracker.domain.calls import CallStatus
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.timeline.event_order import sort_events
from tracker.domain.timeline.fold import fold

OPERATOR, INFERRED = EventSource.operator, EventSource.inferred
BUSY = callback("BUSY", 5, 9, received=10)
ANSWER = callback("ANSWER", 5, 28, received=30, duration_s=21)


def test_wrong_zone_does_not_reorder_the_timeline() -> None:
    for shift in (-INDIA, INDIA):
        call = fold_call(*accepted(), callback("ANSWER", 5 + shift, 28 + shift, received=30))
        assert statuses_of(call) == ["submitting", "queued", "initiated", "completed"]


def test_dials_are_ordered_by_earliest_time() -> None:
    call = fold_call(
        callback("NOANSWER", 609, 639, received=640),
        callback("BUSY", 309, 315, received=650),
        BUSY,
        interval=5,
    )
    assert [e.at for e in call.events] == [at(s) for s in (5, 9, 309, 315, 609, 639)]


def test_dial_without_times_is_ordered_by_first_receipt() -> None:
    call = fold_call(
        callback("NOANSWER", received=200), callback("BUSY", 309, 315, received=316), BUSY, interval=5
    )
    assert statuses_of(call) == ["initiated", "busy", "no-answer", "initiated", "busy"]


def test_attempts_are_ordered_by_number() -> None:
    second = derive([callback("BUSY", -HOUR, -HOUR + 4, received=640)], submission=2).events
    call = fold([*second, *accepted(2, 600), *derive([BUSY]).events, *accepted()])
    assert [e.attempt for e in call.events] == sorted(e.attempt for e in call.events)
    assert statuses_of(call)[:4] == ["submitting", "queued", "initiated", "busy"]


def test_decision_goes_first_and_operator_outcome_last() -> None:
    """An operator's outcome has no dial and stands after all dials of the submission."""
    call = fold_call(own_status(CallStatus.busy, 100, source=OPERATOR), BUSY, ANSWER, *accepted())
    assert call.events[0].type is EventType.decision
    assert call.events[-1].source is OPERATOR


def test_events_in_one_place_are_ordered_by_id() -> None:
    events = accepted() + [
        Event(
            key=f"sub_1/detail/{n}", id=f"ev_{9 - n}", call="call_1", submission="sub_1", attempt=1,
            type=EventType.detail, at=at(3), at_source=AtSource.tracker, source=EventSource.sender,
        )
        for n in range(3)
    ]  # fmt: skip
    assert [e.id for e in sort_events(events)][-3:] == ["ev_7", "ev_8", "ev_9"]


def test_event_without_submission_is_kept() -> None:
    alone = Event(
        key="call_1/note", call="call_1", attempt=1, type=EventType.detail, at=at(0),
        at_source=AtSource.tracker, source=OPERATOR,
    )  # fmt: skip
    assert fold([alone]).events == (alone,)
    assert alone in fold([alone, *accepted()]).events


def test_earliest_event_with_a_key_is_kept() -> None:
    early, late = (derive([callback("BUSY", received=s)]).events[0] for s in (10, 20))
    assert fold([late, early]).events == fold([early, late]).events == (early,)


def test_decision_about_callback_stands_after_the_status() -> None:
    moved = replace(
        own_status(CallStatus.queued, 500, key="/by-hand"),
        type=EventType.decision,
        status=None,
        source=EventSource.operator,
        detail={"decision": "ignore", "callback": "cb_1"},
    )
    events = [moved, own_status(CallStatus.submitting, 0), own_status(CallStatus.queued, 1)]
    assert sort_events(events)[-1] == moved


def test_event_time_without_zone_is_refused() -> None:
    naive = datetime.fromisoformat("2026-03-02T10:00:00")
    with pytest.raises(ValueError, match="zone"):
        Event(
            key="k", call="call_1", attempt=1, type=EventType.detail, at=naive,
            at_source=AtSource.tracker, source=EventSource.sender,
        )  # fmt: skip

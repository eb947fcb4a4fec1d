"""Tests which reports are of the same record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from itertools import permutations

import pytest

from tests.domain.factories import (
    HOUR,
    INDIA,
    MINUTE,
    at,
    callback,
    derive,
    make_report,
    record_events,
    warnings,
)
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import EventSource
from tracker.domain.same_record import find_zone_shift, provider_status_key


def test_repeat_makes_no_second_event_and_names_the_first() -> None:
    first, second, third = (callback("BUSY", 5, 9, received=s) for s in (10, 20, 30))
    derived = derive([third, first, second])
    assert derived.events == derive([first]).events
    assert derived.repeat_of == {first.id: None, second.id: first.id, third.id: first.id}


def test_report_given_twice_repeats_nothing() -> None:
    one = callback("BUSY", 5, 9, received=10)
    assert derive([one, replace(one)]).repeat_of == {one.id: None}


def test_status_key_ignores_case_and_separators() -> None:
    spellings = ("NOANSWER", "No Answer", "no-answer", "NO_ANSWER\t", "no\u00a0answer")
    assert {provider_status_key(s) for s in spellings} == {"noanswer"}
    assert provider_status_key(None) == provider_status_key(" ") == ""


def test_times_are_compared_as_instants() -> None:
    """A callback in Indian time and a poll in UTC that mean the same moment are of one record."""
    india = timezone(timedelta(seconds=INDIA))
    report = make_report("BUSY", 5, 9)
    there = JoinedReport(
        id="cb_2",
        source=EventSource.callback,
        received_at=at(20),
        report=CallReport(
            provider_status="BUSY",
            status=CallStatus.busy,
            started_at=at(5).astimezone(india),
            ended_at=at(9).astimezone(india),
        ),
    )
    here = JoinedReport(id="ask_1/0", source=EventSource.poll, received_at=at(30), report=report)
    derived = derive([there, here])
    assert len(record_events(derived.events)) == 1
    assert derived.repeat_of["ask_1/0"] == "cb_2"
    assert "+05:30" not in "".join(e.key for e in derived.events)
    assert derived.events[0].at.astimezone(UTC) == at(5)


@pytest.mark.parametrize(
    "other",
    [
        callback("NOANSWER", 5, 9, received=20),
        callback("BUSY", 6, 9, received=20),
        callback("BUSY", 5, 10, received=20),
        callback("BUSY", 5, received=20),
        callback("BUSY", received=20),
    ],
)
def test_other_status_start_or_end_is_another_record(other: JoinedReport) -> None:
    derived = derive([callback("BUSY", 5, 9, received=10), other])
    assert len(record_events(derived.events)) == 2
    assert derived.repeat_of[other.id] is None


def test_zone_shifted_record_is_the_same_with_a_warning() -> None:
    right, wrong = callback("BUSY", 5, 9, received=10), callback("BUSY", 5 - INDIA, 9 - INDIA, received=20)
    derived = derive([wrong, right])
    assert len(record_events(derived.events)) == 1
    assert derived.repeat_of[wrong.id] == right.id
    (warning,) = warnings(derived.events)
    assert (warning.reason, warning.detail["shift_minutes"]) == (Reason.zone, -330)
    assert warning.callback == wrong.id


@pytest.mark.parametrize(
    ("shift", "same"),
    [
        (15 * MINUTE, True),
        (-15 * MINUTE, True),
        (14 * HOUR, True),
        (-14 * HOUR, True),
        (14 * HOUR + 15 * MINUTE, False),
        (15 * MINUTE + 1, False),
        (10 * MINUTE, False),
    ],
)
def test_zone_shift_is_quarter_hours_up_to_fourteen_hours(shift: float, same: bool) -> None:
    a, b = make_report("BUSY", 5, 9), make_report("BUSY", 5 + shift, 9 + shift)
    assert (find_zone_shift(a, b) is not None) is same
    derived = derive(
        [callback("BUSY", 5, 9, received=10), callback("BUSY", 5 + shift, 9 + shift, received=20)]
    )
    assert len(record_events(derived.events)) == (1 if same else 2)


def test_zone_shift_is_the_same_for_start_and_end() -> None:
    assert find_zone_shift(make_report("BUSY", 5, 9), make_report("BUSY", 5 + HOUR, 9 + 2 * HOUR)) is None
    assert find_zone_shift(make_report("BUSY", 5), make_report("BUSY", 5 + HOUR, 9 + HOUR)) is None
    assert find_zone_shift(make_report("BUSY"), make_report("BUSY")) == timedelta(0)
    an_hour_apart = make_report("BUSY", end=9), make_report("BUSY", end=9 + HOUR)
    assert find_zone_shift(*an_hour_apart) == timedelta(hours=1)


def test_shifted_times_with_other_status_are_another_record() -> None:
    derived = derive(
        [callback("BUSY", 5, 9, received=10), callback("ANSWER", 5 + HOUR, 9 + HOUR, received=20)]
    )
    assert len(record_events(derived.events)) == 2


def test_shifted_times_are_another_dial_when_redialling() -> None:
    """Redials come every 5 to 60 minutes, so a shift of a quarter of an hour is no zone shift then."""
    derived = derive(
        [callback("BUSY", 5, 9, received=10), callback("BUSY", 5 + HOUR, 9 + HOUR, received=20 + HOUR)],
        interval=15,
    )
    assert len(record_events(derived.events)) == 2
    assert not warnings(derived.events)
    assert len({e.dial for e in derived.events}) == 2


def test_chain_of_zone_shifts_is_one_record() -> None:
    """Each is a zone shift away from the next, but the first and the last are too far apart."""
    for order in permutations((10.0, 20.0, 30.0)):
        reports = [
            callback("BUSY", 5 + n * 14 * HOUR, 9 + n * 14 * HOUR, received=c) for n, c in enumerate(order)
        ]
        derived = derive(reports)
        assert len(record_events(derived.events)) == 1
        first = min(reports, key=lambda e: e.received_at)
        assert [e.id for e in reports if derived.repeat_of[e.id] is None] == [first.id]
        shifts = [w.detail["shift_minutes"] for w in warnings(derived.events) if "shift_minutes" in w.detail]
        assert len(shifts) == 2, "a warning for each that differs from the first"
        assert 0 not in shifts

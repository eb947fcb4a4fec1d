"""Tests the events that follow from the reports of a submission."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from tests.domain.factories import (
    HOUR,
    INDIA,
    MINUTE,
    at,
    callback,
    derive,
    poll,
    record_events,
    warnings,
)
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.event_derivation import guess_zone_offset
from tracker.domain.events import AtSource, EventSource, EventType
from tracker.domain.time_text import iso


def test_record_makes_a_start_and_an_outcome() -> None:
    began, over = derive([callback("ANSWER", 5, 28, received=30, duration_s=21)]).events
    assert (began.status, began.at, began.at_source) == (CallStatus.initiated, at(5), AtSource.provider)
    assert (over.status, over.at, over.at_source) == (CallStatus.completed, at(28), AtSource.provider)
    assert (over.source, over.callback, over.provider_status) == (
        EventSource.callback,
        "cb_00000030.000",
        "ANSWER",
    )
    assert over.detail == {"duration_s": 21, "at_as_sent": "28", "started_at": iso(at(5))}
    assert began.detail == {"at_as_sent": "5"}


def test_poll_event_names_no_callback() -> None:
    assert {e.callback for e in derive([poll("ANSWER", 5, 28, received=90)]).events} == {None}


def test_record_without_times_is_dated_by_first_receipt() -> None:
    (event,) = derive([callback("BUSY", received=99), callback("BUSY", received=12)]).events
    assert (event.at, event.at_source, event.callback) == (at(12), AtSource.received, "cb_00000012.000")


def test_outcome_without_end_is_dated_by_its_receipt() -> None:
    began, over = derive([callback("BUSY", 5, received=12)]).events
    assert (began.at, over.at, over.at_source) == (at(5), at(12), AtSource.received)
    assert over.detail["started_at"] == iso(at(5))


def test_open_status_is_dated_by_its_start() -> None:
    ringing = record_events(derive([callback("RINGING", 5, received=7)]).events)[0]
    assert (ringing.status, ringing.at) == (CallStatus.ringing, at(5))


def test_unknown_status_makes_only_a_detail() -> None:
    (event,) = derive([callback("VOICEMAIL", 5, 9, received=10)]).events
    assert (event.type, event.status, event.reason) == (EventType.detail, None, Reason.unknown_word)
    assert (event.provider_status, event.at) == ("VOICEMAIL", at(9))


def test_missing_status_makes_a_detail_without_reason() -> None:
    """Its start still shows that a dial began."""
    (event,) = derive([callback(None, received=10, recording_url="https://example.com/1")]).events
    assert (event.type, event.status, event.reason) == (EventType.detail, None, None)
    began, _ = derive([callback(None, 5, received=10)]).events
    assert began.status is CallStatus.initiated


def test_records_of_one_dial_share_its_start() -> None:
    derived = derive([callback("BUSY", 5, 9, received=10), callback("ANSWER", 5, 28, received=30)])
    assert [e.status for e in derived.events].count(CallStatus.initiated) == 1


def test_repeat_adds_a_detail_dated_by_its_receipt() -> None:
    first = callback("ANSWER", 5, 28, received=30, duration_s=21)
    later = poll("ANSWER", 5, 28, received=90, duration_s=21, charges="0.1500", dtmf="1")
    detail = derive([first, later]).events[-1]
    assert (detail.type, detail.at, detail.at_source) == (EventType.detail, at(90), AtSource.received)
    assert detail.detail == {"charges": "0.1500", "dtmf": "1"}
    assert derive([first, later, poll("ANSWER", 5, 28, received=99, charges="0.1500")]).events[-1] == detail


def test_events_do_not_depend_on_report_order() -> None:
    reports = [
        callback("ANSWER", 5, 28, received=30),
        callback("ANSWER", 5 + INDIA, 28 + INDIA, received=31, duration_s=21),
        callback("BUSY", 5, 9, received=32),
        poll("ANSWER", 5, 28, received=90, charges="0.1500"),
    ]
    derived = derive(reports)
    assert all(derive(order) == derived for order in permutations(reports))


@pytest.mark.parametrize(
    ("delay", "minutes"),
    [
        (INDIA, 330),
        (INDIA + 90, 330),
        (-INDIA + 3, -330),
        (2 * HOUR, 120),
        (HOUR, None),  # merely late
        (-HOUR, -60),  # before the end of the call, which no right clock shows
        (30, None),
        (-30, None),
        (INDIA + 3 * MINUTE, None),
        (5 * HOUR + 15 * MINUTE, None),  # no zone has this offset
        (15 * HOUR, None),
    ],
)
def test_zone_offset_is_guessed_from_the_delay(delay: float, minutes: int | None) -> None:
    assert guess_zone_offset(timedelta(seconds=delay)) == minutes


def test_callback_off_by_a_zone_is_warned_not_corrected() -> None:
    derived = derive([callback("BUSY", 5 - INDIA, 9 - INDIA, received=10)]).events
    (warning,) = warnings(derived)
    assert (warning.reason, warning.detail["off_by_minutes"]) == (Reason.zone, 330)
    assert record_events(derived)[0].at == at(9 - INDIA)


def test_late_poll_makes_no_zone_warning() -> None:
    assert not warnings(derive([poll("BUSY", 5, 9, received=9 + INDIA)]).events)


@pytest.mark.parametrize("interval", [0, 5])
def test_times_distinguish_dials_only_when_redialling(interval: int) -> None:
    reports = [
        callback("BUSY", 5, 9, received=10),
        callback("NOANSWER", 5, 9, received=11),
        callback("BUSY", 309, 315, received=316),
    ]
    dials = [e.dial for e in record_events(derive(reports, interval=interval).events)]
    assert dials[0] == dials[1]
    assert (dials[1] == dials[2]) is (interval == 0)


def test_status_without_times_is_a_dial_when_redialling() -> None:
    reports = [
        callback("BUSY", received=10),
        callback("NOANSWER", received=20),
        callback("BUSY", received=30),
    ]
    assert len({e.dial for e in derive(reports, interval=5).events}) == 2


def test_event_keys_fit_an_index_for_long_texts() -> None:
    """An index entry of PostgreSQL holds some 2,700 bytes. One long callback must not stop the joiner."""
    long = "x" * 100_000
    reports = [
        JoinedReport(
            id=f"cb_{n}",
            source=EventSource.callback,
            received_at=at(n),
            report=CallReport(
                provider_status=long + "\ud800", recording_url=f"https://example.com/{long}{n}"
            ),
        )
        for n in range(3)
    ]
    events = derive(reports, interval=5).events
    assert len(events) == 3, "the record, and two other addresses"
    assert len({e.key for e in events}) == 3
    assert all(len(e.key) < 400 and len(e.dial) < 400 for e in events)

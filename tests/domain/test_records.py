"""What is the same record, what is another dial, and which dated facts a record gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest

from tests.domain.story import HOUR, INDIA, MINUTE, at, callback, derived, poll, report
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.event_derivation import guess_zone_offset
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.same_record import find_zone_shift, provider_status_key
from tracker.domain.time_text import from_iso, iso


def records(events: tuple[Event, ...]) -> list[Event]:
    return [e for e in events if e.key.endswith("/record")]


def warnings(events: tuple[Event, ...]) -> list[Event]:
    return [e for e in events if e.type is EventType.warning]


# ---- the facts of one record ----


def test_one_record_gives_the_start_and_the_outcome_with_whose_clock_it_was() -> None:
    began, over = derived([callback("ANSWER", 5, 28, came=30, duration_s=21)]).events
    assert (began.status, began.at, began.at_source) == (CallStatus.initiated, at(5), AtSource.provider)
    assert (over.status, over.at, over.at_source) == (CallStatus.completed, at(28), AtSource.provider)
    assert (over.source, over.callback, over.provider_status) == (
        EventSource.callback,
        "cb_00000030.000",
        "ANSWER",
    )
    assert over.detail == {"duration_s": 21, "at_as_sent": "28", "started_at": iso(at(5))}
    assert began.detail == {"at_as_sent": "5"}


def test_a_poll_names_no_callback() -> None:
    assert {e.callback for e in derived([poll("ANSWER", 5, 28, came=90)]).events} == {None}


def test_a_record_without_times_is_dated_by_its_earliest_receipt() -> None:
    (only,) = derived([callback("BUSY", came=99), callback("BUSY", came=12)]).events
    assert (only.at, only.at_source, only.callback) == (at(12), AtSource.received, "cb_00000012.000")


def test_an_outcome_without_an_end_is_dated_by_its_receipt_and_keeps_its_start() -> None:
    began, over = derived([callback("BUSY", 5, came=12)]).events
    assert (began.at, over.at, over.at_source) == (at(5), at(12), AtSource.received)
    assert over.detail["started_at"] == iso(at(5))


def test_a_state_on_the_way_is_dated_by_its_start() -> None:
    ringing = records(derived([callback("RINGING", 5, came=7)]).events)[0]
    assert (ringing.status, ringing.at) == (CallStatus.ringing, at(5))


def test_a_word_that_we_do_not_know_is_a_detail_with_that_word_and_begins_nothing() -> None:
    (only,) = derived([callback("VOICEMAIL", 5, 9, came=10)]).events
    assert (only.type, only.status, only.reason) == (EventType.detail, None, Reason.unknown_word)
    assert (only.provider_status, only.at) == ("VOICEMAIL", at(9))


def test_what_says_no_word_at_all_is_a_detail_that_blames_nobody() -> None:
    """It may still say that a dial began: a start is a fact."""
    (only,) = derived([callback(None, came=10, recording_url="https://example.com/1")]).events
    assert (only.type, only.status, only.reason) == (EventType.detail, None, None)
    began, _ = derived([callback(None, 5, came=10)]).events
    assert began.status is CallStatus.initiated


# ---- the same again ----


def test_the_same_record_again_makes_no_second_event_and_says_whom_it_repeats() -> None:
    first, second, third = (callback("BUSY", 5, 9, came=s) for s in (10, 20, 30))
    told = derived([third, first, second])
    assert told.events == derived([first]).events
    assert told.repeat_of == {first.id: None, second.id: first.id, third.id: first.id}


def test_the_same_evidence_given_twice_repeats_nothing() -> None:
    one = callback("BUSY", 5, 9, came=10)
    assert derived([one, replace(one)]).repeat_of == {one.id: None}


def test_words_are_compared_without_case_spaces_hyphens_and_underscores() -> None:
    assert {
        provider_status_key(w)
        for w in ("NOANSWER", "No Answer", "no-answer", "NO_ANSWER\t", "no\u00a0answer")
    } == {"noanswer"}
    assert provider_status_key(None) == provider_status_key(" ") == ""


def test_times_are_compared_as_instants_and_not_as_text() -> None:
    """A callback in Indian time and a poll in UTC that mean the same moment are one record."""
    india = timezone(timedelta(seconds=INDIA))
    said = report("BUSY", 5, 9)
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
    here = JoinedReport(id="ask_1/0", source=EventSource.poll, received_at=at(30), report=said)
    told = derived([there, here])
    assert len(records(told.events)) == 1
    assert told.repeat_of["ask_1/0"] == "cb_2"
    assert "+05:30" not in "".join(e.key for e in told.events)
    assert told.events[0].at.astimezone(UTC) == at(5)


@pytest.mark.parametrize(
    "other",
    [
        callback("NOANSWER", 5, 9, came=20),
        callback("BUSY", 6, 9, came=20),
        callback("BUSY", 5, 10, came=20),
        callback("BUSY", 5, came=20),
        callback("BUSY", came=20),
    ],
)
def test_another_word_start_or_end_is_another_record(other: JoinedReport) -> None:
    told = derived([callback("BUSY", 5, 9, came=10), other])
    assert len(records(told.events)) == 2
    assert told.repeat_of[other.id] is None


def test_two_records_of_one_dial_share_its_beginning() -> None:
    told = derived([callback("BUSY", 5, 9, came=10), callback("ANSWER", 5, 28, came=30)])
    assert [e.status for e in told.events].count(CallStatus.initiated) == 1


def test_what_a_repeat_adds_is_a_detail_dated_by_its_receipt() -> None:
    first = callback("ANSWER", 5, 28, came=30, duration_s=21)
    later = poll("ANSWER", 5, 28, came=90, duration_s=21, charges="0.1500", dtmf="1")
    detail = derived([first, later]).events[-1]
    assert (detail.type, detail.at, detail.at_source) == (EventType.detail, at(90), AtSource.received)
    assert detail.detail == {"charges": "0.1500", "dtmf": "1"}
    assert derived([first, later, poll("ANSWER", 5, 28, came=99, charges="0.1500")]).events[-1] == detail


def test_the_same_evidence_in_any_order_gives_the_same_events() -> None:
    said = [
        callback("ANSWER", 5, 28, came=30),
        callback("ANSWER", 5 + INDIA, 28 + INDIA, came=31, duration_s=21),
        callback("BUSY", 5, 9, came=32),
        poll("ANSWER", 5, 28, came=90, charges="0.1500"),
    ]
    told = derived(said)
    assert all(derived(order) == told for order in permutations(said))


# ---- zones ----


def test_without_interval_times_shifted_by_a_zone_are_the_same_record_with_a_warning() -> None:
    right, wrong = callback("BUSY", 5, 9, came=10), callback("BUSY", 5 - INDIA, 9 - INDIA, came=20)
    told = derived([wrong, right])
    assert len(records(told.events)) == 1
    assert told.repeat_of[wrong.id] == right.id
    (warning,) = warnings(told.events)
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
def test_a_zone_is_a_multiple_of_a_quarter_hour_of_at_most_fourteen_hours(shift: float, same: bool) -> None:
    a, b = report("BUSY", 5, 9), report("BUSY", 5 + shift, 9 + shift)
    assert (find_zone_shift(a, b) is not None) is same
    told = derived([callback("BUSY", 5, 9, came=10), callback("BUSY", 5 + shift, 9 + shift, came=20)])
    assert len(records(told.events)) == (1 if same else 2)


def test_start_and_end_must_be_shifted_by_the_same() -> None:
    assert find_zone_shift(report("BUSY", 5, 9), report("BUSY", 5 + HOUR, 9 + 2 * HOUR)) is None
    assert find_zone_shift(report("BUSY", 5), report("BUSY", 5 + HOUR, 9 + HOUR)) is None
    assert find_zone_shift(report("BUSY"), report("BUSY")) == timedelta(0)
    assert find_zone_shift(report("BUSY", end=9), report("BUSY", end=9 + HOUR)) == timedelta(hours=1)


def test_another_word_with_shifted_times_is_another_record() -> None:
    told = derived([callback("BUSY", 5, 9, came=10), callback("ANSWER", 5 + HOUR, 9 + HOUR, came=20)])
    assert len(records(told.events)) == 2


def test_with_interval_shifted_times_are_another_dial() -> None:
    """Redials come every 5 to 60 minutes: here a quarter of an hour is no zone."""
    told = derived(
        [callback("BUSY", 5, 9, came=10), callback("BUSY", 5 + HOUR, 9 + HOUR, came=20 + HOUR)], interval=15
    )
    assert len(records(told.events)) == 2
    assert not warnings(told.events)
    assert len({e.dial for e in told.events}) == 2


def test_a_chain_of_shifts_is_one_record_whoever_came_first() -> None:
    """Each is a zone away from the next, the ends are not a zone apart; only the whole chain is free of the order."""
    for order in permutations((10.0, 20.0, 30.0)):
        said = [callback("BUSY", 5 + n * 14 * HOUR, 9 + n * 14 * HOUR, came=c) for n, c in enumerate(order)]
        told = derived(said)
        assert len(records(told.events)) == 1
        first = min(said, key=lambda e: e.received_at)
        assert [e.id for e in said if told.repeat_of[e.id] is None] == [first.id]
        shifts = [w.detail["shift_minutes"] for w in warnings(told.events) if "shift_minutes" in w.detail]
        assert len(shifts) == 2, "each that does not agree with the first is warned about"
        assert 0 not in shifts


@pytest.mark.parametrize(
    ("late_by", "minutes"),
    [
        (INDIA, 330),
        (INDIA + 90, 330),
        (-INDIA + 3, -330),
        (2 * HOUR, 120),
        (HOUR, None),  # just late
        (-HOUR, -60),  # from the future: no callback is early
        (30, None),
        (-30, None),
        (INDIA + 3 * MINUTE, None),
        (5 * HOUR + 15 * MINUTE, None),  # nobody lives there
        (15 * HOUR, None),
    ],
)
def test_a_record_whose_receipt_is_a_whole_zone_away_looks_wrong(late_by: float, minutes: int | None) -> None:
    assert guess_zone_offset(timedelta(seconds=late_by)) == minutes


def test_a_callback_that_is_a_zone_away_from_its_receipt_is_warned_about_and_not_mended() -> None:
    told = derived([callback("BUSY", 5 - INDIA, 9 - INDIA, came=10)]).events
    (warning,) = warnings(told)
    assert (warning.reason, warning.detail["off_by_minutes"]) == (Reason.zone, 330)
    assert records(told)[0].at == at(9 - INDIA)


def test_a_poll_may_be_late_by_whole_hours() -> None:
    assert not warnings(derived([poll("BUSY", 5, 9, came=9 + INDIA)]).events)


# ---- dials ----


@pytest.mark.parametrize("interval", [0, 5])
def test_a_dial_is_start_and_end_and_without_interval_there_is_one(interval: int) -> None:
    said = [
        callback("BUSY", 5, 9, came=10),
        callback("NOANSWER", 5, 9, came=11),
        callback("BUSY", 309, 315, came=316),
    ]
    dials = [e.dial for e in records(derived(said, interval=interval).events)]
    assert dials[0] == dials[1]
    assert (dials[1] == dials[2]) is (interval == 0)


def test_with_interval_and_no_times_each_word_is_a_dial() -> None:
    said = [callback("BUSY", came=10), callback("NOANSWER", came=20), callback("busy".upper(), came=30)]
    assert len({e.dial for e in derived(said, interval=5).events}) == 2


# ---- keys ----


def test_keys_fit_an_index_whatever_the_provider_writes() -> None:
    """A unique index of PostgreSQL takes some 2,700 bytes; one callback must not stop the joiner for ever."""
    long = "x" * 100_000
    said = [
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
    events = derived(said, interval=5).events
    assert len(events) == 3, "the record, and two other addresses"
    assert len({e.key for e in events}) == 3
    assert all(len(e.key) < 400 and len(e.dial) < 400 for e in events)


def test_iso_and_its_counterpart() -> None:
    assert iso(at(0)) == "2026-03-02T10:00:00Z"
    assert from_iso(iso(at(0.25))) == at(0.25)
    assert from_iso("2026-03-02T15:30:00+05:30") == at(0)
    with pytest.raises(ValueError, match="zone"):
        from_iso("2026-03-02T10:00:00")


def test_an_hour_that_comes_twice_is_two_moments() -> None:
    """What is remembered of a time that was written before goes by the moment, not by what the clock showed."""
    once = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert [iso(once), iso(once.replace(fold=1))] == ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]

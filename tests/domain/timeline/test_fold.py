"""Tests the state of a call, as it follows from its events."""

from __future__ import annotations

import pytest

from tests.domain.factories import (
    HOUR,
    INDIA,
    accepted,
    at,
    callback,
    decision,
    derive,
    fold_call,
    own_status,
    poll,
    submitting,
)
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import Event, EventSource
from tracker.domain.timeline.fold import fold

OPERATOR, INFERRED = EventSource.operator, EventSource.inferred
BUSY = callback("BUSY", 5, 9, received=10)
NO_ANSWER = callback("NOANSWER", 5, 35, received=40)
ANSWER = callback("ANSWER", 5, 28, received=30, duration_s=21)


def test_call_without_events_is_pending() -> None:
    call = fold([])
    assert (call.status, call.outcome, call.settled, call.answered) == (CallStatus.pending, None, False, None)
    assert (call.attempts, call.submissions, call.next_attempt_at) == (0, (), None)


def test_answered_call_has_times_and_duration() -> None:
    call = fold_call(*accepted(), ANSWER)
    assert (call.status, call.outcome, call.settled, call.answered) == ("completed", "completed", True, True)
    assert (call.started_at, call.ended_at, call.duration_s) == (at(5), at(28), 21)


@pytest.mark.parametrize("status", ["BUSY", "NOANSWER", "CANCEL", "CONGESTION"])
def test_unanswered_call_has_no_duration(status: str) -> None:
    call = fold_call(*accepted(), callback(status, 5, 9, received=10, duration_s=4))
    assert (call.answered, call.duration_s, call.settled) == (False, None, True)
    assert (call.started_at, call.ended_at) == (at(5), at(9))


def test_duration_may_come_from_a_repeat() -> None:
    call = fold_call(
        callback("ANSWER", 5, 28, received=30), poll("ANSWER", 5, 28, received=90, duration_s=21)
    )
    assert call.duration_s == 21


def test_unknown_is_neither_failed_nor_unanswered() -> None:
    call = fold_call(*accepted(), own_status(CallStatus.unknown, 24 * HOUR, source=INFERRED))
    assert (call.status, call.outcome, call.settled, call.answered) == ("unknown", "unknown", True, None)


def test_answered_is_null_when_an_attempt_is_unknown() -> None:
    """The call may have been answered in the attempt whose outcome is unknown."""
    call = fold(
        [
            *accepted(),
            own_status(CallStatus.unknown, 24 * HOUR, source=INFERRED),
            *accepted(2, 25 * HOUR),
            *derive(
                [callback("BUSY", 25 * HOUR + 5, 25 * HOUR + 9, received=25 * HOUR + 10)], submission=2
            ).events,
        ]
    )
    assert (call.status, call.settled, call.answered) == (CallStatus.busy, True, None)


def test_answered_is_null_when_the_call_is_open() -> None:
    assert fold_call(*accepted()).answered is None


def test_latest_recording_input_and_charges_count() -> None:
    call = fold_call(
        *accepted(),
        callback("ANSWER", 5, 28, received=30, duration_s=21, recording_url="https://example.com/1"),
        poll("ANSWER", 5, 28, received=90, dtmf="1", charges="0.1500", recording_url="https://example.com/2"),
    )
    assert (call.recording_url, call.dtmf, call.charges) == ("https://example.com/2", "1", "0.1500")


def test_latest_charges_ignore_the_payload_zone() -> None:
    """The answer to the submission has one price. The later record has another, and times before the request."""
    queued = own_status(CallStatus.queued, 1, charges="0.5000")
    call = fold_call(queued, poll("ANSWER", 5 - INDIA, 28 - INDIA, received=90, charges="0.1500"))
    assert call.charges == "0.1500"


def test_operator_outcome_ends_an_earlier_dispute() -> None:
    second = [*accepted(2, 600), *derive([callback("BUSY", 605, 609, received=610)], submission=2).events]
    disputed = [*accepted(), *derive([BUSY, NO_ANSWER]).events, *second]
    assert fold(disputed).disputed
    call = fold([*disputed, own_status(CallStatus.busy, 700, submission=2, source=OPERATOR, key="/operator")])
    assert (call.disputed, call.status) == (False, CallStatus.busy)


def test_answered_submission_decides_else_the_latest() -> None:
    second = [
        *accepted(2, 600),
        *derive([callback("NOANSWER", 605, 635, received=640)], submission=2).events,
    ]
    first = [*accepted(), *derive([BUSY]).events]
    call = fold([*first, *second])
    assert (call.status, call.attempts, call.answered) == (CallStatus.no_answer, 2, False)
    call = fold([*accepted(), *derive([ANSWER]).events, *second])
    assert (call.status, call.ended_at, call.duration_s, call.answered) == (
        CallStatus.completed,
        at(28),
        21,
        True,
    )


def test_call_is_open_when_a_submission_is_open() -> None:
    call = fold([*accepted(), *derive([BUSY]).events, *accepted(2, 600)])
    assert (call.status, call.outcome, call.settled) == (CallStatus.queued, None, False)


REFUSED = [
    submitting(0),
    own_status(CallStatus.rejected, 1, reason=Reason.rate_limited),
    decision("resend", 1, until=6),
]


def test_call_waiting_for_resend_shows_status_and_time() -> None:
    call = fold(REFUSED)
    assert (call.status, call.reason) == (CallStatus.rejected, Reason.rate_limited)
    assert (call.outcome, call.settled, call.answered, call.next_attempt_at) == (None, False, None, at(6))


def test_resent_call_has_no_next_attempt() -> None:
    call = fold([*REFUSED, *accepted(2, 6)])
    assert (call.status, call.next_attempt_at, call.attempts) == (CallStatus.queued, None, 2)


def test_late_answer_completes_the_call_and_drops_the_plan() -> None:
    call = fold_call(*REFUSED, ANSWER)
    assert (call.status, call.settled, call.next_attempt_at) == (CallStatus.completed, True, None)


def test_late_ring_drops_the_plan() -> None:
    """The plan rests on the provider's refusal. If the provider dialled nevertheless, a resend would ring twice."""
    call = fold_call(*REFUSED, BUSY)
    assert (call.status, call.settled, call.next_attempt_at) == (CallStatus.busy, True, None)


def test_attempt_before_a_late_answer_is_kept() -> None:
    late = derive([callback("ANSWER", 5, 28, received=700, duration_s=21)]).events
    events = [*accepted(), *derive([BUSY]).events, *accepted(2, 600), *late]
    call = fold(events)
    assert (call.status, call.answered, call.settled) == (CallStatus.completed, True, False)
    call = fold([*events, *derive([callback("BUSY", 605, 609, received=710)], submission=2).events])
    assert (call.status, call.settled, call.attempts) == (CallStatus.completed, True, 2)


def test_late_answer_of_earlier_attempt_drops_the_plan() -> None:
    refused_again = [
        submitting(600, submission=2),
        own_status(CallStatus.rejected, 601, submission=2, reason=Reason.rate_limited),
        decision("resend", 601, submission=2, until=606),
    ]
    failed = [*accepted(), *derive([BUSY]).events, *refused_again]
    assert fold(failed).next_attempt_at == at(606)
    call = fold([*failed, *derive([ANSWER]).events])
    assert (call.status, call.settled, call.next_attempt_at) == (CallStatus.completed, True, None)


def test_latest_answered_attempt_decides() -> None:
    again = derive([callback("MISSED", 605, 620, received=621)], submission=2).events
    call = fold([*accepted(), *derive([ANSWER]).events, *accepted(2, 600), *again])
    assert (call.ended_at, call.reason) == (at(620), Reason.agent_no_answer)


def test_cancel_drops_the_plan() -> None:
    call = fold([*REFUSED, decision("cancel", 3, source=OPERATOR)])
    assert (call.settled, call.outcome, call.cancel_requested) == (True, CallStatus.rejected, True)
    assert call.next_attempt_at is None


def test_cancel_before_the_refusal_drops_the_plan() -> None:
    call = fold([*REFUSED, decision("cancel", 0.5, source=OPERATOR)])
    assert (call.settled, call.next_attempt_at) == (True, None)


def test_operator_retry_ends_the_cancel_request() -> None:
    call = fold([*REFUSED, decision("cancel", 3, source=OPERATOR), *accepted(2, 600)])
    assert (call.cancel_requested, call.status, call.settled) == (False, CallStatus.queued, False)


def test_stopped_plan_is_dropped_and_a_later_one_counts() -> None:
    assert fold([*REFUSED, decision("stop", 3)]).settled
    again = fold([*REFUSED, decision("stop", 3), decision("resend", 4, until=9)])
    assert (again.settled, again.next_attempt_at) == (False, at(9))


@pytest.mark.parametrize("status", [CallStatus.canceled, CallStatus.rejected])
def test_operator_outcome_drops_the_plan(status: CallStatus) -> None:
    call = fold([*REFUSED, own_status(status, 3, source=OPERATOR, reason=Reason.operator, key="/operator")])
    assert (call.status, call.reason, call.settled) == (status, Reason.operator, True)


def test_provider_outcome_stands_after_a_late_cancel() -> None:
    call = fold_call(*accepted(), decision("cancel", 2, source=OPERATOR), ANSWER)
    assert (call.status, call.cancel_requested, call.settled) == (CallStatus.completed, True, True)


def test_canceled_by_us_differs_from_caller_hung_up() -> None:
    assert fold_call(own_status(CallStatus.canceled, 0, reason=Reason.expired)).reason == Reason.expired
    assert fold_call(callback("CANCEL", 5, 9, received=10)).reason == Reason.caller_hung_up


@pytest.mark.parametrize("interval", [0, 5])
@pytest.mark.parametrize(
    "ending",
    [
        own_status(CallStatus.unknown, 24 * HOUR, source=INFERRED),
        own_status(CallStatus.rejected, 1, reason=Reason.bad_credentials),
        own_status(CallStatus.canceled, 0, reason=Reason.expired),
        own_status(CallStatus.failed, 900, reason=Reason.provider_unreachable),
    ],
)
@pytest.mark.parametrize(
    "late", [BUSY, ANSWER, callback("VOICEMAIL", received=9), callback("QUEUED", received=9)]
)
def test_callback_never_unsettles_a_call(ending: Event, late: Event, interval: int) -> None:
    assert fold_call(*accepted(), ending, interval=interval).settled
    assert fold_call(*accepted(), ending, late, interval=interval).settled

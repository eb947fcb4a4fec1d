"""Tests the status and the outcome of one submission."""

from __future__ import annotations

import pytest

from tests.domain.factories import (
    HOUR,
    MINUTE,
    accepted,
    at,
    callback,
    decision,
    derive,
    fold_call,
    never_left,
    own_status,
    poll,
    statuses_of,
    submitting,
)
from tracker.domain.calls import OPEN_STATUSES, CallStatus, Reason
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.timeline.fold import fold

OPERATOR, INFERRED = EventSource.operator, EventSource.inferred
BUSY = callback("BUSY", 5, 9, received=10)
NO_ANSWER = callback("NOANSWER", 5, 35, received=40)
ANSWER = callback("ANSWER", 5, 28, received=30, duration_s=21)


def test_status_follows_the_life_of_a_call() -> None:
    steps = [
        (decision("wait", 0, until=5), CallStatus.pending),
        (submitting(5), CallStatus.submitting),
        (own_status(CallStatus.unconfirmed, 20, reason=Reason.no_clear_answer), CallStatus.unconfirmed),
        (own_status(CallStatus.queued, 21), CallStatus.queued),
        (*derive([callback(None, 22, received=23)]).events[:1], CallStatus.initiated),
        (*derive([callback("RINGING", received=24)]).events, CallStatus.ringing),
        (own_status(CallStatus.in_progress, 25), CallStatus.in_progress),
        (*derive([ANSWER]).events[1:], CallStatus.completed),
    ]
    events: list[Event] = []
    for event, status in steps:
        assert isinstance(event, Event)
        events.append(event)
        call = fold(events)
        assert call.status is status
        assert call.settled is (status is CallStatus.completed)
        assert call.outcome is (CallStatus.completed if call.settled else None)


def test_recorded_pending_is_a_normal_event() -> None:
    call = fold_call(own_status(CallStatus.pending, 0), *accepted(when=1))
    assert statuses_of(call) == ["pending", "submitting", "queued"]


def test_request_that_never_left_is_pending_until_next_try() -> None:
    call = fold_call(
        submitting(0, 1),
        never_left(1, 1, until=4),
        submitting(4, 2),
        never_left(5, 2, until=13),
    )
    assert call.status is CallStatus.pending
    assert call.next_attempt_at == at(13)
    assert [e.type.value for e in call.events] == ["status", "warning", "status", "warning"]


def test_try_after_never_left_is_submitting() -> None:
    call = fold_call(
        submitting(0, 1),
        never_left(1, 1, until=4),
        submitting(4, 2),
    )
    assert call.status is CallStatus.submitting
    assert call.next_attempt_at is None


def test_latest_wait_counts() -> None:
    call = fold_call(decision("wait", 0, until=900), decision("wait", 60, until=2 * MINUTE))
    assert call.next_attempt_at == at(2 * MINUTE)


def test_ended_lease_is_unconfirmed_with_reason() -> None:
    call = fold_call(
        submitting(0),
        own_status(CallStatus.unconfirmed, 25, source=INFERRED, reason=Reason.sender_lost),
    )
    assert (call.status, call.reason, call.settled) == (CallStatus.unconfirmed, Reason.sender_lost, False)


def test_provider_answer_after_the_lease_counts() -> None:
    lost = own_status(CallStatus.unconfirmed, 25, source=INFERRED, reason=Reason.sender_lost)
    call = fold_call(submitting(0), lost, own_status(CallStatus.queued, 30))
    assert (call.status, call.reason) == (CallStatus.queued, None)


def test_unconfirmed_never_returns_to_pending() -> None:
    """Another process wrote `unconfirmed` after the lease. Only an outcome ends that, not a new try."""
    lost = own_status(CallStatus.unconfirmed, 25, source=INFERRED, reason=Reason.sender_lost)
    call = fold_call(submitting(0), lost, never_left(26, 1, until=30))
    assert call.status is CallStatus.unconfirmed
    assert call.next_attempt_at is None


@pytest.mark.parametrize("status", sorted(OPEN_STATUSES - {CallStatus.pending}))
def test_outcome_settles_from_every_open_status(status: CallStatus) -> None:
    assert fold_call(own_status(status, 0), BUSY).status is CallStatus.busy


def test_outcome_has_reason_and_provider_status() -> None:
    call = fold_call(callback("MISSED", 5, 9, received=10))
    assert (call.status, call.reason) == (CallStatus.completed, Reason.agent_no_answer)
    assert call.events[-1].provider_status == "MISSED"


def test_answered_record_with_duration_decides() -> None:
    """Of several answered records, the one that tells most decides."""
    bare = callback("ANSWER", received=29)
    call = fold_call(bare, ANSWER)
    assert (call.duration_s, call.started_at, call.ended_at) == (21, at(5), at(28))
    assert not call.disputed


def test_unknown_provider_status_changes_no_status() -> None:
    call = fold_call(*accepted(), callback("VOICEMAIL", 5, 9, received=10))
    assert (call.status, call.settled) == (CallStatus.queued, False)
    assert call.events[-1].provider_status == "VOICEMAIL"
    assert call.events[-1].reason == Reason.unknown_word


LATE_BUSY = callback("BUSY", 100, 120, received=121)


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ([ANSWER, LATE_BUSY], CallStatus.completed),
        ([BUSY, NO_ANSWER], CallStatus.no_answer),
        ([NO_ANSWER, LATE_BUSY], CallStatus.busy),
        ([BUSY, own_status(CallStatus.rejected, 500)], CallStatus.busy),
        ([BUSY, own_status(CallStatus.unknown, 500, source=INFERRED)], CallStatus.busy),
        (
            [own_status(CallStatus.rejected, 1), own_status(CallStatus.unknown, 500, source=INFERRED)],
            CallStatus.rejected,
        ),
        ([ANSWER, own_status(CallStatus.busy, 3, source=OPERATOR)], CallStatus.busy),
        ([BUSY, own_status(CallStatus.unknown, 3, source=OPERATOR)], CallStatus.unknown),
    ],
)
def test_precedence_of_contradicting_outcomes(records: list[Event], status: CallStatus) -> None:
    assert fold_call(*records).status is status
    assert fold_call(*reversed(records)).status is status


def test_precedence_of_ties() -> None:
    statuses = ["CONGESTION", "CANCEL", "NOANSWER", "BUSY"]
    tied = [callback(status, 5, 9, received=10 + i) for i, status in enumerate(statuses)]
    for fewer in range(4):
        expected = tied[-1 - fewer].report.status
        assert fold_call(*tied[: 4 - fewer]).status is expected


def test_first_receipt_replaces_missing_end_in_precedence() -> None:
    timeless = callback("BUSY", received=33)
    repeat = callback("BUSY", received=99)
    call = fold_call(NO_ANSWER, timeless, repeat)
    assert call.status is CallStatus.no_answer, "35 s is later than the first receipt, not than the second"
    record = next(e for e in call.events if e.status is CallStatus.busy)
    assert (record.at, record.at_source) == (at(33), AtSource.received)
    call = fold_call(NO_ANSWER, callback("BUSY", received=36))
    assert call.status is CallStatus.busy


def test_latest_operator_outcome_decides() -> None:
    first = own_status(CallStatus.busy, 50, source=OPERATOR)
    second = own_status(CallStatus.completed, 60, source=OPERATOR)
    assert fold_call(ANSWER, first, second).status is CallStatus.completed
    assert fold_call(ANSWER, first).status is CallStatus.busy


def test_different_outcomes_of_one_dial_are_disputed() -> None:
    call = fold_call(*accepted(), BUSY, callback("ANSWER", 5, 9, received=11))
    assert (call.disputed, call.status, call.settled) == (True, CallStatus.completed, True)
    assert {"busy", "completed"} <= set(statuses_of(call))


def test_all_records_are_of_one_dial_without_interval() -> None:
    assert fold_call(BUSY, callback("NOANSWER", 500, 540, received=541)).disputed


def test_other_times_do_not_dispute_when_redialling() -> None:
    assert not fold_call(BUSY, callback("NOANSWER", 500, 540, received=541), interval=5).disputed
    assert fold_call(BUSY, callback("NOANSWER", 5, 9, received=541), interval=5).disputed


def test_statuses_without_times_do_not_dispute_when_redialling() -> None:
    call = fold_call(callback("BUSY", received=10), callback("NOANSWER", received=400), interval=5)
    assert not call.disputed


def test_two_answered_statuses_do_not_dispute() -> None:
    assert not fold_call(ANSWER, callback("MISSED", 5, 28, received=31)).disputed


def test_own_conclusions_dispute_nothing() -> None:
    late = fold_call(*accepted(), own_status(CallStatus.unknown, 24 * HOUR, source=INFERRED), ANSWER)
    assert (late.status, late.disputed) == (CallStatus.completed, False)
    refused = fold_call(own_status(CallStatus.rejected, 1), BUSY)
    assert (refused.status, refused.disputed) == (CallStatus.busy, False)


@pytest.mark.parametrize("status", [CallStatus.busy, CallStatus.completed, CallStatus.unknown])
def test_operator_resolves_a_dispute(status: CallStatus) -> None:
    call = fold_call(BUSY, ANSWER, own_status(status, 100, source=OPERATOR))
    assert (call.disputed, call.status, call.settled) == (False, status, True)
    assert not call.submissions[0].disputed


def test_confirmed_record_keeps_times_and_duration() -> None:
    call = fold_call(BUSY, ANSWER, own_status(CallStatus.completed, 100, source=OPERATOR))
    assert (call.started_at, call.ended_at, call.duration_s) == (at(5), at(28), 21)
    call = fold_call(BUSY, ANSWER, own_status(CallStatus.busy, 100, source=OPERATOR))
    assert (call.ended_at, call.duration_s) == (at(9), None)


def test_failed_record_does_not_settle_when_redialling() -> None:
    for record in (BUSY, poll("BUSY", 5, 9, received=10)):
        call = fold_call(*accepted(), record, interval=5)
        assert (call.status, call.outcome, call.settled, call.answered) == ("busy", None, False, None)


def test_answer_settles_when_redialling() -> None:
    call = fold_call(BUSY, callback("ANSWER", 309, 320, received=321), LATE_BUSY, interval=5)
    assert (call.status, call.settled, call.disputed) == (CallStatus.completed, True, False)


def test_no_further_redial_settles_with_the_latest_failure() -> None:
    quiet = Event(
        key="sub_1/quiet", call="call_1", submission="sub_1", attempt=1, type=EventType.decision, at=at(2000),
        at_source=AtSource.tracker, source=INFERRED, reason=Reason.no_further_redial,
    )  # fmt: skip
    call = fold_call(*accepted(), BUSY, callback("NOANSWER", 309, 339, received=340), quiet, interval=5)
    assert (call.status, call.settled, call.answered) == (CallStatus.no_answer, True, False)
    later = callback("BUSY", 2400, 2410, received=2411)
    call = fold_call(*accepted(), BUSY, quiet, later, interval=5)
    assert (call.status, call.settled, call.ended_at) == (CallStatus.busy, True, at(2410))


def test_failed_record_settles_without_interval() -> None:
    assert fold_call(*accepted(), BUSY).settled


def test_refusal_settles_when_redialling() -> None:
    assert fold_call(own_status(CallStatus.rejected, 1), interval=5).settled

"""What a call's events mean together: the sentences of "Status" and of the timeline's order, one test each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from tests.domain.story import (
    HOUR,
    INDIA,
    MINUTE,
    accepted,
    at,
    callback,
    decided,
    derived,
    never_left,
    ours,
    poll,
    statuses,
    submitting,
    timeline,
)
from tracker.domain.calls import OPEN_STATUSES, CallStatus, Reason
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.timeline.event_order import sort_events
from tracker.domain.timeline.fold import fold

OPERATOR, INFERRED = EventSource.operator, EventSource.inferred

BUSY = callback("BUSY", 5, 9, came=10)
NO_ANSWER = callback("NOANSWER", 5, 35, came=40)
ANSWER = callback("ANSWER", 5, 28, came=30, duration_s=21)


# ---- where a submission stands ----


def test_a_call_without_events_is_pending() -> None:
    told = fold([])
    assert (told.status, told.outcome, told.settled, told.answered) == (CallStatus.pending, None, False, None)
    assert (told.attempts, told.submissions, told.next_attempt_at) == (0, (), None)


def test_it_follows_the_call_from_pending_to_its_outcome() -> None:
    steps = [
        (decided("wait", 0, until=5), CallStatus.pending),
        (submitting(5), CallStatus.submitting),
        (ours(CallStatus.unconfirmed, 20, reason=Reason.no_clear_answer), CallStatus.unconfirmed),
        (ours(CallStatus.queued, 21), CallStatus.queued),
        (*derived([callback(None, 22, came=23)]).events[:1], CallStatus.initiated),
        (*derived([callback("RINGING", came=24)]).events, CallStatus.ringing),
        (ours(CallStatus.in_progress, 25), CallStatus.in_progress),
        (*derived([ANSWER]).events[1:], CallStatus.completed),
    ]
    events: list[Event] = []
    for event, status in steps:
        assert isinstance(event, Event)
        events.append(event)
        told = fold(events)
        assert told.status is status
        assert told.settled is (status is CallStatus.completed)
        assert told.outcome is (CallStatus.completed if told.settled else None)


def test_a_recorded_pending_is_an_event_like_any_other() -> None:
    told = timeline(ours(CallStatus.pending, 0), *accepted(when=1))
    assert statuses(told) == ["pending", "submitting", "queued"]


def test_a_request_that_never_left_is_pending_again_and_says_when_it_goes() -> None:
    told = timeline(
        submitting(0, 1),
        never_left(1, 1, until=4),
        submitting(4, 2),
        never_left(5, 2, until=13),
    )
    assert told.status is CallStatus.pending
    assert told.next_attempt_at == at(13)
    assert [e.type.value for e in told.events] == ["status", "warning", "status", "warning"]


def test_the_next_try_after_one_that_never_left_is_submitting() -> None:
    told = timeline(
        submitting(0, 1),
        never_left(1, 1, until=4),
        submitting(4, 2),
    )
    assert told.status is CallStatus.submitting
    assert told.next_attempt_at is None


def test_an_ended_lease_is_unconfirmed_with_the_reason() -> None:
    told = timeline(
        submitting(0),
        ours(CallStatus.unconfirmed, 25, source=INFERRED, reason=Reason.sender_lost),
    )
    assert (told.status, told.reason, told.settled) == (CallStatus.unconfirmed, Reason.sender_lost, False)


def test_an_answer_of_the_provider_after_the_lease_still_counts() -> None:
    lost = ours(CallStatus.unconfirmed, 25, source=INFERRED, reason=Reason.sender_lost)
    told = timeline(submitting(0), lost, ours(CallStatus.queued, 30))
    assert (told.status, told.reason) == (CallStatus.queued, None)


def test_unconfirmed_never_goes_back_to_pending_although_its_owner_says_that_nothing_left() -> None:
    """After the lease somebody else has written `unconfirmed`; only an outcome ends that, not a new try."""
    lost = ours(CallStatus.unconfirmed, 25, source=INFERRED, reason=Reason.sender_lost)
    told = timeline(submitting(0), lost, never_left(26, 1, until=30))
    assert told.status is CallStatus.unconfirmed
    assert told.next_attempt_at is None


@pytest.mark.parametrize("status", sorted(OPEN_STATUSES - {CallStatus.pending}))
def test_a_settling_word_settles_it_from_wherever_it_stood(status: CallStatus) -> None:
    assert timeline(ours(status, 0), BUSY).status is CallStatus.busy


def test_an_event_without_a_zone_is_refused() -> None:
    naive = datetime.fromisoformat("2026-03-02T10:00:00")
    with pytest.raises(ValueError, match="zone"):
        Event(
            key="k", call="call_1", attempt=1, type=EventType.detail, at=naive,
            at_source=AtSource.tracker, source=EventSource.sender,
        )  # fmt: skip


# ---- outcome, answered, duration ----


def test_an_answered_call_says_when_and_how_long() -> None:
    told = timeline(*accepted(), ANSWER)
    assert (told.status, told.outcome, told.settled, told.answered) == ("completed", "completed", True, True)
    assert (told.started_at, told.ended_at, told.duration_s) == (at(5), at(28), 21)


@pytest.mark.parametrize("word", ["BUSY", "NOANSWER", "CANCEL", "CONGESTION"])
def test_an_unanswered_call_has_no_duration_whatever_the_provider_says(word: str) -> None:
    told = timeline(*accepted(), callback(word, 5, 9, came=10, duration_s=4))
    assert (told.answered, told.duration_s, told.settled) == (False, None, True)
    assert (told.started_at, told.ended_at) == (at(5), at(9))


def test_an_outcome_has_the_reason_and_the_providers_own_word() -> None:
    told = timeline(callback("MISSED", 5, 9, came=10))
    assert (told.status, told.reason) == (CallStatus.completed, Reason.agent_no_answer)
    assert told.events[-1].provider_status == "MISSED"


def test_a_duration_that_only_a_repeat_tells_is_that_of_the_record() -> None:
    told = timeline(callback("ANSWER", 5, 28, came=30), poll("ANSWER", 5, 28, came=90, duration_s=21))
    assert told.duration_s == 21


def test_of_two_answers_the_one_that_says_how_long_decides() -> None:
    """Design leaves open which of several answered records decides; the one that tells most is of most use."""
    bare = callback("ANSWER", came=29)
    told = timeline(bare, ANSWER)
    assert (told.duration_s, told.started_at, told.ended_at) == (21, at(5), at(28))
    assert not told.disputed


def test_unknown_is_not_failed_and_not_unanswered() -> None:
    told = timeline(*accepted(), ours(CallStatus.unknown, 24 * HOUR, source=INFERRED))
    assert (told.status, told.outcome, told.settled, told.answered) == ("unknown", "unknown", True, None)


def test_answered_stays_null_while_one_attempt_is_unknown() -> None:
    """Nobody can say that a call was not answered when nobody knows what became of its first attempt."""
    told = fold(
        [
            *accepted(),
            ours(CallStatus.unknown, 24 * HOUR, source=INFERRED),
            *accepted(2, 25 * HOUR),
            *derived(
                [callback("BUSY", 25 * HOUR + 5, 25 * HOUR + 9, came=25 * HOUR + 10)], submission=2
            ).events,
        ]
    )
    assert (told.status, told.settled, told.answered) == (CallStatus.busy, True, None)


def test_answered_is_null_while_the_call_is_open() -> None:
    assert timeline(*accepted()).answered is None


def test_a_word_that_we_do_not_know_is_an_event_and_no_change_of_status() -> None:
    told = timeline(*accepted(), callback("VOICEMAIL", 5, 9, came=10))
    assert (told.status, told.settled) == (CallStatus.queued, False)
    assert told.events[-1].provider_status == "VOICEMAIL"
    assert told.events[-1].reason == Reason.unknown_word


def test_recording_input_and_charges_are_what_was_said_last() -> None:
    told = timeline(
        *accepted(),
        callback("ANSWER", 5, 28, came=30, duration_s=21, recording_url="https://example.com/1"),
        poll("ANSWER", 5, 28, came=90, dtmf="1", charges="0.1500", recording_url="https://example.com/2"),
    )
    assert (told.recording_url, told.dtmf, told.charges) == ("https://example.com/2", "1", "0.1500")


def test_what_was_said_last_does_not_depend_on_the_zone_of_the_payload() -> None:
    """The accepting answer says a price, the record later another one, with times that lie before the request."""
    queued = ours(CallStatus.queued, 1, charges="0.5000")
    told = timeline(queued, poll("ANSWER", 5 - INDIA, 28 - INDIA, came=90, charges="0.1500"))
    assert told.charges == "0.1500"


# ---- precedence ----

LATE_BUSY = callback("BUSY", 100, 120, came=121)


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ([ANSWER, LATE_BUSY], CallStatus.completed),
        ([BUSY, NO_ANSWER], CallStatus.no_answer),
        ([NO_ANSWER, LATE_BUSY], CallStatus.busy),
        ([BUSY, ours(CallStatus.rejected, 500)], CallStatus.busy),
        ([BUSY, ours(CallStatus.unknown, 500, source=INFERRED)], CallStatus.busy),
        ([ours(CallStatus.rejected, 1), ours(CallStatus.unknown, 500, source=INFERRED)], CallStatus.rejected),
        ([ANSWER, ours(CallStatus.busy, 3, source=OPERATOR)], CallStatus.busy),
        ([BUSY, ours(CallStatus.unknown, 3, source=OPERATOR)], CallStatus.unknown),
    ],
)
def test_precedence_operator_completed_latest_failed_rejected_unknown(
    records: list[Event], status: CallStatus
) -> None:
    assert timeline(*records).status is status
    assert timeline(*reversed(records)).status is status


def test_ties_go_to_busy_no_answer_canceled_failed_in_that_order() -> None:
    words = ["CONGESTION", "CANCEL", "NOANSWER", "BUSY"]
    tied = [callback(word, 5, 9, came=10 + i) for i, word in enumerate(words)]
    for fewer in range(4):
        expected = tied[-1 - fewer].report.status
        assert timeline(*tied[: 4 - fewer]).status is expected


def test_where_the_end_is_missing_the_earliest_receipt_stands_for_it_in_precedence() -> None:
    timeless = callback("BUSY", came=33)
    repeat = callback("BUSY", came=99)
    told = timeline(NO_ANSWER, timeless, repeat)
    assert told.status is CallStatus.no_answer, "35 s is later than the first receipt, not than the second"
    record = next(e for e in told.events if e.status is CallStatus.busy)
    assert (record.at, record.at_source) == (at(33), AtSource.received)
    told = timeline(NO_ANSWER, callback("BUSY", came=36))
    assert told.status is CallStatus.busy


def test_the_latest_word_of_an_operator_counts() -> None:
    first = ours(CallStatus.busy, 50, source=OPERATOR)
    second = ours(CallStatus.completed, 60, source=OPERATOR)
    assert timeline(ANSWER, first, second).status is CallStatus.completed
    assert timeline(ANSWER, first).status is CallStatus.busy


# ---- dispute ----


def test_two_records_of_one_dial_with_different_outcomes_dispute_and_both_stay_visible() -> None:
    told = timeline(*accepted(), BUSY, callback("ANSWER", 5, 9, came=11))
    assert (told.disputed, told.status, told.settled) == (True, CallStatus.completed, True)
    assert {"busy", "completed"} <= set(statuses(told))


def test_without_interval_records_of_any_times_are_of_one_dial() -> None:
    assert timeline(BUSY, callback("NOANSWER", 500, 540, came=541)).disputed


def test_with_interval_other_times_are_another_dial_and_no_dispute() -> None:
    assert not timeline(BUSY, callback("NOANSWER", 500, 540, came=541), interval=5).disputed
    assert timeline(BUSY, callback("NOANSWER", 5, 9, came=541), interval=5).disputed


def test_with_interval_and_no_times_each_word_is_a_dial_of_its_own() -> None:
    told = timeline(callback("BUSY", came=10), callback("NOANSWER", came=400), interval=5)
    assert not told.disputed
    assert len({e.dial for e in told.events}) == 2


def test_two_words_for_answered_are_no_dispute() -> None:
    assert not timeline(ANSWER, callback("MISSED", 5, 28, came=31)).disputed


def test_what_we_concluded_or_decided_ourselves_disputes_nothing() -> None:
    late = timeline(*accepted(), ours(CallStatus.unknown, 24 * HOUR, source=INFERRED), ANSWER)
    assert (late.status, late.disputed) == (CallStatus.completed, False)
    refused = timeline(ours(CallStatus.rejected, 1), BUSY)
    assert (refused.status, refused.disputed) == (CallStatus.busy, False)


@pytest.mark.parametrize("word", [CallStatus.busy, CallStatus.completed, CallStatus.unknown])
def test_an_operator_resolves_a_dispute(word: CallStatus) -> None:
    told = timeline(BUSY, ANSWER, ours(word, 100, source=OPERATOR))
    assert (told.disputed, told.status, told.settled) == (False, word, True)
    assert not told.submissions[0].disputed


def test_what_an_operator_said_of_the_deciding_attempt_ends_the_dispute_of_an_earlier_one() -> None:
    second = [*accepted(2, 600), *derived([callback("BUSY", 605, 609, came=610)], submission=2).events]
    disputed = [*accepted(), *derived([BUSY, NO_ANSWER]).events, *second]
    assert fold(disputed).disputed
    told = fold([*disputed, ours(CallStatus.busy, 700, submission=2, source=OPERATOR, key="/operator")])
    assert (told.disputed, told.status) == (False, CallStatus.busy)


def test_an_operator_who_confirms_a_record_keeps_its_times_and_duration() -> None:
    told = timeline(BUSY, ANSWER, ours(CallStatus.completed, 100, source=OPERATOR))
    assert (told.started_at, told.ended_at, told.duration_s) == (at(5), at(28), 21)
    told = timeline(BUSY, ANSWER, ours(CallStatus.busy, 100, source=OPERATOR))
    assert (told.ended_at, told.duration_s) == (at(9), None)


# ---- several submissions ----


def test_the_call_shows_its_answered_submission_else_the_latest() -> None:
    second = [
        *accepted(2, 600),
        *derived([callback("NOANSWER", 605, 635, came=640)], submission=2).events,
    ]
    first = [*accepted(), *derived([BUSY]).events]
    told = fold([*first, *second])
    assert (told.status, told.attempts, told.answered) == (CallStatus.no_answer, 2, False)
    told = fold([*accepted(), *derived([ANSWER]).events, *second])
    assert (told.status, told.ended_at, told.duration_s, told.answered) == (
        CallStatus.completed,
        at(28),
        21,
        True,
    )


def test_a_call_is_open_while_one_of_its_submissions_is() -> None:
    told = fold([*accepted(), *derived([BUSY]).events, *accepted(2, 600)])
    assert (told.status, told.outcome, told.settled) == (CallStatus.queued, None, False)


REFUSED = [
    submitting(0),
    ours(CallStatus.rejected, 1, reason=Reason.rate_limited),
    decided("resend", 1, until=6),
]


def test_a_call_that_waits_to_be_resent_shows_its_last_status_and_when() -> None:
    told = fold(REFUSED)
    assert (told.status, told.reason) == (CallStatus.rejected, Reason.rate_limited)
    assert (told.outcome, told.settled, told.answered, told.next_attempt_at) == (None, False, None, at(6))


def test_a_resent_call_waits_no_more() -> None:
    told = fold([*REFUSED, *accepted(2, 6)])
    assert (told.status, told.next_attempt_at, told.attempts) == (CallStatus.queued, None, 2)


def test_an_answer_that_arrives_late_makes_the_call_completed_and_withdraws_the_plan() -> None:
    told = timeline(*REFUSED, ANSWER)
    assert (told.status, told.settled, told.next_attempt_at) == (CallStatus.completed, True, None)


def test_a_ring_that_becomes_known_late_withdraws_the_plan_too() -> None:
    """The plan was made because the provider had refused; if it dialled all the same, a resend would be the second
    ring. "No phone rings twice by accident" decides where the design names only the answer."""
    told = timeline(*REFUSED, BUSY)
    assert (told.status, told.settled, told.next_attempt_at) == (CallStatus.busy, True, None)


def test_an_attempt_that_was_dialled_before_the_late_answer_is_kept() -> None:
    late = derived([callback("ANSWER", 5, 28, came=700, duration_s=21)]).events
    events = [*accepted(), *derived([BUSY]).events, *accepted(2, 600), *late]
    told = fold(events)
    assert (told.status, told.answered, told.settled) == (CallStatus.completed, True, False)
    told = fold([*events, *derived([callback("BUSY", 605, 609, came=710)], submission=2).events])
    assert (told.status, told.settled, told.attempts) == (CallStatus.completed, True, 2)


def test_a_late_answer_of_an_earlier_attempt_withdraws_the_plan_of_a_later_one() -> None:
    refused_again = [
        submitting(600, submission=2),
        ours(CallStatus.rejected, 601, submission=2, reason=Reason.rate_limited),
        decided("resend", 601, submission=2, until=606),
    ]
    failed = [*accepted(), *derived([BUSY]).events, *refused_again]
    assert fold(failed).next_attempt_at == at(606)
    told = fold([*failed, *derived([ANSWER]).events])
    assert (told.status, told.settled, told.next_attempt_at) == (CallStatus.completed, True, None)


def test_of_several_answered_attempts_the_latest_decides() -> None:
    again = derived([callback("MISSED", 605, 620, came=621)], submission=2).events
    told = fold([*accepted(), *derived([ANSWER]).events, *accepted(2, 600), *again])
    assert (told.ended_at, told.reason) == (at(620), Reason.agent_no_answer)


def test_cancelling_withdraws_the_plan() -> None:
    told = fold([*REFUSED, decided("cancel", 3, source=OPERATOR)])
    assert (told.settled, told.outcome, told.cancel_requested) == (True, CallStatus.rejected, True)
    assert told.next_attempt_at is None


def test_a_cancel_requested_before_the_refusal_lets_no_plan_stand() -> None:
    told = fold([*REFUSED, decided("cancel", 0.5, source=OPERATOR)])
    assert (told.settled, told.next_attempt_at) == (True, None)


def test_another_attempt_by_hand_ends_the_wish_to_cancel() -> None:
    told = fold([*REFUSED, decided("cancel", 3, source=OPERATOR), *accepted(2, 600)])
    assert (told.cancel_requested, told.status, told.settled) == (False, CallStatus.queued, False)


def test_a_plan_that_was_called_off_is_none_and_one_made_later_stands() -> None:
    assert fold([*REFUSED, decided("stop", 3)]).settled
    again = fold([*REFUSED, decided("stop", 3), decided("resend", 4, until=9)])
    assert (again.settled, again.next_attempt_at) == (False, at(9))


@pytest.mark.parametrize("word", [CallStatus.canceled, CallStatus.rejected])
def test_an_operators_outcome_withdraws_the_plan(word: CallStatus) -> None:
    told = fold([*REFUSED, ours(word, 3, source=OPERATOR, reason=Reason.operator, key="/operator")])
    assert (told.status, told.reason, told.settled) == (word, Reason.operator, True)


def test_the_provider_outcome_stands_when_cancel_was_requested_too_late() -> None:
    told = timeline(*accepted(), decided("cancel", 2, source=OPERATOR), ANSWER)
    assert (told.status, told.cancel_requested, told.settled) == (CallStatus.completed, True, True)


def test_canceled_by_us_is_not_the_callers_hanging_up() -> None:
    assert timeline(ours(CallStatus.canceled, 0, reason=Reason.expired)).reason == Reason.expired
    assert timeline(callback("CANCEL", 5, 9, came=10)).reason == Reason.caller_hung_up


# ---- settled stays settled ----


@pytest.mark.parametrize("interval", [0, 5])
@pytest.mark.parametrize(
    "ending",
    [
        ours(CallStatus.unknown, 24 * HOUR, source=INFERRED),
        ours(CallStatus.rejected, 1, reason=Reason.bad_credentials),
        ours(CallStatus.canceled, 0, reason=Reason.expired),
        ours(CallStatus.failed, 900, reason=Reason.provider_unreachable),
    ],
)
@pytest.mark.parametrize("late", [BUSY, ANSWER, callback("VOICEMAIL", came=9), callback("QUEUED", came=9)])
def test_a_settled_call_is_never_unsettled_by_a_callback(ending: Event, late: Event, interval: int) -> None:
    assert timeline(*accepted(), ending, interval=interval).settled
    assert timeline(*accepted(), ending, late, interval=interval).settled


# ---- redials of the provider ----


def test_with_interval_a_failed_record_does_not_settle() -> None:
    for record in (BUSY, poll("BUSY", 5, 9, came=10)):
        told = timeline(*accepted(), record, interval=5)
        assert (told.status, told.outcome, told.settled, told.answered) == ("busy", None, False, None)


def test_with_interval_an_answer_settles_whatever_failed_before_or_after() -> None:
    told = timeline(BUSY, callback("ANSWER", 309, 320, came=321), LATE_BUSY, interval=5)
    assert (told.status, told.settled, told.disputed) == (CallStatus.completed, True, False)


def test_with_interval_no_further_redial_settles_with_the_failed_record_of_the_latest_end() -> None:
    quiet = Event(
        key="sub_1/quiet", call="call_1", submission="sub_1", attempt=1, type=EventType.decision, at=at(2000),
        at_source=AtSource.tracker, source=INFERRED, reason=Reason.no_further_redial,
    )  # fmt: skip
    told = timeline(*accepted(), BUSY, callback("NOANSWER", 309, 339, came=340), quiet, interval=5)
    assert (told.status, told.settled, told.answered) == (CallStatus.no_answer, True, False)
    later = callback("BUSY", 2400, 2410, came=2411)
    told = timeline(*accepted(), BUSY, quiet, later, interval=5)
    assert (told.status, told.settled, told.ended_at) == (CallStatus.busy, True, at(2410))


def test_without_interval_a_failed_record_settles() -> None:
    assert timeline(*accepted(), BUSY).settled


def test_with_interval_a_refusal_settles_at_once() -> None:
    assert timeline(ours(CallStatus.rejected, 1), interval=5).settled


# ---- order ----


def test_a_wrong_zone_cannot_turn_the_timeline_round() -> None:
    for shift in (-INDIA, INDIA):
        told = timeline(*accepted(), callback("ANSWER", 5 + shift, 28 + shift, came=30))
        assert statuses(told) == ["submitting", "queued", "initiated", "completed"]


def test_dials_stand_in_the_order_of_their_earliest_time() -> None:
    told = timeline(
        callback("NOANSWER", 609, 639, came=640), callback("BUSY", 309, 315, came=650), BUSY, interval=5
    )
    assert [e.at for e in told.events] == [at(s) for s in (5, 9, 309, 315, 609, 639)]


def test_a_dial_without_times_stands_where_it_was_first_heard_of() -> None:
    told = timeline(callback("NOANSWER", came=200), callback("BUSY", 309, 315, came=316), BUSY, interval=5)
    assert statuses(told) == ["initiated", "busy", "no-answer", "initiated", "busy"]


def test_attempts_stand_in_their_order_whatever_the_clocks_say() -> None:
    second = derived([callback("BUSY", -HOUR, -HOUR + 4, came=640)], submission=2).events
    told = fold([*second, *accepted(2, 600), *derived([BUSY]).events, *accepted()])
    assert [e.attempt for e in told.events] == sorted(e.attempt for e in told.events)
    assert statuses(told)[:4] == ["submitting", "queued", "initiated", "busy"]


def test_a_decision_goes_first_and_what_ends_the_submission_as_a_whole_goes_last() -> None:
    """An operator's word has no dial; it stands after the rings that it is about."""
    told = timeline(ours(CallStatus.busy, 100, source=OPERATOR), BUSY, ANSWER, *accepted())
    assert told.events[0].type is EventType.decision
    assert told.events[-1].source is OPERATOR


def test_the_order_ends_with_the_id() -> None:
    events = accepted() + [
        Event(
            key=f"sub_1/detail/{n}", id=f"ev_{9 - n}", call="call_1", submission="sub_1", attempt=1,
            type=EventType.detail, at=at(3), at_source=AtSource.tracker, source=EventSource.sender,
        )
        for n in range(3)
    ]  # fmt: skip
    assert [e.id for e in sort_events(events)][-3:] == ["ev_7", "ev_8", "ev_9"]


def test_an_event_of_a_call_without_a_submission_is_kept() -> None:
    alone = Event(
        key="call_1/note", call="call_1", attempt=1, type=EventType.detail, at=at(0),
        at_source=AtSource.tracker, source=OPERATOR,
    )  # fmt: skip
    assert fold([alone]).events == (alone,)
    assert alone in fold([alone, *accepted()]).events


def test_the_earliest_saying_of_the_same_fact_is_kept() -> None:
    early, late = (derived([callback("BUSY", came=s)]).events[0] for s in (10, 20))
    assert fold([late, early]).events == fold([early, late]).events == (early,)


def test_the_wait_that_was_decided_last_counts() -> None:
    told = timeline(decided("wait", 0, until=900), decided("wait", 60, until=2 * MINUTE))
    assert told.next_attempt_at == at(2 * MINUTE)


def test_what_a_person_decides_about_a_callback_stands_behind_what_it_came_to() -> None:
    moved = replace(
        ours(CallStatus.queued, 500, key="/by-hand"),
        type=EventType.decision,
        status=None,
        source=EventSource.operator,
        detail={"decision": "ignore", "callback": "cb_1"},
    )
    events = [moved, ours(CallStatus.submitting, 0), ours(CallStatus.queued, 1)]
    assert sort_events(events)[-1] == moved

"""What follows from the provider's answer to a submission: events, and whether and when to send again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import CallStatus, Reason, Submission, Trigger
from tracker.domain.events import AtSource, Decision, Event, EventType
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.domain.time_text import iso
from tracker.lifecycle.timeline.call_state import CallState
from tracker.lifecycle.timeline.event_factory import EventFactory

#: a request that never leaves, or is told "too many" without a time, is given up after this, without a `not_after`
GIVE_UP_SENDING: Final = timedelta(minutes=15)
_NEVER_LEFT_PAUSES: Final = tuple(timedelta(seconds=s) for s in (2, 4, 8, 15, 30, 60))
_RATE_LIMIT_PAUSES: Final = tuple(timedelta(seconds=s) for s in (5, 10, 20, 40, 60))


@dataclass(frozen=True, kw_only=True)
class SubmitOutcome:
    """What an answer changes."""

    events: list[Event]
    #: columns of the submission
    columns: Mapping[str, Any] = field(default_factory=dict)
    #: when the same submission may be sent, because no byte of it left
    send_at: datetime | None = None
    #: when the call gets a new submission, because the provider said "too many"
    resend_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SubmitState:
    """Where the call stands as its submission is answered."""

    #: locked
    call: CallState
    #: its lease may have been ended by another process meanwhile
    submission: Submission
    #: the variables that it could not be sent again with: only their digests are left
    erased: Collection[str]
    now: datetime

    @property
    def cancel_requested(self) -> bool:
        return self.call.timeline.cancel_requested

    @property
    def series(self) -> list[str]:
        """The latest submission, and those before it that it sends again."""
        series: list[str] = []
        for submission in reversed(self.call.submissions):
            series.append(submission.id)
            if submission.trigger is not Trigger.resend:
                break
        return series

    @property
    def not_after(self) -> datetime | None:
        return self.call.call.not_after

    @property
    def gives_up_at(self) -> datetime:
        series = self.series
        began = [
            e.at
            for e in self.call.timeline.events
            if e.status is CallStatus.submitting and e.submission in series
        ]
        return self.not_after or min(began, default=self.now) + GIVE_UP_SENDING


def submit_outcome(at: SubmitState, answer: SubmitResult, http_status: int | None) -> SubmitOutcome:
    """What follows from this answer. Pure."""
    say = EventFactory(at.submission, at.now)
    told = {"http_status": http_status, "message": answer.message}
    match answer.kind:
        case SubmitResultKind.accepted:
            return _accepted(say, answer, told, at.now)
        case SubmitResultKind.unclear:
            reason = answer.reason or Reason.no_clear_answer
            return SubmitOutcome(events=[_answered(say, CallStatus.unconfirmed, reason, answer, told)])
        case SubmitResultKind.never_left:
            return _never_left(at, say, told)
        case SubmitResultKind.refused:
            return _refused(say, answer, told)
        case SubmitResultKind.rate_limited:
            return _rate_limited(at, say, answer, told)


def _answered(
    say: EventFactory,
    status: CallStatus,
    reason: Reason | None,
    answer: SubmitResult,
    told: Mapping[str, Any],
) -> Event:
    return say.status(status, reason, word=answer.provider_status, detail=told, at_source=AtSource.received)


def _accepted(
    say: EventFactory, answer: SubmitResult, told: Mapping[str, Any], now: datetime
) -> SubmitOutcome:
    id = answer.submission_id or ""
    detail = {**told, "submission_id": id, "charges": answer.charges, "at_as_sent": answer.accepted_raw}
    columns = {
        "provider_id": id,
        "provider_key": id_key(id),
        "provider_base": base_id_key(id),
        "accepted_at": now,
    }
    return SubmitOutcome(events=[_answered(say, CallStatus.queued, None, answer, detail)], columns=columns)


def _refused(say: EventFactory, answer: SubmitResult, told: Mapping[str, Any]) -> SubmitOutcome:
    rejected = _answered(say, CallStatus.rejected, answer.reason or Reason.refused, answer, told)
    return SubmitOutcome(events=[rejected], columns={"refused": True})


def _never_left(at: SubmitState, say: EventFactory, told: Mapping[str, Any]) -> SubmitOutcome:
    tries = at.submission.tries
    until = at.now + _NEVER_LEFT_PAUSES[min(tries, len(_NEVER_LEFT_PAUSES)) - 1]
    if at.cancel_requested:
        over = say.status(CallStatus.canceled, Reason.operator, detail=told)
    elif at.submission.lease_until is None or until > at.gives_up_at:
        # where its lease was ended it is `unconfirmed` already, and does not go back; but now we know
        over = say.status(CallStatus.failed, Reason.provider_unreachable, detail=told)
    else:
        warning = say.event(
            f"never-left/{tries}",
            type=EventType.warning,
            reason=Reason.provider_unreachable,
            detail={**told, "try": tries, "until": iso(until)},
        )
        return SubmitOutcome(events=[warning], columns={"owner": None, "requested_at": None}, send_at=until)
    return SubmitOutcome(events=[over], columns={"refused": True})


def _rate_limited(
    at: SubmitState, say: EventFactory, answer: SubmitResult, told: Mapping[str, Any]
) -> SubmitOutcome:
    refused = _refused(say, answer, told)
    if at.cancel_requested:
        return refused
    before = len(at.series) - 1
    if answer.retry_after_s is not None:
        until = at.now + timedelta(seconds=answer.retry_after_s)
        over = at.now > at.gives_up_at
    else:
        until = at.now + _RATE_LIMIT_PAUSES[min(before, len(_RATE_LIMIT_PAUSES) - 1)]
        over = until > at.gives_up_at
    stop: Event | None = None
    if at.erased:
        detail: dict[str, Any] = {"decision": Decision.stop, "variables": sorted(at.erased)}
        stop = say.next_decision("stop", Reason.secrets_erased, detail)
    elif over or (at.not_after is not None and until > at.not_after):
        detail = {"decision": Decision.stop, "gives_up_at": iso(at.gives_up_at)}
        stop = say.next_decision("stop", Reason.rate_limited, detail)
    if stop is not None:
        return SubmitOutcome(events=[*refused.events, stop], columns=refused.columns)
    plan = {"decision": Decision.resend, "until": iso(until), "retry_after_s": answer.retry_after_s}
    events = [*refused.events, say.next_decision("resend", Reason.rate_limited, plan)]
    return SubmitOutcome(events=events, columns=refused.columns, resend_at=until)

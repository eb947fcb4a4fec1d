"""Decides what follows from the provider's answer to a submission: events, and whether and when to send again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import CallStatus, Reason, Submission, Trigger
from tracker.domain.events import AtSource, Decision, Event
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.domain.time_text import iso
from tracker.lifecycle.timeline.call_state import CallState
from tracker.lifecycle.timeline.event_factory import EventFactory

#: a request that never left, or was rate-limited without a time to come again, is tried for so long, unless the call
#: has a `not_after`
GIVE_UP_SENDING: Final = timedelta(minutes=15)
_NEVER_LEFT_PAUSES: Final = tuple(timedelta(seconds=s) for s in (2, 4, 8, 15, 30, 60))
_RATE_LIMIT_PAUSES: Final = tuple(timedelta(seconds=s) for s in (5, 10, 20, 40, 60))


@dataclass(frozen=True, kw_only=True)
class SubmitOutcome:
    """What follows from an answer."""

    events: list[Event]
    #: of the submission
    columns: Mapping[str, Any] = field(default_factory=dict)
    #: UTC, when the same submission is sent again, because no byte of the request left
    send_at: datetime | None = None
    #: UTC, when the call gets a new submission, because this one was rate-limited
    resend_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SubmitState:
    """The state of a call when a submission of it is answered."""

    call_state: CallState
    #: another process may have ended its lease meanwhile
    submission: Submission
    #: the variables of which only digests are left, so that the call could not be submitted again
    erased: Collection[str]
    #: UTC, when the answer came
    now: datetime

    @property
    def is_cancel_requested(self) -> bool:
        """Whether an operator wants no further attempt."""
        return self.call_state.timeline.cancel_requested

    @property
    def series(self) -> list[str]:
        """The latest submission, and those before it that it repeats because they were rate-limited."""
        series: list[str] = []
        for submission in reversed(self.call_state.submissions):
            series.append(submission.id)
            if submission.trigger is not Trigger.resend:
                break
        return series

    @property
    def not_after(self) -> datetime | None:
        """The end of the time in which the call may be dialled."""
        return self.call_state.call.not_after

    @property
    def gives_up_at(self) -> datetime:
        """When the series is given up."""
        series = self.series
        began = [
            event.at
            for event in self.call_state.timeline.events
            if event.status is CallStatus.submitting and event.submission in series
        ]
        return self.not_after or min(began, default=self.now) + GIVE_UP_SENDING


def decide_outcome(state: SubmitState, result: SubmitResult, http_status: int | None) -> SubmitOutcome:
    """Return what follows from the provider's answer."""
    answer = _Answer(EventFactory(state.submission, state.now), result, http_status)
    match result.kind:
        case SubmitResultKind.accepted:
            return _accept(state, answer)
        case SubmitResultKind.unclear:
            reason = result.reason or Reason.no_clear_answer
            return SubmitOutcome(events=[answer.status(CallStatus.unconfirmed, reason)])
        case SubmitResultKind.never_left:
            return _try_again(state, answer)
        case SubmitResultKind.refused:
            return _refuse(answer)
        case SubmitResultKind.rate_limited:
            return _resend(state, answer)


class _Answer:
    """The provider's answer, and the events that quote it."""

    def __init__(self, events: EventFactory, result: SubmitResult, http_status: int | None) -> None:
        self.events, self.result = events, result
        self.detail: Mapping[str, Any] = {"http_status": http_status, "message": result.message}

    def status(
        self, status: CallStatus, reason: Reason | None, detail: Mapping[str, Any] | None = None
    ) -> Event:
        """Return the event that the provider's answer is this status."""
        return self.events.status(
            status, reason, provider_status=self.result.provider_status, detail={**self.detail, **(detail or {})},
            at_source=AtSource.received,
        )  # fmt: skip


def _accept(state: SubmitState, answer: _Answer) -> SubmitOutcome:
    result, id = answer.result, answer.result.submission_id or ""
    detail = {"submission_id": id, "charges": result.charges, "at_as_sent": result.accepted_raw}
    columns = {
        "provider_id": id,
        "provider_key": id_key(id),
        "provider_base": base_id_key(id),
        "accepted_at": state.now,
    }
    return SubmitOutcome(events=[answer.status(CallStatus.queued, None, detail)], columns=columns)


def _refuse(answer: _Answer) -> SubmitOutcome:
    rejected = answer.status(CallStatus.rejected, answer.result.reason or Reason.refused)
    return SubmitOutcome(events=[rejected], columns={"refused": True})


def _try_again(state: SubmitState, answer: _Answer) -> SubmitOutcome:
    """Return what follows if no byte of the request left: a further try of the same submission, or its end."""
    tries, events = state.submission.tries, answer.events
    until = state.now + _NEVER_LEFT_PAUSES[min(tries, len(_NEVER_LEFT_PAUSES)) - 1]
    if state.is_cancel_requested:
        end = events.status(CallStatus.canceled, Reason.operator, detail=answer.detail)
    elif state.submission.lease_until is None or until > state.gives_up_at:
        # if its lease was ended, it is `unconfirmed` already and does not go back, but now the answer is known
        end = events.status(CallStatus.failed, Reason.provider_unreachable, detail=answer.detail)
    else:
        detail = {**answer.detail, "try": tries, "until": iso(until)}
        warning = events.warning(f"never-left/{tries}", Reason.provider_unreachable, detail)
        return SubmitOutcome(events=[warning], columns={"owner": None, "requested_at": None}, send_at=until)
    return SubmitOutcome(events=[end], columns={"refused": True})


def _resend(state: SubmitState, answer: _Answer) -> SubmitOutcome:
    """Return what follows if the submission was rate-limited: a plan for a new one, or a decision to stop."""
    refused = _refuse(answer)
    if state.is_cancel_requested:
        return refused
    retry_after_s = answer.result.retry_after_s
    if retry_after_s is not None:
        until = state.now + timedelta(seconds=retry_after_s)
        is_too_late = state.now > state.gives_up_at
    else:
        resends = len(state.series) - 1
        until = state.now + _RATE_LIMIT_PAUSES[min(resends, len(_RATE_LIMIT_PAUSES) - 1)]
        is_too_late = until > state.gives_up_at
    if state.erased:
        reason = Reason.secrets_erased
        detail: dict[str, Any] = {"decision": Decision.stop, "variables": sorted(state.erased)}
    elif is_too_late or (state.not_after is not None and until > state.not_after):
        reason = Reason.rate_limited
        detail = {"decision": Decision.stop, "gives_up_at": iso(state.gives_up_at)}
    else:
        plan = {"decision": Decision.resend, "until": iso(until), "retry_after_s": retry_after_s}
        resend = answer.events.next_decision("resend", Reason.rate_limited, plan)
        return SubmitOutcome(events=[*refused.events, resend], columns=refused.columns, resend_at=until)
    stop = answer.events.next_decision("stop", reason, detail)
    return SubmitOutcome(events=[*refused.events, stop], columns=refused.columns)

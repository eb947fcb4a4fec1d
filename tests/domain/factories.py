"""Builds reports, events and timelines of one call to one number. Times are seconds after the call was placed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.event_derivation import DerivedEvents, derive_events
from tracker.domain.events import AtSource, Event, EventSource, EventType, MatchedBy
from tracker.domain.time_text import iso
from tracker.domain.timeline.fold import Timeline, fold

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
MINUTE = 60
HOUR = 3600
INDIA = 5 * HOUR + 30 * MINUTE

#: provider's status → its translation by an adapter
STATUSES: dict[str, tuple[CallStatus | None, Reason | None]] = {
    "ANSWER": (CallStatus.completed, None),
    "MISSED": (CallStatus.completed, Reason.agent_no_answer),
    "BUSY": (CallStatus.busy, None),
    "NOANSWER": (CallStatus.no_answer, None),
    "CANCEL": (CallStatus.canceled, Reason.caller_hung_up),
    "CONGESTION": (CallStatus.failed, Reason.congestion),
    "RINGING": (CallStatus.ringing, None),
    "QUEUED": (CallStatus.queued, None),
    "VOICEMAIL": (None, None),
    "FAX": (None, None),
}


def at(seconds: float) -> datetime:
    """Return the time so many seconds after the call was placed."""
    return T0 + timedelta(seconds=seconds)


def make_report(
    provider_status: str | None, start: float | None = None, end: float | None = None, **fields: Any
) -> CallReport:
    """Return the report that an adapter makes of a callback with this status and these times."""
    status, reason = STATUSES[provider_status] if provider_status else (None, None)
    return CallReport(
        provider_status=provider_status,
        status=status,
        reason=reason,
        started_at=None if start is None else at(start),
        ended_at=None if end is None else at(end),
        started_raw=None if start is None else str(start),
        ended_raw=None if end is None else str(end),
        **fields,
    )


def callback(
    provider_status: str | None,
    start: float | None = None,
    end: float | None = None,
    *,
    received: float,
    id: str = "",
    source: EventSource = EventSource.callback,
    **fields: Any,
) -> JoinedReport:
    """Return the joined report of a callback. Its id rises with the time of receipt."""
    return JoinedReport(
        id=id or f"cb_{received:012.3f}",
        source=source,
        received_at=at(received),
        report=make_report(provider_status, start, end, **fields),
        matched_by=MatchedBy.submission_id,
    )


def poll(
    provider_status: str | None,
    start: float | None = None,
    end: float | None = None,
    *,
    received: float,
    **fields: Any,
) -> JoinedReport:
    """Return the joined report of a poll."""
    id = f"ask_{received:012.3f}/0"
    return callback(provider_status, start, end, received=received, id=id, source=EventSource.poll, **fields)


def own_status(
    status: CallStatus,
    when: float,
    *,
    submission: int = 1,
    source: EventSource = EventSource.sender,
    reason: Reason | None = None,
    key: str = "",
    **detail: Any,
) -> Event:
    """Return the event of a status that the sender, an operator or silence gave to a submission."""
    return _make_event(status.value + key, when, submission, source, EventType.status, reason, status, detail)


def submitting(when: float, number: int = 1, *, submission: int = 1) -> Event:
    """Return the event that try `number` begins."""
    status, source = CallStatus.submitting, EventSource.sender
    key, detail = f"submitting/{number}", {"try": number}
    return _make_event(key, when, submission, source, EventType.status, None, status, detail)


def decision(
    decision: str,
    when: float,
    *,
    submission: int = 1,
    until: float | None = None,
    source: EventSource = EventSource.sender,
) -> Event:
    """Return the event of a decision."""
    detail = {"decision": decision} | ({} if until is None else {"until": iso(at(until))})
    return _make_event(f"{decision}/{when}", when, submission, source, EventType.decision, None, None, detail)


def never_left(when: float, number: int, *, until: float) -> Event:
    """Return the warning of the sender that try `number` never left."""
    key, detail = f"never-left/{number}", {"try": number, "until": iso(at(until))}
    reason = Reason.provider_unreachable
    return _make_event(key, when, 1, EventSource.sender, EventType.warning, reason, None, detail)


def _make_event(
    key: str,
    when: float,
    submission: int,
    source: EventSource,
    type: EventType,
    reason: Reason | None,
    status: CallStatus | None,
    detail: dict[str, Any],
) -> Event:
    return Event(
        key=f"sub_{submission}/{key}",
        call="call_1",
        submission=f"sub_{submission}",
        attempt=submission,
        type=type,
        status=status,
        at=at(when),
        at_source=AtSource.tracker,
        source=source,
        reason=reason,
        detail=detail,
    )


def accepted(submission: int = 1, when: float = 0) -> list[Event]:
    """Return the events of a submission that was sent and accepted."""
    return [
        decision("dial", when, submission=submission),
        submitting(when, submission=submission),
        own_status(CallStatus.queued, when + 1, submission=submission),
    ]


def derive(reports: Iterable[JoinedReport], *, submission: int = 1, interval: int = 0) -> DerivedEvents:
    """Return the events of a submission that follow from its reports."""
    return derive_events(
        call="call_1",
        submission=f"sub_{submission}",
        attempt=submission,
        interval=interval,
        reports=reports,
    )


def fold_call(*facts: Event | JoinedReport, interval: int = 0) -> Timeline:
    """Return the timeline of a call with one submission, from our own events and the provider's reports."""
    events = [f for f in facts if isinstance(f, Event)]
    reports = [f for f in facts if isinstance(f, JoinedReport)]
    return fold([*events, *derive(reports, interval=interval).events], interval=interval)


def statuses_of(timeline: Timeline) -> list[str]:
    """Return the statuses in the order of the timeline."""
    return [e.status.value for e in timeline.events if e.status is not None]


def record_events(events: Iterable[Event]) -> list[Event]:
    """Return the events that stand for a record."""
    return [e for e in events if e.key.endswith("/record")]


def warnings(events: Iterable[Event]) -> list[Event]:
    """Return the warnings."""
    return [e for e in events if e.type is EventType.warning]

"""Small makers for the tests of the domain: one call to one number, told in seconds since it was placed."""

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

#: the provider's words that the tests use, and what an adapter makes of them
WORDS: dict[str, tuple[CallStatus | None, Reason | None]] = {
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
    return T0 + timedelta(seconds=seconds)


def report(
    word: str | None, start: float | None = None, end: float | None = None, **fields: Any
) -> CallReport:
    """What an adapter reads from a callback with this word and these times."""
    status, reason = WORDS[word] if word else (None, None)
    return CallReport(
        provider_status=word,
        status=status,
        reason=reason,
        started_at=None if start is None else at(start),
        ended_at=None if end is None else at(end),
        started_raw=None if start is None else str(start),
        ended_raw=None if end is None else str(end),
        **fields,
    )


def callback(
    word: str | None,
    start: float | None = None,
    end: float | None = None,
    *,
    came: float,
    id: str = "",
    source: EventSource = EventSource.callback,
    **fields: Any,
) -> JoinedReport:
    """A joined callback; `came`: seconds after the call was placed. Its id rises with its receipt."""
    return JoinedReport(
        id=id or f"cb_{came:012.3f}",
        source=source,
        received_at=at(came),
        report=report(word, start, end, **fields),
        matched_by=MatchedBy.submission_id,
    )


def poll(
    word: str | None, start: float | None = None, end: float | None = None, *, came: float, **fields: Any
) -> JoinedReport:
    return callback(word, start, end, came=came, id=f"ask_{came:012.3f}/0", source=EventSource.poll, **fields)


def ours(
    status: CallStatus,
    when: float,
    *,
    submission: int = 1,
    source: EventSource = EventSource.sender,
    reason: Reason | None = None,
    key: str = "",
    **detail: Any,
) -> Event:
    """A status that we, an operator or our silence gave to a submission."""
    return _event(status.value + key, when, submission, source, EventType.status, reason, status, detail)


def submitting(when: float, number: int = 1, *, submission: int = 1) -> Event:
    """Try `number` begins."""
    detail = {"try": number}
    status = CallStatus.submitting
    return _event(
        f"submitting/{number}", when, submission, EventSource.sender, EventType.status, None, status, detail
    )


def decided(
    decision: str,
    when: float,
    *,
    submission: int = 1,
    until: float | None = None,
    source: EventSource = EventSource.sender,
) -> Event:
    detail = {"decision": decision} | ({} if until is None else {"until": iso(at(until))})
    return _event(f"{decision}/{when}", when, submission, source, EventType.decision, None, None, detail)


def never_left(when: float, number: int, *, until: float) -> Event:
    """The owner's finding that try `number` never left."""
    detail = {"try": number, "until": iso(at(until))}
    reason = Reason.provider_unreachable
    return _event(
        f"never-left/{number}", when, 1, EventSource.sender, EventType.warning, reason, None, detail
    )


def _event(
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
    """The usual beginning: sent and accepted."""
    return [
        decided("dial", when, submission=submission),
        submitting(when, submission=submission),
        ours(CallStatus.queued, when + 1, submission=submission),
    ]


def derived(evidence: Iterable[JoinedReport], *, submission: int = 1, interval: int = 0) -> DerivedEvents:
    return derive_events(
        call="call_1",
        submission=f"sub_{submission}",
        attempt=submission,
        interval=interval,
        reports=evidence,
    )


def timeline(*told: Event | JoinedReport, interval: int = 0) -> Timeline:
    """The timeline of a call with one submission, of our own events and of what the provider told."""
    events = [t for t in told if isinstance(t, Event)]
    said = [t for t in told if isinstance(t, JoinedReport)]
    return fold([*events, *derived(said, interval=interval).events], interval=interval)


def statuses(told: Timeline) -> list[str]:
    """The statuses in the order of the timeline."""
    return [e.status.value for e in told.events if e.status is not None]

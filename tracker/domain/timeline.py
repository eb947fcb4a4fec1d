"""The timeline: the events of a call in order, and the status that follows from them.

`fold` is pure: the same set of events in any order, with any repetition, gives the same timeline. The status columns
in the database are a cache of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tracker.domain.calls import OPEN, CallStatus, Reason
from tracker.domain.events import Event, EventType, Source, from_iso

_STAGES = (
    CallStatus.submitting,
    CallStatus.unconfirmed,
    CallStatus.queued,
    CallStatus.initiated,
    CallStatus.ringing,
    CallStatus.in_progress,
)
#: among failed records that ended at the same moment, the first of these decides
_TIES = (CallStatus.busy, CallStatus.no_answer, CallStatus.canceled, CallStatus.failed)


class Decided:
    """What a decision event may say in `detail["decision"]`."""

    dial = "dial"  #: the gate let it through
    wait = "wait"  #: not now; `until` says when
    refuse = "refuse"  #: not at all
    resend = "resend"  #: the same wish again in a new submission; `until` says when
    stop = "stop"  #: no further attempt
    cancel = "cancel"  #: an operator wants no further attempt


@dataclass(frozen=True, kw_only=True)
class SubmissionState:
    """What follows for one submission."""

    id: str
    number: int
    status: CallStatus
    #: None while it is open, or while the provider may redial by itself
    outcome: CallStatus | None
    reason: str | None
    disputed: bool
    #: the event that decides; None while it is open
    deciding: Event | None
    #: when it is due, while it is pending and was told to wait
    waits_until: datetime | None

    @property
    def open(self) -> bool:
        return self.outcome is None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The events in order, and what they mean."""

    events: tuple[Event, ...]
    submissions: tuple[SubmissionState, ...]
    status: CallStatus
    outcome: CallStatus | None
    reason: str | None
    settled: bool
    disputed: bool
    #: None until known
    answered: bool | None
    attempts: int
    #: seconds, of the deciding record; None unless answered
    duration_s: int | None
    started_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None
    cancel_requested: bool
    recording_url: str | None
    dtmf: str | None
    charges: str | None


def fold(events: Iterable[Event], *, interval: int = 0) -> Timeline:
    """The timeline of one call. `interval`: minutes after which the provider redials by itself, 0 if it does not."""
    ordered = in_order(events)
    by_submission: dict[str, list[Event]] = {}
    for e in ordered:
        if e.submission is not None:
            by_submission.setdefault(e.submission, []).append(e)
    submissions = sorted((_submission(s, es, interval) for s, es in by_submission.items()), key=lambda s: (s.number, s.id))
    if not submissions:
        return _nothing_yet(ordered)

    latest = submissions[-1]
    deciding = next((s for s in reversed(submissions) if s.status is CallStatus.completed), latest)
    answered = deciding.status is CallStatus.completed
    cancel_requested = any(_says(e, Decided.cancel) for e in by_submission[latest.id])
    planned = None if answered or cancel_requested else _planned(by_submission[latest.id], latest)
    settled = planned is None and not any(s.open for s in submissions)
    told = _told(by_submission[deciding.id])
    decisive = deciding.deciding
    known = settled and deciding.outcome is not CallStatus.unknown
    return Timeline(
        events=tuple(ordered),
        submissions=tuple(submissions),
        status=deciding.status,
        outcome=deciding.outcome if settled else None,
        reason=deciding.reason,
        settled=settled,
        disputed=any(s.disputed for s in submissions),
        answered=True if answered else (False if known else None),
        attempts=len(submissions),
        duration_s=decisive.detail.get("duration_s") if answered and decisive else None,
        started_at=_started(by_submission[deciding.id], decisive),
        ended_at=decisive.at if decisive and decisive.dial else None,
        next_attempt_at=None if settled else (planned or latest.waits_until),
        cancel_requested=cancel_requested,
        recording_url=told.get("recording_url"),
        dtmf=told.get("dtmf"),
        charges=told.get("charges"),
    )


def in_order(events: Iterable[Event]) -> list[Event]:
    """Without repetitions, by attempt, dial (by its earliest time), stage, time, id.

    The stage goes before the time so that a wrong zone in a payload cannot turn the timeline round.
    """
    unique: dict[str, Event] = {}
    for e in events:
        known = unique.get(e.key)
        if known is None or (e.at, e.id) < (known.at, known.id):
            unique[e.key] = e
    began: dict[tuple[str | None, str], datetime] = {}
    for e in unique.values():
        if e.dial:
            at = began.get((e.submission, e.dial))
            began[e.submission, e.dial] = e.at if at is None else min(at, e.at)

    def place(e: Event) -> tuple[Any, ...]:
        # what concerns the whole submission comes before its first dial
        dial = (1, began[e.submission, e.dial], e.dial) if e.dial else (0, datetime.min, "")
        return (e.attempt, *dial, _stage(e), e.at, e.id, e.key)

    return sorted(unique.values(), key=place)


def _stage(e: Event) -> int:
    if e.type is EventType.decision:
        return 0
    if e.type is EventType.warning and e.reason == Reason.provider_unreachable:
        return 1  # stands among the tries to submit
    if e.type is not EventType.status or e.status is None:
        return len(_STAGES) + 2
    return len(_STAGES) + 1 if e.status.is_outcome else 1 + _STAGES.index(e.status)


def _submission(id: str, events: Sequence[Event], interval: int) -> SubmissionState:
    number = min(e.attempt for e in events)
    outcomes = [e for e in events if e.type is EventType.status and e.status is not None and e.status.is_outcome]
    deciding = min(outcomes, key=_precedence) if outcomes else None
    if deciding is None or deciding.status is None:
        status = _open_status(events)
        waits = _waits_until(events) if status is CallStatus.pending else None
        return SubmissionState(
            id=id, number=number, status=status, outcome=None, reason=_open_reason(events, status),
            disputed=False, deciding=None, waits_until=waits,
        )  # fmt: skip
    may_redial = (
        interval > 0
        and deciding.source in (Source.callback, Source.poll)
        and deciding.status is not CallStatus.completed
        and not any(e.reason == Reason.no_further_redial for e in events)
    )
    return SubmissionState(
        id=id,
        number=number,
        status=deciding.status,
        outcome=None if may_redial else deciding.status,
        reason=deciding.reason,
        disputed=deciding.source is not Source.operator and _contradicted(outcomes),
        deciding=deciding,
        waits_until=None,
    )


def _precedence(e: Event) -> tuple[Any, ...]:
    """Smallest decides: operator, completed, the failed record with the latest end, rejected, unknown."""
    if e.source is Source.operator:
        return (0, -e.at.timestamp(), 0, e.key)
    if e.status is CallStatus.completed:
        return (1, -e.at.timestamp(), 0, e.key)
    if e.status in _TIES:
        return (2, -e.at.timestamp(), _TIES.index(e.status), e.key)
    return (3 if e.status is CallStatus.rejected else 4, -e.at.timestamp(), 0, e.key)


def _contradicted(outcomes: Iterable[Event]) -> bool:
    """Two records of one dial with different outcomes."""
    said: dict[str, CallStatus | None] = {}
    return any(e.dial and said.setdefault(e.dial, e.status) is not e.status for e in outcomes)


def _open_status(events: Iterable[Event]) -> CallStatus:
    began, returned = set(), set()
    furthest = CallStatus.pending
    for e in events:
        if e.type is EventType.warning and e.reason == Reason.provider_unreachable:
            returned.add(e.detail.get("try"))
        elif e.type is EventType.status and e.status is CallStatus.submitting:
            began.add(e.detail.get("try"))
        elif e.type is EventType.status and e.status in OPEN and e.status in _STAGES:
            furthest = max(furthest, e.status, key=lambda s: _STAGES.index(s) if s in _STAGES else -1)
    if furthest is CallStatus.pending and began - returned:
        return CallStatus.submitting
    return furthest


def _open_reason(events: Iterable[Event], status: CallStatus) -> str | None:
    found = [e for e in events if e.type is EventType.status and e.status is status]
    return found[-1].reason if found else None


def _waits_until(events: Iterable[Event]) -> datetime | None:
    waits = [e for e in events if "until" in e.detail and not _says(e, Decided.resend)]
    last = max(waits, key=lambda e: (e.at, e.id), default=None)
    return from_iso(last.detail["until"]) if last else None


def _planned(events: Iterable[Event], latest: SubmissionState) -> datetime | None:
    """When the next attempt after the latest submission is due, if one is planned."""
    if latest.deciding is not None and latest.deciding.source is Source.operator:
        return None
    plans = [e for e in events if _says(e, Decided.resend)]
    return from_iso(plans[-1].detail["until"]) if plans else None


def _says(e: Event, decided: str) -> bool:
    return e.type is EventType.decision and e.detail.get("decision") == decided


def _started(events: Iterable[Event], deciding: Event | None) -> datetime | None:
    if deciding is not None:
        text = deciding.detail.get("started_at")
        return from_iso(text) if text else None
    starts = [e.at for e in events if e.status is CallStatus.initiated]
    return min(starts, default=None)


def _told(events: Iterable[Event]) -> Mapping[str, Any]:
    """What was said last of recording, input and charges."""
    told: dict[str, Any] = {}
    for e in events:
        told |= {k: e.detail[k] for k in ("recording_url", "dtmf", "charges") if e.detail.get(k) is not None}
    return told


def _nothing_yet(events: Sequence[Event]) -> Timeline:
    return Timeline(
        events=tuple(events), submissions=(), status=CallStatus.pending, outcome=None, reason=None, settled=False,
        disputed=False, answered=None, attempts=0, duration_s=None, started_at=None, ended_at=None,
        next_attempt_at=None, cancel_requested=False, recording_url=None, dtmf=None, charges=None,
    )  # fmt: skip

"""The timeline: the events of a call in order, and the status that follows from them.

`fold` is pure: the same set of events in any order, with any repetition, gives the same timeline. The status columns
in the database are a cache of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from tracker.domain import value
from tracker.domain.calls import OPEN_STATUSES, OUTCOMES, CallStatus, Reason
from tracker.domain.events import AtSource, Decision, Event, EventSource, EventType
from tracker.domain.time_text import from_iso

_STAGES = (
    CallStatus.pending,
    CallStatus.submitting,
    CallStatus.unconfirmed,
    CallStatus.queued,
    CallStatus.initiated,
    CallStatus.ringing,
    CallStatus.in_progress,
)
#: the stage of outcomes
_OVER = len(_STAGES)
_STAGE_OF = dict.fromkeys(OUTCOMES, _OVER) | {status: n for n, status in enumerate(_STAGES)}
#: among failed records that ended at the same moment, the first of these decides
_TIES = (CallStatus.busy, CallStatus.no_answer, CallStatus.canceled, CallStatus.failed)

_NUMBER_AND_ID = attrgetter("number", "id")

#: what the provider said; all else is said by us
_RECORDS = (EventSource.callback, EventSource.poll)


#: an operator's decisions about a callback stand after the outcome of the submission
_AFTERTHOUGHTS = (Decision.join_callback, Decision.ignore_callback)


@value
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
    #: whose times and duration count: the deciding event, or the provider's record that an operator's word confirms
    record: Event | None
    #: when it is due, while it is pending and was told to wait
    waits_until: datetime | None


@value
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
    placed = _placed(events)
    ordered = _by_id(placed)
    by_submission: dict[str, list[Event]] = {}
    # without the ids, which are drawn by chance: what the events mean must not hang on them
    for _, _, e in sorted(placed):
        if e.submission is not None:
            by_submission.setdefault(e.submission, []).append(e)
    submissions = [_submission(s, es, interval) for s, es in by_submission.items()]
    if not submissions:
        return _nothing_yet(ordered)
    submissions.sort(key=_NUMBER_AND_ID)

    latest = submissions[-1]
    completed = [s for s in submissions if s.status is CallStatus.completed]
    answered = bool(completed)
    deciding = completed[-1] if completed else latest
    decisions = [e for e in by_submission[latest.id] if e.type is EventType.decision]
    cancel_requested = any(_says(e, Decision.cancel) for e in decisions)
    planned = None if answered or cancel_requested else _planned(decisions, latest)
    outcomes = {s.outcome for s in submissions}
    settled = planned is None and None not in outcomes
    known = settled and CallStatus.unknown not in outcomes
    told = _told(by_submission[deciding.id])
    record = deciding.record
    return Timeline(
        events=tuple(ordered),
        submissions=tuple(submissions),
        status=deciding.status,
        outcome=deciding.outcome if settled else None,
        reason=deciding.reason,
        settled=settled,
        disputed=not _by_operator(deciding) and any(s.disputed for s in submissions),
        answered=True if answered else (False if known else None),
        attempts=len(submissions),
        duration_s=_duration(by_submission[deciding.id], record) if answered and record else None,
        started_at=_started(by_submission[deciding.id], record),
        ended_at=record.at if record and record.dial else None,
        next_attempt_at=None if settled else (planned or latest.waits_until),
        cancel_requested=cancel_requested,
        recording_url=told.get("recording_url"),
        dtmf=told.get("dtmf"),
        charges=told.get("charges"),
    )


def sort_events(events: Iterable[Event]) -> list[Event]:
    """Without repetitions, by attempt, dial (by its earliest time), stage, time, id.

    The stage goes before the time so that a wrong zone in a payload cannot turn the timeline round; and what concerns
    the submission as a whole stands before its first dial or, where it is how the submission ended, after its last.
    """
    return _by_id(_placed(events))


#: its place but for ties, its key, and itself; no two have the same key, so that they are in order without the event
_Placed = tuple[tuple[Any, ...], str, Event]


def _placed(events: Iterable[Event]) -> list[_Placed]:
    """The events without repetitions, each with its place."""
    unique: dict[str, Event] = {}
    for e in events:
        known = unique.setdefault(e.key, e)
        if known is not e and _first_said(e) < _first_said(known):
            unique[e.key] = e
    place = _places(unique.values())
    return [(place(e), key, e) for key, e in unique.items()]


def _by_id(placed: Iterable[_Placed]) -> list[Event]:
    return [e for _, _, e in sorted(placed, key=lambda p: (p[0], p[2].id, p[1]))]


def _first_said(e: Event) -> tuple[Any, ...]:
    return (e.at, e.callback or "", e.id)


def _places(events: Iterable[Event]) -> Callable[[Event], tuple[Any, ...]]:
    """The place of each event in the order, but for ties."""
    began: dict[tuple[str | None, str], datetime] = {}
    for e in events:
        if e.dial:
            at = began.get((e.submission, e.dial))
            began[e.submission, e.dial] = e.at if at is None else min(at, e.at)

    def place(e: Event) -> tuple[Any, ...]:
        stage = _stage(e)
        if e.type is EventType.decision and e.detail.get("decision") in _AFTERTHOUGHTS:
            return (e.attempt, 3, e.at)
        if e.dial:
            return (e.attempt, 1, began[e.submission, e.dial], e.dial, stage, e.at)
        return (e.attempt, 2 if stage == _OVER else 0, stage, e.at)

    return place


def _stage(e: Event) -> int:
    if e.type is EventType.status:
        return _OVER + 1 if e.status is None else _STAGE_OF[e.status]
    if e.type is EventType.decision:
        return 0
    if e.type is EventType.warning and e.reason == Reason.provider_unreachable:
        return _STAGE_OF[CallStatus.submitting]  # stands among the tries
    return _OVER + 1


def _submission(id: str, events: Sequence[Event], interval: int) -> SubmissionState:
    number = min([e.attempt for e in events])
    outcomes = [e for e in events if e.type is EventType.status and e.status in OUTCOMES]
    deciding = outcomes[0] if len(outcomes) == 1 else min(outcomes, key=_precedence, default=None)
    if deciding is None or deciding.status is None:
        status = _open_status(events)
        waits = _waits_until(events) if status is CallStatus.pending else None
        return SubmissionState(
            id=id, number=number, status=status, outcome=None, reason=_open_reason(events, status),
            disputed=False, deciding=None, record=None, waits_until=waits,
        )  # fmt: skip
    # once anybody but the provider has ended it, a later record may correct it, but opens it no more
    may_redial = (
        interval > 0
        and all(e.source in _RECORDS for e in outcomes)
        and deciding.status is not CallStatus.completed
        and not any(e.reason == Reason.no_further_redial for e in events)
    )
    return SubmissionState(
        id=id,
        number=number,
        status=deciding.status,
        outcome=None if may_redial else deciding.status,
        reason=deciding.reason,
        disputed=deciding.source is not EventSource.operator and _contradicted(outcomes),
        deciding=deciding,
        record=_record(deciding, outcomes),
        waits_until=None,
    )


def _record(deciding: Event, outcomes: Iterable[Event]) -> Event:
    if deciding.source is not EventSource.operator:
        return deciding
    confirmed = (e for e in outcomes if e.source in _RECORDS and e.status is deciding.status)
    return min(confirmed, key=_precedence, default=deciding)


def _precedence(e: Event) -> tuple[Any, ...]:
    """Smallest decides: operator, completed, the failed record with the latest end, rejected, unknown.

    Among answers the one that says how long it took goes first, then one with times of its own, then the latest.
    """
    if e.source is EventSource.operator:
        return (0, -e.at.timestamp(), 0, e.key)
    if e.status is CallStatus.completed:
        vague = 2 * (e.detail.get("duration_s") is None) + (e.at_source is not AtSource.provider)
        return (1, vague, -e.at.timestamp(), e.key)
    if e.status in _TIES:
        return (2, -e.at.timestamp(), _TIES.index(e.status), e.key)
    return (3 if e.status is CallStatus.rejected else 4, -e.at.timestamp(), 0, e.key)


def _contradicted(outcomes: Sequence[Event]) -> bool:
    """Two records of one dial with different outcomes."""
    if len(outcomes) < 2:
        return False
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
        elif e.type is EventType.status and e.status in OPEN_STATUSES:
            furthest = max(furthest, e.status, key=_STAGES.index)
    if furthest is CallStatus.pending and began - returned:
        return CallStatus.submitting
    return furthest


def _open_reason(events: Iterable[Event], status: CallStatus) -> str | None:
    found = [e for e in events if e.type is EventType.status and e.status is status]
    return found[-1].reason if found else None


def _waits_until(events: Iterable[Event]) -> datetime | None:
    waits = [
        e
        for e in events
        if _says(e, Decision.wait) or (e.detail.get("until") and not _says(e, Decision.resend))
    ]
    last = max(waits, key=_latest_wait, default=None)
    # while dialling is paused nobody knows until when
    return from_iso(until) if last and (until := last.detail.get("until")) else None


def _planned(decisions: Iterable[Event], latest: SubmissionState) -> datetime | None:
    """When the next attempt after the latest submission is due, if one is planned.

    The plan rests on the provider's refusal. It falls when a record shows that a phone did ring, when an operator
    has decided, and when it was called off since.
    """
    if latest.status is not CallStatus.rejected or _by_operator(latest):
        return None
    plan = max((e for e in decisions if _says(e, Decision.resend)), key=_latest_plan, default=None)
    if plan is None or any(_says(e, Decision.stop) and e.at >= plan.at for e in decisions):
        return None
    return from_iso(plan.detail["until"])


def _latest_plan(e: Event) -> tuple[datetime, datetime]:
    return (e.at, from_iso(e.detail["until"]))


def _latest_wait(e: Event) -> tuple[datetime, bool, datetime]:
    until = e.detail.get("until")
    return (e.at, until is None, from_iso(until) if until else e.at)


def _by_operator(s: SubmissionState) -> bool:
    return s.deciding is not None and s.deciding.source is EventSource.operator


def _says(e: Event, decided: str) -> bool:
    return e.type is EventType.decision and e.detail.get("decision") == decided


def _started(events: Iterable[Event], record: Event | None) -> datetime | None:
    """When the dial of this record began; while there is none, when the first one did."""
    if record is not None and (text := record.detail.get("started_at")):
        return from_iso(text)
    starts = (e for e in events if e.status is CallStatus.initiated)
    return min((e.at for e in starts if record is None or e.dial == record.dial), default=None)


def _duration(events: Iterable[Event], record: Event) -> int | None:
    """Seconds, as the record says or, where it does not, as a repeat of it added first."""
    told = record.detail.get("duration_s")
    if told is None:
        more = record.key.removesuffix("/record") + "/detail/"
        added = [e.detail.get("duration_s") for e in events if e.key.startswith(more)]
        told = next((seconds for seconds in added if seconds is not None), None)
    return told


def _told(events: Iterable[Event]) -> Mapping[str, Any]:
    """What was said last of recording, input and charges."""
    told: dict[str, Any] = {}
    for e in events:
        for k in ("recording_url", "dtmf", "charges"):
            if e.detail.get(k) is not None:
                told[k] = e.detail[k]
    return told


def _nothing_yet(events: Sequence[Event]) -> Timeline:
    return Timeline(
        events=tuple(events), submissions=(), status=CallStatus.pending, outcome=None, reason=None, settled=False,
        disputed=False, answered=None, attempts=0, duration_s=None, started_at=None, ended_at=None,
        next_attempt_at=None, cancel_requested=False, recording_url=None, dtmf=None, charges=None,
    )  # fmt: skip

"""Folds the events of a call into its timeline.

`fold` is pure: the same set of events in any order, with any repetition, gives the same timeline. The status columns
in the database are a cache of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from tracker.domain import value
from tracker.domain.calls import CallStatus
from tracker.domain.events import Decision, Event, EventType
from tracker.domain.time_text import from_iso
from tracker.domain.timeline.event_order import place_events, sort_by_place_and_id
from tracker.domain.timeline.submission_state import SubmissionState, fold_submission

_NUMBER_AND_ID = attrgetter("number", "id")


@value
class Timeline:
    """The events of a call in order, and the state that follows from them."""

    events: tuple[Event, ...]
    #: by number
    submissions: tuple[SubmissionState, ...]
    #: of the submission that decides: the answered one, else the latest
    status: CallStatus
    #: None until the call is settled
    outcome: CallStatus | None = None
    reason: str | None = None
    #: True if no submission is open and no further attempt is due
    settled: bool = False
    disputed: bool = False
    #: None until it is known
    answered: bool | None = None
    attempts: int = 0
    #: seconds, of the deciding record; None unless answered
    duration_s: int | None = None
    #: UTC
    started_at: datetime | None = None
    #: UTC
    ended_at: datetime | None = None
    #: UTC; None if the call is settled
    next_attempt_at: datetime | None = None
    cancel_requested: bool = False
    recording_url: str | None = None
    dtmf: str | None = None
    charges: str | None = None


def fold(events: Iterable[Event], *, interval: int = 0) -> Timeline:
    """Return the timeline of one call from its events.

    `interval` is in minutes: how long after a failed dial the provider redials, or 0 if it does not.
    """
    placed = place_events(events)
    ordered = tuple(sort_by_place_and_id(placed))
    events_of: dict[str, list[Event]] = {}
    # sorted without the ids: they are random, so the meaning of the events must not depend on them
    for _, _, e in sorted(placed):
        if e.submission is not None:
            events_of.setdefault(e.submission, []).append(e)
    if not events_of:
        return Timeline(events=ordered, submissions=(), status=CallStatus.pending)
    submissions = [fold_submission(id, es, interval=interval) for id, es in events_of.items()]
    submissions.sort(key=_NUMBER_AND_ID)

    latest = submissions[-1]
    completed = [s for s in submissions if s.status is CallStatus.completed]
    answered = bool(completed)
    deciding = completed[-1] if completed else latest
    decisions = [e for e in events_of[latest.id] if e.type is EventType.decision]
    cancel_requested = any(e.decision == Decision.cancel for e in decisions)
    resend_at = None if answered or cancel_requested else _planned_resend_at(decisions, latest)
    outcomes = {s.outcome for s in submissions}
    settled = resend_at is None and None not in outcomes
    is_known = settled and CallStatus.unknown not in outcomes
    details = _latest_details(events_of[deciding.id])
    record = deciding.record_event
    return Timeline(
        events=ordered,
        submissions=tuple(submissions),
        status=deciding.status,
        outcome=deciding.outcome if settled else None,
        reason=deciding.reason,
        settled=settled,
        disputed=not deciding.is_decided_by_operator and any(s.disputed for s in submissions),
        answered=True if answered else (False if is_known else None),
        attempts=len(submissions),
        duration_s=_duration_s(events_of[deciding.id], record) if answered and record else None,
        started_at=_started_at(events_of[deciding.id], record),
        ended_at=record.at if record and record.dial else None,
        next_attempt_at=None if settled else (resend_at or latest.waits_until),
        cancel_requested=cancel_requested,
        recording_url=details.get("recording_url"),
        dtmf=details.get("dtmf"),
        charges=details.get("charges"),
    )


def _planned_resend_at(decisions: Iterable[Event], latest: SubmissionState) -> datetime | None:
    """Return when the attempt after the latest submission is due, or None if none is planned.

    The plan rests on the provider's refusal. It falls if a record shows that a phone did ring, if an operator decided
    the outcome, or if a later decision stopped it.
    """
    if latest.status is not CallStatus.rejected or latest.is_decided_by_operator:
        return None
    plan = max((e for e in decisions if e.decision == Decision.resend), key=_plan_key, default=None)
    if plan is None or any(e.decision == Decision.stop and e.at >= plan.at for e in decisions):
        return None
    return from_iso(plan.detail["until"])


def _plan_key(e: Event) -> tuple[datetime, datetime]:
    return (e.at, from_iso(e.detail["until"]))


def _started_at(events: Iterable[Event], record: Event | None) -> datetime | None:
    """Return when the dial of this record began; without a record, when the first dial began."""
    if record is not None and (text := record.detail.get("started_at")):
        return from_iso(text)
    starts = (e for e in events if e.status is CallStatus.initiated)
    return min((e.at for e in starts if record is None or e.dial == record.dial), default=None)


def _duration_s(events: Iterable[Event], record: Event) -> int | None:
    """Return the duration of the record in seconds, or else the first that a repeat of it added."""
    duration_s: int | None = record.detail.get("duration_s")
    if duration_s is None:
        prefix = record.key.removesuffix("/record") + "/detail/"
        added = [e.detail.get("duration_s") for e in events if e.key.startswith(prefix)]
        duration_s = next((seconds for seconds in added if seconds is not None), None)
    return duration_s


def _latest_details(events: Iterable[Event]) -> Mapping[str, Any]:
    """Return the last recording, input and charges that the events name."""
    details: dict[str, Any] = {}
    for e in events:
        for name in ("recording_url", "dtmf", "charges"):
            if e.detail.get(name) is not None:
                details[name] = e.detail[name]
    return details

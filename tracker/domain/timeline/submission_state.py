"""Derives the status and the outcome of one submission from its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from tracker.domain import value
from tracker.domain.calls import OPEN_STATUSES, OUTCOMES, CallStatus, Reason
from tracker.domain.events import AtSource, Decision, Event, EventSource, EventType
from tracker.domain.time_text import from_iso
from tracker.domain.timeline.event_order import STAGE_OF

_PROVIDER_SOURCES = (EventSource.callback, EventSource.poll)

#: Of failed records that ended at the same moment, the first of these decides.
_TIE_ORDER = (CallStatus.busy, CallStatus.no_answer, CallStatus.canceled, CallStatus.failed)


@value
class SubmissionState:
    """The state of one submission as its events show it."""

    id: str
    #: in the order of the call's submissions, from 1
    number: int
    status: CallStatus
    #: None while the submission is open, or while the provider may redial
    outcome: CallStatus | None = None
    reason: str | None = None
    #: True if two records of one dial have different outcomes
    disputed: bool = False
    #: the event that decides the outcome; None while the submission is open
    deciding: Event | None = None
    #: the event whose times and duration count: `deciding`, or the provider's record that an operator confirmed
    record_event: Event | None = None
    #: UTC, the time of the next try; only while the submission is pending
    waits_until: datetime | None = None

    @property
    def is_decided_by_operator(self) -> bool:
        """Whether an operator gave the submission its outcome."""
        return self.deciding is not None and self.deciding.source is EventSource.operator


def fold_submission(id: str, events: Sequence[Event], *, interval: int) -> SubmissionState:
    """Return the state of a submission from its events, which must be in the order of their places.

    `interval` is in minutes: how long after a failed dial the provider redials, or 0 if it does not.
    """
    number = events[0].attempt  # the lowest, because a place begins with the attempt
    outcomes = [e for e in events if e.type is EventType.status and e.status in OUTCOMES]
    deciding = outcomes[0] if len(outcomes) == 1 else min(outcomes, key=_precedence, default=None)
    if deciding is None or deciding.status is None:
        status = _open_status(events)
        return SubmissionState(
            id=id,
            number=number,
            status=status,
            reason=_open_reason(events, status),
            waits_until=_waits_until(events) if status is CallStatus.pending else None,
        )
    # once an operator or the sender has ended it, a later record may correct the outcome but cannot reopen it
    may_redial = (
        interval > 0
        and all(e.source in _PROVIDER_SOURCES for e in outcomes)
        and deciding.status is not CallStatus.completed
        and not any(e.reason == Reason.no_further_redial for e in events)
    )
    return SubmissionState(
        id=id,
        number=number,
        status=deciding.status,
        outcome=None if may_redial else deciding.status,
        reason=deciding.reason,
        disputed=deciding.source is not EventSource.operator and _is_disputed(outcomes),
        deciding=deciding,
        record_event=_find_record_event(deciding, outcomes),
    )


def _precedence(e: Event) -> tuple[Any, ...]:
    """Return the sort key of an outcome. The smallest decides.

    The order is: an operator's outcome, completed, the failed record with the latest end, rejected, unknown. Of
    several completed records, one with a duration goes first, then one with times of its own, then the latest.
    """
    if e.source is EventSource.operator:
        return (0, -e.at.timestamp(), 0, e.key)
    if e.status is CallStatus.completed:
        vagueness = 2 * (e.detail.get("duration_s") is None) + (e.at_source is not AtSource.provider)
        return (1, vagueness, -e.at.timestamp(), e.key)
    if e.status in _TIE_ORDER:
        return (2, -e.at.timestamp(), _TIE_ORDER.index(e.status), e.key)
    return (3 if e.status is CallStatus.rejected else 4, -e.at.timestamp(), 0, e.key)


def _is_disputed(outcomes: Sequence[Event]) -> bool:
    if len(outcomes) < 2:
        return False
    outcome_of_dial: dict[str, CallStatus | None] = {}
    return any(e.dial and outcome_of_dial.setdefault(e.dial, e.status) is not e.status for e in outcomes)


def _find_record_event(deciding: Event, outcomes: Iterable[Event]) -> Event:
    if deciding.source is not EventSource.operator:
        return deciding
    confirmed = (e for e in outcomes if e.source in _PROVIDER_SOURCES and e.status is deciding.status)
    return min(confirmed, key=_precedence, default=deciding)


def _open_status(events: Iterable[Event]) -> CallStatus:
    begun_tries, returned_tries = set(), set()
    furthest = CallStatus.pending
    for e in events:
        if e.type is EventType.warning and e.reason == Reason.provider_unreachable:
            returned_tries.add(e.detail.get("try"))
        elif e.type is EventType.status and e.status is CallStatus.submitting:
            begun_tries.add(e.detail.get("try"))
        elif e.type is EventType.status and e.status in OPEN_STATUSES:
            furthest = max(furthest, e.status, key=STAGE_OF.__getitem__)
    if furthest is CallStatus.pending and begun_tries - returned_tries:
        return CallStatus.submitting
    return furthest


def _open_reason(events: Iterable[Event], status: CallStatus) -> str | None:
    reasons = [e.reason for e in events if e.type is EventType.status and e.status is status]
    return reasons[-1] if reasons else None


def _waits_until(events: Iterable[Event]) -> datetime | None:
    waits = [
        e
        for e in events
        if e.decision == Decision.wait or (e.detail.get("until") and e.decision != Decision.resend)
    ]
    latest = max(waits, key=_wait_key, default=None)
    # a wait without a time is a pause, and no event tells when it ends
    return from_iso(until) if latest and (until := latest.detail.get("until")) else None


def _wait_key(e: Event) -> tuple[datetime, bool, datetime]:
    until = e.detail.get("until")
    return (e.at, until is None, from_iso(until) if until else e.at)

"""Puts the events of a call in the order of its timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tracker.domain.calls import OUTCOMES, CallStatus, Reason
from tracker.domain.events import Decision, Event, EventType

_OPEN_STAGES = tuple(status for status in CallStatus if status not in OUTCOMES)
_OUTCOME_STAGE = len(_OPEN_STAGES)
#: status → its place in the life of a submission
STAGE_OF = {status: n for n, status in enumerate(_OPEN_STAGES)} | dict.fromkeys(OUTCOMES, _OUTCOME_STAGE)

#: an operator's decisions about a callback; they stand after the outcome of the submission
_AFTERTHOUGHTS = (Decision.join_callback, Decision.ignore_callback)

#: (place, key, event). No two have the same key, so sorting never compares events.
PlacedEvent = tuple[tuple[Any, ...], str, Event]


def sort_events(events: Iterable[Event]) -> list[Event]:
    """Return the events without repetitions, by attempt, dial (by its earliest time), stage, time and id.

    The stage goes before the time, so a wrong time zone in a payload cannot turn the timeline round. Events about the
    submission as a whole stand before its first dial, or after its last one if they tell how the submission ended.
    """
    return sort_by_place_and_id(place_events(events))


def sort_by_place_and_id(placed: Iterable[PlacedEvent]) -> list[Event]:
    """Return the events by place. Ids decide between events in the same place."""
    return [event for _, _, event in sorted(placed, key=lambda p: (p[0], p[2].id, p[1]))]


def place_events(events: Iterable[Event]) -> list[PlacedEvent]:
    """Return the events without repetitions, each with its place in the timeline.

    A place is everything in the order of `sort_events` except the id. Of several events with one key, the earliest
    counts.
    """
    unique: dict[str, Event] = {}
    for e in events:
        earlier = unique.setdefault(e.key, e)
        if earlier is not e and _age_key(e) < _age_key(earlier):
            unique[e.key] = e
    place_of = _make_place_function(unique.values())
    return [(place_of(e), key, e) for key, e in unique.items()]


def _age_key(e: Event) -> tuple[Any, ...]:
    return (e.at, e.callback or "", e.id)


def _make_place_function(events: Iterable[Event]) -> Callable[[Event], tuple[Any, ...]]:
    began: dict[tuple[str | None, str], datetime] = {}
    for e in events:
        if e.dial:
            at = began.get((e.submission, e.dial))
            began[e.submission, e.dial] = e.at if at is None else min(at, e.at)

    def place_of(e: Event) -> tuple[Any, ...]:
        stage = _stage_of(e)
        if e.type is EventType.decision and e.detail.get("decision") in _AFTERTHOUGHTS:
            return (e.attempt, 3, e.at)
        if e.dial:
            return (e.attempt, 1, began[e.submission, e.dial], e.dial, stage, e.at)
        return (e.attempt, 2 if stage == _OUTCOME_STAGE else 0, stage, e.at)

    return place_of


def _stage_of(e: Event) -> int:
    if e.type is EventType.status:
        return _OUTCOME_STAGE + 1 if e.status is None else STAGE_OF[e.status]
    if e.type is EventType.decision:
        return 0
    if e.type is EventType.warning and e.reason == Reason.provider_unreachable:
        return STAGE_OF[CallStatus.submitting]  # it stands among the tries
    return _OUTCOME_STAGE + 1

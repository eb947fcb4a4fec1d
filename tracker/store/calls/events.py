"""Stores the events of calls.

Only `tracker.lifecycle.timeline.call_state` writes them, while it holds the locks of their calls.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy.engine import Connection

from tracker.domain.calls import CallStatus
from tracker.domain.events import AtSource, Event, EventSource, EventType, MatchedBy
from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.ids import new_id
from tracker.store.schema import tables as t

_E = t.events.c
_EVENT: Final = (
    _E.id, _E.call_id, _E.key, _E.submission_id, _E.attempt, _E.dial, _E.type, _E.status, _E.at, _E.at_source,
    _E.source, _E.provider_status, _E.reason, _E.matched_by, _E.callback_id, _E.detail, _E.recorded_at, _E.withdrawn,
)  # fmt: skip
# looked up by value, because `EventType(…)` is a call into Python, and a batch has thousands of events
_STATUSES: Final = {status.value: status for status in CallStatus}
_TYPES: Final = {type.value: type for type in EventType}
_SOURCES: Final = {source.value: source for source in EventSource}
_AT_SOURCES: Final = {source.value: source for source in AtSource}
_MATCHES: Final = {match.value: match for match in MatchedBy}


def load_events(connection: Connection, call_ids: Collection[str]) -> dict[str, list[tuple[Event, bool]]]:
    """Return all events of these calls in no order, each with whether it is withdrawn."""
    events: dict[str, list[tuple[Event, bool]]] = {id: [] for id in call_ids}
    for row in bulk.select(connection, _EVENT, _E.call_id, call_ids):
        events[row[1]].append((_event(row), row[-1]))
    return events


def insert_events(connection: Connection, events: Sequence[Event], now: datetime) -> list[Event]:
    """Insert events and return them as they are stored. One that has an id keeps it and its `recorded_at`."""
    stored = [e if e.id else replace(e, id=new_id("ev"), recorded_at=now) for e in events]
    if stored:
        recorded = [e.recorded_at or now for e in stored]
        bulk.insert(connection, t.events, {**event_columns(stored), "recorded_at": recorded})
    return stored


def set_withdrawn(connection: Connection, ids: Collection[str], is_withdrawn: bool) -> None:
    """Take events out of their timelines, or back in."""
    for part in chunks(ids):
        connection.execute(t.events.update().where(_E.id.in_(part)).values(withdrawn=is_withdrawn))


def delete_events(connection: Connection, ids: Collection[str]) -> None:
    """Delete events, to insert them again with the same ids."""
    for part in chunks(ids):
        connection.execute(t.events.delete().where(_E.id.in_(part)))


def event_columns(events: Sequence[Event]) -> dict[str, list[Any]]:
    """Return events by column, except `recorded_at`. Those without an id get one."""
    # `str` and not `.value`, which is a call into Python for each member
    return {
        "id": [e.id or new_id("ev") for e in events],
        "call_id": [e.call for e in events],
        "key": [e.key for e in events],
        "submission_id": [e.submission for e in events],
        "attempt": [e.attempt for e in events],
        "dial": [e.dial for e in events],
        "type": [str(e.type) for e in events],
        "status": [str(e.status) if e.status else None for e in events],
        "at": [e.at for e in events],
        "at_source": [str(e.at_source) for e in events],
        "source": [str(e.source) for e in events],
        "provider_status": [e.provider_status for e in events],
        "reason": [str(e.reason) if e.reason else None for e in events],
        "matched_by": [str(e.matched_by) if e.matched_by else None for e in events],
        "callback_id": [e.callback for e in events],
        "detail": [dict(e.detail) for e in events],
        "withdrawn": [False] * len(events),
    }


def _event(row: tuple[Any, ...]) -> Event:
    (
        id, call, key, submission, attempt, dial, type, status, at, at_source, source,
        provider_status, reason, matched_by, callback, detail, recorded_at, _is_withdrawn,
    ) = row  # fmt: skip
    return Event(
        key=key, id=id, call=call, submission=submission, attempt=attempt, dial=dial, type=_TYPES[type],
        status=_STATUSES[status] if status else None, at=at, at_source=_AT_SOURCES[at_source], source=_SOURCES[source],
        provider_status=provider_status, reason=reason, matched_by=_MATCHES[matched_by] if matched_by else None,
        callback=callback, detail=detail, recorded_at=recorded_at,
    )  # fmt: skip

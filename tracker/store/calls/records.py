"""Reads and writes calls in the ways that only the joiner's fast path needs; it goes with that path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from tracker.domain import value
from tracker.domain.timeline.fold import Timeline
from tracker.domain.timeline.submission_state import SubmissionState
from tracker.store.calls.calls import for_update, status_columns
from tracker.store.calls.calls import lock_calls as lock_calls
from tracker.store.calls.events import event_columns as event_columns
from tracker.store.calls.events import load_events as events_of
from tracker.store.calls.submissions import find_submission as find_submission
from tracker.store.calls.submissions import find_submissions as submissions_of
from tracker.store.engine import bulk
from tracker.store.schema import tables as t

__all__ = ["events_of", "submissions_of"]

_E = t.events.c
_C = t.calls.c
#: the last of them are all false or NULL where a call was accepted and no more
_LOCKED = (
    *(_C.id, _C.interval, _C.created_at, _C.charges, _C.status, _C.attempts),
    *(_C.settled, _C.disputed, _C.cancel_requested, _C.next_attempt_at, _C.recording_url, _C.dtmf),
)


@value
class CallForUpdate:
    """A call whose row is locked, as far as its timeline hangs on it."""

    #: minutes, as in `Call`
    interval: int | None
    #: UTC
    created_at: datetime
    #: as the provider named them
    charges: str | None
    #: by its cache, its first submission was accepted, and that is all
    only_accepted: bool


@value
class Attempt:
    """A submission as far as its events hang on it."""

    id: str
    call: str
    #: minutes
    interval: int
    #: from 1
    number: int


def lock(connection: Connection, ids: Collection[str]) -> dict[str, CallForUpdate]:
    """The same without what was asked for, for whoever has many."""
    return peek_calls(connection, ids, also=for_update(connection))


def peek_calls(connection: Connection, ids: Collection[str], *, also: str = "") -> dict[str, CallForUpdate]:
    """The same without locking them."""
    return {
        id: CallForUpdate(
            interval=interval, created_at=created_at, charges=charges,
            only_accepted=status == "queued" and attempts == 1 and not any(more),
        )
        for id, interval, created_at, charges, status, attempts, *more in bulk.select(
            connection, _LOCKED, _C.id, ids, also=also
        )
    }  # fmt: skip


def only_accepted_calls(connection: Connection, calls: Mapping[str, CallForUpdate]) -> set[str]:
    """Of these calls, those of which nothing is known but that their first submission was sent and accepted: that are
    three events, and there is no other."""
    ids = [id for id, call in calls.items() if call.only_accepted]
    three = bulk.select(
        connection, (_E.call_id,), _E.call_id, ids, also=" GROUP BY call_id HAVING count(*) = 3"
    )
    return {id for (id,) in three}


def attempts_of(connection: Connection, call_ids: Collection[str]) -> dict[str, Attempt]:
    """The submissions of these calls by their ids, as far as events hang on them."""
    s = t.submissions.c
    return {
        id: Attempt(id=id, call=call, interval=interval, number=number)
        for id, call, interval, number in bulk.select(
            connection, (s.id, s.call_id, s.interval, s.number), s.call_id, call_ids
        )
    }


def call_columns(timelines: Mapping[str, Timeline]) -> dict[str, list[Any]]:
    """The caches of calls by column, as their table has them, but for when they are written."""
    rows = [status_columns(timeline) for timeline in timelines.values()]
    return {"id": list(timelines), **{name: [row[name] for row in rows] for name in rows[0]}}


def submission_columns(states: Collection[SubmissionState]) -> dict[str, list[Any]]:
    """The caches of submissions by column, as their table has them."""
    return {
        "id": [s.id for s in states],
        "status": [str(s.status) for s in states],
        "outcome": [str(s.outcome) if s.outcome else None for s in states],
        "reason": [str(s.reason) if s.reason else None for s in states],
    }

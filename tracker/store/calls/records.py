"""Calls, submissions and events: written and read in sets.

Nothing here decides anything; `tracker.lifecycle.timeline.call_state` says what is written, and locks first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain import value
from tracker.domain.calls import Call, CallStatus, Submission, Trigger
from tracker.domain.events import AtSource, Event, EventSource, EventType, MatchedBy
from tracker.domain.timeline.fold import Timeline
from tracker.domain.timeline.submission_state import SubmissionState
from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.ids import new_id
from tracker.store.schema import tables as t

_E = t.events.c
_EVENT = (
    _E.id, _E.call_id, _E.key, _E.submission_id, _E.attempt, _E.dial, _E.type, _E.status, _E.at, _E.at_source,
    _E.source, _E.provider_status, _E.reason, _E.matched_by, _E.callback_id, _E.detail, _E.recorded_at, _E.withdrawn,
)  # fmt: skip
_C = t.calls.c
_CALL = (_C.id, _C.created_at, *(_C[column] for column in t.WISH_COLUMNS.values()))
_S = t.submissions.c
_SUBMISSION = (
    _S.id, _S.call_id, _S.account, _S.to, _S.bridge, _S.flow_id, _S.interval, _S.number, _S.trigger, _S.status,
    _S.outcome, _S.lane, _S.provider_id, _S.refused, _S.tries, _S.owner, _S.lease_until, _S.requested_at,
    _S.accepted_at, _S.created_at,
)  # fmt: skip
#: the last of them are all false or NULL where a call was accepted and no more
_LOCKED = (
    *(_C.id, _C.interval, _C.created_at, _C.charges, _C.status, _C.attempts),
    *(_C.settled, _C.disputed, _C.cancel_requested, _C.next_attempt_at, _C.recording_url, _C.dtmf),
)
# the members by their words: a hundred thousand times, an enum's own call is dear
_STATUSES = {s.value: s for s in CallStatus}
_TRIGGERS = {trigger.value: trigger for trigger in Trigger}
_TYPES = {e.value: e for e in EventType}
_SOURCES = {s.value: s for s in EventSource}
_AT_SOURCES = {s.value: s for s in AtSource}
_MATCHES = {m.value: m for m in MatchedBy}


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


def insert_call(connection: Connection, call: Call, secrets: Mapping[str, str], timeline: Timeline) -> None:
    """A new call with its cache, and its secret variables aside."""
    wish = {column: getattr(call, field) for field, column in t.WISH_COLUMNS.items()}
    row = {
        **wish,
        **_cache(timeline),
        "id": call.id,
        "created_at": call.created_at,
        "updated_at": call.created_at,
    }
    connection.execute(t.calls.insert(), row)
    if secrets:
        connection.execute(t.call_secrets.insert(), {"call_id": call.id, "variables": dict(secrets)})


def secrets_of(connection: Connection, call_id: str) -> dict[str, str]:
    """The secret variables of a call in the clear; empty once they were sent."""
    found = connection.scalar(
        sa.select(t.call_secrets.c.variables).where(t.call_secrets.c.call_id == call_id)
    )
    return dict(found or {})


def erase_secrets(connection: Connection, call_id: str) -> None:
    connection.execute(t.call_secrets.delete().where(t.call_secrets.c.call_id == call_id))


def insert_submission(connection: Connection, submission: Submission) -> None:
    connection.execute(
        t.submissions.insert(),
        {
            "id": submission.id,
            "call_id": submission.call,
            "account": submission.account,
            "to": submission.to,
            "bridge": submission.bridge,
            "flow_id": submission.flow_id,
            "interval": submission.interval,
            "number": submission.number,
            "trigger": submission.trigger.value,
            "lane": submission.lane,
            "status": submission.status.value,
            "outcome": None,
            "reason": None,
            "refused": submission.refused,
            "tries": submission.tries,
            "created_at": submission.created_at,
        },
    )


def lock_calls(connection: Connection, ids: Collection[str]) -> dict[str, Call]:
    """Lock the rows of these calls in the order of their ids until the transaction ends, and return the calls."""
    rows = bulk.select(connection, _CALL, _C.id, ids, also=_for_update(connection))
    return {row[0]: _call_of(row) for row in rows}


def lock_calls_of(connection: Connection, submission_ids: Collection[str]) -> dict[str, Call]:
    """Lock the calls of these submissions as `lock_calls` does, and return them by their own ids."""
    through = (_S.call_id, _S.id)
    rows = bulk.select(
        connection, _CALL, _C.id, submission_ids, through=through, also=_for_update(connection)
    )
    return {row[0]: _call_of(row) for row in rows}


def _for_update(connection: Connection) -> str:
    # SQLite's write transaction is the lock
    return " ORDER BY id FOR UPDATE" if connection.dialect.name == "postgresql" else ""


def lock(connection: Connection, ids: Collection[str]) -> dict[str, CallForUpdate]:
    """The same without what was asked for, for whoever has many."""
    return peek_calls(connection, ids, also=_for_update(connection))


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


def _call_of(row: tuple[Any, ...]) -> Call:
    id, created_at, *wish = row
    return Call(**dict(zip(t.WISH_COLUMNS, wish, strict=True)), id=id, created_at=created_at)


def submissions_of(connection: Connection, call_ids: Collection[str]) -> list[Submission]:
    """Return all submissions of these calls, by number."""
    rows = bulk.select(connection, _SUBMISSION, _S.call_id, call_ids)
    return sorted((_submission_of(row) for row in rows), key=lambda s: s.number)


def attempts_of(connection: Connection, call_ids: Collection[str]) -> dict[str, Attempt]:
    """The submissions of these calls by their ids, as far as events hang on them."""
    return {
        id: Attempt(id=id, call=call, interval=interval, number=number)
        for id, call, interval, number in bulk.select(
            connection, (_S.id, _S.call_id, _S.interval, _S.number), _S.call_id, call_ids
        )
    }


def find_submission(connection: Connection, id: str) -> Submission | None:
    """Return the submission of this id, without a lock."""
    rows = bulk.select(connection, _SUBMISSION, _S.id, [id])
    return _submission_of(rows[0]) if rows else None


def _submission_of(row: tuple[Any, ...]) -> Submission:
    (
        id, call, account, to, bridge, flow_id, interval, number, trigger, status, outcome, lane, provider_id, refused,
        tries, owner, lease_until, requested_at, accepted_at, created_at,
    ) = row  # fmt: skip
    return Submission(
        id=id, call=call, account=account, to=to, bridge=bridge, flow_id=flow_id, interval=interval, number=number,
        trigger=_TRIGGERS[trigger], status=_STATUSES[status], outcome=_STATUSES[outcome] if outcome else None,
        lane=lane, submission_id=provider_id, refused=refused, tries=tries, owner=owner, lease_until=lease_until,
        requested_at=requested_at, accepted_at=accepted_at, created_at=created_at,
    )  # fmt: skip


def update_submission(connection: Connection, id: str, **values: Any) -> None:
    """Set columns of one submission; the caller holds the lock of its call."""
    connection.execute(t.submissions.update().where(t.submissions.c.id == id).values(**values))


def begin_submitting(
    connection: Connection, id: str, *, owner: str, lease_until: datetime, now: datetime, tries: int
) -> bool:
    """`pending → submitting` as one conditional update; False where somebody else was first."""
    s = t.submissions
    done = connection.execute(
        s.update()
        .where(s.c.id == id, s.c.status == CallStatus.pending.value, s.c.owner.is_(None))
        .values(owner=owner, lease_until=lease_until, requested_at=now, tries=tries)
    )
    return done.rowcount == 1


def ended_leases(connection: Connection, now: datetime, limit: int = 100) -> list[str]:
    """Return the submissions whose sender did not record an answer within its lease."""
    query = (
        sa.select(_S.id)
        .where(_S.lease_until.is_not(None), _S.lease_until < now)
        .order_by(_S.lease_until)
        .limit(limit)
    )
    return list(connection.scalars(query))


def events_of(connection: Connection, call_ids: Collection[str]) -> dict[str, list[tuple[Event, bool]]]:
    """All events of these calls, each with whether it is withdrawn; in no order."""
    found: dict[str, list[tuple[Event, bool]]] = {id: [] for id in call_ids}
    for row in bulk.select(connection, _EVENT, _E.call_id, call_ids):
        found[row[1]].append((_event_of(row), row[-1]))
    return found


def _event_of(row: tuple[Any, ...]) -> Event:
    (
        id, call, key, submission, attempt, dial, type, status, at, at_source, source,
        word, reason, matched_by, callback, detail, recorded_at, _withdrawn,
    ) = row  # fmt: skip
    return Event(
        key=key, id=id, call=call, submission=submission, attempt=attempt, dial=dial, type=_TYPES[type],
        status=_STATUSES[status] if status else None, at=at, at_source=_AT_SOURCES[at_source], source=_SOURCES[source],
        provider_status=word, reason=reason, matched_by=_MATCHES[matched_by] if matched_by else None, callback=callback,
        detail=detail, recorded_at=recorded_at,
    )  # fmt: skip


def insert_events(connection: Connection, events: Sequence[Event], now: datetime) -> list[Event]:
    """Add events; gives them back as they are stored. One that has an id already keeps it and its `recorded_at`."""
    stored = [e if e.id else replace(e, id=new_id("ev"), recorded_at=now) for e in events]
    if stored:
        recorded = [e.recorded_at or now for e in stored]
        bulk.insert(connection, t.events, {**event_columns(stored), "recorded_at": recorded})
    return stored


def event_columns(events: Sequence[Event]) -> dict[str, list[Any]]:
    """Events by column, as their table has them, but for when they are recorded; those that have no id get theirs."""
    return {  # words by `str`: an enum's own `value` is a call into Python
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


def set_withdrawn(connection: Connection, ids: Collection[str], withdrawn: bool) -> None:
    """Take events out of their timeline, or back in."""
    for part in chunks(ids):
        connection.execute(t.events.update().where(t.events.c.id.in_(part)).values(withdrawn=withdrawn))


def delete_events(connection: Connection, ids: Collection[str]) -> None:
    for part in chunks(ids):
        connection.execute(t.events.delete().where(t.events.c.id.in_(part)))


def _cache(timeline: Timeline) -> dict[str, Any]:
    return {
        "status": str(timeline.status),
        "outcome": str(timeline.outcome) if timeline.outcome else None,
        "reason": str(timeline.reason) if timeline.reason else None,
        "settled": timeline.settled,
        "disputed": timeline.disputed,
        "answered": timeline.answered,
        "attempts": timeline.attempts,
        "duration_s": timeline.duration_s,
        "started_at": timeline.started_at,
        "ended_at": timeline.ended_at,
        "next_attempt_at": timeline.next_attempt_at,
        "cancel_requested": timeline.cancel_requested,
        "recording_url": timeline.recording_url,
        "dtmf": timeline.dtmf,
        "charges": timeline.charges,
    }


def write_calls(connection: Connection, timelines: Mapping[str, Timeline], now: datetime) -> None:
    """Write the caches of these calls back."""
    if timelines:
        bulk.update(connection, t.calls, {**call_columns(timelines), "updated_at": [now] * len(timelines)})


def call_columns(timelines: Mapping[str, Timeline]) -> dict[str, list[Any]]:
    """The caches of calls by column, as their table has them, but for when they are written."""
    caches = [_cache(timeline) for timeline in timelines.values()]
    columns: dict[str, list[Any]] = {name: [cache[name] for cache in caches] for name in caches[0]}
    return {"id": list(timelines), **columns}


def write_submissions(
    connection: Connection,
    states: Iterable[SubmissionState],
    columns: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Write the caches of these submissions back, and further columns (submission → column → value).

    The calls of all of them are locked.
    """
    rows: dict[str, dict[str, Any]] = {s.id: _submission_cache(s) for s in states}
    for id, values in columns.items():
        rows[id] = {**rows.get(id, {}), **values}
    alike: dict[tuple[str, ...], list[str]] = {}
    for id, values in rows.items():
        alike.setdefault(tuple(sorted(values)), []).append(id)
    for names, ids in alike.items():
        by_column = {name: [rows[id][name] for id in ids] for name in names}
        bulk.update(connection, t.submissions, {"id": ids, **by_column})


def _submission_cache(state: SubmissionState) -> dict[str, Any]:
    return {
        "status": str(state.status),
        "outcome": str(state.outcome) if state.outcome else None,
        "reason": str(state.reason) if state.reason else None,
    }


def submission_columns(states: Collection[SubmissionState]) -> dict[str, list[Any]]:
    """The caches of submissions by column, as their table has them."""
    return {
        "id": [s.id for s in states],
        "status": [str(s.status) for s in states],
        "outcome": [str(s.outcome) if s.outcome else None for s in states],
        "reason": [str(s.reason) if s.reason else None for s in states],
    }

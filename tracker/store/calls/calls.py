"""Stores calls: their wishes, and the status columns that cache what their events mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.engine import Connection

from tracker.domain.calls import Call
from tracker.domain.timeline.fold import Timeline
from tracker.store.engine import bulk
from tracker.store.schema import tables as t

_C = t.calls.c
_CALL: Final = (_C.id, _C.created_at, *(_C[column] for column in t.WISH_COLUMNS.values()))


def insert_call(connection: Connection, call: Call, timeline: Timeline) -> None:
    """Insert a call with the status that its timeline says."""
    wish = {column: getattr(call, field) for field, column in t.WISH_COLUMNS.items()}
    times = {"created_at": call.created_at, "updated_at": call.created_at}
    connection.execute(t.calls.insert(), {"id": call.id, **wish, **times, **status_columns(timeline)})


def lock_calls(connection: Connection, ids: Collection[str]) -> dict[str, Call]:
    """Lock the rows of these calls in the order of their ids until the transaction ends, and return the calls."""
    rows = bulk.select(connection, _CALL, _C.id, ids, also=for_update(connection))
    return {row[0]: _call(row) for row in rows}


def lock_calls_of_submissions(connection: Connection, submission_ids: Collection[str]) -> dict[str, Call]:
    """Lock the calls of these submissions as `lock_calls` does, and return them by their own ids."""
    through = (t.submissions.c.call_id, t.submissions.c.id)
    rows = bulk.select(connection, _CALL, _C.id, submission_ids, through=through, also=for_update(connection))
    return {row[0]: _call(row) for row in rows}


def for_update(connection: Connection) -> str:
    """Return the end of a statement that locks the calls it selects, for `bulk.select`."""
    # on SQLite the write transaction is the lock
    return " ORDER BY id FOR UPDATE" if connection.dialect.name == "postgresql" else ""


def update_calls(connection: Connection, timelines: Mapping[str, Timeline], now: datetime) -> None:
    """Write the status columns of locked calls (call → its timeline)."""
    if timelines:
        rows = [status_columns(timeline) for timeline in timelines.values()]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        bulk.update(
            connection, t.calls, {"id": list(timelines), **columns, "updated_at": [now] * len(timelines)}
        )


def status_columns(timeline: Timeline) -> dict[str, Any]:
    """Return the values of a call's status columns."""
    # `str` and not `.value`, which is a call into Python for each member
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


def _call(row: tuple[Any, ...]) -> Call:
    id, created_at, *wish = row
    return Call(**dict(zip(t.WISH_COLUMNS, wish, strict=True)), id=id, created_at=created_at)

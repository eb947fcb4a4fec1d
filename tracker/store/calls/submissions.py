"""Stores submissions: the attempts of calls, with their leases and their ids at the provider."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.calls import OPEN_STATUSES, CallStatus, Submission, Trigger
from tracker.domain.timeline.submission_state import SubmissionState
from tracker.store.engine import bulk
from tracker.store.schema import tables as t

_S = t.submissions.c
#: the columns of a submission (field → column)
_COLUMNS: Final = {field.name: field.name for field in fields(Submission)} | {
    "call": "call_id",
    "submission_id": "provider_id",
}
_SUBMISSION: Final = tuple(_S[column] for column in _COLUMNS.values())
# looked up by value, because `CallStatus(…)` is a call into Python
_STATUSES: Final = {status.value: status for status in CallStatus}
_TRIGGERS: Final = {trigger.value: trigger for trigger in Trigger}


def insert_submission(connection: Connection, submission: Submission) -> None:
    """Insert a submission; its call is locked, or new."""
    row = {column: getattr(submission, field) for field, column in _COLUMNS.items()}
    words = {name: str(row[name]) if row[name] else None for name in ("trigger", "status", "outcome")}
    connection.execute(t.submissions.insert(), {**row, **words})


def find_submissions(connection: Connection, call_ids: Collection[str]) -> list[Submission]:
    """Return all submissions of these calls, by number."""
    rows = bulk.select(connection, _SUBMISSION, _S.call_id, call_ids)
    return sorted((_submission(row) for row in rows), key=lambda s: s.number)


def find_submission(connection: Connection, id: str) -> Submission | None:
    """Return a submission, without a lock."""
    rows = bulk.select(connection, _SUBMISSION, _S.id, [id])
    return _submission(rows[0]) if rows else None


def find_ended_leases(connection: Connection, now: datetime, limit: int = 100) -> list[str]:
    """Return the ids of submissions whose sender did not record an answer within its lease."""
    query = (
        sa.select(_S.id)
        .where(_S.lease_until.is_not(None), _S.lease_until < now)
        .order_by(_S.lease_until)
        .limit(limit)
    )
    return list(connection.scalars(query))


def find_pollable_submissions(connection: Connection, account: str, since: datetime) -> list[str]:
    """Return the ids of an account's open submissions that were requested since then and have a provider's id."""
    query = select_open_submissions(_S.id).where(
        _S.account == account,
        _S.requested_at >= since,
        _S.provider_id.is_not(None),
        _S.status.in_([status.value for status in OPEN_STATUSES]),
    )
    return list(connection.scalars(query))


def select_open_submissions(*columns: Any) -> sa.Select[Any]:
    """Select these columns of the submissions of all calls that are not settled.

    An open submission never belongs to a settled call. Calls that are not settled are few, however many are over.
    """
    c = t.calls.c
    return (
        sa.select(*columns)
        .select_from(t.calls.join(t.submissions, _S.call_id == c.id))
        .where(c.status.in_([status.value for status in CallStatus]), c.settled.is_(False))
        .with_hint(t.calls, "INDEXED BY ix_calls_status", "sqlite")
        .with_hint(t.submissions, "INDEXED BY uq_submissions_call", "sqlite")
    )


def begin_submitting(
    connection: Connection, id: str, *, owner: str, lease_until: datetime, now: datetime, tries: int
) -> bool:
    """Give a pending submission an owner with a lease, in one conditional update.

    Return False if another process was first.
    """
    done = connection.execute(
        t.submissions.update()
        .where(_S.id == id, _S.status == CallStatus.pending.value, _S.owner.is_(None))
        .values(owner=owner, lease_until=lease_until, requested_at=now, tries=tries)
    )
    return done.rowcount == 1


def update_submissions(
    connection: Connection,
    states: Iterable[SubmissionState],
    columns: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Write the status columns of submissions whose calls are locked.

    columns: other columns to write (submission → column → value), also of submissions without a state.
    """
    rows: dict[str, dict[str, Any]] = {s.id: _status_columns(s) for s in states}
    for id, values in columns.items():
        rows[id] = {**rows.get(id, {}), **values}
    alike: dict[tuple[str, ...], list[str]] = {}
    for id, row in rows.items():
        alike.setdefault(tuple(row), []).append(id)
    for names, ids in alike.items():
        by_column = {name: [rows[id][name] for id in ids] for name in names}
        bulk.update(connection, t.submissions, {"id": ids, **by_column})


def _status_columns(state: SubmissionState) -> dict[str, Any]:
    return {
        "status": str(state.status),
        "outcome": str(state.outcome) if state.outcome else None,
        "reason": str(state.reason) if state.reason else None,
    }


def _submission(row: tuple[Any, ...]) -> Submission:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["trigger"] = _TRIGGERS[values["trigger"]]
    values["status"] = _STATUSES[values["status"]]
    values["outcome"] = _STATUSES[values["outcome"]] if values["outcome"] else None
    return Submission(**values)

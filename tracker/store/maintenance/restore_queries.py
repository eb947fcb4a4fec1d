"""Finds what was open when a backup was made, in pages, because the tables may be large."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.calls import OPEN_STATUSES, CallStatus
from tracker.store.queue import jobs
from tracker.store.schema import tables as t

_NOT_SENT = (CallStatus.pending.value, CallStatus.submitting.value)
_OPEN = [status.value for status in OPEN_STATUSES]


def maybe_dialled(connection: Connection, after: str, limit: int, now: datetime) -> list[tuple[str, str]]:
    """Return the next submissions after an id that were waiting or being sent, as (id, call).

    Those whose time has not come yet are left out, because they cannot have been dialled.
    """
    s, c = t.submissions.c, t.calls.c
    query = (
        sa.select(s.id, s.call_id)
        .join(t.calls, c.id == s.call_id)
        .where(s.id > after, s.status.in_(_NOT_SENT))
        .where(sa.or_(s.status != CallStatus.pending.value, c.not_before.is_(None), c.not_before <= now))
        .order_by(s.id)
        .limit(limit)
    )
    return [(row.id, row.call_id) for row in connection.execute(query)]


def rate_limited_awaiting_resend(connection: Connection, limit: int) -> list[str]:
    """Return the refused submissions whose calls are to get a new one."""
    j = t.jobs.c
    query = sa.select(j.subject).where(j.kind == jobs.RESEND).order_by(j.subject).limit(limit)
    return list(connection.scalars(query))


def open_with_provider_id(connection: Connection, after: str, limit: int) -> list[tuple[str, str]]:
    """Return the next open submissions after an id that the provider gave an id, as (id, account)."""
    s = t.submissions.c
    query = (
        sa.select(s.id, s.account)
        .where(
            s.id > after,
            s.provider_id.is_not(None),
            sa.or_(s.status.in_(_OPEN), s.outcome.is_(None)),
        )
        .order_by(s.id)
        .limit(limit)
    )
    return [(row.id, row.account) for row in connection.execute(query)]


def count_pending(connection: Connection) -> int:
    """Return how many submissions are pending."""
    s = t.submissions.c
    query = sa.select(sa.func.count()).where(s.status == CallStatus.pending.value)
    return int(connection.execute(query).scalar_one())


def newest_time(connection: Connection) -> datetime | None:
    """Return the time of the newest event or callback in the records; None if there is none."""
    e, c = t.events.c, t.callbacks.c
    # ids rise with time
    last = [
        connection.scalar(sa.select(column).order_by(id.desc()).limit(1))
        for column, id in ((e.recorded_at, e.id), (c.received_at, c.id))
    ]
    return max((at for at in last if at is not None), default=None)

"""Open submissions, found through the calls that are not settled: those are few, however many are over."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tracker.domain.calls import CallStatus
from tracker.store.schema import tables as t

_C, _S = t.calls.c, t.submissions.c


def select(*columns: Any) -> sa.Select[Any]:
    """These columns of the submissions of all calls that are not settled; an open one is never a settled call's."""
    return (
        sa.select(*columns)
        .select_from(t.calls.join(t.submissions, _S.call_id == _C.id))
        .where(_C.status.in_([status.value for status in CallStatus]), _C.settled.is_(False))
        .with_hint(t.calls, "INDEXED BY ix_calls_status", "sqlite")
        .with_hint(t.submissions, "INDEXED BY uq_submissions_call", "sqlite")
    )

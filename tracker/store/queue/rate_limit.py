"""Limits how many dials of an account leave per second, over all processes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.time_text import from_iso, iso
from tracker.store.engine.upsert import insert_if_absent
from tracker.store.queue import jobs
from tracker.store.schema import tables as t

#: dials that may leave in one moment, however fast an account may dial
_MAX_BURST: Final = 50


def acquire_dial_slot(
    connection: Connection, account: str, calls_per_second: float, now: datetime, *, is_reserved: bool
) -> datetime | None:
    """Return None if the dial may leave now, else the moment that is reserved for it.

    In no window of a second does an account dial more often than `calls_per_second`. A dial that must wait gets the
    next free moment, in the order of asking. The account's row is locked until the transaction ends.

    is_reserved: the dial comes at a moment that was reserved for it before.
    """
    burst = min(max(1, int(calls_per_second)), _MAX_BURST)
    window = timedelta(seconds=burst / calls_per_second)
    p = t.pace.c
    insert_if_absent(connection, t.pace, {"account": account, "dialled": [], "given": []})
    row = connection.execute(
        sa.select(p.dialled, p.given).where(p.account == account).with_for_update()
    ).one()
    dialled, reserved = [[from_iso(at) for at in texts] for texts in (row.dialled, row.given)]

    # a time in the future was recorded before the clock was set back; it happened at the latest now
    dialled = [min(at, now) for at in dialled]
    # moments that were reserved for dials that were canceled since are free again
    j = t.jobs.c
    last_reserved = connection.scalar(
        sa.select(sa.func.max(j.due_at)).where(j.kind == jobs.SEND, j.account == account, j.paced)
    )
    reserved = [at for at in reserved if last_reserved is not None and at <= last_reserved]

    def next_free(moments: list[datetime]) -> datetime:
        return max(now, moments[-burst] + window) if len(moments) >= burst else now

    moment = next_free(dialled)
    if not is_reserved:
        moment = max(moment, next_free(reserved))
        reserved = [*reserved, moment][-burst:]
    if moment <= now:
        dialled = [*dialled, now][-burst:]
    update = t.pace.update().where(p.account == account)
    values = {"dialled": [iso(at) for at in dialled], "given": [iso(at) for at in reserved]}
    connection.execute(update.values(values))
    return moment if moment > now else None

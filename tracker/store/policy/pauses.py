"""Stores pauses, and holds back and releases the jobs that they concern.

A sender reads the pauses in the transaction in which it claims a submission: once a pause is committed, no further dial
leaves. The job of a submission that is held back is due at a time that never comes, until the pause is lifted.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.calls import Call
from tracker.domain.pause import Pause, PauseReason
from tracker.domain.time_text import from_iso, iso
from tracker.store.engine.upsert import insert_if_absent
from tracker.store.queue import jobs
from tracker.store.schema import tables as t

#: when the jobs of submissions that are held back are due
HELD_UNTIL: Final = datetime(9999, 12, 31, tzinfo=UTC)
#: the names of pauses among the settings begin so
_PREFIX: Final = "pause"

_S = t.settings.c


def insert_pause(connection: Connection, pause: Pause) -> bool:
    """Insert a pause. Return False if there is one of the same scope."""
    value = {
        "account": pause.account, "campaign": pause.campaign, "since": iso(pause.since), "why": pause.why.value,
    }  # fmt: skip
    row = {"name": _name(pause.account, pause.campaign), "value": json.dumps(value)}
    return insert_if_absent(connection, t.settings, row)


def delete_pause(connection: Connection, account: str | None, campaign: str | None) -> Pause | None:
    """Delete the pause of this scope, and return it. Return None if there is none."""
    delete = t.settings.delete().where(_S.name == _name(account, campaign))
    row = connection.execute(delete.returning(_S.value)).first()
    return _pause(row.value) if row else None


def find_pauses(connection: Connection) -> list[Pause]:
    """Return all pauses."""
    is_pause = sa.or_(_S.name == _PREFIX, _S.name.startswith(_PREFIX + "/"))
    return [
        _pause(value) for value in connection.scalars(sa.select(_S.value).where(is_pause).order_by(_S.name))
    ]


def lock_pauses_of_call(connection: Connection, call: Call) -> list[Pause]:
    """Return the pauses that may hold back a call. None of them is lifted before this transaction ends."""
    names = [_PREFIX, _name(call.account, None)]
    if call.campaign is not None:
        names.append(_name(None, call.campaign))
    query = sa.select(_S.value).where(_S.name.in_(names)).order_by(_S.name).with_for_update(read=True)
    return [_pause(value) for value in connection.scalars(query)]


def release_held_jobs(
    connection: Connection, pauses: Collection[Pause], now: datetime, *, limit: int, account: str | None
) -> int:
    """Make at most `limit` held jobs due that none of these pauses holds back, and return how many.

    account: only jobs of this account.
    """
    if any(p.scope == "all" for p in pauses):
        return 0
    j, s, c = t.jobs.c, t.submissions.c, t.calls.c
    is_released = [j.kind == jobs.SEND, j.due_at == HELD_UNTIL]
    if account is not None:
        is_released.append(j.account == account)
    if accounts := [p.account for p in pauses if p.account is not None]:
        is_released.append(j.account.not_in(accounts))
    held = sa.select(j.id).where(*is_released).order_by(j.id).limit(limit)
    if campaigns := [p.campaign for p in pauses if p.campaign is not None]:
        held = held.join(t.submissions, s.id == j.subject).join(t.calls, c.id == s.call_id)
        held = held.where(sa.or_(c.campaign.is_(None), c.campaign.not_in(campaigns)))
    update = t.jobs.update().where(j.id.in_(held.scalar_subquery()))
    return connection.execute(update.values(due_at=now)).rowcount


def has_held_jobs(connection: Connection) -> bool:
    """Return whether any job is held back."""
    j = t.jobs.c
    query = sa.select(j.id).where(j.kind == jobs.SEND, j.due_at == HELD_UNTIL).limit(1)
    return connection.scalar(query) is not None


def _name(account: str | None, campaign: str | None) -> str:
    if account is not None:
        return f"{_PREFIX}/account/{account}"
    return f"{_PREFIX}/campaign/{campaign}" if campaign is not None else _PREFIX


def _pause(text: str) -> Pause:
    value = json.loads(text)
    return Pause(
        account=value["account"],
        campaign=value["campaign"],
        since=from_iso(value["since"]),
        why=PauseReason(value["why"]),
    )

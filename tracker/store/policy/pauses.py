"""Which pauses stand, and the due work that they hold back.

Whoever dials looks here in the transaction in which it claims: once a pause is committed, no further dial leaves. What
it held is due at a moment that never comes, until the pause is lifted.
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

_ALL: Final = "pause"
#: when held work is due
HELD: Final = datetime(9999, 12, 31, tzinfo=UTC)


def begin(connection: Connection, pause: Pause) -> bool:
    """Have this pause stand; False where one of the same scope stood already."""
    said = {
        "account": pause.account, "campaign": pause.campaign, "since": iso(pause.since), "why": pause.why.value,
    }  # fmt: skip
    name = _name(pause.account, pause.campaign)
    return insert_if_absent(connection, t.settings, {"name": name, "value": json.dumps(said)})


def end(connection: Connection, account: str | None, campaign: str | None) -> Pause | None:
    """Lift the pause of this scope; gives the one that stood."""
    s = t.settings
    row = connection.execute(
        s.delete().where(s.c.name == _name(account, campaign)).returning(s.c.value)
    ).first()
    return _pause(row.value) if row else None


def standing(connection: Connection) -> list[Pause]:
    """All pauses that stand."""
    s = t.settings.c
    query = sa.select(s.value).where(sa.or_(s.name == _ALL, s.name.startswith(_ALL + "/"))).order_by(s.name)
    return [_pause(value) for value in connection.scalars(query)]


def of_call(connection: Connection, call: Call) -> list[Pause]:
    """Those that may hold this call. None of them is lifted before this transaction has ended."""
    names = [_ALL, _name(call.account, None)]
    if call.campaign is not None:
        names.append(_name(None, call.campaign))
    s = t.settings.c
    query = sa.select(s.value).where(s.name.in_(names)).order_by(s.name).with_for_update(read=True)
    return [_pause(value) for value in connection.scalars(query)]


def release(
    connection: Connection, still: Collection[Pause], now: datetime, *, limit: int, account: str | None = None
) -> int:
    """Have held work be due that none of these pauses holds, at most `limit` of it; gives how much there was."""
    if any(p.scope == "all" for p in still):
        return 0
    j, s, c = t.jobs.c, t.submissions.c, t.calls.c
    free = [j.kind == jobs.SEND, j.due_at == HELD]
    if account is not None:
        free.append(j.account == account)
    if accounts := [p.account for p in still if p.account is not None]:
        free.append(j.account.not_in(accounts))
    held = sa.select(j.id).where(*free).order_by(j.id).limit(limit)
    if campaigns := [p.campaign for p in still if p.campaign is not None]:
        held = held.join(t.submissions, s.id == j.subject).join(t.calls, c.id == s.call_id)
        held = held.where(sa.or_(c.campaign.is_(None), c.campaign.not_in(campaigns)))
    return connection.execute(
        t.jobs.update().where(j.id.in_(held.scalar_subquery())).values(due_at=now)
    ).rowcount


def holds_any(connection: Connection) -> bool:
    """Whether any work is held."""
    j = t.jobs.c
    query = sa.select(j.id).where(j.kind == jobs.SEND, j.due_at == HELD).limit(1)
    return connection.scalar(query) is not None


def _name(account: str | None, campaign: str | None) -> str:
    if account is not None:
        return f"{_ALL}/account/{account}"
    return f"{_ALL}/campaign/{campaign}" if campaign is not None else _ALL


def _pause(text: str) -> Pause:
    said = json.loads(text)
    return Pause(
        account=said["account"],
        campaign=said["campaign"],
        since=from_iso(said["since"]),
        why=PauseReason(said["why"]),
    )

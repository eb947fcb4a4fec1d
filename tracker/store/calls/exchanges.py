"""What sending remembers beside events: the pace, what was exchanged, and the keys of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain.call_reports import CallReport
from tracker.domain.calls import OPEN_STATUSES
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.domain.time_text import from_iso, iso
from tracker.store.calls import open_submissions
from tracker.store.inbox.match_queries import report_to_json
from tracker.store.inbox.states import Headers, pack_headers
from tracker.store.queue import jobs
from tracker.store.queue.keyed_digests import insert_unless_there
from tracker.store.schema import tables as t

#: dials that may leave in one moment, however fast an account may dial
_MOST_AT_ONCE: Final = 50


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A request that came with an Idempotency-Key."""

    digest: str
    call: str
    #: when it was carried out
    at: datetime


def remember_request(
    connection: Connection, *, scope: str, key: str, digest: str, call_id: str, now: datetime
) -> bool:
    """Bind an Idempotency-Key to a call. False where it is bound already."""
    values = {"scope": scope, "key": key, "digest": digest, "call_id": call_id, "created_at": now}
    return insert_unless_there(connection, t.idempotency_keys, values)


def find_request(connection: Connection, *, scope: str, key: str) -> Remembered | None:
    """What an Idempotency-Key is bound to."""
    k = t.idempotency_keys.c
    query = sa.select(k.digest, k.call_id, k.created_at).where(k.scope == scope, k.key == key)
    row = connection.execute(query).first()
    return Remembered(digest=row.digest, call=row.call_id, at=row.created_at) if row else None


def forget_requests(connection: Connection, before: datetime) -> int:
    """Forget Idempotency-Keys that are older; gives how many."""
    return connection.execute(
        t.idempotency_keys.delete().where(t.idempotency_keys.c.created_at < before)
    ).rowcount


def acquire_dial_slot(
    connection: Connection, account: str, calls_per_second: float, now: datetime, *, given: bool
) -> datetime | None:
    """Dial now (None), or the moment that is kept for this dial.

    given: it comes at a moment that was kept for it before. In no window of a second does an account dial more often
    than `calls_per_second`, in whatever processes; who must wait is given the next free moment, in the order of asking.
    """
    most = min(max(1, int(calls_per_second)), _MOST_AT_ONCE)
    window = timedelta(seconds=most / calls_per_second)
    p = t.pace.c
    insert_unless_there(connection, t.pace, {"account": account, "dialled": [], "given": []})
    row = connection.execute(
        sa.select(p.dialled, p.given).where(p.account == account).with_for_update()
    ).one()
    dialled, promised = [[from_iso(at) for at in texts] for texts in (row.dialled, row.given)]

    # after the clock was set back: what lies before us has happened, so it happened at the latest now
    dialled = [min(at, now) for at in dialled]
    # moments that were given to dials which were canceled since are free again
    j = t.jobs.c
    last_kept = connection.scalar(
        sa.select(sa.func.max(j.due_at)).where(j.kind == jobs.SEND, j.account == account, j.paced)
    )
    promised = [at for at in promised if last_kept is not None and at <= last_kept]

    def free(moments: list[datetime]) -> datetime:
        return max(now, moments[-most] + window) if len(moments) >= most else now

    moment = free(dialled)
    if not given:
        moment = max(moment, free(promised))
        promised = [*promised, moment][-most:]
    if moment <= now:
        dialled = [*dialled, now][-most:]
    update = t.pace.update().where(p.account == account)
    connection.execute(update.values(dialled=[iso(at) for at in dialled], given=[iso(at) for at in promised]))
    return moment if moment > now else None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request of ours to the provider and what came back, without secrets."""

    id: str
    #: `send` or `ask`
    kind: str
    call: str
    submission: str
    requested_at: datetime
    answered_at: datetime
    method: str
    url: str
    request_headers: Headers
    request_body: bytes
    status: int | None = None
    reply_headers: Headers = ()
    reply_body: bytes = b""
    failure: str | None = None
    readings: Sequence[CallReport] | None = None


def insert_exchange(connection: Connection, x: Exchange) -> bool:
    """Store an exchange. Return False if it was stored before."""
    values = {
        "id": x.id, "kind": x.kind, "call_id": x.call, "submission_id": x.submission,
        "requested_at": x.requested_at, "answered_at": x.answered_at, "method": x.method, "url": x.url,
        "request_headers": pack_headers(x.request_headers), "request_body": x.request_body, "status": x.status,
        "reply_headers": pack_headers(x.reply_headers), "reply_body": x.reply_body, "failure": x.failure,
        "readings": None if x.readings is None else [report_to_json(r) for r in x.readings],
    }  # fmt: skip
    return insert_unless_there(connection, t.exchanges, values)


def ask_about_open(connection: Connection, account: str, now: datetime) -> int:
    """Have every open submission of an account asked for, because a callback of it may have been missed."""
    s = t.submissions.c
    query = open_submissions.select(s.id).where(
        s.account == account,
        s.requested_at >= now - MATCH_WINDOW,
        s.provider_id.is_not(None),
        s.status.in_([status.value for status in OPEN_STATUSES]),
    )
    ids = list(connection.scalars(query))
    jobs.plan_all(connection, jobs.POLL, ids, account, now)
    return len(ids)

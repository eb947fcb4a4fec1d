"""Reading calls: lists, one call, its timeline and its evidence, as the documents of the interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.calls import Submission
from tracker.domain.documents import (
    Document,
    Summary,
    body_document,
    call_document,
    event_document,
    headers_document,
    time,
)
from tracker.domain.matching import base_key, id_key
from tracker.domain.timeline import in_order
from tracker.errors import NotFound
from tracker.store import inbox_queries, paging, records
from tracker.store import tables as t
from tracker.store.finding import ORDERS as ORDERS
from tracker.store.finding import CallFilter as CallFilter
from tracker.store.finding import find
from tracker.store.inbox import unpack_headers
from tracker.store.paging import Page
from tracker.store.streams import Cut


def list_calls(
    connection: Connection,
    which: CallFilter,
    *,
    order: str = "-created_at",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Document]:
    """A page of calls. Raises InvalidInput for a bad cursor."""
    asked = {**asdict(which), "order": order}
    place = paging.decode(asked, cursor) if cursor is not None else None
    column = order.removeprefix("-")
    rows = find(connection, which, Cut(column=column, down=order != column, limit=limit + 1, place=place))
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        data=_documents(connection, rows),
        next_cursor=paging.encode(asked, getattr(rows[-1], column), rows[-1].id) if more else None,
    )


def get_call(connection: Connection, id: str) -> Document:
    """One call. Raises NotFound."""
    row = connection.execute(sa.select(t.calls).where(t.calls.c.id == id)).first()
    if row is None:
        raise NotFound(f"There is no call {id[:60]}.")
    return _documents(connection, [row])[0]


def find_call(connection: Connection, id: str) -> str:
    """The id of the call that this id means: a call's, a submission's, or the provider's. Raises NotFound."""
    s = t.submissions.c
    direct = connection.scalar(sa.select(t.calls.c.id).where(t.calls.c.id == id))
    if direct is not None:
        return str(direct)
    for condition in (s.id == id, s.provider_key == id_key(id), s.provider_base == base_key(id)):
        found = connection.scalar(
            sa.select(s.call_id).where(condition).order_by(s.created_at.desc()).limit(1)
        )
        if found is not None:
            return str(found)
    raise NotFound(f"There is no call, submission or provider's id {id[:60]}.")


def timeline(connection: Connection, id: str) -> list[Document]:
    """The events of a call in their order. Raises NotFound."""
    _must_exist(connection, id)
    found = records.events_of(connection, [id])[id]
    return [event_document(e) for e in in_order(e for e, withdrawn in found if not withdrawn)]


def evidence(connection: Connection, id: str) -> Document:
    """Everything that the timeline of a call rests on: requests and answers, callbacks as they came, decisions, and
    events that were withdrawn because their callback was moved. Raises NotFound."""
    _must_exist(connection, id)
    x = t.exchanges
    exchanges = connection.execute(
        sa.select(x).where(x.c.call_id == id).order_by(x.c.requested_at, x.c.id)
    ).all()
    found = records.events_of(connection, [id])[id]
    kept = in_order(e for e, withdrawn in found if not withdrawn)
    return {
        "call": id,
        "exchanges": [_exchange_document(row) for row in exchanges],
        "callbacks": inbox_queries.raw_of_call(connection, id),
        "decisions": [event_document(e) for e in kept if e.type == "decision"],
        "withdrawn": [event_document(e) for e in in_order(e for e, withdrawn in found if withdrawn)],
    }


def _must_exist(connection: Connection, id: str) -> None:
    if connection.scalar(sa.select(t.calls.c.id).where(t.calls.c.id == id)) is None:
        raise NotFound(f"There is no call {id[:60]}.")


def _documents(connection: Connection, rows: Sequence[Row[Any]]) -> list[Document]:
    submissions: dict[str, list[Submission]] = {row.id: [] for row in rows}
    for submission in records.submissions_of(connection, submissions.keys()) if rows else ():
        submissions[submission.call].append(submission)
    return [call_document(records.call_of(row), _summary(row), submissions[row.id]) for row in rows]


def _summary(row: Row[Any]) -> Summary:
    return Summary(
        status=row.status, outcome=row.outcome, reason=row.reason, settled=row.settled, disputed=row.disputed,
        answered=row.answered, attempts=row.attempts, duration_s=row.duration_s, started_at=row.started_at,
        ended_at=row.ended_at, next_attempt_at=row.next_attempt_at, cancel_requested=row.cancel_requested,
        recording_url=row.recording_url, dtmf=row.dtmf, charges=row.charges, updated_at=row.updated_at,
    )  # fmt: skip


def _exchange_document(row: Row[Any]) -> Document:
    request = {
        "method": row.method,
        "url": row.url,
        "headers": headers_document(unpack_headers(row.request_headers)),
        **body_document(row.request_body),
    }
    reply = {
        "status": row.status,
        "headers": headers_document(unpack_headers(row.reply_headers)),
        **body_document(row.reply_body),
    }
    return {
        "id": row.id,
        "kind": row.kind,
        "submission": row.submission_id,
        "requested_at": time(row.requested_at),
        "answered_at": time(row.answered_at),
        "request": request,
        "reply": reply if row.status is not None else None,
        "failure": row.failure,
    }

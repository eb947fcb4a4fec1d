"""Reading calls: lists, one call, its timeline and its evidence, as the documents of the interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.documents import (
    CALL,
    SUBMISSION,
    Document,
    body_document,
    call_document,
    event_document,
    headers_document,
    time,
)
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.domain.timeline.event_order import sort_events
from tracker.errors import NotFound
from tracker.store.calls.events import load_events
from tracker.store.inbox.states import unpack_headers
from tracker.store.read import callbacks, cursors
from tracker.store.read.call_search import ORDERS as ORDERS
from tracker.store.read.call_search import CallFilter as CallFilter
from tracker.store.read.call_search import find
from tracker.store.read.cursors import Page
from tracker.store.read.index_merge import PageWindow
from tracker.store.read.json_rows import gather
from tracker.store.schema import tables as t

_S: Final = t.submissions.c
#: the columns that documents tell, in their order
_CALL: Final = tuple(t.calls.c[t.WISH_COLUMNS.get(key, key)] for key in CALL)
_SUBMISSION: Final = tuple(_S["provider_id" if key == "submission_id" else key] for key in SUBMISSION)
_number: Final = itemgetter(SUBMISSION.index("number"))


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
    place = cursors.decode(asked, cursor) if cursor is not None else None
    column = order.removeprefix("-")
    cut = PageWindow(column=column, down=order != column, limit=limit + 1, place=place)
    places = find(connection, which, cut)
    more, places = len(places) > limit, places[:limit]
    return Page(
        data=_documents(connection, [id for _, id in places]),
        next_cursor=cursors.encode(asked, *places[-1]) if more else None,
    )


def get_call(connection: Connection, id: str) -> Document:
    """One call. Raises NotFound."""
    found = _documents(connection, [id])
    if not found:
        raise _no_call(id)
    return found[0]


def find_call(connection: Connection, id: str) -> str:
    """The id of the call that this id means: a call's, a submission's, or the provider's. Raises NotFound."""
    s = t.submissions.c
    direct = connection.scalar(sa.select(t.calls.c.id).where(t.calls.c.id == id))
    if direct is not None:
        return str(direct)
    for condition in (s.id == id, s.provider_key == id_key(id), s.provider_base == base_id_key(id)):
        found = connection.scalar(
            sa.select(s.call_id).where(condition).order_by(s.created_at.desc()).limit(1)
        )
        if found is not None:
            return str(found)
    raise NotFound(f"There is no call, submission or provider's id {id[:60]}.")


def timeline(connection: Connection, id: str) -> list[Document]:
    """The events of a call in their order. Raises NotFound."""
    found = load_events(connection, [id])[id]
    if not found:
        _must_exist(connection, id)
    return [event_document(e) for e in sort_events(e for e, withdrawn in found if not withdrawn)]


def evidence(connection: Connection, id: str) -> Document:
    """Everything that the timeline of a call rests on: requests and answers, callbacks as they came, decisions, and
    events that were withdrawn because their callback was moved. Raises NotFound."""
    _must_exist(connection, id)
    x = t.exchanges
    exchanges = connection.execute(
        sa.select(x).where(x.c.call_id == id).order_by(x.c.requested_at, x.c.id)
    ).all()
    found = load_events(connection, [id])[id]
    kept = sort_events(e for e, withdrawn in found if not withdrawn)
    return {
        "call": id,
        "exchanges": [_exchange_document(row) for row in exchanges],
        "callbacks": callbacks.raw_of_call(connection, id),
        "decisions": [event_document(e) for e in kept if e.type == "decision"],
        "withdrawn": [event_document(e) for e in sort_events(e for e, withdrawn in found if withdrawn)],
    }


def _must_exist(connection: Connection, id: str) -> None:
    if connection.scalar(sa.select(t.calls.c.id).where(t.calls.c.id == id)) is None:
        raise _no_call(id)


def _no_call(id: str) -> NotFound:
    return NotFound(f"There is no call {id[:60]}.")


def _documents(connection: Connection, ids: Sequence[str]) -> list[Document]:
    """The documents of these calls, in this order, as far as they are there."""
    calls: dict[str, Sequence[Any]] = {}
    submissions: dict[str, list[Sequence[Any]]] = {}
    for row in gather(connection, (*_CALL, *_SUBMISSION), t.calls.c.id, ids, beside=_S.call_id):
        call, submission = row[: len(_CALL)], row[len(_CALL) :]
        calls[row[0]] = call
        submissions.setdefault(row[0], []).extend([submission] if submission[0] is not None else [])
    return [call_document(calls[id], sorted(submissions[id], key=_number)) for id in ids if id in calls]


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

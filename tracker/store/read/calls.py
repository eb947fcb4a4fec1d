"""Reads calls: lists, one call, its timeline and its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.events import Event, EventType
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.domain.timeline.event_order import sort_events
from tracker.errors import NotFound
from tracker.store.calls.events import load_events
from tracker.store.calls.exchanges import Exchange
from tracker.store.inbox.log import unpack_headers
from tracker.store.read import callbacks, cursors
from tracker.store.read.call_search import ORDERS as ORDERS
from tracker.store.read.call_search import CallFilter as CallFilter
from tracker.store.read.call_search import SortLimits, find_positions
from tracker.store.read.cursors import Page
from tracker.store.read.index_merge import PageWindow
from tracker.store.read.json_rows import fetch_rows
from tracker.store.read.views import CallView, Evidence, SubmissionView
from tracker.store.schema import tables as t

_C: Final = t.calls.c
_S: Final = t.submissions.c
_WISH_END: Final = 1 + len(t.WISH_COLUMNS)
#: columns in the order of `CallView`, the wish in its place
_CALL: Final = (
    _C.id,
    *(_C[column] for column in t.WISH_COLUMNS.values()),
    *(_C[name] for name in CallView._fields[2:-1]),
)
_SUBMISSION: Final = tuple(
    _S["provider_id" if name == "submission_id" else name] for name in SubmissionView._fields
)


_SORT_LIMITS: Final = SortLimits()


def list_calls(
    connection: Connection,
    query: CallFilter,
    *,
    order: str = "-created_at",
    limit: int = 50,
    cursor: str | None = None,
    limits: SortLimits = _SORT_LIMITS,
) -> Page[CallView]:
    """Return a page of calls. Raises InvalidInput for a cursor of another list."""
    question = {**asdict(query), "order": order}
    place = cursors.decode(question, cursor) if cursor is not None else None
    column = order.removeprefix("-")
    window = PageWindow(column=column, down=order != column, limit=limit + 1, place=place)
    positions = find_positions(connection, query, window, limits)
    has_more, positions = len(positions) > limit, positions[:limit]
    return Page(
        data=_load_calls(connection, [id for _, id in positions]),
        next_cursor=cursors.encode(question, *positions[-1]) if has_more else None,
    )


def get_call(connection: Connection, id: str) -> CallView:
    """Return one call. Raises NotFound."""
    found = _load_calls(connection, [id])
    if not found:
        raise _no_call(id)
    return found[0]


def find_call_id(connection: Connection, id: str) -> str:
    """Return the id of the call that an id means: that of a call or a submission, or the provider's.

    Raises NotFound.
    """
    direct = connection.scalar(sa.select(_C.id).where(_C.id == id))
    if direct is not None:
        return str(direct)
    for condition in (_S.id == id, _S.provider_key == id_key(id), _S.provider_base == base_id_key(id)):
        found = connection.scalar(
            sa.select(_S.call_id).where(condition).order_by(_S.created_at.desc()).limit(1)
        )
        if found is not None:
            return str(found)
    raise NotFound(f"There is no call, submission or provider's id {id[:60]}.")


def get_timeline(connection: Connection, id: str) -> list[Event]:
    """Return the events of a call in their order. Raises NotFound."""
    events = load_events(connection, [id])[id]
    if not events:
        _require_call(connection, id)
    return sort_events(event for event, is_withdrawn in events if not is_withdrawn)


def get_evidence(connection: Connection, id: str) -> Evidence:
    """Return everything that the timeline of a call rests on. Raises NotFound."""
    _require_call(connection, id)
    x = t.exchanges
    exchanges = connection.execute(sa.select(x).where(x.c.call_id == id).order_by(x.c.requested_at, x.c.id))
    events = load_events(connection, [id])[id]
    return Evidence(
        call=id,
        exchanges=[_exchange_of(row) for row in exchanges],
        callbacks=callbacks.callbacks_of_call(connection, id),
        decisions=sort_events(
            e for e, is_withdrawn in events if e.type is EventType.decision and not is_withdrawn
        ),
        withdrawn=sort_events(e for e, is_withdrawn in events if is_withdrawn),
    )


def _require_call(connection: Connection, id: str) -> None:
    if connection.scalar(sa.select(_C.id).where(_C.id == id)) is None:
        raise _no_call(id)


def _no_call(id: str) -> NotFound:
    return NotFound(f"There is no call {id[:60]}.")


def _load_calls(connection: Connection, ids: Sequence[str]) -> list[CallView]:
    """Return these calls in this order, without those that do not exist."""
    calls: dict[str, Sequence[Any]] = {}
    submissions: dict[str, list[SubmissionView]] = {}
    for row in fetch_rows(connection, (*_CALL, *_SUBMISSION), _C.id, ids, beside=_S.call_id):
        id = row[0]
        if id not in calls:
            calls[id] = row[: len(_CALL)]
            submissions[id] = []
        if row[len(_CALL)] is not None:
            submissions[id].append(SubmissionView._make(row[len(_CALL) :]))
    return [_call_of(calls[id], submissions[id]) for id in ids if id in calls]


def _call_of(row: Sequence[Any], submissions: list[SubmissionView]) -> CallView:
    if len(submissions) > 1:
        submissions.sort(key=lambda each: each.number)
    return CallView._make((row[0], row[1:_WISH_END], *row[_WISH_END:], submissions))


def _exchange_of(row: Row[Any]) -> Exchange:
    return Exchange(
        id=row.id, kind=row.kind, call=row.call_id, submission=row.submission_id, requested_at=row.requested_at,
        answered_at=row.answered_at, method=row.method, url=row.url,
        request_headers=unpack_headers(row.request_headers), request_body=row.request_body, status=row.status,
        reply_headers=unpack_headers(row.reply_headers), reply_body=row.reply_body, failure=row.failure,
    )  # fmt: skip

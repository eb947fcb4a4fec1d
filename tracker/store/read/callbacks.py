"""Reads the inbox: one callback for every receipt, repeats too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.errors import NotFound
from tracker.store.inbox import log, position
from tracker.store.inbox.log import LoggedCallback, LoggedRequest
from tracker.store.inbox.states import JOINED
from tracker.store.read import cursors, index_merge
from tracker.store.read.cursors import Page
from tracker.store.read.index_merge import Condition, PageWindow, Stream
from tracker.store.read.json_rows import fetch_rows
from tracker.store.read.views import CallbackView, RawRequest, ReceivedCallback
from tracker.store.schema import tables as t

_C: Final = t.callbacks.c
_COLUMNS: Final = {"call": "call_id", "submission": "submission_id"}
_REPEATS: Final = CallbackView._fields.index("repeats")
#: columns in the order of `CallbackView`, without the repeats, which are counted
_CALLBACK: Final = tuple(_C[_COLUMNS.get(name, name)] for name in CallbackView._fields if name != "repeats")


@dataclass(frozen=True, kw_only=True)
class CallbackFilter:
    """A filter of the inbox. None leaves a criterion out."""

    state: str | None = None
    account: str | None = None
    call: str | None = None


def list_callbacks(
    connection: Connection, query: CallbackFilter, *, limit: int = 50, cursor: str | None = None
) -> Page[CallbackView]:
    """Return a page of the inbox, newest first. Raises InvalidInput for a cursor of another list."""
    question = asdict(query)
    place = cursors.decode(question, cursor) if cursor is not None else None
    window = PageWindow(column="received_at", down=True, limit=limit + 1, place=place)
    index_merge.prepare(connection)
    # the unread ones first: a callback that is joined meanwhile is then found twice, and never not at all
    unread = {row.id: row for row in _find_unread(connection, query, window)}
    recorded = index_merge.read_positions(connection, _stream(connection, query), window)
    places = sorted({*recorded, *((row.received_at, id) for id, row in unread.items())}, reverse=True)
    has_more, places = len(places) > limit, places[:limit]
    views = {view.id: view for view in _load_callbacks(connection, [id for _, id in places])}
    return Page(
        data=[views[id] if id in views else _unread_view(unread[id]) for _, id in places],
        next_cursor=cursors.encode(question, *places[-1]) if has_more else None,
    )


def _find_unread(connection: Connection, query: CallbackFilter, window: PageWindow) -> list[LoggedCallback]:
    """Return the rows of a page that the joiner has not read yet."""
    if query.call is not None:
        return []
    return log.page_after(
        connection,
        position.joined_position(connection),
        state=query.state,
        account=query.account,
        before=window.place,
        limit=window.limit,
    )


def _stream(connection: Connection, query: CallbackFilter) -> Stream:
    """Return the index to read a list by: that of a call, of what is not joined, else of the accounts."""
    criteria = {"call_id": query.call, "state": query.state, "account": query.account}
    key = next((name for name, value in criteria.items() if value is not None and value != JOINED), "account")
    where: list[Condition] = [
        (f"{name} = ?", (value,)) for name, value in criteria.items() if value is not None and name != key
    ]
    if key == "state":
        where.append((t.UNJOINED, ()))
    values = [criteria[key]] if criteria[key] is not None else _find_accounts(connection)
    index = {
        "call_id": "ix_callbacks_call",
        "state": "ix_callbacks_unjoined",
        "account": "ix_callbacks_account",
    }
    return Stream(
        table=t.callbacks, index=index[key], keys=(key,), at="received_at", values=[(v,) for v in values],
        where=where,
    )  # fmt: skip


def _find_accounts(connection: Connection) -> list[str]:
    """Return the accounts that callbacks came for. Each is found in the index behind the one before."""
    found = sa.select(sa.func.min(_C.account).label("account")).cte("found", recursive=True)
    behind = sa.select(sa.func.min(_C.account)).where(_C.account > found.c.account).scalar_subquery()
    found = found.union_all(sa.select(behind).where(found.c.account.is_not(None)))
    return list(connection.scalars(sa.select(found.c.account).where(found.c.account.is_not(None))))


def get_callback(connection: Connection, id: str) -> ReceivedCallback:
    """Return one callback with its request. Raises NotFound."""
    joined = position.joined_position(connection)
    row = connection.execute(sa.select(_C.position, _C.fingerprint).where(_C.id == id)).first()
    if row is not None:
        callback, at, fingerprint = _load_callbacks(connection, [id])[0], row.position, row.fingerprint
    elif unread := log.find_after(connection, joined, id):
        callback, at, fingerprint = _unread_view(unread), unread.position, unread.fingerprint
    else:
        raise NotFound(f"There is no callback {id[:60]}.")
    request = log.requests_at(connection, [at]).get(at)
    return ReceivedCallback(callback=callback, fingerprint=fingerprint, request=_raw(request))


def callbacks_of_call(connection: Connection, call_id: str) -> list[ReceivedCallback]:
    """Return the callbacks of a call with their requests, in the order of their receipt."""
    query = sa.select(_C.id, _C.position, _C.fingerprint).where(_C.call_id == call_id)
    rows = {row.id: row for row in connection.execute(query.order_by(_C.received_at, _C.id))}
    requests = log.requests_at(connection, [row.position for row in rows.values()])
    return [
        ReceivedCallback(
            callback=view,
            fingerprint=rows[view.id].fingerprint,
            request=_raw(requests.get(rows[view.id].position)),
        )
        for view in _load_callbacks(connection, list(rows))
    ]


def _load_callbacks(connection: Connection, ids: Sequence[str]) -> list[CallbackView]:
    """Return these callbacks in this order, without those that do not exist."""
    rows = {row[0]: row for row in fetch_rows(connection, _CALLBACK, _C.id, ids)}
    count = sa.select(_C.repeat_of, sa.func.count()).where(_C.repeat_of.in_(ids)).group_by(_C.repeat_of)
    repeats = {row[0]: row[1] for row in connection.execute(count)} if ids else {}
    return [
        CallbackView._make((*row[:_REPEATS], repeats.get(id, 0), *row[_REPEATS:]))
        for id, row in ((id, rows[id]) for id in ids if id in rows)
    ]


def _unread_view(row: LoggedCallback) -> CallbackView:
    return CallbackView(
        id=row.id, account=row.account, lane=row.lane, state=row.state, reason=row.reason, received_at=row.received_at,
        method=row.method, size=row.size, repeats=0, repeat_of=None, matched_by=None, call=None, submission=None,
    )  # fmt: skip


def _raw(request: LoggedRequest | None) -> RawRequest | None:
    """Return a request as it came; None if it was lost with an inbox file that `tracker db new-inbox` replaced."""
    if request is None:
        return None
    return RawRequest(
        method=request.method, path=request.path, query=request.query, headers=request.headers, body=request.body,
        remote=request.remote,
    )  # fmt: skip

"""Reading the inbox: one item for every receipt, repeats too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.documents import Document, raw_document, time
from tracker.errors import NotFound
from tracker.store import paging
from tracker.store import tables as t
from tracker.store.inbox import unpack_headers
from tracker.store.paging import Page

_SHOWN = (
    "id",
    "account",
    "lane",
    "state",
    "reason",
    "received_at",
    "method",
    "size",
    "repeat_of",
    "matched_by",
)


@dataclass(frozen=True, kw_only=True)
class CallbackFilter:
    """Which callbacks; None leaves a filter out."""

    state: str | None = None
    account: str | None = None
    call: str | None = None


def list_callbacks(
    connection: Connection, which: CallbackFilter, *, limit: int = 50, cursor: str | None = None
) -> Page[Document]:
    """A page of the inbox, newest first. Raises InvalidInput for a bad cursor."""
    c = t.callbacks.c
    asked = asdict(which)
    query = sa.select(*(c[n] for n in _SHOWN), c.call_id, c.submission_id).limit(limit + 1)
    for column, value in ((c.state, which.state), (c.account, which.account), (c.call_id, which.call)):
        if value is not None:
            query = query.where(column == value)
    if cursor is not None:
        query = query.where(paging.behind(c.received_at, c.id, paging.decode(asked, cursor), down=True))
    rows = connection.execute(query.order_by(c.received_at.desc(), c.id.desc())).all()
    more, rows = len(rows) > limit, rows[:limit]
    return Page(
        data=_documents(connection, rows),
        next_cursor=paging.encode(asked, rows[-1].received_at, rows[-1].id) if more else None,
    )


def get_callback(connection: Connection, id: str) -> Document:
    """One callback with the request as it came. Raises NotFound."""
    row = connection.execute(sa.select(t.callbacks).where(t.callbacks.c.id == id)).first()
    if row is None:
        raise NotFound(f"There is no callback {id[:60]}.")
    return {**_documents(connection, [row])[0], "fingerprint": row.fingerprint, "request": _raw(row)}


def raw_of_call(connection: Connection, call_id: str) -> list[Document]:
    """The callbacks of a call with the requests as they came, in the order of their receipt."""
    c = t.callbacks.c
    query = sa.select(t.callbacks).where(c.call_id == call_id).order_by(c.received_at, c.id)
    rows = connection.execute(query).all()
    return [
        {**shown, "request": _raw(row)} for shown, row in zip(_documents(connection, rows), rows, strict=True)
    ]


def _documents(connection: Connection, rows: Sequence[Any]) -> list[Document]:
    c = t.callbacks.c
    ids = [row.id for row in rows]
    counted = (
        sa.select(c.repeat_of, sa.func.count().label("repeats"))
        .where(c.repeat_of.in_(ids))
        .group_by(c.repeat_of)
    )
    repeats = {row.repeat_of: row.repeats for row in connection.execute(counted)} if ids else {}
    return [
        {
            "id": r.id, "account": r.account, "lane": r.lane, "state": r.state, "reason": r.reason,
            "received_at": time(r.received_at), "method": r.method, "size": r.size, "repeats": repeats.get(r.id, 0),
            "repeat_of": r.repeat_of, "matched_by": r.matched_by, "call": r.call_id, "submission": r.submission_id,
        }
        for r in rows
    ]  # fmt: skip


def _raw(row: Row[Any]) -> Document:
    return raw_document(
        method=row.method, path=row.path, query=row.query, headers=unpack_headers(row.headers), body=row.body,
        remote=row.remote,
    )  # fmt: skip

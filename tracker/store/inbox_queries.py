"""Reading the inbox: one item for every receipt, repeats too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.documents import Document, raw_document, time
from tracker.errors import NotFound
from tracker.store import paging, streams
from tracker.store import tables as t
from tracker.store.inbox import JOINED, unpack_headers
from tracker.store.paging import Page
from tracker.store.streams import Cut, Stream

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
    asked = asdict(which)
    place = paging.decode(asked, cursor) if cursor is not None else None
    cut = Cut(column="received_at", down=True, limit=limit + 1, place=place)
    streams.begin(connection)
    shown = [t.callbacks.c[name] for name in (*_SHOWN, "call_id", "submission_id")]
    rows = streams.read(connection, _stream(connection, which), cut, shown)
    more, rows = len(rows) > limit, rows[:limit]
    return Page(
        data=_documents(connection, rows),
        next_cursor=paging.encode(asked, rows[-1].received_at, rows[-1].id) if more else None,
    )


def _stream(connection: Connection, which: CallbackFilter) -> Stream:
    """The index that a list of the inbox is read by: that of a call, of what is not joined, else of the accounts."""
    c = t.callbacks.c
    asked = {"call_id": which.call, "state": which.state, "account": which.account}
    key = next((name for name in asked if asked[name] is not None and asked[name] != JOINED), "account")
    where: list[Any] = [
        c[name] == value for name, value in asked.items() if value is not None and name != key
    ]
    if key == "state":
        where.append(t.unjoined)
    values = [asked[key]] if asked[key] is not None else _accounts(connection)
    index = {
        "call_id": "ix_callbacks_call",
        "state": "ix_callbacks_unjoined",
        "account": "ix_callbacks_account",
    }
    return Stream(
        table=t.callbacks, index=index[key], keys=(key,), at="received_at", values=[(v,) for v in values],
        where=where,
    )  # fmt: skip


def _accounts(connection: Connection) -> list[str]:
    """The accounts that callbacks came for, each found in the index behind the one before."""
    account = t.callbacks.c.account
    found = sa.select(sa.func.min(account).label("account")).cte("found", recursive=True)
    behind = sa.select(sa.func.min(account)).where(account > found.c.account).scalar_subquery()
    found = found.union_all(sa.select(behind).where(found.c.account.is_not(None)))
    return list(connection.scalars(sa.select(found.c.account).where(found.c.account.is_not(None))))


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

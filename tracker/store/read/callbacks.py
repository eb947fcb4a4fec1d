"""Reading the inbox: one item for every receipt, repeats too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.documents import CALLBACK, Document, callback_document, raw_document
from tracker.errors import NotFound
from tracker.store.inbox.states import JOINED, unpack_headers
from tracker.store.read import cursors, index_merge
from tracker.store.read.cursors import Page
from tracker.store.read.index_merge import Condition, PageWindow, Stream
from tracker.store.read.json_rows import gather
from tracker.store.schema import tables as t

_COLUMNS: Final = {"call": "call_id", "submission": "submission_id"}
_REPEATS: Final = CALLBACK.index("repeats")
#: the columns that documents tell, in their order; how many repeat a callback is counted
_CALLBACK: Final = tuple(t.callbacks.c[_COLUMNS.get(key, key)] for key in CALLBACK if key != "repeats")


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
    place = cursors.decode(asked, cursor) if cursor is not None else None
    cut = PageWindow(column="received_at", down=True, limit=limit + 1, place=place)
    index_merge.begin(connection)
    places = index_merge.places(connection, _stream(connection, which), cut)
    more, places = len(places) > limit, places[:limit]
    return Page(
        data=_documents(connection, [id for _, id in places]),
        next_cursor=cursors.encode(asked, *places[-1]) if more else None,
    )


def _stream(connection: Connection, which: CallbackFilter) -> Stream:
    """The index that a list of the inbox is read by: that of a call, of what is not joined, else of the accounts."""
    asked = {"call_id": which.call, "state": which.state, "account": which.account}
    key = next((name for name in asked if asked[name] is not None and asked[name] != JOINED), "account")
    where: list[Condition] = [
        (f"{name} = ?", (value,)) for name, value in asked.items() if value is not None and name != key
    ]
    if key == "state":
        where.append((t.UNJOINED, ()))
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
    return {**_documents(connection, [id])[0], "fingerprint": row.fingerprint, "request": _raw(row)}


def raw_of_call(connection: Connection, call_id: str) -> list[Document]:
    """The callbacks of a call with the requests as they came, in the order of their receipt."""
    c = t.callbacks.c
    query = sa.select(t.callbacks).where(c.call_id == call_id).order_by(c.received_at, c.id)
    raw = {row.id: _raw(row) for row in connection.execute(query)}
    return [{**shown, "request": raw[shown["id"]]} for shown in _documents(connection, list(raw))]


def _documents(connection: Connection, ids: Sequence[str]) -> list[Document]:
    """The documents of these callbacks, in this order, as far as they are there."""
    found = {told[0]: told for told in gather(connection, _CALLBACK, t.callbacks.c.id, ids)}
    of = t.callbacks.c.repeat_of
    counted = sa.select(of, sa.func.count()).where(of.in_(ids)).group_by(of)
    repeats = {row[0]: row[1] for row in connection.execute(counted)} if ids else {}
    return [
        callback_document((*told[:_REPEATS], repeats.get(id, 0), *told[_REPEATS:]))
        for id, told in ((id, found[id]) for id in ids if id in found)
    ]


def _raw(row: Row[Any]) -> Document:
    return raw_document(
        method=row.method, path=row.path, query=row.query, headers=unpack_headers(row.headers), body=row.body,
        remote=row.remote,
    )  # fmt: skip

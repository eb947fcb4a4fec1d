"""Receipts on their way into the inbox: many requests, one statement, one commit.

The only place that passes SQLAlchemy by, for what it would cost: one statement of the driver's own, outside of any
transaction, is one for itself, and a thread that runs it hands Python's lock over once and not for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy.engine import Connection

from tracker.store.engine.database import Database
from tracker.store.engine.pg_arrays import ARRAYS, array
from tracker.store.inbox.quarantine import QUARANTINED, Room, room_of
from tracker.store.inbox.states import PENDING
from tracker.store.queue.counters import add_counts
from tracker.store.queue.keyed_digests import keyed_digest
from tracker.store.schema import tables as t

#: rows of one statement; SQLite takes 32,766 values
MOST_ROWS: Final = 512
#: what `store` writes of a row; all else is NULL, or the same for every new one
_COLUMNS: Final = (
    "id", "account", "lane", "received_at", "method", "path", "query", "headers", "body", "size", "remote", "state",
    "reason",
)  # fmt: skip


class NewCallback(NamedTuple):
    """A request as it is to be stored; secrets are replaced already."""

    id: str
    account: str
    lane: str | None
    received_at: datetime
    method: str
    path: bytes
    query: bytes
    #: a line each, as they stand on the wire: `inbox.pack_headers`
    headers: bytes
    body: bytes
    size: int
    remote: str | None
    state: str = PENDING
    reason: str | None = None
    #: what was presented as its secret, where it is for the quarantine; only a keyed digest of it is stored
    presented: bytes = b""

    def __repr__(self) -> str:
        return f"NewCallback({self.id!r}, {self.account!r}, {self.state!r})"


def store(database: Database, new: Sequence[NewCallback]) -> None:
    """Store at most `MOST_ROWS` requests, none of them for the quarantine, and commit; a second time it changes
    nothing. Raises StorageUnavailable; whatever else is raised says that one of them cannot be stored."""
    database.at_once(_sqlite(new) if database.is_sqlite else _postgresql(new))


def insert(connection: Connection, new: Sequence[NewCallback]) -> None:
    """Store requests within a transaction. Of those for the quarantine only as many as its bounds allow; the others
    are counted."""
    kept = [n for n in new if n.state != QUARANTINED]
    rooms: dict[str, Room] = {}
    over: dict[tuple[str, str], int] = {}
    for n in (n for n in new if n.state == QUARANTINED):
        room = rooms.get(n.account) or rooms.setdefault(n.account, room_of(connection, n.account))
        if room.take(n.received_at):
            kept.append(n)
        else:
            over["quarantined", n.account] = over.get(("quarantined", n.account), 0) + 1
    if over:
        add_counts(connection, over, new[-1].received_at)
    if kept:
        connection.execute(t.callbacks.insert(), [_row(connection, n) for n in kept])


def _row(connection: Connection, n: NewCallback) -> dict[str, Any]:
    fingerprint = keyed_digest(connection, n.presented) if n.presented else None
    return {**dict(zip(_COLUMNS, n, strict=False)), "looks": 0, "fingerprint": fingerprint}


# SQLite


def _sqlite(new: Sequence[NewCallback]) -> Callable[[Any], None]:
    # a few sizes, so that the driver finds them prepared; rows without id fill them up, and are left out
    size = 1 << (len(new) - 1).bit_length()
    rows = [
        (
            n.id, n.account, n.lane, _sqlite_time(n.received_at), n.method, n.path, n.query, n.headers, n.body,
            n.size, n.remote, n.state, n.reason,
        )
        for n in new
    ]  # fmt: skip
    values = list(chain.from_iterable(rows)) + [None] * (len(_COLUMNS) * (size - len(new)))
    statement = _SQLITE[size]
    return lambda connection: connection.execute(statement, values)


def _sqlite_time(at: datetime) -> str:
    """As SQLAlchemy writes it."""
    return at.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def _sqlite_statement(size: int) -> str:
    row = "(" + ", ".join("?" * len(_COLUMNS)) + ")"
    return (
        f"insert into callbacks ({', '.join(_COLUMNS)}, looks)"  # noqa: S608 (of our own words only)
        f" select *, 0 from (values {', '.join([row] * size)}) where column1 is not null"
        " on conflict (id) do nothing"
    )


_SQLITE: Final = {1 << n: _sqlite_statement(1 << n) for n in range(MOST_ROWS.bit_length())}


# PostgreSQL: an array for each column, in its binary form

_KINDS: Final = (
    "text", "text", "text", "moment", "text", "bytes", "bytes", "bytes", "bytes", "integer", "text", "text", "text",
)  # fmt: skip
_POSTGRESQL: Final = (
    f"insert into callbacks ({', '.join(_COLUMNS)}, looks) select *, 0 from unnest("  # noqa: S608
    + ", ".join(f"${n}::{ARRAYS[kind].type}[]" for n, kind in enumerate(_KINDS, 1))
    + ") on conflict (id) do nothing"
).encode()
_NAME: Final = b"tracker_store_receipts"


def _postgresql(new: Sequence[NewCallback]) -> Callable[[Any], None]:
    # of what is for the quarantine alone there is nothing here
    columns = zip(*new, strict=True)
    arrays = [array(kind, column) for kind, column in zip(_KINDS, columns, strict=False)]

    def work(connection: Any) -> None:
        # libpq itself: the thread waits outside of Python for the whole way there and back
        pq = connection.pgconn
        if not getattr(connection, "_knows_receipts", False):
            _check(connection, pq.prepare(_NAME, _POSTGRESQL))
            connection._knows_receipts = True
        _check(connection, pq.exec_prepared(_NAME, arrays, [1] * len(arrays)))

    return work


def _check(connection: Any, result: Any) -> None:
    from psycopg import OperationalError, errors, pq

    if result.status == pq.ExecStatus.COMMAND_OK:
        return
    if connection.closed or connection.pgconn.status != pq.ConnStatus.OK:
        raise OperationalError(result.get_error_message())
    raise errors.error_from_result(result)

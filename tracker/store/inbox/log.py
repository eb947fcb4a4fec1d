"""The inbox: an append-only log of received requests, read by position.

Appending passes SQLAlchemy by: many requests go into one statement outside any transaction, which commits itself, and
the thread that runs it releases Python's lock once instead of once a row.

Positions rise in commit order, so a reader that continues after the last position it has read misses nothing. On
SQLite there is one writer at a time. On PostgreSQL each statement takes an advisory lock before it draws positions and
holds it until its commit is visible; without it a later position could become visible first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain import value
from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.engine.database import Database
from tracker.store.engine.pg_arrays import ARRAYS, array
from tracker.store.ids import time_of
from tracker.store.schema import tables as t

#: rows of one statement; SQLite takes 32,766 values
MOST_ROWS: Final = 512
#: bytes of the requests that are read at once
_MOST_BYTES: Final = 8 * 1024 * 1024
#: two receipts may be logged in the other order than they were received, by at most as long as storing may take
_DISORDER: Final = timedelta(seconds=5)

#: any number that no other program takes for its advisory lock
_APPEND_LOCK: Final = 0x7472_6B72_6962

_C = t.inbox.c
#: the columns that `append` writes; the position is drawn by the database
_COLUMNS: Final = (
    "id", "account", "lane", "received_at", "method", "size", "remote", "state", "reason", "fingerprint",
    "path", "query", "headers", "body",
)  # fmt: skip

Headers = tuple[tuple[bytes, bytes], ...]


class NewCallback(NamedTuple):
    """A request to be stored, its secrets already masked. The fields are the log's columns in order."""

    id: str
    account: str
    lane: str | None
    received_at: datetime
    method: str
    #: bytes of the body as it came
    size: int
    remote: str | None
    #: `pending`; `ignored` and `quarantined` are final from the start
    state: str
    reason: str | None
    #: keyed digest of the secret that was presented with a quarantined request
    fingerprint: str | None
    path: bytes
    query: bytes
    #: one line each, as on the wire: `pack_headers`
    headers: bytes
    body: bytes

    def __repr__(self) -> str:
        return f"NewCallback({self.id!r}, {self.account!r}, {self.state!r})"


@value
class LoggedCallback:
    """A request as it is in the log, without what was sent."""

    position: int
    id: str
    account: str
    lane: str | None
    received_at: datetime
    method: str
    size: int
    remote: str | None
    state: str
    reason: str | None
    fingerprint: str | None


@value
class LoggedRequest:
    """What was sent: the bytes of a logged request."""

    position: int
    method: str
    remote: str | None
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


def pack_headers(headers: Headers) -> bytes:
    """Return headers as one text of bytes, one line each, as on the wire."""
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)


@lru_cache(maxsize=64)  # a provider's are nearly always the same
def unpack_headers(packed: bytes) -> Headers:
    """Return the headers that `pack_headers` packed."""
    pairs = (line.partition(b": ") for line in packed.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in pairs)


def append(database: Database, new: Sequence[NewCallback]) -> None:
    """Store at most `MOST_ROWS` requests and commit; the same rows again change nothing on PostgreSQL.

    Raises StorageUnavailable. Any other exception means that one of the rows cannot be stored.
    """
    if new:
        database.inbox.execute_durable(statement(database, new))


def statement(database: Database, new: Sequence[NewCallback]) -> Callable[[Any], None]:
    """Return the work that appends these rows on a connection of the driver's own, without committing."""
    return _sqlite_append(new) if database.is_sqlite else _postgresql_append(new)


def read_after(
    connection: Connection, position: int, limit: int
) -> tuple[list[LoggedCallback], dict[int, LoggedRequest]]:
    """Return the next rows after a position, and their requests by position.

    At most `limit` rows; fewer if their bodies are large, but at least one unless the log ends.
    """
    logged = heads_after(connection, position, limit)
    sizes = accumulate(row.size for row in logged)
    fitting = logged[: max(1, sum(total <= _MOST_BYTES for total in sizes))]
    return fitting, requests_at(connection, [row.position for row in fitting])


_HEAD: Final = (
    _C.position, _C.id, _C.account, _C.lane, _C.received_at, _C.method, _C.size, _C.remote, _C.state, _C.reason,
    _C.fingerprint,
)  # fmt: skip
_REQUEST: Final = (_C.position, _C.method, _C.remote, _C.path, _C.query, _C.headers, _C.body)


def heads_after(
    connection: Connection, position: int, limit: int, *, newest_first: bool = False
) -> list[LoggedCallback]:
    """Return at most `limit` rows after a position, without their requests."""
    order = _C.position.desc() if newest_first else _C.position
    query = sa.select(*_HEAD).where(_C.position > position).order_by(order).limit(limit)
    return [_logged(tuple(row)) for row in connection.execute(query)]


def heads_at(connection: Connection, positions: Collection[int]) -> list[LoggedCallback]:
    """Return the rows at these positions in their order, without their requests; a pruned one is missing."""
    return [_logged(row) for row in sorted(bulk.select(connection, _HEAD, _C.position, positions))]


def requests_at(connection: Connection, positions: Collection[int]) -> dict[int, LoggedRequest]:
    """Return the requests at these positions; a pruned one is missing."""
    return {
        row[0]: LoggedRequest(
            position=row[0], method=row[1], remote=row[2], path=bytes(row[3]), query=bytes(row[4]),
            headers=unpack_headers(bytes(row[5])), body=bytes(row[6]),
        )
        for row in bulk.select(connection, _REQUEST, _C.position, positions)
    }  # fmt: skip


def last_position(inbox: Connection) -> int:
    """Return the newest position that was ever given, 0 if none was; its row may be pruned by now.

    inbox: a connection of `Database.inbox`.
    """
    if inbox.dialect.name == "sqlite":
        found = inbox.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'inbox'").scalar()
        return int(found or 0)
    return _newest_position(inbox)


def count_after(connection: Connection, position: int) -> int:
    """Return how many rows follow a position."""
    if connection.dialect.name == "sqlite":  # counting would read every row, and positions have no gaps
        return max(0, _newest_position(connection) - position)
    query = sa.select(sa.func.count()).select_from(t.inbox).where(_C.position > position)
    return int(connection.scalar(query) or 0)


def find_after(connection: Connection, position: int, id: str) -> LoggedCallback | None:
    """Return the row with this id among those after a position."""
    received_at = time_of(id)
    if received_at is None:
        return None
    by_id = sa.select(*_HEAD).where(_C.position > position, _C.id == id)
    top = _newest_position(connection)
    high = _last_position_until(connection, position, top, received_at + _DISORDER)
    low = _last_position_until(connection, position, high, received_at - _DISORDER)
    row = connection.execute(by_id.where(_C.position >= low, _C.position <= high)).first()
    if row is None:  # the clock was set back meanwhile: look at all of them
        row = connection.execute(by_id).first()
    return _logged(tuple(row)) if row else None


def page_after(
    connection: Connection,
    position: int,
    *,
    state: str | None,
    account: str | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[LoggedCallback]:
    """Return the newest `limit` rows after a position by (received_at, id), older than `before` if it is given.

    The log is in the order of commits, which differs from that of receipt by seconds at most. So the page is found by
    halving positions, and by reading a little beyond it.
    """
    top = _newest_position(connection)
    if before is not None:
        top = _last_position_until(connection, position, top, before[0] + _DISORDER)
    page: list[LoggedCallback] = []
    while top > position:
        query = sa.select(*_HEAD).where(_C.position > position, _C.position <= top)
        query = query.order_by(_C.position.desc()).limit(4 * limit)
        rows = [_logged(tuple(row)) for row in connection.execute(query)]
        if not rows:
            break
        page += [
            row
            for row in rows
            if (account is None or row.account == account)
            and (state is None or row.state == state)
            and (before is None or (row.received_at, row.id) < before)
        ]
        page = sorted(page, key=lambda row: (row.received_at, row.id), reverse=True)[:limit]
        oldest = min(row.received_at for row in rows)
        if len(page) == limit and page[-1].received_at > oldest + _DISORDER:
            break
        top = rows[-1].position - 1
    return page


def _newest_position(connection: Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.max(_C.position))) or 0)


def _last_position_until(connection: Connection, low: int, high: int, until: datetime) -> int:
    """Return the last position from `low` to `high` that was received by `until`, as if receipts were in order."""
    while low < high:
        middle = (low + high + 1) // 2
        query = sa.select(_C.received_at).where(_C.position >= middle).order_by(_C.position).limit(1)
        received_at = connection.scalar(query)
        if received_at is not None and received_at <= until:
            low = middle
        else:
            high = middle - 1
    return high


def remove(connection: Connection, positions: Collection[int]) -> None:
    """Delete these rows; their positions are never given again."""
    for part in chunks(positions):
        connection.execute(t.inbox.delete().where(_C.position.in_(part)))


def insert_probe(inbox: Connection, now: datetime) -> None:
    """Insert a row as large as a callback, for the caller to roll back. inbox: a connection of `Database.inbox`."""
    row = NewCallback(
        id="cb_probe", account="", lane=None, received_at=now, method="POST", size=4096, remote=None, state="ignored",
        reason="probe", fingerprint=None, path=b"", query=b"", headers=b"", body=b"x" * 4096,
    )  # fmt: skip
    inbox.execute(t.inbox.insert(), dict(zip(_COLUMNS, row, strict=True)))


def commit_probe(inbox: Connection) -> None:
    """Change nothing in a way that has to be written to disk."""
    if inbox.dialect.name == "sqlite":
        # an UPDATE to the same value would write nothing; setting the version of the layout to itself does
        layout = inbox.exec_driver_sql("PRAGMA user_version").scalar_one()
        inbox.exec_driver_sql(f"PRAGMA user_version={layout}")
    else:
        inbox.exec_driver_sql("SELECT pg_current_xact_id()")


def _logged(row: tuple[Any, ...]) -> LoggedCallback:
    position, id, account, lane, received_at, method, size, remote, state, reason, fingerprint = row
    return LoggedCallback(
        position=position, id=id, account=account, lane=lane, received_at=received_at, method=method, size=size,
        remote=remote, state=state, reason=reason, fingerprint=fingerprint,
    )  # fmt: skip


# SQLite


def _sqlite_append(new: Sequence[NewCallback]) -> Callable[[Any], None]:
    # few sizes, so that the driver finds them prepared; rows without id fill them up, and are left out
    size = 1 << (len(new) - 1).bit_length()
    rows = [(*n[:3], _sqlite_time(n.received_at), *n[4:]) for n in new]
    values = list(chain.from_iterable(rows)) + [None] * (len(_COLUMNS) * (size - len(new)))
    return lambda connection: connection.execute(_SQLITE[size], values)


def _sqlite_time(at: datetime) -> str:
    """Return a time as SQLAlchemy writes it."""
    return at.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def _sqlite_statement(size: int) -> str:
    row = "(" + ", ".join("?" * len(_COLUMNS)) + ")"
    return (
        f"insert into inbox ({', '.join(_COLUMNS)})"  # noqa: S608 (only our own names)
        f" select * from (values {', '.join([row] * size)}) where column1 is not null"
    )


_SQLITE: Final = {1 << n: _sqlite_statement(1 << n) for n in range(MOST_ROWS.bit_length())}


# PostgreSQL: an array for each column, in its binary form

_KINDS: Final = (
    "text", "text", "text", "moment", "text", "integer", "text", "text", "text", "text",
    "bytes", "bytes", "bytes", "bytes",
)  # fmt: skip
_POSTGRESQL: Final = (
    f"insert into inbox ({', '.join(_COLUMNS)}) select new.*"  # noqa: S608
    f" from (select pg_advisory_xact_lock({_APPEND_LOCK})) as locked, unnest("
    + ", ".join(f"${n}::{ARRAYS[kind].type}[]" for n, kind in enumerate(_KINDS, 1))
    + ") as new on conflict (id) do nothing"
).encode()


def _postgresql_append(new: Sequence[NewCallback]) -> Callable[[Any], None]:
    columns = zip(*new, strict=True)
    arrays = [array(kind, column) for kind, column in zip(_KINDS, columns, strict=True)]

    def work(connection: Any) -> None:
        # libpq itself: the thread waits outside Python for the whole round trip
        _check(connection, connection.pgconn.exec_params(_POSTGRESQL, arrays, None, [1] * len(arrays)))

    return work


def _check(connection: Any, result: Any) -> None:
    from psycopg import OperationalError, errors, pq

    if result.status == pq.ExecStatus.COMMAND_OK:
        return
    if connection.closed or connection.pgconn.status != pq.ConnStatus.OK:
        raise OperationalError(result.get_error_message())
    raise errors.error_from_result(result)

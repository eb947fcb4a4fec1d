"""The inbox: every callback as it came, and what was made of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain import value
from tracker.domain.call_reports import CallReport
from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.inbox.match_queries import IGNORE, duplicate_text, report_to_json
from tracker.store.inbox.quarantine import QUARANTINED as QUARANTINED
from tracker.store.schema import tables as t

PENDING: Final = "pending"
JOINED: Final = "joined"
ORPHANED: Final = "orphaned"
UNREADABLE: Final = "unreadable"
IGNORED: Final = "ignored"
STATES: Final = (PENDING, JOINED, ORPHANED, UNREADABLE, IGNORED, QUARANTINED)

#: any number that no other program takes for its advisory lock
_JOINING_LOCK: Final = 0x7472_6B72_6A6F

#: seconds; whoever joins says nothing to PostgreSQL for so long only when it stands still: what Python has to do
#: between two statements of a batch takes a fraction of one. What a statement takes, or a lock, is not counted
RESTS_S: Final = 5.0

#: of the bodies that are read at once
_MOST_BYTES: Final = 8 * 1024 * 1024

_C = t.callbacks.c
_RAW = (_C.id, _C.account, _C.lane, _C.received_at, _C.method, _C.path, _C.query, _C.headers, _C.body)
_OLDEST_PENDING: Final = f" AND state = 'pending' AND {t.UNJOINED} ORDER BY received_at, id"

Headers = tuple[tuple[bytes, bytes], ...]


@value
class RawCallback:
    """A stored request, for an adapter to read."""

    id: str
    account: str
    lane: str | None
    received_at: datetime
    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


@value
class MatchState:
    """What was made of a callback."""

    id: str
    state: str
    reason: str | None = None
    reading: CallReport | None = None
    #: whether it counts among those that no id has joined
    loose: bool = False
    #: its first id names its submission; whatever equals it has that id, too, and needs no twin to find it
    named: bool = False
    matched_by: str | None = None
    submission: str | None = None
    call: str | None = None
    look_again_at: datetime | None = None


def pack_headers(headers: Headers) -> bytes:
    """Headers as one text of bytes, a line each, as they stand on the wire."""
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)


@lru_cache(maxsize=64)  # a provider's are nearly always the same
def unpack_headers(packed: bytes) -> Headers:
    pairs = (line.partition(b": ") for line in packed.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in pairs)


def lock_joining(
    connection: Connection, *, patience_s: float | None = None, rests_s: float = RESTS_S
) -> None:
    """One joiner at a time, in whatever process, until the transaction ends. On SQLite the transaction is the lock.

    patience_s: on PostgreSQL wait so long for it and no longer than that; None: as long as for any other lock.
    rests_s: who says nothing for so long loses the lock, and the connection.
    """
    # a process that stands still in this transaction keeps all others from joining; PostgreSQL ends it
    settings = [f"set_config('idle_in_transaction_session_timeout', '{round(rests_s * 1000)}', true)"]
    if patience_s is not None:
        settings.append(f"set_config('lock_timeout', '{round(patience_s * 1000)}', true)")
    bulk.force_index_scans(connection, also=", ".join((*settings, f"pg_advisory_xact_lock({_JOINING_LOCK})")))


def hold_off_joiners(connection: Connection) -> bool:
    """Let no joiner begin until this transaction ends. Return False if one runs now. Never waits.

    Several transactions may do so at once; on SQLite each write transaction does.
    """
    if connection.dialect.name != "postgresql":
        return True
    settings = f"set_config('idle_in_transaction_session_timeout', '{round(RESTS_S * 1000)}', true)"
    lock = f"SELECT pg_try_advisory_xact_lock_shared({_JOINING_LOCK}), {settings}"
    ((is_held, _),) = bulk.fetched(connection, lock, ())
    if is_held:
        bulk.force_index_scans(connection)
    return bool(is_held)


def pending(
    connection: Connection, accounts: Collection[str], limit: int, besides: Collection[str] = ()
) -> list[RawCallback]:
    """The oldest callbacks that nobody has read yet, but for some ids; at least one, no more than fit into memory."""
    bulk.force_index_scans(connection)
    c = t.callbacks.c
    most = limit + len(besides)
    rows = bulk.select(
        connection, (c.id, c.size), c.account, accounts, also=f"{_OLDEST_PENDING} LIMIT {most}"
    )
    left = [(id, size) for id, size in rows if id not in besides][:limit]
    together = accumulate(size for _, size in left)
    fitting = max(1, sum(total <= _MOST_BYTES for total in together))
    return requests(connection, [id for id, _ in left[:fitting]])


def requests(connection: Connection, ids: Collection[str]) -> list[RawCallback]:
    """These callbacks as far as nobody has read them yet, the oldest first."""
    c = t.callbacks.c
    # the state is looked at here: asked for by it, PostgreSQL would look through all that is pending
    rows = [r for r in bulk.select(connection, (*_RAW, c.state), c.id, ids) if r[-1] == PENDING]
    return [
        RawCallback(
            id=id, account=account, lane=lane, received_at=received_at, method=method, path=bytes(path),
            query=bytes(query), headers=unpack_headers(headers), body=bytes(body),
        )
        for id, account, lane, received_at, method, path, query, headers, body, _ in sorted(
            rows, key=lambda row: (row[3], row[0])
        )
    ]  # fmt: skip


def still_pending(connection: Connection, ids: Collection[str]) -> set[str]:
    """Of these, those that nobody else has read meanwhile."""
    c = t.callbacks.c
    # the state is looked at here: asked for by it, PostgreSQL would look through all that is pending
    return {id for id, state in bulk.select(connection, (c.id, c.state), c.id, ids) if state == PENDING}


def match_states(connection: Connection, ids: Collection[str]) -> dict[str, MatchState]:
    """What was made of these callbacks so far, without their readings."""
    c = t.callbacks.c
    query = sa.select(
        c.id, c.state, c.reason, c.loose_number, c.matched_by, c.submission_id, c.call_id, c.look_again_at
    )
    return {
        r.id: MatchState(
            id=r.id, state=r.state, reason=r.reason, loose=r.loose_number is not None, matched_by=r.matched_by,
            submission=r.submission_id, call=r.call_id, look_again_at=r.look_again_at,
        )
        for part in chunks(ids)
        for r in connection.execute(query.where(c.id.in_(part)))
    }  # fmt: skip


def write_match_states(connection: Connection, standings: Sequence[MatchState]) -> None:
    """Record what was made of callbacks."""
    if standings:
        bulk.update(connection, t.callbacks, standing_columns(standings))
    # what belongs nowhere repeats nothing; of what is joined its submission's evidence says it
    c = t.callbacks.c
    for part in chunks([s.id for s in standings if s.state != JOINED]):
        lost = t.callbacks.update().where(c.id.in_(part), c.repeat_of.is_not(None))
        connection.execute(lost.values(repeat_of=None))


def standing_columns(standings: Sequence[MatchState]) -> dict[str, list[Any]]:
    """What was made of callbacks by column, as their table has it."""
    return {
        "id": [s.id for s in standings],
        "state": [s.state for s in standings],
        "reason": [s.reason for s in standings],
        "reading": [report_to_json(s.reading) if s.reading else None for s in standings],
        "loose_number": [s.reading.to if s.reading and s.loose else None for s in standings],
        "twin": [duplicate_text(s.reading) if s.reading and not s.named else None for s in standings],
        "matched_by": [s.matched_by for s in standings],
        "submission_id": [s.submission for s in standings],
        "call_id": [s.call for s in standings],
        "look_again_at": [s.look_again_at for s in standings],
    }


def write_repeats(connection: Connection, repeat_of: Mapping[str, str | None]) -> None:
    """Record which callbacks say again what another said first."""
    if repeat_of:
        bulk.update(connection, t.callbacks, {"id": list(repeat_of), "repeat_of": list(repeat_of.values())})


def add_wait_keys(
    connection: Connection, account: str, keys: Mapping[str, Collection[str]], waited: Collection[str]
) -> None:
    """Have these callbacks found again by these keys (callback id → keys).

    waited: those of them that waited for something before; it goes.
    """
    for part in chunks(waited):
        connection.execute(t.waiting_keys.delete().where(t.waiting_keys.c.callback_id.in_(part)))
    rows = [(k, id) for id, ks in keys.items() for k in sorted(set(ks))]
    if rows:
        bulk.insert(
            connection,
            t.waiting_keys,
            {
                "account": [account] * len(rows),
                "key": [key for key, _ in rows],
                "callback_id": [id for _, id in rows],
            },
        )


def find_waiting(connection: Connection, account: str, keys: Collection[str]) -> list[str]:
    """The callbacks that wait for any of these keys."""
    w = t.waiting_keys.c
    query = sa.select(w.callback_id).where(w.account == account, w.key.in_(list(keys))).distinct()
    return list(connection.scalars(query))


def due_for_retry(
    connection: Connection, accounts: Collection[str], now: datetime, limit: int
) -> list[tuple[str, str]]:
    """Orphans whose time has come: (account, id)."""
    c = t.callbacks.c
    query = (
        sa.select(c.account, c.id)
        .where(c.look_again_at.is_not(None), c.look_again_at <= now, c.account.in_(list(accounts)))
        .order_by(c.look_again_at)
        .limit(limit)
        # without statistics SQLite takes an account for something rare
        .with_hint(t.callbacks, "INDEXED BY ix_callbacks_look_again", "sqlite")
    )
    return [(r.account, r.id) for r in connection.execute(query)]


def postpone_retry(connection: Connection, ids: Collection[str], until: datetime) -> None:
    """Look at these orphans no sooner than then."""
    c = t.callbacks.c
    for part in chunks(ids):
        connection.execute(t.callbacks.update().where(c.id.in_(part)).values(look_again_at=until))


def count_retry(connection: Connection, ids: Collection[str]) -> dict[str, tuple[int, datetime]]:
    """Count one more look at each of these; gives the counts, and when each was received."""
    c = t.callbacks.c
    connection.execute(t.callbacks.update().where(c.id.in_(list(ids))).values(looks=c.looks + 1))
    return {
        r.id: (r.looks, r.received_at)
        for r in connection.execute(sa.select(c.id, c.looks, c.received_at).where(c.id.in_(list(ids))))
    }


def set_by_hand(connection: Connection, id: str, submission: str | None) -> None:
    """An operator's word about a callback: the submission it belongs to, or None to have it ignored."""
    word = IGNORE if submission is None else submission
    connection.execute(t.callbacks.update().where(t.callbacks.c.id == id).values(by_hand=word))

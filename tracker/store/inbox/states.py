"""The outcome of each received request: its state, what it was matched to, and when it is tried again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.domain import value
from tracker.domain.call_reports import CallReport
from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.inbox.log import LoggedCallback
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
#: seconds for which a joiner may be silent between two statements; the largest batches need some, a frozen process more
IDLE_TIMEOUT_S: Final = 20.0


@value
class MatchState:
    """The outcome of one callback."""

    id: str
    state: str
    reason: str | None = None
    report: CallReport | None = None
    #: whether it counts among those that no id has joined
    heuristic: bool = False
    #: whether its first id names its submission: equal callbacks carry that id too and need no duplicate key
    named_by_first_id: bool = False
    matched_by: str | None = None
    submission: str | None = None
    call: str | None = None
    next_match_at: datetime | None = None


def lock_joining(
    connection: Connection, *, lock_timeout_s: float | None = None, idle_timeout_s: float = IDLE_TIMEOUT_S
) -> None:
    """Let one joiner at a time work, in whatever process, until the transaction ends.

    On SQLite the write transaction is the lock. On PostgreSQL a session that stays silent for `idle_timeout_s` loses
    the lock and its connection, so a frozen process does not keep the others from joining.
    lock_timeout_s: how long to wait for the lock; None waits as long as for any other lock.
    """
    settings = [f"set_config('idle_in_transaction_session_timeout', '{round(idle_timeout_s * 1000)}', true)"]
    if lock_timeout_s is not None:
        settings.append(f"set_config('lock_timeout', '{round(lock_timeout_s * 1000)}', true)")
    bulk.force_index_scans(connection, also=", ".join((*settings, f"pg_advisory_xact_lock({_JOINING_LOCK})")))


def hold_off_joiners(connection: Connection) -> bool:
    """Let no joiner begin until this transaction ends. Return False if one runs now. Never waits.

    Several transactions may do so at once; on SQLite each write transaction does.
    """
    if connection.dialect.name != "postgresql":
        return True
    settings = f"set_config('idle_in_transaction_session_timeout', '{round(IDLE_TIMEOUT_S * 1000)}', true)"
    lock = f"SELECT pg_try_advisory_xact_lock_shared({_JOINING_LOCK}), {settings}"
    ((is_held, _),) = bulk.fetched(connection, lock, ())
    if is_held:
        bulk.force_index_scans(connection)
    return bool(is_held)


def insert(connection: Connection, outcomes: Sequence[tuple[LoggedCallback, MatchState]]) -> None:
    """Record the outcome of requests that were read from the inbox in this transaction."""
    if not outcomes:
        return
    logged = [row for row, _ in outcomes]
    # heads first: their columns are those of the log
    heads: dict[str, list[Any]] = {
        "id": [row.id for row in logged],
        "position": [row.position for row in logged],
        "account": [row.account for row in logged],
        "lane": [row.lane for row in logged],
        "received_at": [row.received_at for row in logged],
        "method": [row.method for row in logged],
        "size": [row.size for row in logged],
        "fingerprint": [row.fingerprint for row in logged],
        "match_retries": [0] * len(logged),
    }
    bulk.insert(connection, t.callbacks, heads | _state_columns([state for _, state in outcomes]))


def update(connection: Connection, states: Sequence[MatchState]) -> None:
    """Record new outcomes of callbacks that have one already."""
    if states:
        bulk.update(connection, t.callbacks, _state_columns(states))
    # a callback without a submission repeats nothing; for joined ones the evidence of the submission decides
    c = t.callbacks.c
    for part in chunks([s.id for s in states if s.state != JOINED]):
        lost = t.callbacks.update().where(c.id.in_(part), c.repeat_of.is_not(None))
        connection.execute(lost.values(repeat_of=None))


def _state_columns(states: Sequence[MatchState]) -> dict[str, list[Any]]:
    return {
        "id": [s.id for s in states],
        "state": [s.state for s in states],
        "reason": [s.reason for s in states],
        "report": [report_to_json(s.report) if s.report else None for s in states],
        "heuristic_number": [s.report.to if s.report and s.heuristic else None for s in states],
        "duplicate_key": [
            duplicate_text(s.report) if s.report and not s.named_by_first_id else None for s in states
        ],
        "matched_by": [s.matched_by for s in states],
        "submission_id": [s.submission for s in states],
        "call_id": [s.call for s in states],
        "next_match_at": [s.next_match_at for s in states],
    }


def match_states(connection: Connection, ids: Collection[str]) -> dict[str, MatchState]:
    """Return the outcomes of these callbacks so far, without their reports; a pending one has none."""
    c = t.callbacks.c
    query = sa.select(
        c.id, c.state, c.reason, c.heuristic_number, c.matched_by, c.submission_id, c.call_id, c.next_match_at
    )
    return {
        r.id: MatchState(
            id=r.id, state=r.state, reason=r.reason, heuristic=r.heuristic_number is not None,
            matched_by=r.matched_by, submission=r.submission_id, call=r.call_id, next_match_at=r.next_match_at,
        )
        for part in chunks(ids)
        for r in connection.execute(query.where(c.id.in_(part)))
    }  # fmt: skip


def pending_positions(connection: Connection, accounts: Collection[str], limit: int) -> list[int]:
    """Return inbox positions of callbacks that stayed pending because their account was not configured."""
    c = t.callbacks.c
    query = sa.select(c.position).where(c.state == PENDING, t.unjoined, c.account.in_(list(accounts)))
    return list(connection.scalars(query.order_by(c.received_at, c.id).limit(limit)))


def remove_pending(connection: Connection, ids: Collection[str]) -> set[str]:
    """Delete the outcomes of those of these callbacks that are pending, and return which they were.

    The caller records them again in the same transaction.
    """
    c = t.callbacks.c
    removed: set[str] = set()
    for part in chunks(ids):
        removed |= set(connection.scalars(sa.select(c.id).where(c.id.in_(part), c.state == PENDING)))
    for part in chunks(removed):
        connection.execute(t.callbacks.delete().where(c.id.in_(part)))
    return removed


def write_repeats(connection: Connection, repeat_of: Mapping[str, str | None]) -> None:
    """Record which callbacks repeat what another one reported first."""
    if repeat_of:
        bulk.update(connection, t.callbacks, {"id": list(repeat_of), "repeat_of": list(repeat_of.values())})


def add_wait_keys(
    connection: Connection, account: str, keys: Mapping[str, Collection[str]], *, replace: Collection[str]
) -> None:
    """Let these callbacks be found by these keys (callback id → keys) once a submission with one of them is known.

    replace: the callbacks among them that had keys before; those are removed.
    """
    for part in chunks(replace):
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
    """Return the callbacks that wait for any of these keys."""
    w = t.waiting_keys.c
    query = sa.select(w.callback_id).where(w.account == account, w.key.in_(list(keys))).distinct()
    return list(connection.scalars(query))


def due_for_retry(
    connection: Connection, accounts: Collection[str], now: datetime, limit: int
) -> list[tuple[str, str]]:
    """Return orphans that are due for another try, as (account, id)."""
    c = t.callbacks.c
    query = (
        sa.select(c.account, c.id)
        .where(c.next_match_at.is_not(None), c.next_match_at <= now, c.account.in_(list(accounts)))
        .order_by(c.next_match_at)
        .limit(limit)
        # without statistics SQLite takes an account for something rare
        .with_hint(t.callbacks, "INDEXED BY ix_callbacks_next_match", "sqlite")
    )
    return [(r.account, r.id) for r in connection.execute(query)]


def postpone_retry(connection: Connection, ids: Collection[str], until: datetime) -> None:
    """Try these orphans again no sooner than then."""
    c = t.callbacks.c
    for part in chunks(ids):
        connection.execute(t.callbacks.update().where(c.id.in_(part)).values(next_match_at=until))


def count_retry(connection: Connection, ids: Collection[str]) -> dict[str, tuple[int, datetime]]:
    """Count one more try of each of these; return the counts and when each was received."""
    c = t.callbacks.c
    connection.execute(
        t.callbacks.update().where(c.id.in_(list(ids))).values(match_retries=c.match_retries + 1)
    )
    query = sa.select(c.id, c.match_retries, c.received_at).where(c.id.in_(list(ids)))
    return {r.id: (r.match_retries, r.received_at) for r in connection.execute(query)}


def set_manual_match(connection: Connection, id: str, submission: str | None) -> None:
    """Record an operator's decision: the submission that a callback belongs to, or None to ignore it."""
    decision = IGNORE if submission is None else submission
    connection.execute(t.callbacks.update().where(t.callbacks.c.id == id).values(manual_match=decision))

"""Whether what was worked out beforehand still holds: one question for a whole batch, put under the lock.

Its answer is nearly always nothing. The question is made ready before, so that whoever waits for the lock waits for no
more than the looking: by index, once for each thing that a claim hangs on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy.engine import Connection

from tracker.store.engine import bulk, timestamps
from tracker.store.engine.pg_arrays import array


class Claim(NamedTuple):
    """What a straight join hangs on."""

    receipt: str
    #: the id that names its submission, for comparing
    key: str
    submission: str
    call: str
    #: the callee, and since when callbacks about a call to it may come
    to: str
    requested_at: datetime | None


class Known(NamedTuple):
    """What is known of a call when something is worked out for it: whoever adds to that changes one of these."""

    call: str
    #: of its cache, as the driver gives it
    updated_at: Any
    #: how many there are
    events: int
    #: which are joined to it: one may go and another one come, and nothing else tell
    callbacks: str
    #: how many there are
    exchanges: int


class Question(NamedTuple):
    """What `fallen` asks; plain values, to be sent anywhere."""

    locks: bulk.Plan
    #: gives receipts whose claims do not hold
    claims: bulk.Statement
    #: gives calls of which more is known by now
    calls: bulk.Statement | None


class Fallen(NamedTuple):
    """What does not hold any more of what was worked out."""

    receipts: set[str]
    calls: set[str]


def known(connection: Connection, calls: Collection[str]) -> dict[str, Known]:
    """What is known of these calls, as far as they are there. To be asked before it is read: what comes in between is
    noticed then."""
    if not calls:
        return {}
    on_postgresql = connection.dialect.name == "postgresql"
    wanted: Any = array("text", list(calls)) if on_postgresql else orjson.dumps(list(calls)).decode()
    rows = bulk.fetched(connection, _KNOWN_POSTGRESQL if on_postgresql else _KNOWN_SQLITE, (wanted,))
    return {row[0]: Known(*row) for row in rows}


def question_of_firsts(connection: Connection, account: str, claims: Sequence[Claim]) -> Question:
    """Of claims of an account, about calls of which is known that they were accepted, and no more; for connections of
    this kind."""
    return _question(connection, account, claims, _FIRST_FALLEN, None)


def question_of_others(
    connection: Connection, account: str, claims: Sequence[Claim], known: Sequence[Known]
) -> Question:
    """The same about calls of which this is known."""
    if connection.dialect.name == "postgresql":
        kinds = ("text", "moment", "integer", "text", "integer")
        values = tuple(
            array(kind, column) for kind, column in zip(kinds, zip(*known, strict=True), strict=True)
        )
        ask = bulk.Statement(_CHANGED_POSTGRESQL, values)
    else:
        ask = bulk.Statement(_CHANGED_SQLITE, (orjson.dumps([tuple(k) for k in known]).decode(),))
    return _question(connection, account, claims, _FALLEN, ask)


def _question(
    connection: Connection,
    account: str,
    claims: Sequence[Claim],
    condition: str,
    calls: bulk.Statement | None,
) -> Question:
    requested = [(claim.requested_at, claim.to) for claim in claims if claim.requested_at is not None]
    since = min(requested)[0] if requested else None
    numbers = {to for _, to in requested}
    columns: list[list[str | None]] = [
        [claim.receipt for claim in claims],
        [claim.key for claim in claims],
        [claim.submission for claim in claims],
        [claim.call for claim in claims],
        [claim.to if claim.to in numbers else None for claim in claims],
    ]
    if connection.dialect.name == "postgresql":
        # whoever writes of a call locks it first, in the order of ids; what is asked behind that is the latest
        arrays = [array("text", values) for values in columns]
        ask = bulk.Statement(_ask_postgresql(condition), (*arrays, account, account, account, since))
        return Question([bulk.Statement(_LOCK_POSTGRESQL, (arrays[3],))], ask, calls)
    rows = orjson.dumps(list(zip(*columns, strict=True))).decode()
    values = (rows, account, account, account, since and timestamps.written(since))
    return Question([], bulk.Statement(_ask_sqlite(condition), values), calls)


def fallen(connection: Connection, question: Question) -> Fallen:
    """The claims that do not hold any more, and the calls of which more is known by now; the calls of all claims are
    locked until the transaction ends.

    A claim holds while its receipt is pending, its key names its submission and no other of the account, and nothing
    that no id has joined waits for its number; one of a call's first callbacks, while all that is known of that call is
    that it was accepted. The joining lock is held.
    """
    bulk.run(connection, question.locks)
    return Fallen(
        receipts=_ids(connection, question.claims),
        calls=_ids(connection, question.calls) if question.calls else set(),
    )


def _ids(connection: Connection, asked: bulk.Statement) -> set[str]:
    return {id for (id,) in bulk.fetched(connection, asked.text, asked.values)}


_COLUMNS: Final = 'j (receipt, "key", submission, call, number)'
_JOINS_POSTGRESQL: Final = f"unnest({', '.join(['%s::text[]'] * 5)}) AS {_COLUMNS}"
_TAKEN: Final = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(5))
# MATERIALIZED: taken apart once for each row, not once for each look at it
_JOINS_SQLITE: Final = f"WITH {_COLUMNS} AS MATERIALIZED (SELECT {_TAKEN} FROM json_each(?))"  # noqa: S608

# Each thing is looked up by its key alone, and what was found is weighed behind that: with more conditions beside the
# key, either database might go by one of those, and read all that is pending, or all of an account.
_FALLEN: Final = """
    coalesce((SELECT b.state FROM callbacks b WHERE b.id = j.receipt), '') <> 'pending'
    OR coalesce((SELECT CASE sum(CASE s.account WHEN {value} THEN 1 ELSE 0 END) WHEN 1 THEN
                     min(CASE s.account WHEN {value} THEN s.id END) END
                 FROM submissions s WHERE s.provider_key = j."key"), '') <> j.submission
    OR coalesce((SELECT max(CASE WHEN w.account = {value} AND w.received_at >= {value} THEN 1 ELSE 0 END)
                 FROM callbacks w WHERE w.loose_number = j.number), 0) = 1
"""
# an accepted call has three events
_NO_FIRST: Final = """
    coalesce((SELECT CASE WHEN c.status = 'queued' AND c.attempts = 1
                     AND NOT (c.settled OR c.disputed OR c.cancel_requested) AND c.next_attempt_at IS NULL
                     AND coalesce(c.recording_url, '') = '' AND coalesce(c.dtmf, '') = '' THEN 1 END
                 FROM calls c WHERE c.id = j.call), 0) <> 1
    OR (SELECT count(*) FROM events e WHERE e.call_id = j.call) <> 3
"""
_FIRST_FALLEN: Final = f"{_FALLEN} OR {_NO_FIRST}"


def _ask_sqlite(condition: str) -> str:
    return f"{_JOINS_SQLITE} SELECT j.receipt FROM j WHERE {condition.format(value='?')}"  # noqa: S608


def _ask_postgresql(condition: str) -> str:
    return f"SELECT j.receipt FROM {_JOINS_POSTGRESQL} WHERE {condition.format(value='%s')}"  # noqa: S608


_KNOWN: Final = """
    (SELECT count(*) FROM events e WHERE e.call_id = {call}),
    coalesce((SELECT {together} FROM callbacks b WHERE b.call_id = {call}), ''),
    (SELECT count(*) FROM exchanges x WHERE x.call_id = {call})
"""
# out of the index by which they are found, and in its order: sorted, PostgreSQL would walk all callbacks by their ids
_TOGETHER_SQLITE: Final = "group_concat(b.id)"
_TOGETHER_POSTGRESQL: Final = "string_agg(b.id, ',')"


def _known(together: str, among: str) -> str:
    known = _KNOWN.format(call="c.id", together=together)
    return f"SELECT c.id, c.updated_at, {known} FROM calls c WHERE c.id {among}"  # noqa: S608


def _changed(together: str) -> str:
    return f"""
        coalesce((SELECT CASE c.updated_at WHEN k.updated_at THEN 1 END FROM calls c WHERE c.id = k.call), 0) <> 1
        OR ({_KNOWN.format(call="k.call", together=together)}) <> (k.events, k.callbacks, k.exchanges)
    """  # noqa: S608


_KNOWN_SQLITE: Final = _known(_TOGETHER_SQLITE, "IN (SELECT value FROM json_each(?))")
_KNOWN_POSTGRESQL: Final = _known(_TOGETHER_POSTGRESQL, "= ANY(%s)")

_OF_CALLS: Final = "k (call, updated_at, events, callbacks, exchanges)"
_OF_CALLS_SQLITE: Final = f"WITH {_OF_CALLS} AS MATERIALIZED (SELECT {_TAKEN} FROM json_each(?))"  # noqa: S608
_OF_CALLS_POSTGRESQL: Final = (
    f"unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::text[], %s::bigint[]) AS {_OF_CALLS}"
)
_CHANGED_SQLITE: Final = f"{_OF_CALLS_SQLITE} SELECT k.call FROM k WHERE {_changed(_TOGETHER_SQLITE)}"  # noqa: S608
_CHANGED_POSTGRESQL: Final = (
    f"SELECT k.call FROM {_OF_CALLS_POSTGRESQL} WHERE {_changed(_TOGETHER_POSTGRESQL)}"  # noqa: S608
)
_LOCK_POSTGRESQL: Final = "SELECT 1 FROM calls WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

"""Whether what was worked out beforehand still holds: one question for a whole batch, put under the lock.

Its answer is nearly always nothing. The question is made ready before, so that whoever waits for the lock waits for no
more than the looking: by index, once for each thing that a claim hangs on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import orjson
from sqlalchemy.engine import Connection

from tracker.store import bulk, moments
from tracker.store.arrays import array


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

    @property
    def ids(self) -> tuple[str, str, str]:
        """Of all that is written for it."""
        return self.receipt, self.call, self.submission


def question(connection: Connection, account: str, claims: Sequence[Claim]) -> bulk.Plan:
    """What `fallen` asks of claims of an account, for connections of this kind; plain values, to be sent anywhere."""
    requested = {claim.to: claim.requested_at for claim in claims if claim.requested_at is not None}
    since = min(requested.values(), default=None)
    columns: list[list[str | None]] = [
        [claim.receipt for claim in claims],
        [claim.key for claim in claims],
        [claim.submission for claim in claims],
        [claim.call for claim in claims],
        [claim.to if claim.to in requested else None for claim in claims],
    ]
    if connection.dialect.name == "postgresql":
        # whoever writes of a call locks it first, in the order of ids; what is asked behind that is the latest
        arrays = [array("text", values) for values in columns]
        return [
            bulk.Statement(_LOCK_POSTGRESQL, (arrays[3],)),
            bulk.Statement(_ASK_POSTGRESQL, (*arrays, account, account, account, since)),
        ]
    rows = orjson.dumps(list(zip(*columns, strict=True))).decode()
    values = (rows, account, account, account, since and moments.written(since))
    return [bulk.Statement(_ASK_SQLITE, values)]


def fallen(connection: Connection, question: bulk.Plan) -> set[str]:
    """The receipts of those claims that do not hold any more; their calls are locked until the transaction ends.

    One holds while its receipt is pending, its key names its submission and no other of the account, all that is known
    of its call is that it was accepted, and nothing that no id has joined waits for its number. The joining lock is
    held.
    """
    *first, ask = question
    bulk.run(connection, first)
    return {id for (id,) in bulk.fetched(connection, ask.text, ask.values)}


_COLUMNS: Final = 'j (receipt, "key", submission, call, number)'
_JOINS_POSTGRESQL: Final = f"unnest({', '.join(['%s::text[]'] * 5)}) AS {_COLUMNS}"
_TAKEN: Final = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(5))
# MATERIALIZED: taken apart once for each row, not once for each look at it
_JOINS_SQLITE: Final = f"WITH {_COLUMNS} AS MATERIALIZED (SELECT {_TAKEN} FROM json_each(?))"  # noqa: S608

# Each thing is looked up by its key alone, and what was found is weighed behind that: with more conditions beside the
# key, either database might go by one of those, and read all that is pending, or all of an account. An accepted call
# has three events.
_FALLEN: Final = """
    coalesce((SELECT b.state FROM callbacks b WHERE b.id = j.receipt), '') <> 'pending'
    OR coalesce((SELECT CASE sum(CASE s.account WHEN {value} THEN 1 ELSE 0 END) WHEN 1 THEN
                     min(CASE s.account WHEN {value} THEN s.id END) END
                 FROM submissions s WHERE s.provider_key = j."key"), '') <> j.submission
    OR coalesce((SELECT CASE WHEN c.status = 'queued' AND c.attempts = 1
                     AND NOT (c.settled OR c.disputed OR c.cancel_requested) AND c.next_attempt_at IS NULL
                     AND coalesce(c.recording_url, '') = '' AND coalesce(c.dtmf, '') = '' THEN 1 END
                 FROM calls c WHERE c.id = j.call), 0) <> 1
    OR (SELECT count(*) FROM events e WHERE e.call_id = j.call) <> 3
    OR coalesce((SELECT max(CASE WHEN w.account = {value} AND w.received_at >= {value} THEN 1 ELSE 0 END)
                 FROM callbacks w WHERE w.loose_number = j.number), 0) = 1
"""
_ASK_SQLITE: Final = f"{_JOINS_SQLITE} SELECT j.receipt FROM j WHERE {_FALLEN.format(value='?')}"  # noqa: S608
_ASK_POSTGRESQL: Final = f"SELECT j.receipt FROM {_JOINS_POSTGRESQL} WHERE {_FALLEN.format(value='%s')}"  # noqa: S608
_LOCK_POSTGRESQL: Final = "SELECT 1 FROM calls WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

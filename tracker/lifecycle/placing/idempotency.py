"""Carries out a request with an Idempotency-Key once, however often it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tracker.domain.calls import Submission
from tracker.errors import IdempotencyConflict
from tracker.store.calls.submissions import find_submissions
from tracker.store.engine.database import Connection, Database
from tracker.store.queue.idempotency_keys import bind_key, find_key
from tracker.store.queue.keyed_digests import keyed_digest


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The pending submission that a request made, with its call."""

    call: str
    submission: str
    #: its configuration says how long sending may take
    account: str
    #: UTC, of the submission
    created_at: datetime
    #: whether the same request came before, so that nothing is to be sent
    is_replayed: bool = False

    @classmethod
    def of(cls, submission: Submission) -> Placed:
        """Return a submission that was just made."""
        return cls(
            call=submission.call,
            submission=submission.id,
            account=submission.account,
            created_at=submission.created_at,
        )


@dataclass(frozen=True, kw_only=True)
class IdempotentRequest:
    """The parts of a request that decide whether another one is the same."""

    #: the client: an API token, or the command line
    scope: str
    #: the Idempotency-Key; if it is None, no request is the same as another
    key: str | None
    #: as `canonical_json` returns it
    content: bytes


def canonical_json(fields: Mapping[str, Any]) -> bytes:
    """Return the fields as JSON that does not depend on their order."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def run_once(database: Database, request: IdempotentRequest, work: Callable[[Connection], Placed]) -> Placed:
    """Do the work in a transaction, unless the same request was carried out before; then return what that one made.

    Raises IdempotencyConflict if the key was used for another request, StorageUnavailable, and what `work` raises.
    """

    def find_or_do(c: Connection) -> Placed:
        if (before := _find_placed(c, request)) is not None:
            return before
        placed = work(c)
        _bind(c, request, placed)
        return placed

    try:
        return database.write(find_or_do)
    except _BoundMeanwhile:
        return database.write(find_or_do)


def _find_placed(c: Connection, request: IdempotentRequest) -> Placed | None:
    if request.key is None:
        return None
    bound = find_key(c, scope=keyed_digest(c, request.scope.encode()), key=request.key)
    if bound is None:
        return None
    if bound.digest != keyed_digest(c, request.content):
        raise IdempotencyConflict
    # the key has the time of the submission that its request made
    submissions = find_submissions(c, [bound.call])
    made = next((s for s in submissions if s.created_at == bound.created_at), submissions[0])
    return replace(Placed.of(made), is_replayed=True)


def _bind(c: Connection, request: IdempotentRequest, placed: Placed) -> None:
    if request.key is None:
        return
    scope, digest = keyed_digest(c, request.scope.encode()), keyed_digest(c, request.content)
    now = placed.created_at
    if not bind_key(c, scope=scope, key=request.key, digest=digest, call_id=placed.call, now=now):
        raise _BoundMeanwhile


class _BoundMeanwhile(Exception):
    """The same request came over another connection at the same time. It rolls this transaction back."""

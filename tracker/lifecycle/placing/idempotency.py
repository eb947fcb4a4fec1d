"""Repeating: a request that comes with an Idempotency-Key is carried out once, however often it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from tracker.errors import IdempotencyConflict
from tracker.store.calls.submissions import find_submissions
from tracker.store.engine.database import Connection, Database
from tracker.store.queue.idempotency_keys import bind_key, find_key
from tracker.store.queue.keyed_digests import keyed_digest

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A submission that was asked for, with its call; it may be sent now."""

    call: str
    submission: str
    #: whose provider it is sent to
    account: str
    #: the request was seen before: nothing is to be sent
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class IdempotentRequest:
    """A request, as far as it decides whether another is the same."""

    #: who asks: a token, or the command line
    scope: str
    #: the Idempotency-Key; with None every request is another one
    key: str | None
    #: what is asked for, in one form only
    content: bytes


def canonical_json(fields: Mapping[str, Any]) -> bytes:
    """These fields in the one form that is the same for all their orders."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def run_once(database: Database, work: Callable[[Connection], T]) -> T:
    """Carry out work that calls `seen` and `bind`, in a transaction; again where the same request got ahead of it."""
    try:
        return database.write(work)
    except _SeenMeanwhile:
        return database.write(work)


def find_replay(c: Connection, asked: IdempotentRequest) -> Placed | None:
    """What the same request led to before. Raises IdempotencyConflict where its key was given for another one."""
    if asked.key is None:
        return None
    found = find_key(c, scope=keyed_digest(c, asked.scope.encode()), key=asked.key)
    if found is None:
        return None
    if found.digest != keyed_digest(c, asked.content):
        raise IdempotencyConflict
    # a request and the submission that it led to are of one transaction, and of one moment
    submissions = find_submissions(c, [found.call])
    made = next((s for s in submissions if s.created_at == found.created_at), submissions[0])
    return Placed(call=found.call, submission=made.id, account=made.account, replayed=True)


def remember_request(c: Connection, asked: IdempotentRequest, call: str, now: datetime) -> None:
    """Remember the request, in the transaction that carries it out; now: when its submission is created."""
    if asked.key is None:
        return
    scope, digest = keyed_digest(c, asked.scope.encode()), keyed_digest(c, asked.content)
    if not bind_key(c, scope=scope, key=asked.key, digest=digest, call_id=call, now=now):
        raise _SeenMeanwhile


class _SeenMeanwhile(Exception):
    """The same request came by another connection at the same moment. Rolls this one back; then the other is found."""

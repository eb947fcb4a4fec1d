"""Stores Idempotency-Keys, each with a digest of its request and the call that the request led to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine.upsert import insert_if_absent
from tracker.store.schema import tables as t

_K = t.idempotency_keys.c


@dataclass(frozen=True, kw_only=True)
class BoundKey:
    """An Idempotency-Key that is bound to a call."""

    digest: str
    call: str
    #: UTC, when its request was carried out
    created_at: datetime


def bind_key(
    connection: Connection, *, scope: str, key: str, digest: str, call_id: str, now: datetime
) -> bool:
    """Bind an Idempotency-Key to a call. Return False if it is bound already."""
    row = {"scope": scope, "key": key, "digest": digest, "call_id": call_id, "created_at": now}
    return insert_if_absent(connection, t.idempotency_keys, row)


def find_key(connection: Connection, *, scope: str, key: str) -> BoundKey | None:
    """Return what an Idempotency-Key is bound to."""
    query = sa.select(_K.digest, _K.call_id, _K.created_at).where(_K.scope == scope, _K.key == key)
    row = connection.execute(query).first()
    return BoundKey(digest=row.digest, call=row.call_id, created_at=row.created_at) if row else None


def delete_keys_before(connection: Connection, before: datetime) -> int:
    """Delete Idempotency-Keys that are older, and return how many."""
    return connection.execute(t.idempotency_keys.delete().where(_K.created_at < before)).rowcount

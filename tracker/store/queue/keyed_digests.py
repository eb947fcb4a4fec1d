"""Makes digests with a key that only this database has."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine.upsert import insert_if_absent
from tracker.store.schema import tables as t

_DIGEST_KEY: Final = "digest-key"


def keyed_digest(connection: Connection, data: bytes) -> str:
    """Return 32 hexadecimal digits. Without the database's key, nobody can compute them or find the data by trying."""
    query = sa.select(t.settings.c.value).where(t.settings.c.name == _DIGEST_KEY)
    key = connection.scalar(query)
    if key is None:
        insert_if_absent(connection, t.settings, {"name": _DIGEST_KEY, "value": secrets.token_hex(32)})
        key = connection.scalar(query)
    return hmac.new(bytes.fromhex(str(key)), data, hashlib.sha256).hexdigest()[:32]

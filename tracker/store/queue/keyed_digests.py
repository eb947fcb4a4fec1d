"""Digests with a key that this database alone has."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from tracker.store.schema import tables as t

_DIGEST_KEY: Final = "digest-key"


def insert_unless_there(connection: Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    """Whether the row was inserted; False where one with its key was there."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table).values(values).on_conflict_do_nothing()
    # the row count of an insert is not to be had from every driver
    return connection.execute(insert.returning(*table.primary_key.columns)).first() is not None


def digest(connection: Connection, data: bytes) -> str:
    """A digest that nobody can make or reverse by trying without this database's own key. 32 hexadecimal digits."""
    query = sa.select(t.settings.c.value).where(t.settings.c.name == _DIGEST_KEY)
    key = connection.scalar(query)
    if key is None:
        insert_unless_there(connection, t.settings, {"name": _DIGEST_KEY, "value": secrets.token_hex(32)})
        key = connection.scalar(query)
    return hmac.new(bytes.fromhex(str(key)), data, hashlib.sha256).hexdigest()[:32]

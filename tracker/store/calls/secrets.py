"""Stores the secret variables of calls, readable only until they are sent."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.schema import tables as t

_S = t.call_secrets.c


def insert_secrets(connection: Connection, call_id: str, variables: Mapping[str, str]) -> None:
    """Insert the secret variables of a new call, in the clear."""
    if variables:
        connection.execute(t.call_secrets.insert(), {"call_id": call_id, "variables": dict(variables)})


def load_secrets(connection: Connection, call_id: str) -> dict[str, str]:
    """Return the secret variables of a call in the clear; empty once they were sent."""
    variables = connection.scalar(sa.select(_S.variables).where(_S.call_id == call_id))
    return dict(variables or {})


def erase_secrets(connection: Connection, call_id: str) -> None:
    """Erase the secret variables of a call, because no request needs them any more."""
    connection.execute(t.call_secrets.delete().where(_S.call_id == call_id))

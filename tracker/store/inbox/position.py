"""How far the joiner has read the inbox, and which rows pruning has yet to remove from it.

Both stand in the records, so that they are committed together with what they are about.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.schema import tables as t

_JOINER: Final = "joiner"


def joined_position(connection: Connection) -> int:
    """Return the last inbox position whose outcome is in the records; 0 before the first."""
    c = t.positions.c
    return int(connection.scalar(sa.select(c.position).where(c.consumer == _JOINER)) or 0)


def advance(connection: Connection, before: int, after: int) -> bool:
    """Set the joined position; return False if it is no longer `before`, because another joiner was faster.

    The caller writes what the rows up to `after` came to in the same transaction, so each row counts exactly once.
    """
    p = t.positions
    if joined_position(connection) != before:
        return False
    done = connection.execute(p.update().where(p.c.consumer == _JOINER).values(position=after))
    if done.rowcount == 0:
        connection.execute(p.insert().values(consumer=_JOINER, position=after))
    return True


def plan_removals(connection: Connection, positions: Collection[int]) -> None:
    """Note inbox rows to be removed, in the transaction that removes their outcome from the records."""
    if positions:
        bulk.insert(connection, t.inbox_removals, {"position": sorted(set(positions))})


def planned_removals(connection: Connection, limit: int) -> list[int]:
    """Return inbox positions that are still to be removed."""
    c = t.inbox_removals.c
    return list(connection.scalars(sa.select(c.position).order_by(c.position).limit(limit)))


def finish_removals(connection: Connection, positions: Collection[int]) -> None:
    """Forget positions whose rows are removed from the inbox."""
    c = t.inbox_removals.c
    for part in chunks(positions):
        connection.execute(t.inbox_removals.delete().where(c.position.in_(part)))

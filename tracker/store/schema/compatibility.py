"""Records which versions can work on a database although its schema is newer than theirs: expand, then contract.

Each migration says how old a program may be that still works after it. An older program does not have the newer
migrations, so the upgrade writes what all of them together allow into the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

# by name, because a start without an upgrade need not import all tables
_SETTINGS: Final = sa.table("settings", sa.column("name"), sa.column("value"))
_NAME: Final = "oldest-able-schema"


def find_oldest(declared: Iterable[tuple[str, str | None]]) -> str:
    """Return the oldest schema whose program can work after all of these migrations.

    declared: (revision, its `oldest_able`); None means that no older program can.
    """
    return max(oldest_able or revision for revision, oldest_able in declared)


def record_oldest(connection: Connection, revision: str) -> None:
    """Record the oldest schema whose program can work on this database. The caller holds the migration lock."""
    connection.execute(_SETTINGS.delete().where(_SETTINGS.c.name == _NAME))
    connection.execute(_SETTINGS.insert().values(name=_NAME, value=revision))


def load_oldest(connection: Connection) -> str | None:
    """Return what the newest upgrade recorded; None if nothing is recorded."""
    oldest = connection.scalar(sa.select(_SETTINGS.c.value).where(_SETTINGS.c.name == _NAME))
    return None if oldest is None else str(oldest)

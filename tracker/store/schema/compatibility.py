"""Which versions can work on a database, although it has a newer schema than theirs: expand, then contract.

Each migration says how old a program may be that still works after it. What all of them together allow is written into
the database, because a program that is older than a migration cannot read it there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

# by name: whoever only looks need not import what all the tables need
_SETTINGS: Final = sa.table("settings", sa.column("name"), sa.column("value"))
_NAME: Final = "oldest-able-schema"


def oldest(declared: Iterable[tuple[str, str | None]]) -> str:
    """The oldest schema whose program can work after all of these migrations: (revision, what it declares).

    One that declares nothing is understood by nobody before it.
    """
    return max(able or revision for revision, able in declared)


def record(connection: Connection, revision: str) -> None:
    """Write down the oldest schema whose program can work on this database from now on. Nobody else does so now."""
    connection.execute(_SETTINGS.delete().where(_SETTINGS.c.name == _NAME))
    connection.execute(_SETTINGS.insert().values(name=_NAME, value=revision))


def recorded(connection: Connection) -> str | None:
    """What the newest upgrade wrote down; None where that was by a version older than this custom."""
    found = connection.scalar(sa.select(_SETTINGS.c.value).where(_SETTINGS.c.name == _NAME))
    return None if found is None else str(found)

"""Reads what is in a database's two files while no process uses them, and whether they belong together."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tracker.store.maintenance.sqlite_file import (
    Damaged,
    check_pages,
    open_immutable,
    quote_path,
    sqlite_errors,
)

#: the tables whose rows tell a person whether everything is in a copy
_COUNTED_TABLES: Final[tuple[str, ...]] = ("calls", "submissions", "events", "callbacks")
#: as inbox_file.py and position.py write them
_DATABASE_ID: Final = "SELECT value FROM settings WHERE name = 'database-id'"
_JOINED_POSITION: Final = "SELECT position FROM positions WHERE consumer = 'joiner'"


@dataclass(frozen=True, kw_only=True)
class RecordsContents:
    """The contents of a file with a database's records."""

    #: bytes
    size: int
    #: the revision of its schema; None if it has none
    schema: str | None
    #: the identity that the database shares with its inbox file; None if it has no inbox file
    database_id: str | None
    #: the last inbox position whose outcome is in the records
    joined_position: int
    #: rows by table
    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class InboxContents:
    """The contents of an inbox file."""

    #: bytes
    size: int
    #: version of the file's layout
    layout: int
    #: the identity that the file shares with its database's records
    database_id: str | None
    #: the newest position that was ever given; its row may be pruned by now
    last_position: int
    #: received requests
    count: int


def inspect_records(path: Path) -> RecordsContents:
    """Check all pages of a records file that no process uses, and return what is in it.

    Raises Damaged, and StorageUnavailable if it cannot be read.
    """
    with sqlite_errors(path, path), closing(open_immutable(path)) as file:
        tables = check_pages(file, path)
        schema = (
            _value(file, "SELECT version_num FROM alembic_version") if "alembic_version" in tables else None
        )
        database_id = _value(file, _DATABASE_ID) if "settings" in tables else None
        joined = _value(file, _JOINED_POSITION) if "positions" in tables else None
        counts = {table: _count(file, table) for table in _COUNTED_TABLES if table in tables}
    return RecordsContents(
        size=path.stat().st_size,
        schema=schema,
        database_id=database_id,
        joined_position=joined or 0,
        counts=counts,
    )


def read_database_id(path: Path) -> str | None:
    """Return the identity of the database whose records are in a file that no process uses.

    Raises StorageUnavailable if it cannot be read.
    """
    with sqlite_errors(path, path), closing(open_immutable(path)) as file:
        identity: str | None = _value(file, _DATABASE_ID)
        return identity


def inspect_inbox(path: Path) -> InboxContents:
    """Check all pages of an inbox file that no process uses, and return what is in it.

    Raises Damaged if it is damaged or not an inbox file, and StorageUnavailable if it cannot be read.
    """
    with sqlite_errors(path, path), closing(open_immutable(path)) as file:
        tables = check_pages(file, path)
        if not {"inbox", "identity"} <= tables:
            raise Damaged(f"{path} is damaged: it has no inbox")
        return InboxContents(
            size=path.stat().st_size,
            layout=_pragma(file, "user_version"),
            database_id=_value(file, "SELECT database_id FROM identity"),
            last_position=_value(file, "SELECT seq FROM sqlite_sequence WHERE name = 'inbox'") or 0,
            count=_count(file, "inbox"),
        )


def pairing_problem(records: RecordsContents, inbox: InboxContents) -> str | None:
    """Return why an inbox file does not belong to these records, as the end of a sentence; None if it does."""
    if records.database_id != inbox.database_id:
        return "belongs to another database"
    if inbox.last_position < records.joined_position:
        return (
            f"is older than the records: it ends at position {inbox.last_position}, and callbacks up to "
            f"{records.joined_position} were read from it"
        )
    return None


def count_callbacks_after(inbox: Path, position: int) -> int:
    """Return how many requests follow a position in an inbox file that no process uses. Raises StorageUnavailable."""
    with sqlite_errors(inbox, inbox), closing(open_immutable(inbox)) as file:
        query = "SELECT count(*) FROM inbox WHERE position > ?"
        return int(file.execute(query, (position,)).fetchone()[0])


def continues(inbox: Path, earlier: Path) -> bool:
    """Return whether an inbox file may be a later state of another one: the newest request of both is the same.

    After a restore, positions are given again. Two inboxes of one database may then have different requests at one
    position. No process uses the files. Raises StorageUnavailable.
    """
    with sqlite_errors(inbox, inbox), closing(open_immutable(inbox)) as file:
        file.execute("ATTACH DATABASE ? AS earlier", (f"file:{quote_path(earlier)}?mode=ro&immutable=1",))
        # CROSS JOIN: SQLite begins with the newest request of the earlier file
        query = (
            "SELECT e.id = i.id FROM earlier.inbox AS e CROSS JOIN main.inbox AS i ON i.position = e.position "
            "ORDER BY e.position DESC LIMIT 1"
        )
        row = file.execute(query).fetchone()
    return row is None or bool(row[0])


def _value(file: sqlite3.Connection, query: str) -> Any:
    row = file.execute(query).fetchone()
    return row[0] if row else None


def _count(file: sqlite3.Connection, table: str) -> int:
    return int(_value(file, f'SELECT count(*) FROM "{table}"'))  # noqa: S608 (only our own names)


def _pragma(file: sqlite3.Connection, name: str) -> int:
    return int(_value(file, f"PRAGMA {name}"))

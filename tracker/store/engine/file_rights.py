"""Whether this user can write the database: tried out, for what the modes of files say is not all that counts."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from tracker.store.engine.database import Connection, Database

#: seconds that are waited for whoever writes just now. Where the file cannot be written, that is said without the lock
_PATIENCE_S: Final = 0.1
_ENDINGS: Final = ("", "-wal", "-shm", "-journal")
_NAMED: Final = 3


def obstacles(database: Database) -> list[str]:
    """Why this user cannot write the database, one sentence for each thing; nothing is changed, and nobody held up.

    That others are writing just now is no obstacle; what is damaged, or does not answer, is told by others. Raises
    StorageUnavailable where a server cannot be asked.
    """
    if not database.is_sqlite:
        return database.read(_not_granted)
    paths = {path for path in (database.path, database.inbox.path) if path is not None and path.exists()}
    return [obstacle for path in sorted(paths) for obstacle in _tried(path)]


def denied(path: Path) -> str | None:
    """Which of a SQLite database's files, or its directory, this user may not write, and what to do; None where there
    is no such thing to be seen."""
    files = [path.with_name(path.name + end) for end in _ENDINGS]
    shut = [
        p
        for p in [path.absolute().parent, *files]
        if p.exists() and not os.access(p, os.R_OK | os.W_OK, effective_ids=True)
    ]
    if not shut:
        return None
    told = ", ".join(f"{p.absolute()} ({_owner(p)})" for p in shut)
    return (
        f"{_user(os.geteuid())} may not write {told}: chown it to whoever runs tracker, or chmod it; usually a command "
        "was run once as another user, such as root"
    )


def _tried(path: Path) -> list[str]:
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    try:
        with closing(
            sqlite3.connect(address, uri=True, timeout=_PATIENCE_S, isolation_level=None)
        ) as connection:
            # BEGIN IMMEDIATE alone is content with a file that can only be read
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version={version}")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        if not name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return []
        why = denied(path) or "is its file system mounted read-only?"
        return [f"{path.name} cannot be written ({error}): {why}"]
    return []


def _not_granted(connection: Connection) -> list[str]:
    from tracker.store.schema import tables as t

    query = sa.text(
        "SELECT relname FROM pg_class c WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace"
        " AND relname = ANY(:ours) AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')"
        " AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')) ORDER BY relname"
    )
    tables = list(connection.scalars(query, {"ours": sorted(t.calls.metadata.tables)}))
    if not tables:
        return []
    role, schema = connection.execute(sa.text("SELECT current_user, current_schema()")).one()
    named = ", ".join(tables[:_NAMED]) + (f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else "")
    return [
        f"The role {role} may not read and write all tables ({named}): let their owner GRANT SELECT, INSERT, UPDATE, "
        f"DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}, or name the owner in database.url"
    ]


def _owner(path: Path) -> str:
    with contextlib.suppress(OSError):
        found = path.stat()
        return f"{_user(found.st_uid)}'s, mode {found.st_mode & 0o7777:04o}"
    return "whose is unknown"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"

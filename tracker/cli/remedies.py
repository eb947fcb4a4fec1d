"""What to do about a database that cannot be used, by what it said: a hint that does not fit leads astray."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

_DIRECTORY: Final = "does its directory exist, and may you write there?"
_ROOM: Final = "make room on its disk."

#: by the beginning of SQLite's name for the error
_SQLITE: Final = {
    "SQLITE_NOTADB": "it is no SQLite database: name another file.",
    "SQLITE_CORRUPT": "it is damaged: restore it from a backup.",
    "SQLITE_BUSY": "another process is writing: try again in a moment.",
    "SQLITE_LOCKED": "another process is writing: try again in a moment.",
    "SQLITE_FULL": _ROOM,
    "SQLITE_IOERR": "is its disk sound, and is there room?",
}
#: classes of SQLSTATE in which the server cannot be used at all, or not by us
_NO_SERVER: Final = ("08", "28", "3D", "57")


def remedy(said: BaseException | None, file: Path | None, *, named: str = "database.url") -> str | None:
    """What to do, as the end of a sentence; None where what was said needs none.

    said: the error of the driver or the system, or what wraps it. file: SQLite's; None: a server's. named: what names
    this database.
    """
    cause = getattr(said, "orig", None) or said
    if cause is None:
        return None
    if file is None:
        state = getattr(cause, "sqlstate", None)
        if state is None or state.startswith(_NO_SERVER):
            return f"start its server, or {'check' if named == 'database.url' else 'correct'} {named}."
        return (
            "it takes no writes (a standby?): name the primary."
            if state == "25006"
            else "see its server's log."
        )
    name = str(getattr(cause, "sqlite_errorname", ""))
    number = cause.errno if isinstance(cause, OSError) else None
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")) or number in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
    ):
        return _rights(file) or "is its file system mounted read-only?"
    if name.startswith("SQLITE_CANTOPEN"):
        return _rights(file) or _DIRECTORY
    if number == errno.ENOENT:
        return _DIRECTORY
    if number == errno.ENOSPC:
        return _ROOM
    return next((todo for beginning, todo in _SQLITE.items() if name.startswith(beginning)), None)


def _rights(file: Path) -> str | None:
    from tracker.store.engine.file_rights import denied

    told = denied(file)
    return f"{told}." if told else None

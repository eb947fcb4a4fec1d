"""Says what to do about a database that cannot be used, by its error. A hint that does not fit leads astray."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

_DIRECTORY: Final = "Check that its directory exists and that you may write there."
_DISK_SPACE: Final = "Make room on its disk."

#: by the beginning of SQLite's name for the error
_SQLITE: Final = {
    "SQLITE_NOTADB": "It is no SQLite database. Name another file.",
    "SQLITE_CORRUPT": "It is damaged. Restore it from a backup.",
    "SQLITE_BUSY": "Another process is writing. Try again in a moment.",
    "SQLITE_LOCKED": "Another process is writing. Try again in a moment.",
    "SQLITE_FULL": _DISK_SPACE,
    "SQLITE_IOERR": "Check that its disk is sound and has room.",
}
_SQLITE_NO_ACCESS: Final = ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")
_NO_ACCESS: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
#: classes of SQLSTATE with which the server cannot be used at all, or not by this user
_NO_SERVER: Final = ("08", "28", "3D", "57")
#: the SQLSTATE of a server that takes no writes
_READ_ONLY: Final = "25006"


def error_hint(
    error: BaseException | None, file: Path | None, *, setting: str = "database.url"
) -> str | None:
    """Return a sentence that says what to do about an error; None if there is nothing to advise.

    error: raised by the driver or the system, or what wraps it. file: SQLite's; None for a server. setting: the name of
    what names this database.
    """
    cause = getattr(error, "orig", None) or error
    if cause is None:
        return None
    return _server_hint(cause, setting) if file is None else _sqlite_hint(cause, file)


def _server_hint(cause: BaseException, setting: str) -> str:
    state = getattr(cause, "sqlstate", None)
    if state is None or state.startswith(_NO_SERVER):
        return f"Start its server, or {'check' if setting == 'database.url' else 'correct'} `{setting}`."
    if state == _READ_ONLY:
        return "It takes no writes (a standby?). Name the primary."
    return "See its server's log."


def _sqlite_hint(cause: BaseException, file: Path) -> str | None:
    name = str(getattr(cause, "sqlite_errorname", ""))
    number = cause.errno if isinstance(cause, OSError) else None
    if name.startswith(_SQLITE_NO_ACCESS) or number in _NO_ACCESS:
        return _rights_hint(file) or "Check whether its file system is mounted read-only."
    if name.startswith("SQLITE_CANTOPEN"):
        return _rights_hint(file) or _DIRECTORY
    if number == errno.ENOENT:
        return _DIRECTORY
    if number == errno.ENOSPC:
        return _DISK_SPACE
    return next((hint for beginning, hint in _SQLITE.items() if name.startswith(beginning)), None)


def _rights_hint(file: Path) -> str | None:
    from tracker.store.engine.file_rights import denied

    denial = denied(file)
    return f"{denial}." if denial else None

"""Whether the file that SQLite has open is still the one that its name leads to.

SQLite itself does not look: where somebody removes the file, or moves another one over it, it goes on writing to what
nobody will find again, and reads the new file together with the log of the old one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from tracker.errors import StorageUnavailable


class _Which(NamedTuple):
    device: int
    inode: int


class OpenFile:
    """One SQLite file as this process found it first, and its write-ahead log as the writer's connection did."""

    def __init__(self, path: Path) -> None:
        # SQLite looks for the log beside the file itself, and not beside a link to it
        self.path = Path(os.path.realpath(path))
        self.log = self.path.with_name(f"{self.path.name}-wal")
        self._file: _Which | None = None
        self._log: _Which | None = None
        self._with_log = True

    def exists(self) -> bool:
        """Whether it is there. Raises StorageUnavailable where it was, and is another one or none now."""
        if self._file is not None:
            self.connected()
        return self.path.exists()

    def connected(self) -> None:
        """Somebody has connected. Raises StorageUnavailable where that is to another file than before.

        A file that comes back under its name is the same one. Another one is not taken for it: nobody knows who was
        dialled since that one was current.
        """
        found = _which(self.path)
        self._file = self._file or found
        if found is None:
            raise _gone(f"{self.path} was removed")
        if found != self._file:
            raise _gone(f"{self.path} was replaced by another file")

    def writes_anew(self, *, with_log: bool) -> None:
        """The writer's connection is a new one, and so its log may be. with_log: whether it has one at all."""
        self._log, self._with_log = None, with_log

    def check(self) -> None:
        """After a commit, and before anybody is told of it. Raises StorageUnavailable where it went elsewhere."""
        self.connected()
        if not self._with_log:
            return
        log = _which(self.log)
        self._log = self._log or log
        if log is None or log != self._log:
            raise _gone(f"{self.log}, which is part of the database, was removed")


def _gone(what: str) -> StorageUnavailable:
    return StorageUnavailable(
        f"{what} while it was in use, so nothing is stored or dialled any more. End all processes of this database, "
        "put its files right (`tracker db restore` puts a backup in their place), and start again"
    )


def _which(path: Path) -> _Which | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Which(found.st_dev, found.st_ino)

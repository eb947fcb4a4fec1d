"""Files that are none: a device, a pipe, a socket or a directory is never replaced, and never taken for a database."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def kind_of(path: Path) -> str | None:
    """What there is under this name that is no regular file, in words; None where it is one, or nothing can be seen
    there. A link is what it leads to."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")

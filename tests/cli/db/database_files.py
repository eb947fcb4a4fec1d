"""The two files of a SQLite database in a folder, and ways in which an inbox file can be wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

#: the files of the configured database
PAIR: Final = {"tracker.db", "tracker-inbox.db"}


def database_names(folder: Path) -> set[str]:
    """Return the names in a folder, without the configuration and what SQLite makes beside a database in use."""
    return {p.name for p in folder.iterdir() if p.suffix not in (".toml", ".db-wal", ".db-shm", ".db-lock")}


def damage(inbox: Path) -> None:
    """Replace an inbox file by something else."""
    inbox.write_bytes(b"no database at all" * 1000)


def cut_off(inbox: Path) -> None:
    """Remove the second half of an inbox file."""
    content = inbox.read_bytes()
    inbox.write_bytes(content[: len(content) // 2])


def rewind(inbox: Path) -> None:
    """Make an inbox file older than any records."""
    with closing(sqlite3.connect(inbox)) as file, file:
        file.execute("UPDATE sqlite_sequence SET seq = -1")


def rename_database(inbox: Path) -> None:
    """Let an inbox file belong to another database."""
    with closing(sqlite3.connect(inbox)) as file, file:
        file.execute("UPDATE identity SET database_id = 'another'")

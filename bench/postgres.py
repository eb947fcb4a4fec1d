"""A PostgreSQL server as one would run it for this: on the disk, every commit safe, memory for its size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.postgres_server import SETTINGS, OwnServer

#: what differs from the server of the tests, which forgets everything for speed
DURABLE: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "timezone": "UTC",
}


class Server:
    """Databases on one server: made, copied, dropped."""

    def __init__(self, url: str) -> None:
        self.url = url

    def database(self, name: str) -> str:
        """The URL of a database of this name."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def create(self, name: str) -> str:
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return self.database(name)

    def copy(self, name: str, to: str) -> str:
        """Copy a database that nobody is connected to, file by file, and have it all on the disk."""
        statement = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
        self._execute(sql.SQL(statement).format(sql.Identifier(to), sql.Identifier(name)))
        self._execute(sql.SQL("CHECKPOINT"))
        return self.database(to)

    def drop(self, name: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def version(self) -> str:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else "?"

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server whose data lie in a folder below `folder`; it ends with this process, whatever becomes of that."""
    own = OwnServer(SETTINGS | DURABLE, parent=str(folder))
    try:
        yield Server(own.url)
    finally:
        own.stop()

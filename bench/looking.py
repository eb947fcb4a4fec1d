"""What is in tracker's database, seen from outside while the server works: how much waits, what is on a timeline."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg

from tracker.store.engine.database import inbox_path

#: what the joiner has not read yet
_PENDING: Final = "position > coalesce((SELECT position FROM positions WHERE consumer = 'joiner'), 0)"


class Looker:
    """A connection of its own that only reads."""

    def __init__(self, url: str) -> None:
        self._connection: Any
        if url.startswith("sqlite:///"):
            self.is_sqlite = True
            path = url.removeprefix("sqlite:///")
            self._connection = sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=30
            )
            inbox = inbox_path(Path(path)).absolute().as_uri()
            self._connection.execute("ATTACH DATABASE ? AS inbox_file", (f"{inbox}?mode=ro",))
        else:
            self.is_sqlite = False
            self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def pending(self) -> int:
        """How many callbacks the joiner has not read yet."""
        if self.is_sqlite:  # counting would read all their bodies, and no position is left out
            last = "coalesce((SELECT max(position) FROM inbox), 0)"
            joined = "coalesce((SELECT position FROM positions WHERE consumer = 'joiner'), 0)"
            return int(self._one(f"SELECT max(0, {last} - {joined})"))
        return int(self._one(f"SELECT count(*) FROM inbox WHERE {_PENDING}"))

    def oldest_pending(self) -> int | None:
        """The position of the callback that has waited longest; None if none waits. All before it have been read."""
        row = self._connection.execute(
            f"SELECT position FROM inbox WHERE {_PENDING} ORDER BY position LIMIT 1"
        ).fetchone()
        return int(row[0]) if row else None

    def stored(self) -> Iterator[tuple[int, str, bytes, str, str | None, str | None]]:
        """All callbacks: position, id, body, state, the reference of the call they belong to, what they repeat."""
        query = (
            "SELECT i.position, i.id, i.body, coalesce(b.state, 'pending'), c.reference, b.repeat_of FROM inbox i"
            " LEFT JOIN callbacks b ON b.id = i.id LEFT JOIN calls c ON c.id = b.call_id"
        )
        for row in self._rows(query):
            yield row[0], row[1], bytes(row[2]), row[3], row[4], row[5]

    def told(self) -> set[str]:
        """The callbacks that stand behind an event of a timeline."""
        query = "SELECT callback_id FROM events WHERE callback_id IS NOT NULL AND NOT withdrawn"
        return {row[0] for row in self._rows(query)}

    def size_bytes(self) -> int:
        """Of the whole database, without what is free in it."""
        if self.is_sqlite:
            return sum(
                (self._one(f"PRAGMA {schema}.page_count") - self._one(f"PRAGMA {schema}.freelist_count"))
                * self._one(f"PRAGMA {schema}.page_size")
                for schema in ("main", "inbox_file")
            )
        return int(self._one("SELECT pg_database_size(current_database())"))

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    def _rows(self, query: str) -> Iterator[Any]:
        if self.is_sqlite:
            yield from self._connection.execute(query)
            return
        with self._connection.transaction(), self._connection.cursor("bench") as cursor:
            cursor.itersize = 20_000
            yield from cursor.execute(query)


def provider_id(body: bytes) -> str:
    """The id that a planned callback names; it stands first."""
    return body[8:46].decode()


def reference(body: bytes) -> str:
    """The reference that a planned callback echoes; it stands last."""
    return body[-16:-2].decode()


def problems(looker: Looker, answered: Iterable[str]) -> list[str]:
    """What was promised and not kept, in sentences.

    answered: the provider's id in each callback that was answered 2xx, as often as it was. Each of them is to be
    stored, joined to the call that it is about, and on its timeline: as an event, or as the repeat of one that is.
    """
    missing = Counter(answered)
    told = looker.told()
    states: Counter[str] = Counter()
    astray = untold = 0
    repeats: list[str] = []
    for _, id, body, state, found, repeat_of in looker.stored():
        missing[provider_id(body)] -= 1
        states[state] += 1
        if state != "joined":
            continue
        astray += found != reference(body)
        if id not in told:
            if repeat_of is None:
                untold += 1
            else:
                repeats.append(repeat_of)
    untold += sum(1 for first in repeats if first not in told)
    lost = sum(n for n in missing.values() if n > 0)
    unjoined = sum(states.values()) - states["joined"]
    return [
        f"{number} {what}"
        for number, what in (
            (lost, "callbacks were answered and are not stored"),
            (unjoined, f"stored callbacks are not joined ({dict(states)})"),
            (astray, "callbacks are joined to another call"),
            (untold, "joined callbacks are on no timeline"),
        )
        if number
    ]

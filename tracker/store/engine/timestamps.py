"""Moments in the databases' own words, for whoever goes past SQLAlchemy. SQLite stores them as texts of UTC, such as
`2026-03-02 10:57:40.250000`; PostgreSQL writes them into JSON as `2026-03-02T10:57:40.25+00:00`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def written(at: datetime) -> str:
    """A moment of any zone as it is stored."""
    return _written(at if at.tzinfo is UTC else at.astimezone(UTC))


# a batch writes the same moments several times over: its own in every row, a record's in events and calls
@lru_cache(maxsize=4096)
def _written(at: datetime) -> str:
    return at.isoformat(" ", "microseconds")[:26]


def read(text: str) -> datetime:
    """The counterpart of `written`."""
    return datetime.fromisoformat(text + "+00:00")  # `replace` would take ten times as long

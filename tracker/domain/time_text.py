"""Writes times as the interface does, ISO 8601 in UTC, and reads them back."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def iso(at: datetime) -> str:
    """Write a time in UTC with Z, with microseconds only if it has any."""
    return _iso(at if at.tzinfo is UTC else at.astimezone(UTC))


@lru_cache(maxsize=1024)  # because the times of one record are written several times, and writing is slow
def _iso(at: datetime) -> str:
    return at.isoformat()[:-6] + "Z"


def from_iso(text: object) -> datetime:
    """Read a time with a zone, and return it in UTC. Raises ValueError, which says how a time is written."""
    try:
        at = datetime.fromisoformat(text)  # type: ignore[arg-type]  # raises TypeError for other values
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        pass
    raise ValueError("must be a time with a zone, for example 2026-01-31T09:00:00Z")


def format_duration(seconds: float) -> str:
    """Write a duration in its two largest units: 8 s, 1 min 15 s, 5 h 30 min, 3 d 2 h."""
    remaining = round(seconds)
    if remaining < 60:
        return f"{remaining} s"
    parts: list[tuple[int, str]] = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if remaining >= size or parts:
            parts.append((remaining // size, name))
        remaining %= size
    return " ".join(f"{n} {name}" for n, name in parts[:2] if n)

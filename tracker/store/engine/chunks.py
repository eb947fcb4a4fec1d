"""Parts: a database takes only so many values in one statement (SQLite 32,766, PostgreSQL 65,535)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

_MOST: Final = 10_000


def chunks(values: Collection[str]) -> Iterator[list[str]]:
    """The values once each, in their order, in lists that one statement takes; nothing for none."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _MOST):
        yield ordered[start : start + _MOST]

"""Split values into lists that one statement takes: SQLite allows 32,766 values, PostgreSQL 65,535."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, Protocol, TypeVar


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


T = TypeVar("T", bound=_Ordered)

_MOST: Final = 10_000


def chunks(values: Collection[T]) -> Iterator[list[T]]:
    """Yield the distinct values in order, in lists that one statement takes; nothing for an empty collection."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _MOST):
        yield ordered[start : start + _MOST]

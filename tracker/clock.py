"""The time, as a value that can be handed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

#: gives the present moment, UTC
Clock = Callable[[], datetime]


def system_clock() -> datetime:
    return datetime.now(UTC)

"""Provides the clock as a value that can be passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

#: a function that returns the current time in UTC
Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the current time of the system in UTC."""
    return datetime.now(UTC)

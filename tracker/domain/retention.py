"""Parses retention periods such as `400d` and `52w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

#: Orphans are matched again for this long. Keys of requests are kept for two days.
MIN_RETENTION: Final = timedelta(days=7)
_PERIOD: Final = re.compile(r"([0-9]{1,5})([dw])", re.ASCII)


def parse_retention(text: str) -> timedelta:
    """Return the period that a text names. Raises ValueError, which says what is allowed."""
    parts = _PERIOD.fullmatch(text.strip())
    if parts is None:
        raise ValueError('must be a number of days or weeks, such as "400d" or "52w"')
    period = timedelta(days=int(parts[1]) * (7 if parts[2] == "w" else 1))
    if period < MIN_RETENTION:
        raise ValueError(
            f"must be at least {MIN_RETENTION.days}d, because younger callbacks may still be matched"
        )
    return period

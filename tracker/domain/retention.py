"""How long something is kept, as people write it: `400d`, `52w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

#: what is younger may still be waited for: orphans are looked at for as long, and keys of requests kept for two days
MIN_RETENTION: Final = timedelta(days=7)
_AGE: Final = re.compile(r"([0-9]{1,5})([dw])", re.ASCII)


def parse_retention(text: str) -> timedelta:
    """The age that a text names. Raises ValueError, which says what is allowed."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise ValueError('must be a number of days or weeks, such as "400d" or "52w"')
    age = timedelta(days=int(found[1]) * (7 if found[2] == "w" else 1))
    if age < MIN_RETENTION:
        raise ValueError(f"must be at least {MIN_RETENTION.days}d: what is younger may still be waited for")
    return age

"""Saying how far something is that takes long, now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

Say = Callable[[str], None]

#: seconds
_EVERY_S: Final = 10.0


class Sparsely:
    """Says a line only where the last one, or the beginning, was long enough ago."""

    def __init__(
        self, say: Say, *, every_s: float = _EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """every_s: seconds. clock: seconds since whenever."""
        self._say, self._every_s, self._clock = say, every_s, clock
        self._said = clock()

    def __call__(self, line: Callable[[], str]) -> None:
        """line: is made only if it is said."""
        now = self._clock()
        if now - self._said >= self._every_s:
            self._said = now
            self._say(line())


def filling(say: Say, count: int) -> Callable[[int], None]:
    """What `fill` is to tell how many calls were written, of so many."""
    sparsely = Sparsely(say)
    return lambda done: sparsely(lambda: f"    {done:,} of {count:,} calls")

"""Courtesy: how long the joiner rests between its batches, so that storing goes before joining.

Whoever sends an hour of callbacks in a minute is answered as fast as they can be stored, and what they say is read when
the rush is over; but a rush that does not end is no rush, and then both have their share.
"""

from __future__ import annotations

from typing import Final

#: seconds from the beginning of one batch to that of the next, where nothing waits: what comes meanwhile is joined
#: together, which costs a fraction of joining it one by one
_PACE_S: Final = 0.04
#: from which share of its time on the event loop has more to do than it can
BUSY: Final = 0.6
#: of the time, how much the joiner takes while there is a rush: one part of so many
_PARTS: Final = 10
#: seconds; for so long storing goes first
RUSH_S: Final = 15.0


class Courtesy:
    """One joiner's manners. Times in seconds of any clock that only rises."""

    def __init__(self) -> None:
        self._rush_since: float | None = None

    def rest(self, now: float, took_s: float, *, more: bool, busy: float) -> float:
        """How long to rest after a batch that ended now.

        more: callbacks wait already. busy: which share of its time the event loop computed, when the joiner did not.
        """
        if not more:
            self._rush_since = None
            return max(0.0, _PACE_S - took_s)
        if busy < BUSY:
            return 0.0
        if self._rush_since is None:
            self._rush_since = now
        return took_s * (_PARTS - 1) if now - self._rush_since < RUSH_S else 0.0

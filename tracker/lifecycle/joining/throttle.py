"""Courtesy: how long the joiner rests between its batches, so that storing goes before joining.

Whoever sends an hour of callbacks in a minute is answered as fast as they can be stored, and what they say is read when
the rush is over; but a rush that does not end is no rush, and then both have their share.
"""

from __future__ import annotations

from typing import Final

#: seconds from the beginning of one batch to that of the next, where nothing waits: what comes meanwhile is joined
#: together, which costs a fraction of joining it one by one
_PACE_S: Final = 0.06
#: of the time, how much the joiner takes while there is a rush: one part of so many
_PARTS: Final = 10
#: seconds; for so long storing goes first
RUSH_S: Final = 15.0
#: seconds over which arrivals are counted before they are a rate
_COUNTED_S: Final = 0.1
#: callbacks that wait when it is a rush; who sends in spurts only as much as is joined stays below it
MANY: Final = 7_500
#: callbacks on their way to the disk at once that are a crowd; steady traffic is stored a few at a time
CROWD: Final = 16
#: seconds between looks, and how many in a row must find no crowd: whoever got his answer soon sends the next one
LOOK_S: Final = 0.001
_LOOKS: Final = 3
#: callbacks a second, up to which nobody can be in a hurry
_FEW: Final = 20.0


class Courtesy:
    """One joiner's manners towards those who store in the same process. Times in seconds of any clock that rises."""

    def __init__(self) -> None:
        self._counted_at, self._counted = 0.0, 0
        self._rate = 0.0
        self._rush_since: float | None = None

    def arrived(self, now: float, count: int) -> None:
        """So many callbacks were stored in this process since it began."""
        passed = now - self._counted_at
        if passed >= _COUNTED_S:
            self._rate = (count - self._counted) / passed
            self._counted_at, self._counted = now, count

    @property
    def alone(self) -> bool:
        """Whether hardly anybody waits for the joiner to be done."""
        return self._rate <= _FEW

    def rest(self, now: float, took_s: float, *, more: bool, behind: int, can_join: float) -> float:
        """How long to rest after a batch that ended now.

        more: callbacks wait already. behind: so many that this process stored are not joined. can_join: how many
        a second the joiner could, if it did nothing else.
        """
        if not more:
            self._rush_since = None
            return max(0.0, _PACE_S - took_s)
        if self._rate <= can_join or behind < MANY:
            return 0.0
        if self._rush_since is None:
            self._rush_since = now
        return took_s * (_PARTS - 1) if now - self._rush_since < RUSH_S else 0.0


class LettingIn:
    """After a batch, those who crowd are stored before the next one is written, for at most as long as the batch took:
    both want the one writer that SQLite has, and who was shut out meanwhile is many."""

    def __init__(self, now: float, took_s: float) -> None:
        """A batch ended now, and took so many seconds."""
        self._until = now + took_s
        self._empty = _LOOKS - 1

    def goes_on(self, now: float, crowd: int) -> bool:
        """Whether to wait for `LOOK_S` and ask again. crowd: how many callbacks are on their way to the disk.

        Where there is no crowd at once, nobody has to wait.
        """
        self._empty = 0 if crowd >= CROWD else self._empty + 1
        return self._empty < _LOOKS and now < self._until

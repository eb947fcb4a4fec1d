"""How long PostgreSQL lets a joiner say nothing in its transaction before it takes it for frozen.

What Python does between two statements takes a fraction of a second, and a frozen joiner keeps all others from joining;
but a call of which some hundred thousand callbacks came takes Python longer than that.
"""

from __future__ import annotations

from typing import Final

from tracker.store.inbox.states import RESTS_S

#: seconds; no longer than that
_MOST_S: Final = 300.0
#: by how much more than before it is tried again, and than what went well before
_MORE: Final = 4.0


class Standstill:
    """One joiner's limit, by what became of its batches."""

    def __init__(self) -> None:
        #: seconds
        self.limit_s = RESTS_S

    def reached(self) -> None:
        """A batch was ended by it: frozen or busy, nobody knows. The next one has more time."""
        self.limit_s = min(_MOST_S, self.limit_s * _MORE)

    def went_well(self, took_s: float) -> None:
        """A batch was joined, and took so many seconds in all."""
        self.limit_s = min(_MOST_S, max(RESTS_S, took_s * _MORE))

"""Public ids: typed by a prefix and sortable by time, for example `call_01k9…` (a ULID in lower case).

Ten characters are the milliseconds since 1970, sixteen are random (Crockford's base 32). Within one process they rise
strictly, also within one millisecond and where the clock steps back.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
#: two characters at once, ten bits
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_LOW_BITS: Final = 20
_LOW: Final = (1 << _LOW_BITS) - 1
#: 48 bits of time before 80 of chance
_LAST: Final = (1 << 128) - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Ids:
    """Ids that rise. Thread-safe; a forked process goes on from a place of its own."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        #: the millisecond of the last one, its other 108 bits as text, and its low 20 bits
        self._ms, self._high, self._text, self._low = -1, 0, "", _LOW

    def next(self, ms: int) -> str:
        """26 characters for this millisecond, or for the last one that was asked for, if that was later."""
        with self._lock:
            if ms > self._ms:
                self._start(ms, (ms << 80) | int.from_bytes(os.urandom(10), "big"))
            elif self._low == _LOW:
                # once in a million: the next higher bits
                self._start(self._ms, ((self._high + 1) << _LOW_BITS) & _LAST)
            else:
                self._low += 1
            low = self._low
            return self._text + _PAIRS[low >> 10] + _PAIRS[low & 1023]

    def _start(self, ms: int, value: int) -> None:
        self._ms, self._high, self._low = ms, value >> _LOW_BITS, value & _LOW
        # 26 characters are 130 bits: the first two of them are nothing
        self._text = "".join(_PAIRS[(self._high >> shift) & 1023] for shift in range(100, -1, -10))


_ids: Final = Ids()
_receipts: Final = Ids()


def new_id(prefix: str) -> str:
    """A new id: the prefix (`call`, `sub`, `ev`, `cb`, `ask`, `send`), `_`, and 26 characters that rise with time."""
    return f"{prefix}_{_ids.next(time.time_ns() // 1_000_000)}"


def receipt_id(at: datetime) -> str:
    """The id of a callback that was received then: in the order of ids, callbacks stand as they were received."""
    return "cb_" + _receipts.next((at - _EPOCH) // _MILLISECOND)


def first_id_at(prefix: str, at: datetime) -> str:
    """Smaller than every id that is given from that moment on, and larger than those that were given before."""
    ms = (at - _EPOCH) // _MILLISECOND
    return f"{prefix}_{''.join(_PAIRS[(ms >> shift) & 1023] for shift in range(40, -1, -10))}"


def time_of(id: str) -> datetime | None:
    """Return the time that an id begins with; None if the text is no id."""
    letters = id.partition("_")[2][:10]
    if len(letters) < 10 or any(letter not in _ALPHABET for letter in letters):
        return None
    ms = 0
    for letter in letters:
        ms = ms << 5 | _ALPHABET.index(letter)
    return _EPOCH + ms * _MILLISECOND if ms < 1 << 47 else None

"""Ctrl-C, the end of the session, and being told to end: all three end the demo in the same orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody wants the demo to end. Like KeyboardInterrupt, nothing takes it for an error."""


class Signals:
    """Raises Interrupted where a signal came, but not inside `held`: there it waits until its end."""

    def __init__(self) -> None:
        self._holding = 0
        self._came = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Signals count inside; afterwards they do what they did before."""
        before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What must not stay half done, such as starting a process and remembering that it runs."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
        self._raise()

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """The demo ends already; nobody can hurry it, which is bounded by its own limits."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
            self._came = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        self._raise()

    def _raise(self) -> None:
        if self._came and not self._holding:
            self._came = False
            raise Interrupted

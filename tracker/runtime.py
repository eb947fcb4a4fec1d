"""How Python is set in a process that stays: when it collects garbage, how often threads take turns, what they keep."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from typing import Final

#: objects made before the youngest are looked through; Python's own 700 means many times in every batch of callbacks
_YOUNG: Final = 50_000
_MIDDLE: Final = 20
_OLD: Final = 20
#: seconds; Python's own 5 ms are as long as a commit takes, and a thread that computes would cost each answer so much
_SWITCH_S: Final = 0.0005
#: glibc's M_ARENA_MAX. By its own measure each of two dozen threads keeps what it has freed for itself
_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def tune_runtime() -> None:
    """Set this process for work that goes on. Call it when everything is imported."""
    gc.collect()
    gc.freeze()  # what was imported is not looked through again
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    sys.setswitchinterval(_SWITCH_S)
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)

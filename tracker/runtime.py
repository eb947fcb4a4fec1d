"""Tunes the Python interpreter of a long-lived process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from typing import Final

#: objects; Python's own 700 would start a collection many times in every batch of callbacks
_GC_THRESHOLDS: Final = (50_000, 20, 20)
#: seconds; Python's own 5 ms are as long as a commit, and a computing thread would add them to each answer
_SWITCH_INTERVAL_S: Final = 0.0005
#: glibc's M_ARENA_MAX; by default each of two dozen threads keeps an arena of freed memory for itself
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def tune_runtime() -> None:
    """Set garbage collection, thread switching and memory arenas. Call it after all modules are imported."""
    gc.collect()
    gc.freeze()  # imported objects live as long as the process, so later collections skip them
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with contextlib.suppress(OSError, AttributeError):  # only glibc has mallopt
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)

"""`python -m tracker.cli.demo.tied …` is `tracker …` that ends with whoever started it.

The starter holds the other end of standard input. However it ends, also by `kill -9`, that end is closed, and this
process ends as after SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from tracker.cli import main


def _end_with_the_starter() -> None:
    # not by sys.stdin, whose lock a process that ends would wait for
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    main()

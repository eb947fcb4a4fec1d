"""Streams and processes that log."""

from __future__ import annotations

import io
import subprocess
import sys

from tests.logs.planters import SECRET


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with logging set up in a process of its own; return its output."""
    setup = f"import logging; from tracker.logs import configure_logs; configure_logs(secrets=[{SECRET!r}])"
    return subprocess.run(
        [sys.executable, "-c", f"{setup}\n{program}"], capture_output=True, text=True, check=False
    )

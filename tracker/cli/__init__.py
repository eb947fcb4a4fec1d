"""The command line: one module per command in `commands`, so that each step of a call's way can be run alone.

`input` reads what people type, `output` writes what they see. A module that is slow to import (settings, store, web,
httpx, rich) is imported inside the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and end the process: status 0 for done, 1 for failed, 2 for wrong usage."""
    from tracker.cli.commands import app

    app(prog_name="tracker")

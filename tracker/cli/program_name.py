"""Finds how the reader started this program, so that messages name a command that can be typed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

_MENTION: Final = re.compile(r"`tracker(?=[ `])")
_PACKAGE: Final = Path(__file__).resolve().parents[1]


def program_name(*, anywhere: bool = False) -> str:
    """Return what to type for this program: `tracker` if it is on PATH, `scripts/tracker` in a checkout, or a path.

    anywhere: return a name that works in every directory and with every PATH.
    """
    started = Path(sys.argv[0] or "tracker")
    if started.name == "__main__.py" and started.absolute().parent == _PACKAGE:
        script = _PACKAGE.parent / "scripts" / "tracker"
        if not script.exists():
            return f"{shlex.quote(sys.executable)} -m tracker"
    elif started.name == "tracker":
        script = started
        on_path = shutil.which("tracker")
        if on_path and script.exists() and os.path.samefile(on_path, script):
            return shlex.quote(os.path.abspath(on_path)) if anywhere else "tracker"
    else:  # inside another program, such as the tests
        return "tracker"
    near = Path(os.path.relpath(script))
    if anywhere or near.parts[0] == ".." or len(near.parts) > 2:
        return shlex.quote(os.path.abspath(script))
    return shlex.quote(str(near) if len(near.parts) > 1 else os.path.join(".", near))


def with_program_name(text: str) -> str:
    """Return the text with each `tracker …` replaced by what the reader can type."""
    name = program_name()
    return text if name == "tracker" else _MENTION.sub(lambda _: f"`{name}", text)

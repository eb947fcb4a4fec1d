"""How the reader started this program, and so can start it again: what messages say in place of `tracker`."""

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


def myself(*, anywhere: bool = False) -> str:
    """The program as it is to be typed: `tracker` where that is found, `scripts/tracker` in a checkout, or its path.

    anywhere: in a way that works in every directory and on every PATH.
    """
    started = Path(sys.argv[0] or "tracker")
    if started.name == "__main__.py" and started.absolute().parent == _PACKAGE:
        script = _PACKAGE.parent / "scripts" / "tracker"
        if not script.exists():
            return f"{shlex.quote(sys.executable)} -m tracker"
    elif started.name == "tracker":
        script = started
        found = shutil.which("tracker")
        if found and script.exists() and os.path.samefile(found, script):
            return shlex.quote(os.path.abspath(found)) if anywhere else "tracker"
    else:  # inside another program, such as the tests
        return "tracker"
    near = Path(os.path.relpath(script))
    if anywhere or near.parts[0] == ".." or len(near.parts) > 2:
        return shlex.quote(os.path.abspath(script))
    return shlex.quote(str(near) if len(near.parts) > 1 else os.path.join(".", near))


def as_called(text: str) -> str:
    """A message whose every `tracker …` is what the reader can type."""
    program = myself()
    return text if program == "tracker" else _MENTION.sub(lambda _: f"`{program}", text)

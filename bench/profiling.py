"""Where a server's time goes while it is busy: `scripts/bench profile`, made with py-spy, from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.servers import Running

#: a pool numbers its threads
_POOLED: Final = re.compile(r"_\d+$")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Shares of the samples in which a thread was at work; 1.0 is one core, or one holder of the interpreter's lock."""

    samples: int
    #: by the name of the thread
    threads: dict[str, float]
    #: by function: while it or what it called was at work, and it itself
    inclusive: dict[str, float]
    itself: dict[str, float]


@contextmanager
def profiled(running: Running, into: Path, seconds: float) -> Iterator[Callable[[], str]]:
    """Watch a server for so long; the function that is given waits for the end and returns the stacks, a line each."""
    file = into / "stacks"
    command = [
        Path(sys.executable).with_name("py-spy"), "record", "--pid", running.pid, "--duration", round(seconds),
        "--rate", 200, "--format", "raw", "--threads", "--nonblocking", "--output", file,
    ]  # fmt: skip
    watching = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )

    def stacks() -> str:
        _, words = watching.communicate(timeout=seconds + 60)
        if not file.exists():
            raise RuntimeError(f"py-spy has seen nothing: {words.strip()[-500:]}")
        return file.read_text()

    try:
        yield stacks
    finally:
        if watching.poll() is None:
            watching.terminate()
            watching.wait()


def summed(stacks: Iterable[str]) -> Profile:
    """Add up lines of the form `thread;outer (file:line);…;inner (file:line) count`."""
    total = 0
    threads: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    itself: Counter[str] = Counter()
    for line in stacks:
        path, _, number = line.rstrip().rpartition(" ")
        if not path:
            continue
        count = int(number)
        thread, *frames = path.split(";")
        names = [_named(frame) for frame in frames]
        total += count
        threads[_POOLED.sub("", thread.partition(": ")[2] or thread)] += count
        if names:
            itself[names[-1]] += count
        for name in set(names):
            inclusive[name] += count
    return Profile(
        samples=total,
        threads=_shares(threads, total),
        inclusive=_shares(inclusive, total),
        itself=_shares(itself, total),
    )


def _named(frame: str) -> str:
    """`insert (tracker/store/inbox.py:99)` without the line."""
    function, _, place = frame.partition(" (")
    file = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    for root in ("site-packages/", "/tracker/", "lib/python"):
        if root in file:
            file = (root.strip("/") + "/" if root == "/tracker/" else "") + file.rpartition(root)[2]
            break
    return f"{function} {file}"


def _shares(counts: Counter[str], total: int) -> dict[str, float]:
    return {name: round(count / total, 3) for name, count in counts.most_common() if total}

"""How soon an idle worker joins what comes, in the server's own process and in another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from bench import servers
from bench.load import percentile
from bench.looking import Looker
from bench.plan import Plan

#: by what is shown
WAYS: Final = {
    "one process": servers.tracker,
    "serve --no-worker and worker": servers.apart,
}
#: seconds in which a worker is ready for its first
_READY_S: Final = 60.0
#: seconds between two callbacks: the worker is idle again, and its looks and they do not fall into step
_PAUSE_S: Final = (0.4, 0.9)
_LOOK_S: Final = 0.001


def measure(folder: Path, url: str, plan: Plan, way: str, times: int) -> dict[str, float]:
    """Send so many callbacks one by one; gives the time from each answer until it was seen joined, in milliseconds.

    url: of a database that holds the calls of the plan, of which none has a callback yet.
    """
    bodies = (plan.callback(n) for n in plan.order("windows"))
    with WAYS[way](folder, url) as running, Looker(url) as looker, _client(running.url) as post:
        post(next(bodies))
        _until_joined(looker)  # the worker may still be starting
        waits = []
        for _ in range(times):
            time.sleep(random.uniform(*_PAUSE_S))
            post(next(bodies))
            waits.append(_until_joined(looker) * 1000)
    waits.sort()
    return {
        "times": times, "min_ms": round(waits[0], 1), "p50_ms": round(percentile(waits, 0.5), 1),
        "p90_ms": round(percentile(waits, 0.9), 1), "max_ms": round(waits[-1], 1),
    }  # fmt: skip


@contextmanager
def _client(url: str) -> Iterator[Callable[[bytes], Any]]:
    headers = {"Authorization": f"Bearer {servers.SECRET}", "Content-Type": "application/json"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        yield lambda body: client.post(url, content=body).raise_for_status()


def _until_joined(looker: Looker) -> float:
    began = time.perf_counter()
    while looker.pending():
        if time.perf_counter() - began > _READY_S:
            raise RuntimeError("what was answered is not joined: the worker stands still")
        time.sleep(_LOOK_S)
    return time.perf_counter() - began

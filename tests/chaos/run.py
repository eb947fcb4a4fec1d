"""One chaos run: traffic, faults by a seed, and the reckoning."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.accounting import reckon
from tests.chaos.callers import Callers
from tests.chaos.faults import Fault, Faults
from tests.chaos.fleet import Fleet
from tests.chaos.provider import Postman, chaotic
from tests.postgres_server import ObedientServer
from tests.processes import Processes, eventually

#: so that each request to the provider says which submission it is
ACCOUNT: dict[str, Any] = {"extra": {"custom": "{submission}"}, "timeout_s": 1.0}
#: a net: what was begun is answered and brought within this time after the last fault
_SETTLE_S = 90.0


@dataclass(kw_only=True)
class Report:
    """What a run did, and every promise that was broken."""

    seed: int
    calls: int = 0
    dialled: int = 0
    answered: int = 0
    refused: int = 0
    starts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{what} {n}×" for what, n in sorted(self.faults.items())) or "none"
        return (
            f"seed {self.seed}: {self.calls} calls, {self.dialled} requests to the provider, {self.answered} callbacks "
            f"answered, {self.refused} refused with 503, {self.starts} starts; faults: {faults}; "
            f"{len(self.broken)} promises broken"
        )


def run(
    folder: Path,
    database_url: str,
    faults: Iterable[Fault],
    *,
    seed: int,
    servers: Iterable[Iterable[str]],
    workers: Iterable[Iterable[str]] = (),
    postgres: ObedientServer | None = None,
    pause_s: float = 0.2,
    least: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Bring these faults over the fleet while calls are placed and callbacks come; then reckon.

    postgres: the server of `database_url`, where it is to be stopped, too. pause_s: between two calls of a caller.
    least: so many calls and callbacks are answered before each fault, however slow the machine is.
    """
    report = Report(seed=seed)
    urls: list[Callable[[], list[str]]] = [list]
    with Postman(lambda: urls[0](), Random(f"postman/{seed}")) as postman:
        provider, exchange = chaotic(postman, seed)
        with provider, Processes(folder, database_url, provider.base_url, **ACCOUNT) as processes:
            fleet = Fleet(processes, servers=[[*f] for f in servers], workers=[[*f] for f in workers])
            urls[0] = fleet.urls
            bringer = Faults(fleet, database_url, postgres)
            with Callers(fleet.urls, seed, pause_s=pause_s) as callers:
                for fault in faults:
                    enough = len(callers.told) + least, len(postman.answered) + least
                    time.sleep(fault.quiet_s)
                    eventually(
                        lambda: len(callers.told) >= enough[0] and len(postman.answered) >= enough[1],  # noqa: B023
                        "calls and callbacks should be answered between two faults",
                    )
                    say(f"{len(callers.told)} calls, {len(postman.answered)} callbacks answered; {fault}")
                    report.faults[fault.what] += 1
                    report.broken += bringer.bring(fault)
                callers.stop()
            report.broken += _settle(postman)
            statuses = fleet.end()
            report.starts = fleet.starts
            if any(statuses):
                report.broken.append(f"at the end SIGTERM was followed by {statuses}")
            report.broken += _complaints(processes)
            say("the processes have ended; reckoning")
            report.broken += reckon(database_url, provider, exchange, postman, callers, **ACCOUNT)
            report.calls, report.dialled = len(callers.told), len(provider.sent)
            report.answered, report.refused = len(postman.answered), postman.refused
    return report


def _settle(postman: Postman) -> list[str]:
    """Every letter is taken in the end."""
    until = time.monotonic() + _SETTLE_S
    while postman.left:
        if time.monotonic() > until:
            return [f"{postman.left} callbacks are not taken although everything works"]
        time.sleep(0.05)
    return []


def _complaints(processes: Processes) -> list[str]:
    """No process has stumbled over itself, whatever came over it."""
    return [
        f"a process wrote: {line[:300]}" for line in processes.outputs().splitlines() if _is_mistake(line)
    ]


def _is_mistake(line: str) -> bool:
    return "Traceback (most recent" in line or '"level": "error"' in line or '"level":"error"' in line


@contextmanager
def obedient_postgres() -> Iterator[ObedientServer]:
    """A PostgreSQL server of the run's own."""
    server = ObedientServer()
    try:
        yield server
    finally:
        server.stop()

"""scripts/chaos: the long form of the promises about crashes. The same seed gives the same schedule of faults."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import randrange

import structlog

from tests.chaos.faults import Fault, schedule
from tests.chaos.run import Report, obedient_postgres, run

_SHOWN = 40


def asked(words: list[str]) -> argparse.Namespace:
    """What these words of the command line ask for. Ends the process where they ask for nothing that can be."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Places calls and brings callbacks while servers and workers are killed, held up and stopped, and"
        " the database goes away; then holds what is stored against what was answered. Exit status 1 if a promise is"
        " broken.",
    )
    parser.add_argument("--seed", type=int, help="the schedule of faults (default: a new one, which is told)")
    parser.add_argument(
        "--minutes",
        type=_more_than_none,
        default=2.0,
        help="how long faults are brought (default: %(default)g)",
    )
    parser.add_argument(
        "--database",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="which one (default: %(default)s)",
    )
    parser.add_argument(
        "--pause",
        type=_more_than_none,
        default=0.2,
        help="seconds between two calls of each of 4 callers (default: %(default)g)",
    )
    return parser.parse_args(words)


def _more_than_none(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than nothing")
    return value


def main() -> int:
    # the reckoning reads everything, and has nothing to say until it is through
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    given = asked(sys.argv[1:])
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # for the processes
    seed = randrange(10**6) if given.seed is None else given.seed
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    def faults() -> Iterator[Fault]:
        for fault in schedule(seed, sqlite=given.database == "sqlite"):
            if time.monotonic() - began > given.minutes * 60:
                return
            yield fault

    say(f"seed {seed}, {given.database}, {given.minutes:g} minutes")
    with tempfile.TemporaryDirectory(prefix="tracker-chaos-") as name:
        folder = Path(name)
        report: Report
        if given.database == "sqlite":
            url = f"sqlite:///{folder / 'tracker.db'}"
            # a second server on the same file, and a worker beside both
            report = run(
                folder, url, faults(), seed=seed, servers=[[], []], workers=[[]], pause_s=given.pause, say=say
            )
        else:
            with obedient_postgres() as server:
                report = run(
                    folder, server.create_database(), faults(), seed=seed, servers=[["--no-worker"]] * 2,
                    workers=[[], []], postgres=server, pause_s=given.pause, say=say,
                )  # fmt: skip
    for what in report.broken[:_SHOWN]:
        say(f"BROKEN: {what}")
    if len(report.broken) > _SHOWN:
        say(f"and {len(report.broken) - _SHOWN} more")
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

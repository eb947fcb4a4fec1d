"""The contestants, each with its own way of being prepared, run for a round, and checked."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import fill as filling
from bench import phases, postgres, progress, servers, taught
from bench.looking import Looker, problems
from bench.phases import Bodies
from bench.plan import Plan
from bench.profiling import Profile, profiled, summed
from bench.progress import Say, Sparsely
from tracker.store.engine.database import inbox_path

NAMES: Final = {
    "a": "bare Starlette, stores nothing",
    "b": "FastAPI + SQLModel, SQLite",
    "c": "tracker, SQLite",
    "d": "FastAPI + SQLModel, PostgreSQL",
    "e": "tracker, PostgreSQL",
}
#: calls in the databases of (b) and (d), which use few of them
TAUGHT_CALLS: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How much is done. Times in seconds."""

    calls: int
    rounds: int
    burst_s: float
    sustained_s: float
    lag_s: float


class Contest:
    """Runs contestants over databases that are filled once and copied for each run."""

    def __init__(self, folder: Path, server: postgres.Server | None, lengths: Lengths, say: Say) -> None:
        self._folder, self._server, self._lengths, self._say = folder, server, lengths, say
        self._plan = Plan(lengths.calls)
        self._taught_plan = Plan(min(TAUGHT_CALLS, lengths.calls))
        self.facts: dict[str, Any] = {}

    def prepare(self, names: str) -> None:
        """Fill the databases that these contestants are given copies of."""
        for name in names:
            if name == "a":
                continue
            self._say(f"filling a database for ({name}), {NAMES[name]}")
            url = self._made(name)
            began = time.monotonic()
            if name in "bd":
                taught.fill(url, self._taught_plan)
            else:
                empty = self._size_when_empty(url)
                filling.fill(url, self._plan, progress=progress.filling(self._say, self._plan.count))
                with Looker(url) as looker:
                    per_call = (looker.size_bytes() - empty) / self._plan.count
                self.facts[f"{name}_bytes_per_call"] = round(per_call)
            self._say(f"    {time.monotonic() - began:.0f} s")

    def run(self, name: str) -> dict[str, Any]:
        """One round of one contestant: its figures, and what was found wrong under `problems`."""
        match name:
            case "a":
                with servers.bare(self._folder) as running:
                    return self._burst(running, self._bodies("windows"))[0]
            case "b" | "d":
                return self._run_taught(name)
            case _:
                return self._run_tracker(name)

    def run_shuffled(self, name: str) -> dict[str, Any]:
        """The long run of (c) or (e) with callbacks in no order at all."""
        with self._copied(name) as url, servers.tracker(self._folder, url) as running, Looker(url) as looker:
            bodies = self._bodies("shuffled")
            sent = [phases.warm_up(running, bodies, self._folder)]
            long, joined = phases.sustain(
                running, bodies, self._folder, looker, seconds=self._lengths.sustained_s
            )
            phases.settle(looker)
            sent.append(long)
            return {"joined_per_s": round(joined, 1), "problems": self._problems(looker, bodies, sent)}

    def run_million(self, name: str, count: int) -> dict[str, Any]:
        """So many callbacks through one process, as fast as they are joined: how large does it get?"""
        with self._copied(name) as url, servers.tracker(self._folder, url) as running, Looker(url) as looker:
            bodies = self._bodies("windows")
            sent: list[phases.Sent] = []
            sparsely = Sparsely(self._say)

            def line(waiting: int) -> str:
                size = f"{_mb(running.peak_bytes()):.0f} MB at most"
                return f"    {bodies.used:,} and those of this half minute; {waiting:,} wait; {size}"

            while bodies.used < count:
                self._say(f"    {bodies.used:,} of {count:,} callbacks")
                once, _ = phases.sustain(
                    running, bodies, self._folder, looker, seconds=30,
                    progress=lambda waiting: sparsely(lambda: line(waiting)),
                )  # fmt: skip
                sent.append(once)
            phases.settle(looker)
            peak = running.peak_bytes()
            return {
                "callbacks": bodies.used, "peak_mb": _mb(peak), "problems": self._problems(looker, bodies, sent),
            }  # fmt: skip

    def run_profiled(self, name: str, seconds: float) -> tuple[float, Profile]:
        """How many are answered and joined while it is watched, and where its time goes."""
        with self._copied(name) as url, servers.tracker(self._folder, url) as running, Looker(url) as looker:
            bodies = self._bodies("windows")
            phases.warm_up(running, bodies, self._folder)
            with profiled(running, self._folder, seconds) as stacks:
                _, joined = phases.sustain(running, bodies, self._folder, looker, seconds=seconds)
                return joined, summed(stacks().splitlines())

    def _run_taught(self, name: str) -> dict[str, Any]:
        with self._copied(name) as url:
            bodies = Bodies.made(self._taught_plan, "windows", self._folder)
            with servers.taught(self._folder, url) as running:
                warm = phases.warm_up(running, bodies, self._folder)
                figures, sent = self._burst(running, bodies)
            answered = len(warm.answered) + len(sent.answered)
            figures["problems"] += taught.problems(url, answered)
            return figures

    def _run_tracker(self, name: str) -> dict[str, Any]:
        lengths, bodies = self._lengths, self._bodies("windows")
        with self._copied(name) as url, Looker(url) as looker:
            before = looker.size_bytes()
            with servers.tracker(self._folder, url) as running:
                sent = [phases.warm_up(running, bodies, self._folder)]
                phases.settle(looker)
                figures, burst = self._burst(running, bodies)
                figures["burst_settled_s"] = round(phases.settle(looker), 1)
                long, joined = phases.sustain(
                    running, bodies, self._folder, looker, seconds=lengths.sustained_s
                )
                phases.settle(looker)
                figures |= {
                    "joined_per_s": round(joined, 1), "joined_p50_ms": long.told["p50_ms"],
                    "joined_p99_ms": long.told["p99_ms"], "joined_firsts": self._firsts(bodies, long),
                }  # fmt: skip
                lagged, figures["lag"] = phases.lag(
                    running, bodies, self._folder, looker, seconds=lengths.lag_s, rate=joined / 2
                )
                figures["lag"]["firsts"] = self._firsts(bodies, lagged)
                figures["peak_mb"] = _mb(running.peak_bytes())
                figures["problems"] += self._problems(looker, bodies, [*sent, burst, long, lagged])
            figures["bytes_per_callback"] = round((looker.size_bytes() - before) / bodies.used)
            return figures

    def _firsts(self, bodies: Bodies, last: phases.Sent) -> float:
        """Of what was sent last, the share of first callbacks of their calls; the rest repeats."""
        left = self._plan.count - (bodies.used - len(last.answered))
        return round(min(1.0, max(0.0, left / len(last.answered))), 3)

    def _burst(self, running: servers.Running, bodies: Bodies) -> tuple[dict[str, Any], phases.Sent]:
        cpu = running.cpu_s()
        sent = phases.send(running, bodies, self._folder, seconds=self._lengths.burst_s)
        told = sent.told
        figures = {
            "answered_per_s": told["rate"], "p50_ms": told["p50_ms"], "p99_ms": told["p99_ms"],
            "cpu_us": round((running.cpu_s() - cpu) * 1e6 / max(1, told["answered"]), 1),
            "generator_cpu": told["generator_cpu"], "peak_mb": _mb(running.peak_bytes()), "problems": [],
        }  # fmt: skip
        if told["others"] or told["unanswered"]:
            others = {**told["others"], **({"none": told["unanswered"]} if told["unanswered"] else {})}
            figures["other_answers"] = others
        return figures, sent

    def _problems(self, looker: Looker, bodies: Bodies, sent: list[phases.Sent]) -> list[str]:
        return problems(looker, (bodies.provider_id(i) for each in sent for i, _ in each.answered))

    def _bodies(self, how: str) -> Bodies:
        return Bodies.made(self._plan, how, self._folder)

    def _made(self, name: str) -> str:
        if name in "bc":
            return f"sqlite:///{self._folder / f'{name}.db'}"
        assert self._server is not None
        return self._server.create(f"bench_{name}")

    @contextmanager
    def _copied(self, name: str) -> Iterator[str]:
        """A copy of the filled database of a contestant, on the disk, removed afterwards."""
        if name in "bc":
            path = self._folder / f"{name}-run.db"
            filled = self._folder / f"{name}.db"
            for source, copy in ((filled, path), (inbox_path(filled), inbox_path(path))):
                if source.exists():
                    shutil.copyfile(source, copy)
            os.sync()
            try:
                yield f"sqlite:///{path}"
            finally:
                for each in self._folder.glob(f"{name}-run*"):
                    each.unlink()
            return
        assert self._server is not None
        url = self._server.copy(f"bench_{name}", f"run_{name}")
        os.sync()
        try:
            yield url
        finally:
            self._server.drop(f"run_{name}")

    def _size_when_empty(self, url: str) -> int:
        filling.fill(url, Plan(0))
        with Looker(url) as looker:
            return looker.size_bytes()


def _mb(size: int) -> float:
    return round(size / 2**20, 1)

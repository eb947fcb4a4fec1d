"""`scripts/bench`: everything in one run on one machine."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import postgres, servers
from bench.contest import NAMES, Contest, Lengths
from bench.fill import fill
from bench.plan import Plan
from bench.progress import filling
from bench.reading import OPEN, ROUNDS, SPAN, Reader, callbacks_coming_in, cases, together, verdict
from bench.report import crowded, machine, medians, show, show_profile, show_reading
from bench.stories import quieten
from bench.waking import WAYS, measure

WHOLE = Lengths(calls=800_000, rounds=3, burst_s=10, sustained_s=60, lag_s=20)
QUICK = Lengths(calls=100_000, rounds=1, burst_s=5, sustained_s=12, lag_s=5)

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
_began = time.monotonic()

Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Where the databases lie meanwhile; not in memory. The temporary folder."),
]
AsJson = Annotated[bool, typer.Option("--json", help="All figures of all rounds as JSON on standard output.")]
Calls = Annotated[
    int | None, typer.Option(min=1_000, help="So many calls are stored when the callbacks come.")
]


@app.callback(invoke_without_command=True)
def writing(
    context: typer.Context,
    only: Annotated[str, typer.Option(help="Some of the contestants, for example a,c.")] = "a,b,c,d,e",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="One round, short runs, fewer calls: about five minutes on a quiet machine."
        ),
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="So often everything is run; medians are shown.")
    ] = None,
    calls: Calls = None,
    shuffled: Annotated[bool, typer.Option(help="Also with callbacks in no order at all.")] = True,
    million: Annotated[
        bool, typer.Option("--million", help="Also a million callbacks through one process: its memory.")
    ] = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast callbacks are taken in and joined, beside a bare endpoint and a plain receiver."""
    if context.invoked_subcommand is not None:
        return
    names = [name.strip().strip("()") for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in NAMES]:
        raise typer.BadParameter(f"{', '.join(unknown)} is none of {', '.join(NAMES)}", param_hint="--only")
    lengths = QUICK if quick else WHOLE
    lengths = Lengths(
        calls=calls or lengths.calls, rounds=rounds or lengths.rounds, burst_s=lengths.burst_s,
        sustained_s=lengths.sustained_s, lag_s=lengths.lag_s,
    )  # fmt: skip
    with _room(folder, with_postgres="d" in names or "e" in names) as (room, server):
        on = machine() | ({"postgresql": server.version()} if server else {})
        contest = Contest(room, server, lengths, say)
        contest.prepare("".join(names))
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for number in range(1, lengths.rounds + 1):
            for name in names:
                say(f"round {number} of {lengths.rounds}: ({name}) {NAMES[name]}")
                found[name].append(contest.run(name))
                say(f"    {_told(found[name][-1])}")
        for name in (n for n in names if n in "ce"):
            if shuffled:
                say(f"shuffled: ({name}) {NAMES[name]}")
                once = contest.run_shuffled(name)
                say(f"    {_told(once)}")
                found[name].append({"shuffled_" + k if k != "problems" else k: v for k, v in once.items()})
            if million:
                say(f"a million: ({name}) {NAMES[name]}")
                once = contest.run_million(name, 1_000_000)
                found[name].append({"million": once, "problems": once.pop("problems")})
            found[name].append({"bytes_per_call": contest.facts[f"{name}_bytes_per_call"]})
    figures = {name: medians(rounds_of) for name, rounds_of in found.items()}
    if as_json:
        told = {"machine": on, "lengths": asdict(lengths), "rounds": found, "medians": figures}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        show(figures, on, _console())
    if any(f.get("problems") for f in figures.values()):
        raise typer.Exit(1)


@app.command()
def reading(
    sizes: Annotated[str, typer.Option(help="Numbers of calls, smallest first.")] = "100000,1000000",
    times: Annotated[int, typer.Option(min=60, help="So often each question is put, in three rounds.")] = 300,
    rate: Annotated[float, typer.Option(help="Callbacks a second that come in meanwhile.")] = 300.0,
    only: Annotated[str, typer.Option(help="sqlite, postgresql or both.")] = "sqlite,postgresql",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Measure how long questions take in a large database, while callbacks come in."""
    engines = [name.strip() for name in only.split(",")]
    if unknown := [name for name in engines if name not in ("sqlite", "postgresql")]:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is neither sqlite nor postgresql", param_hint="--only"
        )
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    plans = [Plan(int(size), span=SPAN) for size in sizes.split(",")]
    with _room(folder, with_postgres="postgresql" in engines) as (room, server):
        on = machine() | ({"postgresql": server.version()} if server else {})
        for engine in engines:
            for plan in plans:
                figures[f"{engine} {plan.count:,}"] = _read(engine, plan, room, server, times, rate)
    wrong = {name: verdicts for engine in engines for name, verdicts in _too_slow(engine, plans, figures)}
    if as_json:
        sys.stdout.write(json.dumps({"machine": on, "figures": figures, "too_slow": wrong}) + "\n")
    else:
        show_reading(figures, wrong, on, _console())
    if wrong:
        raise typer.Exit(1)


@app.command()
def profile(
    only: Annotated[str, typer.Option(help="c (SQLite), e (PostgreSQL) or both.")] = "c,e",
    seconds: Annotated[float, typer.Option(min=5, help="So long each is watched.")] = 30.0,
    calls: Calls = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Watch where tracker's time goes while callbacks are taken in and joined as fast as it can."""
    names = [name.strip() for name in only.split(",")]
    if unknown := [name for name in names if name not in ("c", "e")]:
        raise typer.BadParameter(f"{', '.join(unknown)} is neither c nor e", param_hint="--only")
    lengths = Lengths(calls=calls or 300_000, rounds=1, burst_s=0, sustained_s=seconds, lag_s=0)
    found = {}
    with _room(folder, with_postgres="e" in names) as (room, server):
        contest = Contest(room, server, lengths, say)
        contest.prepare("".join(names))
        for name in names:
            say(f"watching ({name}) {NAMES[name]}")
            found[name] = contest.run_profiled(name, seconds)
    if as_json:
        told = {name: {"joined_per_s": round(rate, 1), **asdict(p)} for name, (rate, p) in found.items()}
        sys.stdout.write(json.dumps({"machine": machine(), "profiles": told}) + "\n")
        return
    for name, (rate, watched) in found.items():
        show_profile(f"({name}) {NAMES[name]}, {rate:,.0f} joined/s while watched", watched, _console())


@app.command()
def waking(
    times: Annotated[int, typer.Option(min=3, help="So many callbacks are sent, one by one.")] = 50,
    calls: Calls = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Measure how soon an idle worker on PostgreSQL joins what comes: in the server's process, and in another."""
    plan = Plan(calls or 20_000)
    found = {}
    with _room(folder, with_postgres=True) as (room, server):
        assert server is not None
        say(f"filling a database with {plan.count:,} calls")
        fill(server.create("waking"), plan)
        for way in WAYS:
            say(f"{way}: {times} callbacks, one by one")
            found[way] = measure(room, server.copy("waking", "waking_copy"), plan, way, times)
            server.drop("waking_copy")
    if as_json:
        sys.stdout.write(json.dumps({"machine": machine(), "waking": found}) + "\n")
        return
    for way, told in found.items():
        _console().print(
            f"{way}: from the answer until it is joined, {told['min_ms']} ms at least, {told['p50_ms']} at the median,"
            f" {told['p90_ms']} at p90, {told['max_ms']} at most",
            highlight=False,
        )


def _console() -> Console:
    return Console(width=200 if not sys.stdout.isatty() else None)


def _read(
    engine: str, plan: Plan, room: Path, server: postgres.Server | None, times: int, rate: float
) -> dict[str, dict[str, Any]]:
    if server is not None and engine == "postgresql":
        url = server.create(f"reading_{plan.count}")
    else:
        url = f"sqlite:///{room / f'reading-{plan.count}.db'}"
    say(f"filling {engine} with {plan.count:,} calls")
    fill(url, plan, open_calls=OPEN, progress=filling(say, plan.count))
    os.sync()  # what was filled is no longer being written when the questions come
    rounds: dict[str, list[dict[str, Any]]] = {}
    with (
        servers.tracker(room, url) as running,
        closing(Reader(running, plan)) as reader,
        callbacks_coming_in(running, plan, room, rate),
    ):
        for number in range(1, ROUNDS + 1):
            for case in cases(plan):
                if number == 1:
                    reader.measure(case, 20)  # statements that are new to the server count in no figure
                rounds.setdefault(case.name, []).append(reader.measure(case, -(-times // ROUNDS)))
                say(f"    {case.name}, round {number}: {_told(rounds[case.name][-1])}")
    return {name: together(found) for name, found in rounds.items()}


def _too_slow(
    engine: str, plans: list[Plan], figures: dict[str, dict[str, dict[str, Any]]]
) -> Iterator[tuple[str, list[str]]]:
    small, large = (figures[f"{engine} {plan.count:,}"] for plan in (plans[0], plans[-1]))
    for case in cases(plans[-1]):
        before = small[case.name] if len(plans) > 1 else None
        if found := verdict(before, large[case.name], case.most_ms):
            yield f"{engine}: {case.name}", found


@contextmanager
def _room(folder: Path | None, *, with_postgres: bool) -> Iterator[tuple[Path, postgres.Server | None]]:
    """A folder that is removed afterwards, and a PostgreSQL server where one is needed."""
    parent = (folder or Path(tempfile.gettempdir())).resolve()
    if in_memory(parent):
        raise typer.BadParameter(
            f"{parent} is in memory, where no commit waits for a disk", param_hint="--dir"
        )
    # SIGTERM as an exception, so that what was started is ended
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    quieten()
    if warning := crowded(os.getloadavg()[0], os.cpu_count() or 1):
        say(warning)
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="tracker-bench-", dir=parent))
        yield Path(made), stack.enter_context(postgres.serving(parent)) if with_postgres else None


def in_memory(folder: Path) -> bool:
    """Whether a folder lies on a file system that is in memory."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(at), kind) for at, kind in mounts if folder.is_relative_to(at)]
    return max(above)[1] in ("tmpfs", "ramfs")


def _told(figures: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in figures.items() if v not in (None, [], {}))


def say(line: str) -> None:
    """Progress, with the minutes since the start."""
    seconds = time.monotonic() - _began
    sys.stderr.write(f"[{seconds // 60:3.0f}:{seconds % 60:02.0f}] {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    app(prog_name="scripts/bench")

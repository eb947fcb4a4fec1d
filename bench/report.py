"""Figures of several rounds as medians, and as a table for people."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.contest import NAMES
from bench.profiling import Profile

#: what is to be reached: which figure of whom, of which other's, at least so many times; or at most so many ms
_RATIOS = (
    ("answered in bursts ≥ 0.5 of (a)", "answered_per_s", "ce", "a", "answered_per_s", 0.5),
    ("answered and joined, SQLite, ≥ 0.2 of (a)", "joined_per_s", "c", "a", "answered_per_s", 0.2),
    ("answered and joined, PostgreSQL, ≥ 0.15 of (a)", "joined_per_s", "e", "a", "answered_per_s", 0.15),
    ("answered and joined, SQLite, ≥ 10 times (b)", "joined_per_s", "c", "b", "answered_per_s", 10.0),
    ("answered and joined, PostgreSQL, ≥ 10 times (d)", "joined_per_s", "e", "d", "answered_per_s", 10.0),
)
_AT_MOST = (
    ("p99 of the answer at 64 connections < 50 ms", ("p99_ms",), 50.0),
    ("p99 of the lag at half of the maximum < 500 ms", ("lag", "p99_ms"), 500.0),
)


def machine() -> dict[str, str]:
    """What it ran on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{
            name: _version(name)
            for name in ("starlette", "uvicorn", "uvloop", "sqlmodel", "fastapi", "psycopg")
        },
    }


def crowded(load: float, processors: int) -> str | None:
    """A warning where others keep the machine busy; load: of the last minute, as os.getloadavg() gives it."""
    if load <= processors:
        return None
    return (
        f"WARNING: this machine is busy: a load of {load:.1f} on {processors} processors. The figures will be too low, "
        "and it will take longer; end what else runs here for figures that mean something."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure; of what is no number, all that was said."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(k for one in rounds for k in one):
        values = [one[key] for one in rounds if one.get(key) is not None]
        if not values:
            merged[key] = None
        elif isinstance(values[0], dict):
            merged[key] = medians(values)
        elif isinstance(values[0], list):
            merged[key] = [item for value in values for item in value]
        else:
            merged[key] = round(median(values), 3)
    return merged


def verdicts(figures: dict[str, dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """What was to be reached, what was, and whether that is enough; only what could be compared."""
    found = []
    for what, key, whose, other, others_key, least in _RATIOS:
        for name in whose:
            mine, theirs = figures.get(name, {}).get(key), figures.get(other, {}).get(others_key)
            if mine and theirs:
                found.append((f"({name}) {what}", f"{mine / theirs:.2f}", mine / theirs >= least))
    for what, path, most in _AT_MOST:
        for name in "ce":
            value: Any = figures.get(name)
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            if value is not None:
                found.append((f"({name}) {what}", f"{value:g} ms", value < most))
    return found


def show(figures: dict[str, dict[str, Any]], on: dict[str, str], console: Console) -> None:
    """Everything as tables."""
    console.print("  ".join(f"{k} {v}" for k, v in on.items()), style="dim", highlight=False)
    table = Table(title="Callbacks a second, medians")
    for column in ("", "answered/s", "of (a)", "joined/s", "of (a)", "times (b)/(d)", "shuffled", "p50 ms", "p99 ms",
                   "lag p50", "lag p99", "peak MB", "B/callback", "CPU µs"):  # fmt: skip
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    bare = figures.get("a", {}).get("answered_per_s")
    for name, f in figures.items():
        taught = figures.get({"c": "b", "e": "d"}.get(name, ""), {}).get("answered_per_s")
        joined, answered, lag = f.get("joined_per_s"), f.get("answered_per_s"), f.get("lag", {})
        table.add_row(
            f"({name}) {NAMES[name]}", _n(answered), _ratio(answered, bare), _n(joined), _ratio(joined, bare),
            _ratio(joined, taught), _n(f.get("shuffled_joined_per_s")), _n(f.get("p50_ms"), 1),
            _n(f.get("p99_ms"), 1), _n(lag.get("p50_ms")), _n(lag.get("p99_ms")), _n(f.get("peak_mb")),
            _n(f.get("bytes_per_callback")), _n(f.get("cpu_us")),
        )  # fmt: skip
    console.print(table)
    for what, got, enough in verdicts(figures):
        console.print(f"{'reached    ' if enough else 'NOT reached'}  {what}: {got}", highlight=False)
    for name, f in figures.items():
        for key in ("bytes_per_call", "other_answers", "million", "joined_firsts", "burst_settled_s"):
            if f.get(key):
                console.print(f"({name}) {key}: {f[key]}", highlight=False)
        for problem in f.get("problems", ()):
            console.print(f"WRONG ({name}): {problem}", style="red", highlight=False)


def show_reading(
    figures: dict[str, dict[str, dict[str, Any]]],
    wrong: dict[str, list[str]],
    on: dict[str, str],
    console: Console,
) -> None:
    """How long each question took, p95 inside the server."""
    console.print("  ".join(f"{k} {v}" for k, v in on.items()), style="dim", highlight=False)
    table = Table(title="Milliseconds inside the server, p50 / p95")
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    for case in next(iter(figures.values())):
        table.add_row(case, *(f"{f[case]['p50_ms']} / {f[case]['p95_ms']}" for f in figures.values()))
    console.print(table)
    for name, verdicts in wrong.items():
        console.print(f"NOT reached  {name}: {', '.join(verdicts)}", highlight=False)


def show_profile(title: str, profile: Profile, console: Console) -> None:
    """Which threads were at work, and which functions."""
    console.print(f"\n{title} ({profile.samples:,} samples)", highlight=False)
    for what, shares, most in (
        ("threads", profile.threads, 8), ("with what it called", profile.inclusive, 45), ("itself", profile.itself, 30),
    ):  # fmt: skip
        table = Table(title=what, title_justify="left", show_header=False)
        table.add_column(justify="right")
        table.add_column()
        for name, share in list(shares.items())[:most]:
            table.add_row(f"{share:.1%}", name)
        console.print(table)


def _n(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _ratio(value: float | None, of: float | None) -> str:
    return f"{value / of:.2f}" if value and of else ""

"""Shows the progress of long work on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import typer

#: seconds before the first line, and between two lines, where there is no terminal
_FIRST_LINE_S: Final = 2.0
_LINE_INTERVAL_S: Final = 10.0


@contextmanager
def show_progress(
    unit: str, *, visible: bool = True, total: int | None = None, clock: Callable[[], float] = monotonic
) -> Iterator[Callable[[int], None]]:
    """Return a function that shows how many `unit` are done; call it with the number so far.

    total: how many there will be; None if that is not known. clock: seconds.
    """
    if not visible:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(unit, total) as update:
            yield update
    else:
        due = clock() + _FIRST_LINE_S

        def print_line(done: int) -> None:
            nonlocal due
            if clock() >= due:
                due = clock() + _LINE_INTERVAL_S
                of_total = f" of {total:,}" if total is not None else ""
                typer.echo(f"{done:,}{of_total} {unit}", err=True)

        yield print_line


@contextmanager
def _bar(unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(unit, total=total)
        yield lambda done: progress.update(task, completed=done)

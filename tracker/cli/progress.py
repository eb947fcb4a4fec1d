"""Progress of what takes long: a bar on a terminal, a line now and then elsewhere; on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import typer

#: seconds between two lines, where there is no terminal, and before the first one
_LINES_S: Final = 10.0
_FIRST_S: Final = 2.0


@contextmanager
def counting(what: str, *, visible: bool = True, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows how many `what` are done, of `total` if that is known; called with the number so far."""
    if not visible:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(what, total) as update:
            yield update
    else:
        due = monotonic() + _FIRST_S

        def say(done: int) -> None:
            nonlocal due
            if monotonic() >= due:
                due = monotonic() + _LINES_S
                of = f" of {total:,}" if total is not None else ""
                typer.echo(f"{done:,}{of} {what}", err=True)

        yield say


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)

"""Lets a signal that ends the process run all clean-up first, as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import typer

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class _Terminated(BaseException):
    """A signal arrived. Like KeyboardInterrupt, it is no Exception, so nothing takes it for an error."""


@contextmanager
def cleanup_on_signal(outcome: str) -> Iterator[None]:
    """Let SIGTERM and SIGHUP run every `finally` inside, and then end the command with exit status 1.

    outcome: the sentence that tells how things are afterwards; it is also printed after Ctrl-C. A step that SQLite does
    as one is completed first.
    """
    # a process that nohup started ignores SIGHUP, and goes on ignoring it
    handled = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def terminate(number: int, frame: FrameType | None) -> None:
        for each in handled:  # a second signal must not interrupt the clean-up
            signal.signal(each, signal.SIG_IGN)
        raise _Terminated(signal.Signals(number).name)

    for number in handled:
        signal.signal(number, terminate)
    try:
        yield
    except _Terminated as terminated:
        typer.echo(f"Ended by {terminated}. {outcome}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"Ended by SIGINT. {outcome}", err=True)
        raise
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)

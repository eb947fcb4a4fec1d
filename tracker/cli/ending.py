"""Being told to end while something lies half done: it is cleared away first, as with Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import typer

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """Like KeyboardInterrupt, nothing takes it for an error."""


@contextmanager
def clearing_away(left: str) -> Iterator[None]:
    """SIGTERM and SIGHUP end what is inside by way of every `finally`, and then the command, with exit status 1; Ctrl-C
    does so anyhow.

    left: the sentence that says how things are then, after each of them. What SQLite does in one step is ended after
    that step.
    """
    # who is run by nohup is not to hear of the end of the session
    heard = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> None:
        for each in heard:  # nobody hurries the clearing away
            signal.signal(each, signal.SIG_IGN)
        raise _Ended(signal.Signals(number).name)

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    except _Ended as ended:
        typer.echo(f"Ended by {ended}. {left}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"Ended by SIGINT. {left}", err=True)
        raise
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)

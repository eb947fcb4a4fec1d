"""A timeline that grows before one's eyes: drawn anew on a terminal, line after line elsewhere, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Group

from tracker.cli import rendering
from tracker.cli.terminal import console, show

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Document = Mapping[str, Any]


class View:
    """Shows nothing."""

    def update(self, call: Document, events: Sequence[Document]) -> None:
        """What is known now."""


class _Lines(View):
    """Adds what is new below: for pipes and logs. An event that belongs between others is told when it comes."""

    def __init__(self, *, utc: bool) -> None:
        self._utc = utc
        self._told: set[str] = set()
        self._last: Document | None = None

    def update(self, call: Document, events: Sequence[Document]) -> None:
        new = [e for e in events if e["id"] not in self._told]
        if not self._told:
            show(rendering.wish(call))
        if new:
            show(rendering.timeline(call, new, utc=self._utc, after=self._last))
            self._told |= {e["id"] for e in new}
            self._last = new[-1]


class _Live(View):
    """Draws the whole again, in its order: for terminals."""

    def __init__(self, live: Live, *, utc: bool) -> None:
        self._live, self._utc = live, utc
        self.recording: RenderableType | None = None

    def update(self, call: Document, events: Sequence[Document]) -> None:
        timeline = rendering.timeline(call, events, utc=self._utc, recordings=False)
        both = (rendering.header(call, utc=self._utc), timeline)
        self.recording = rendering.recording(call)
        self._live.update(Group(*both), refresh=True)


@contextmanager
def shown(*, utc: bool, visible: bool = True) -> Iterator[View]:
    """A view on standard output, as long as the context lasts. visible: False for one that shows nothing."""
    out = console()
    if not visible:
        yield View()
    elif out.is_terminal:
        from rich.live import Live

        with Live(console=out, auto_refresh=False, vertical_overflow="visible") as live:
            view = _Live(live, utc=utc)
            yield view
        # what is drawn anew is cut at the edge, which an address must not be
        if view.recording is not None:
            show(view.recording)
    else:
        yield _Lines(utc=utc)

"""Shows a timeline as it grows: redrawn on a terminal, line after line elsewhere, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Group

from tracker.cli.output.text import make_console, print_text
from tracker.cli.output.timeline import render_header, render_recording, render_request, render_timeline

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Document = Mapping[str, Any]


class TimelineView:
    """A view that shows nothing, and the interface of those that do."""

    def update(self, call: Document, events: Sequence[Document]) -> None:
        """Show the call and its events as they are now."""


class _AppendingView(TimelineView):
    """A view for pipes and logs: it appends new events. One that belongs between others appears when it comes."""

    def __init__(self, *, utc: bool) -> None:
        self._utc = utc
        self._shown: set[str] = set()
        self._last: Document | None = None

    def update(self, call: Document, events: Sequence[Document]) -> None:
        new = [e for e in events if e["id"] not in self._shown]
        if not self._shown:
            print_text(render_request(call))
        if new:
            print_text(render_timeline(call, new, utc=self._utc, after=self._last))
            self._shown |= {e["id"] for e in new}
            self._last = new[-1]


class _RedrawnView(TimelineView):
    """A view for terminals: it draws the whole timeline again, in order."""

    def __init__(self, live: Live, *, utc: bool) -> None:
        self._live, self._utc = live, utc
        self.recording: RenderableType | None = None

    def update(self, call: Document, events: Sequence[Document]) -> None:
        timeline = render_timeline(call, events, utc=self._utc, recordings=False)
        self.recording = render_recording(call)
        self._live.update(Group(render_header(call, utc=self._utc), timeline), refresh=True)


@contextmanager
def open_timeline_view(*, utc: bool, visible: bool = True) -> Iterator[TimelineView]:
    """Open a view on standard output that lasts as long as the context. visible: False shows nothing."""
    console = make_console()
    if not visible:
        yield TimelineView()
    elif console.is_terminal:
        from rich.live import Live

        with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
            view = _RedrawnView(live, utc=utc)
            yield view
        # shown afterwards, because what is redrawn is cut at the edge, and an address must not be
        if view.recording is not None:
            print_text(view.recording)
    else:
        yield _AppendingView(utc=utc)

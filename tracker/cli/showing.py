"""One call on the screen, once or as it grows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tracker.cli import reading, rendering
from tracker.cli.terminal import show
from tracker.cli.views import shown
from tracker.store.database import Database

Document = Mapping[str, Any]

_LOOK_S: Final = 0.5


def show_call(
    call: Document,
    events: Sequence[Document],
    callbacks: Sequence[Document],
    *,
    evidence: Document | None,
    utc: bool,
) -> None:
    """Header, timeline, and what it rests on where that is asked for."""
    repeats = {c["id"]: c["repeats"] for c in callbacks}
    show(rendering.header(call, utc=utc), rendering.timeline(call, events, utc=utc, repeats=repeats))
    if evidence is not None:
        from tracker.cli.evidence_rendering import evidence_lines

        show(*evidence_lines(evidence, utc=utc))


def follow(database: Database, call_id: str, *, utc: bool) -> None:
    """Show the timeline as it grows, until the call is settled. Only looks; a worker does the work."""
    with shown(utc=utc) as view:
        while True:
            call, events = database.read(lambda c: reading.call_and_timeline(c, call_id))
            view.update(call, events)
            if call["settled"]:
                return
            time.sleep(_LOOK_S)

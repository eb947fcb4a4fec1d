"""One call on the screen, once or as it grows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from tracker.cli import reading, rendering
from tracker.cli.terminal import harmless, show
from tracker.cli.views import shown
from tracker.store.database import Database

Document = Mapping[str, Any]

_LOOK_S: Final = 0.5


def show_call(
    call: Document,
    events: Sequence[Document],
    callbacks: Sequence[Document],
    *,
    evidence: Sequence[Document] | None,
    utc: bool,
) -> None:
    """Header, timeline, and what it rests on where that is asked for."""
    repeats = {c["id"]: c["repeats"] for c in callbacks}
    show(rendering.header(call, utc=utc), rendering.timeline(call, events, utc=utc, repeats=repeats))
    if evidence is not None:
        from tracker.cli.evidence_rendering import evidence_lines

        show(Text(), *evidence_lines(evidence, utc=utc))
    if waiting := [c for c in callbacks if c["state"] == "orphaned"]:
        show(Text(harmless(f"{len(waiting)} callbacks wait to be joined."), "yellow"))


def follow(database: Database, call_id: str, *, utc: bool) -> None:
    """Show the timeline as it grows, until the call is settled. Only looks; a worker does the work."""
    with shown(utc=utc) as view:
        while True:
            call, events, _ = database.read(lambda c: reading.everything(c, call_id))
            view.update(call, events)
            if call["settled"]:
                return
            time.sleep(_LOOK_S)

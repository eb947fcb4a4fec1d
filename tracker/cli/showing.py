"""One call on the screen, with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.cli import rendering
from tracker.cli.terminal import show

Document = Mapping[str, Any]


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

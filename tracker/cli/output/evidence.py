"""Renders the evidence of a timeline: our requests, the provider's answers, and the callbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.text import Text

from tracker.cli.output.formatting import format_time
from tracker.cli.output.raw_http import render_raw_request, render_raw_response
from tracker.cli.output.text import unwrapped_line

_INDENT: Final = "  "


def render_evidence(evidence: Mapping[str, Any], *, utc: bool) -> Iterator[Text]:
    """Render all exchanges and callbacks in their order. Secrets were removed before they were stored."""
    for exchange in evidence["exchanges"]:
        verb = "asked" if exchange["kind"] == "ask" else "sent"
        yield from _title(f"{verb} {format_time(exchange['requested_at'], utc=utc)}, {exchange['id']}")
        yield from render_raw_request(exchange["request"], _INDENT)
        if exchange["reply"] is not None:
            yield from _title(f"answered {format_time(exchange['answered_at'], utc=utc)}")
            yield from render_raw_response(exchange["reply"], _INDENT)
        if exchange["failure"]:
            yield unwrapped_line(f"{_INDENT}{exchange['failure']}", "yellow")
    for callback in evidence["callbacks"]:
        received = format_time(callback["received_at"], utc=utc)
        yield from _title(f"received {received}, {callback['id']}, matched by {callback['matched_by']}")
        yield from render_raw_request(callback["request"], _INDENT)
    if evidence["withdrawn"]:
        yield from _title(
            f"{len(evidence['withdrawn'])} events were withdrawn because their callback was moved"
        )


def _title(text: str) -> Iterator[Text]:
    yield Text()
    yield unwrapped_line(text, "underline")

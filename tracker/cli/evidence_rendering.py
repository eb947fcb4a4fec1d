"""What a timeline rests on, as text: our requests and their answers, and the callbacks, each as it was on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from tracker.cli.inbox_rendering import raw_reply, raw_request
from tracker.cli.moments import short_time
from tracker.cli.terminal import harmless


def evidence_lines(evidence: Mapping[str, Any], *, utc: bool) -> Iterator[RenderableType]:
    """Everything in the order in which it was said; secrets were removed before it was stored."""
    for exchange in evidence["exchanges"]:
        asked = "asked" if exchange["kind"] == "ask" else "sent"
        yield _title(f"{asked} {short_time(exchange['requested_at'], utc=utc)}, {exchange['id']}")
        yield _indented(raw_request(exchange["request"]))
        if exchange["reply"] is not None:
            yield _title(f"answered {short_time(exchange['answered_at'], utc=utc)}")
            yield _indented(raw_reply(exchange["reply"]))
        if exchange["failure"]:
            yield _indented(Text(harmless(str(exchange["failure"])), "yellow"))
    for callback in evidence["callbacks"]:
        received = short_time(callback["received_at"], utc=utc)
        yield _title(f"received {received}, {callback['id']}, matched by {callback['matched_by']}")
        yield _indented(raw_request(callback["request"]))
    if evidence["withdrawn"]:
        yield _title(f"{len(evidence['withdrawn'])} events were withdrawn, because their callback was moved")


def _title(text: str) -> RenderableType:
    return Padding(Text(harmless(text), "underline"), (1, 0, 0, 0))


def _indented(inner: RenderableType) -> RenderableType:
    return Padding(inner, (0, 0, 0, 2))

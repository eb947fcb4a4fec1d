"""What a timeline rests on, as text: our requests and their answers, and the callbacks, each as it was on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.text import Text

from tracker.cli.inbox_rendering import raw_reply, raw_request
from tracker.cli.moments import short_time
from tracker.cli.unbroken import whole

_INDENT: Final = "  "


def evidence_lines(evidence: Mapping[str, Any], *, utc: bool) -> Iterator[Text]:
    """Everything in the order in which it was said; secrets were removed before it was stored."""
    for exchange in evidence["exchanges"]:
        asked = "asked" if exchange["kind"] == "ask" else "sent"
        yield from _title(f"{asked} {short_time(exchange['requested_at'], utc=utc)}, {exchange['id']}")
        yield from raw_request(exchange["request"], _INDENT)
        if exchange["reply"] is not None:
            yield from _title(f"answered {short_time(exchange['answered_at'], utc=utc)}")
            yield from raw_reply(exchange["reply"], _INDENT)
        if exchange["failure"]:
            yield whole(f"{_INDENT}{exchange['failure']}", "yellow")
    for callback in evidence["callbacks"]:
        received = short_time(callback["received_at"], utc=utc)
        yield from _title(f"received {received}, {callback['id']}, matched by {callback['matched_by']}")
        yield from raw_request(callback["request"], _INDENT)
    if evidence["withdrawn"]:
        yield from _title(
            f"{len(evidence['withdrawn'])} events were withdrawn, because their callback was moved"
        )


def _title(text: str) -> Iterator[Text]:
    yield Text()
    yield whole(text, "underline")

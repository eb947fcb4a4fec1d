"""Renders a list of calls as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from tracker.cli.output.formatting import format_time, zone_name
from tracker.cli.output.text import PlainTable, escape_control
from tracker.cli.output.timeline import status_style
from tracker.domain.time_text import format_duration

Document = Mapping[str, Any]


def render_call_list(calls: Sequence[Document], *, utc: bool) -> PlainTable:
    """Render one row for each call."""
    titles = ("call", zone_name(utc=utc), "to", "status")
    return PlainTable(titles=titles, rows=[_row(call, utc) for call in calls])


def _row(call: Document, utc: bool) -> tuple[Text, ...]:
    status = Text.assemble((escape_control(str(call["status"])), status_style(call)))
    return (
        Text(str(call["id"])),
        Text(format_time(str(call["created_at"]), utc=utc)),
        Text(escape_control(str(call["to"]))),
        status.append(escape_control("".join(f", {fact}" for fact in _status_facts(call))), ""),
    )


def _status_facts(call: Document) -> Iterator[str]:
    if call.get("duration_s") is not None:
        yield format_duration(float(call["duration_s"]))
    if call.get("reason"):
        yield str(call["reason"])
    if (call.get("attempts") or 0) > 1:
        yield f"attempt {call['attempts']}"
    if not call.get("settled"):
        yield "open"
    if call.get("disputed"):
        yield "disputed"

"""Renders a call and its timeline as text, from the documents of the API.

A date stands once a day, times are to the second, and between two events stands how long it took. Beside each event
stand the provider's own words, the reason, and how we know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracker.cli.output.formatting import format_gap, format_time, parse_display_time, zone_suffix
from tracker.cli.output.text import WrappedText, escape_control, unwrapped_line
from tracker.domain.time_text import format_duration

Document = Mapping[str, Any]

_STATUS_STYLES: Final = {
    "completed": "bold green",
    "busy": "bold yellow",
    "no-answer": "bold yellow",
    "canceled": "bold yellow",
    "failed": "bold red",
    "rejected": "bold red",
    "unknown": "bold magenta",
    "unconfirmed": "bold magenta",
}
#: columns; on a wider terminal the status would stand too far from the call that it belongs to
_MAX_WIDTH: Final = 100
_RECORDING_INDENT: Final = 18
#: the details of an event that are shown, in this order, with the words before them
_DETAILS: Final = (
    ("duration_s", ""),
    ("submission_id", ""),
    ("message", ""),
    ("http_status", "HTTP "),
    ("charges", "charges "),
    ("dtmf", "keys "),
    ("until", "until "),
    ("try", "try "),
    ("hours", "hours "),
)
#: details that say nothing with this value
_USUAL_DETAILS: Final = (("http_status", 200), ("try", 1))
#: decisions whose names are longer than their column
_SHORT_DECISIONS: Final = {"new-submission": "again"}
_TRIGGERS: Final = {"first": "", "resend": ", sent again", "operator": ", by hand"}


def render_header(call: Document, *, utc: bool = False) -> RenderableType:
    """Render who was called, for what, and with what result."""
    first = Table.grid(expand=True)
    first.add_column(overflow="fold")
    first.add_column(justify="right", no_wrap=True)
    reason = call.get("reason")
    status = f"{call['status']} ({reason})" if reason else str(call["status"])
    first.add_row(_escaped(call["id"], "bold"), Text(status, status_style(call)))
    lines: list[RenderableType] = [
        Constrain(first, _MAX_WIDTH),
        WrappedText(text=", ".join(_request_facts(call))),
        WrappedText(text=", ".join(_result_facts(call, utc=utc))),
    ]
    if call.get("disputed"):
        lines.append(Text("Disputed: two records of one dial contradict each other.", "bold red"))
    return Group(*lines)


def render_request(call: Document) -> RenderableType:
    """Render who is called, and for what: the header of a call without a result yet."""
    return Group(_escaped(call["id"], "bold"), WrappedText(text=", ".join(_request_facts(call))))


def render_timeline(
    call: Document,
    events: Sequence[Document],
    *,
    utc: bool = False,
    repeats: Mapping[str, int] | None = None,
    after: Document | None = None,
    recordings: bool = True,
) -> RenderableType:
    """Render the events in the order in which they are given.

    repeats: callback id → how often that callback came again. after: the event before the first one if a timeline is
    shown piece by piece; its date and attempt are not repeated. recordings: show the address of a recording on a line
    of its own, which may be longer than the terminal is wide.
    """
    parts: list[RenderableType] = []
    submissions = {s["id"]: s for s in call.get("submissions", ())}
    position = _Position(after, utc)
    table = _event_grid()
    for event in events:
        at = parse_display_time(event["at"], utc)
        headings = list(_headings(event, position, at, submissions))
        if headings and table.row_count:
            parts.append(table)
            table = _event_grid()
        parts += headings
        table.add_row(
            Text(f"{at:%H:%M:%S}", "dim" if event["type"] == "detail" else ""),
            Text(format_gap(position.at, at), "dim"),
            Text(_event_name(event), event_style(event)),
            Text(str(event["source"]), "dim"),
            Text(escape_control(", ".join(_event_facts(event, repeats or {}, utc)))),
        )
        position.at, position.submission = at, event.get("submission")
        if recordings and (recording := render_recording(event.get("detail") or {})) is not None:
            parts += [table, recording]
            table = _event_grid()
    if table.row_count:
        parts.append(table)
    return Group(*parts)


def render_recording(document: Document) -> RenderableType | None:
    """Render the recording's address of a call or of an event's detail in one piece; None if there is none."""
    if not document.get("recording_url"):
        return None
    return unwrapped_line(f"{'':{_RECORDING_INDENT}}recording {document['recording_url']}")


def event_style(event: Document) -> str:
    """Return the style of an event's name."""
    if event["type"] == "warning":
        return "bold yellow"
    return _STATUS_STYLES.get(str(event.get("status")), "") if event["type"] == "status" else "cyan"


def status_style(call: Document) -> str:
    """Return the style of a call's status."""
    return _STATUS_STYLES.get(str(call.get("status")), "bold")


class _Position:
    """The time and the submission that were shown last."""

    def __init__(self, after: Document | None, utc: bool) -> None:
        self.at: datetime | None = parse_display_time(after["at"], utc) if after else None
        self.submission: str | None = after.get("submission") if after else None


def _event_grid() -> Table:
    table = Table.grid(padding=(0, 1), pad_edge=False)
    table.add_column(width=8, no_wrap=True)
    table.add_column(width=8, no_wrap=True, justify="right")
    table.add_column(width=11, no_wrap=True)
    table.add_column(width=8, no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    return table


def _headings(
    event: Document, position: _Position, at: datetime, submissions: Mapping[str, Document]
) -> Iterator[RenderableType]:
    """Render the date and the attempt if they changed."""
    if position.at is None or position.at.date() != at.date():
        zone = zone_suffix(at) if position.at is None or position.at.utcoffset() != at.utcoffset() else ""
        yield Padding(
            Text(f"{at:%A}, {at.day} {at:%B %Y}{zone}", "bold"),
            (1 if position.at is None else 0, 0, 0, 0),
            expand=False,
        )
    id = event.get("submission")
    if len(submissions) > 1 and id and id != position.submission and id in submissions:
        submission = submissions[id]
        yield Text(f"attempt {submission['number']}{_TRIGGERS.get(submission['trigger'], '')}", "underline")


def _event_name(event: Document) -> str:
    if event["type"] == "status" and event["status"]:
        return str(event["status"])
    if event["type"] == "decision":
        decision = str((event.get("detail") or {}).get("decision") or "decision")
        return _SHORT_DECISIONS.get(decision, decision)
    return str(event["type"])


def _event_facts(event: Document, repeats: Mapping[str, int], utc: bool) -> Iterator[str]:
    detail = event.get("detail") or {}
    if event["type"] == "warning":
        yield "! " + str(event.get("reason") or "look at this")
    if event.get("provider_status"):
        yield f'"{event["provider_status"]}"'
    if event.get("reason") not in (None, event["source"]) and event["type"] != "warning":
        yield str(event["reason"])
    yield from _detail_facts(event, detail, utc)
    if detail.get("decision") in ("join", "ignore") and detail.get("callback"):
        yield str(detail["callback"])
    if event.get("at_source") == "received" and event["source"] != "sender":
        yield "dated by its receipt"
    if event.get("matched_by"):
        yield f"matched by {event['matched_by']}"
    if repeated := repeats.get(str(event.get("callback")), 0):
        yield f"said {repeated + 1} times"


def _detail_facts(event: Document, detail: Document, utc: bool) -> Iterator[str]:
    for name, prefix in _DETAILS:
        value = detail.get(name)
        if value is None or value == "" or (name == "message" and event.get("status") == "queued"):
            continue
        if name == "http_status" and f"HTTP {value}" in str(detail.get("message")):
            continue
        if name == "duration_s":
            if value or event.get("status") == "completed":
                yield format_duration(float(value))
        elif name == "until":
            at = parse_display_time(str(value), utc)
            is_same_day = at.date() == parse_display_time(event["at"], utc).date()
            yield f"{prefix}{at:%H:%M:%S}" if is_same_day else f"{prefix}{format_time(str(value), utc=utc)}"
        elif (name, value) not in _USUAL_DETAILS:
            yield f"{prefix}{value}"


def _request_facts(call: Document) -> Iterator[str]:
    yield f"{call['to']} from {call['bridge']}"
    yield f"flow {call['flow_id']}" if call.get("flow_id") else f"audio {call.get('audio')}"
    yield f"account {call['account']}"
    for name in ("campaign", "reference"):
        if call.get(name):
            yield f"{name} {call[name]}"


def _result_facts(call: Document, *, utc: bool) -> Iterator[str]:
    is_unsent = _is_unsent(call)
    if call.get("answered") is not None and not is_unsent:
        yield "answered" if call["answered"] else "not answered"
    if call.get("duration_s") is not None:
        yield format_duration(float(call["duration_s"]))
    attempts = call.get("attempts") or 0
    if is_unsent:
        yield "nothing sent" if call.get("settled") else "nothing sent yet"
    else:
        yield f"{attempts} attempt{'' if attempts == 1 else 's'}"
    if call.get("charges"):
        yield f"charges {call['charges']}"
    if call.get("dtmf"):
        yield f"keys {call['dtmf']}"
    if call.get("next_attempt_at"):
        yield f"next attempt {format_time(str(call['next_attempt_at']), utc=utc)}"
    if call.get("cancel_requested"):
        yield "no further attempt wanted"
    yield "settled" if call.get("settled") else "not settled yet"


def _is_unsent(call: Document) -> bool:
    """Whether no request has left for any attempt."""
    attempts = call.get("submissions") or ()
    return call["status"] in ("pending", "canceled") and all(
        "requested_at" in s and s["requested_at"] is None for s in attempts
    )


def _escaped(value: Any, style: str = "") -> Text:
    return Text(escape_control(str(value)), style)

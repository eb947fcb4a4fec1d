"""A call's timeline as text: from the documents of the interface, so that whoever has those can show it.

Dates stand once a day, times to the second, and between two events how long it took; beside each what the provider
itself said, why, and how we know.
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

from tracker.cli.moments import gap_since, length, local, short_time, zone_name, zone_suffix
from tracker.cli.terminal import harmless
from tracker.cli.unbroken import Rows, Words, whole

Document = Mapping[str, Any]

_STYLES: Final = {
    "completed": "bold green",
    "busy": "bold yellow",
    "no-answer": "bold yellow",
    "canceled": "bold yellow",
    "failed": "bold red",
    "rejected": "bold red",
    "unknown": "bold magenta",
    "unconfirmed": "bold magenta",
}
#: columns; on a wider terminal the status does not flee from the call that it belongs to
_WIDEST: Final = 100
_BESIDE_TIME: Final = 18
#: what of an event's detail is shown, in this order, with the words before it
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


#: decisions whose names are longer than their column
_SHORT: Final = {"new-submission": "again"}
_NOT_WORTH_TELLING: Final = (("http_status", 200), ("try", 1))


def header(call: Document, *, utc: bool = False) -> RenderableType:
    """Who was called, for what, and what became of it."""
    first = Table.grid(expand=True)
    first.add_column(overflow="fold")
    first.add_column(justify="right", no_wrap=True)
    first.add_row(_text(call["id"], "bold"), Text(_standing(call), style_of(call)))
    lines: list[RenderableType] = [Constrain(first, _WIDEST)]
    lines.append(Words(text=", ".join(_asked(call))))
    lines.append(Words(text=", ".join(_became(call, utc=utc))))
    if call.get("disputed"):
        lines.append(Text("Disputed: two records of one dial contradict each other.", "bold red"))
    return Group(*lines)


def wish(call: Document) -> RenderableType:
    """Who is called, and for what: the header of a call of which nothing is known yet."""
    return Group(_text(call["id"], "bold"), Words(text=", ".join(_asked(call))))


def timeline(
    call: Document,
    events: Sequence[Document],
    *,
    utc: bool = False,
    repeats: Mapping[str, int] | None = None,
    after: Document | None = None,
    recordings: bool = True,
) -> RenderableType:
    """The events in the order they are given, which is theirs.

    repeats: how often each callback (by id) came again. after: the event before the first one, where a timeline is
    shown piece by piece; its day and attempt are not told again. recordings: their addresses have lines of their own,
    which may be longer than any terminal is wide.
    """
    parts: list[RenderableType] = []
    numbers = {s["id"]: s for s in call.get("submissions", ())}
    shown = _Shown(after, utc)
    table = _grid()
    for event in events:
        at = local(event["at"], utc)
        heads = list(_heads(event, shown, at, numbers))
        if heads and table.row_count:
            parts.append(table)
            table = _grid()
        parts += heads
        table.add_row(
            Text(f"{at:%H:%M:%S}", "dim" if event["type"] == "detail" else ""),
            Text(gap_since(shown.at, at), "dim"),
            Text(_what(event), style_of_event(event)),
            Text(str(event["source"]), "dim"),
            Text(harmless(", ".join(_told(event, repeats or {}, utc)))),
        )
        shown.at, shown.submission = at, event.get("submission")
        if recordings and (found := recording(event.get("detail") or {})) is not None:
            parts += [table, found]
            table = _grid()
    if table.row_count:
        parts.append(table)
    return Group(*parts)


def recording(of: Document) -> RenderableType | None:
    """The address of the recording, in one piece; of an event's detail, or of a call."""
    if not of.get("recording_url"):
        return None
    return whole(f"{'':{_BESIDE_TIME}}recording {of['recording_url']}")


class _Shown:
    """What the reader has read already."""

    def __init__(self, after: Document | None, utc: bool) -> None:
        self.at: datetime | None = local(after["at"], utc) if after else None
        self.submission: str | None = after.get("submission") if after else None


def _grid() -> Table:
    table = Table.grid(padding=(0, 1), pad_edge=False)
    table.add_column(width=8, no_wrap=True)
    table.add_column(width=8, no_wrap=True, justify="right")
    table.add_column(width=11, no_wrap=True)
    table.add_column(width=8, no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    return table


def _heads(
    event: Document, shown: _Shown, at: datetime, numbers: Mapping[str, Document]
) -> Iterator[RenderableType]:
    if shown.at is None or shown.at.date() != at.date():
        zone = zone_suffix(at) if shown.at is None or shown.at.utcoffset() != at.utcoffset() else ""
        yield Padding(
            Text(f"{at:%A}, {at.day} {at:%B %Y}{zone}", "bold"),
            (1 if shown.at is None else 0, 0, 0, 0),
            expand=False,
        )
    new = event.get("submission")
    if len(numbers) > 1 and new and new != shown.submission and new in numbers:
        submission = numbers[new]
        word = {"first": "", "resend": ", sent again", "operator": ", by hand"}.get(submission["trigger"], "")
        yield Text(f"attempt {submission['number']}{word}", "underline")


def _what(event: Document) -> str:
    if event["type"] == "status" and event["status"]:
        return str(event["status"])
    if event["type"] == "decision":
        decision = str((event.get("detail") or {}).get("decision") or "decision")
        return _SHORT.get(decision, decision)
    return str(event["type"])


def style_of_event(event: Document) -> str:
    if event["type"] == "warning":
        return "bold yellow"
    return _STYLES.get(str(event.get("status")), "") if event["type"] == "status" else "cyan"


def style_of(call: Document) -> str:
    return _STYLES.get(str(call.get("status")), "bold")


def _told(event: Document, repeats: Mapping[str, int], utc: bool) -> Iterator[str]:
    detail = event.get("detail") or {}
    if event["type"] == "warning":
        yield "! " + str(event.get("reason") or "look at this")
    if event.get("provider_status"):
        yield f'"{event["provider_status"]}"'
    if event.get("reason") not in (None, event["source"]) and event["type"] != "warning":
        yield str(event["reason"])
    for name, before in _DETAILS:
        value = detail.get(name)
        if value is None or value == "" or (name == "message" and event.get("status") == "queued"):
            continue
        if name == "http_status" and f"HTTP {value}" in str(detail.get("message")):
            continue
        if name == "duration_s":
            if value or event.get("status") == "completed":
                yield length(float(value))
        elif name == "until":
            at = local(str(value), utc)
            same_day = at.date() == local(event["at"], utc).date()
            yield f"{before}{at:%H:%M:%S}" if same_day else f"{before}{short_time(str(value), utc=utc)}"
        elif (name, value) not in _NOT_WORTH_TELLING:
            yield f"{before}{value}"
    if detail.get("decision") in ("join", "ignore") and detail.get("callback"):
        yield str(detail["callback"])
    if event.get("at_source") == "received" and event["source"] != "sender":
        yield "dated by its receipt"
    if event.get("matched_by"):
        yield f"matched by {event['matched_by']}"
    if again := repeats.get(str(event.get("callback")), 0):
        yield f"said {again + 1} times"


def _asked(call: Document) -> Iterator[str]:
    yield f"{call['to']} from {call['bridge']}"
    yield f"flow {call['flow_id']}" if call.get("flow_id") else f"audio {call.get('audio')}"
    yield f"account {call['account']}"
    for name in ("campaign", "reference"):
        if call.get(name):
            yield f"{name} {call[name]}"


def _became(call: Document, *, utc: bool) -> Iterator[str]:
    unsent = _nothing_sent(call)
    if call.get("answered") is not None and not unsent:
        yield "answered" if call["answered"] else "not answered"
    if call.get("duration_s") is not None:
        yield length(float(call["duration_s"]))
    attempts = call.get("attempts") or 0
    if unsent:
        yield "nothing sent" if call.get("settled") else "nothing sent yet"
    else:
        yield f"{attempts} attempt{'' if attempts == 1 else 's'}"
    if call.get("charges"):
        yield f"charges {call['charges']}"
    if call.get("dtmf"):
        yield f"keys {call['dtmf']}"
    if call.get("next_attempt_at"):
        yield f"next attempt {short_time(str(call['next_attempt_at']), utc=utc)}"
    if call.get("cancel_requested"):
        yield "no further attempt wanted"
    yield "settled" if call.get("settled") else "not settled yet"


def _nothing_sent(call: Document) -> bool:
    """Whether no request has left for any of its attempts."""
    attempts = call.get("submissions") or ()
    return call["status"] in ("pending", "canceled") and all(
        "requested_at" in s and s["requested_at"] is None for s in attempts
    )


def _standing(call: Document) -> str:
    reason = call.get("reason")
    return f"{call['status']} ({reason})" if reason else str(call["status"])


def _text(value: Any, style: str = "") -> Text:
    return Text(harmless(str(value)), style)


def calls_table(calls: Sequence[Document], *, utc: bool) -> Rows:
    """A row for each call."""
    return Rows(titles=("call", zone_name(utc=utc), "to", "status"), rows=[_row(call, utc) for call in calls])


def _row(call: Document, utc: bool) -> tuple[Text, ...]:
    more = [length(float(call["duration_s"]))] if call.get("duration_s") is not None else []
    more += [str(call["reason"])] if call.get("reason") else []
    more += [f"attempt {call['attempts']}"] if (call.get("attempts") or 0) > 1 else []
    more += ["open"] if not call.get("settled") else []
    more += ["disputed"] if call.get("disputed") else []
    told = Text.assemble((harmless(str(call["status"])), style_of(call)))
    return (
        Text(str(call["id"])),
        Text(short_time(str(call["created_at"]), utc=utc)),
        Text(harmless(str(call["to"]))),
        told.append(harmless("".join(f", {word}" for word in more)), ""),
    )

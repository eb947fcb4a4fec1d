"""Renders callbacks as text: one row each in a list, or a single one with its request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from tracker.cli.output.formatting import format_time, zone_name
from tracker.cli.output.raw_http import render_raw_request
from tracker.cli.output.text import PlainTable, escape_control, unwrapped_line
from tracker.cli.program_name import with_program_name

_STATE_STYLES: Final = {
    "joined": "green",
    "orphaned": "yellow",
    "unreadable": "red",
    "quarantined": "red",
    "ignored": "dim",
}

#: statuses of submissions of which it is not known whether they were sent
_UNCERTAIN: Final = ("unconfirmed", "unknown")

#: widths of the columns but the last: an id, the longest time of this year, the longest state
_MIN_WIDTHS: Final = (29, 19, 11)


def render_callback_list(
    callbacks: Sequence[Mapping[str, Any]], *, utc: bool, titles: bool = True
) -> PlainTable:
    """Render one row for each callback."""
    rows = [
        (
            Text(str(callback["id"])),
            Text(format_time(callback["received_at"], utc=utc)),
            Text(callback["state"], _STATE_STYLES.get(callback["state"], "")),
            Text(escape_control(_consequence(callback))),
        )
        for callback in callbacks
    ]
    names = ("callback", f"received, {zone_name(utc=utc)}", "state", "consequence")
    return PlainTable(titles=names, rows=rows, min_widths=_MIN_WIDTHS, show_titles=titles)


def render_callback(callback: Mapping[str, Any], *, utc: bool) -> RenderableType:
    """Render what became of a callback, and its request, with everything escaped that a terminal would obey."""
    request = callback["request"]
    remote = request["remote"] if request else None
    state = callback["state"]
    received = f"received {format_time(callback['received_at'], utc=utc)} {zone_name(utc=utc)}"
    return Group(
        Text.assemble((callback["id"], "bold"), "  ", (state, _STATE_STYLES.get(state, ""))),
        unwrapped_line(f"{received}, account {callback['account']}, from {remote or 'unknown'}"),
        unwrapped_line(_consequence(callback)),
        *_candidates(callback, utc=utc),
        Text(),
        *render_raw_request(request),
    )


def _consequence(callback: Mapping[str, Any]) -> str:
    facts = []
    if callback.get("call"):
        facts.append(f"{callback['call']} by {callback['matched_by']}")
    if callback.get("reason"):
        facts.append(str(callback["reason"]))
    if callback.get("repeat_of"):
        facts.append(f"repeats {callback['repeat_of']}")
    elif callback.get("repeats"):
        facts.append(f"came {callback['repeats'] + 1} times")
    if callback.get("lane"):
        facts.append(f"lane {callback['lane']}")
    return ", ".join(facts) or f"{callback['method']}, {callback['size']} bytes"


def _candidates(callback: Mapping[str, Any], *, utc: bool) -> Iterator[Text]:
    """Render the submissions that an orphan may belong to, and the command that joins it to one of them."""
    if not callback["candidates"]:
        return
    is_contradicted = callback["reason"] == "contradicted"
    yield unwrapped_line(
        "would fit, but a record contradicts it:" if is_contradicted else "may belong to any of these:"
    )
    for each in callback["candidates"]:
        requested = format_time(each["requested_at"], utc=utc)
        # a submission that waited in a restored backup can have been sent until this time
        is_uncertain = each["status"] in _UNCERTAIN
        sent = f"may have been sent by {requested}" if is_uncertain else f"sent {requested}"
        provider_id = f", {escape_control(each['submission_id'])}" if each["submission_id"] else ""
        yield unwrapped_line(
            f"    {each['submission']} of {each['call']}, {each['status']}, {sent}{provider_id}"
        )
    yield unwrapped_line(with_program_name(f"Join it with `tracker inbox join {callback['id']} SUBMISSION`."))

"""Callbacks as text: a row each, or one of them as it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracker.cli.moments import short_time, zone_name
from tracker.cli.terminal import harmless

_STYLES: Final = {
    "joined": "green",
    "orphaned": "yellow",
    "unreadable": "red",
    "quarantined": "red",
    "ignored": "dim",
}


def table(callbacks: Sequence[Mapping[str, Any]], *, utc: bool, titles: bool = True) -> Table:
    """A row for each."""
    rows = Table(box=None, show_header=titles, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("callback", no_wrap=True, min_width=29)
    rows.add_column(f"received, {zone_name(utc=utc)}", no_wrap=True, width=20)
    rows.add_column("state", no_wrap=True, width=11)
    rows.add_column("consequence", overflow="fold")
    for callback in callbacks:
        state = callback["state"]
        rows.add_row(
            callback["id"],
            short_time(callback["received_at"], utc=utc),
            Text(state, _STYLES.get(state, "")),
            Text(harmless(_made(callback))),
        )
    return rows


def _made(callback: Mapping[str, Any]) -> str:
    parts = []
    if callback.get("call"):
        parts.append(f"{callback['call']} by {callback['matched_by']}")
    if callback.get("reason"):
        parts.append(str(callback["reason"]))
    if callback.get("repeat_of"):
        parts.append(f"repeats {callback['repeat_of']}")
    elif callback.get("repeats"):
        parts.append(f"came {callback['repeats'] + 1} times")
    if callback.get("lane"):
        parts.append(f"lane {callback['lane']}")
    return ", ".join(parts) or f"{callback['method']}, {callback['size']} bytes"


def request(callback: Mapping[str, Any], *, utc: bool) -> RenderableType:
    """What was made of it, and the request, of which nothing can act on the terminal."""
    raw = callback["request"]
    state = callback["state"]
    when = f"received {short_time(callback['received_at'], utc=utc)} {zone_name(utc=utc)}"
    return Group(
        Text.assemble((callback["id"], "bold"), "  ", (state, _STYLES.get(state, ""))),
        Text(harmless(f"{when}, account {callback['account']}, from {raw.get('remote') or 'unknown'}")),
        Text(harmless(_made(callback))),
        Padding(raw_request(raw), (1, 0, 0, 0)),
    )


def raw_request(raw: Mapping[str, Any]) -> RenderableType:
    """A request as it was on the wire: its line, its headers, its body."""
    target = raw["url"] if "url" in raw else raw["path"] + (f"?{raw['query']}" if raw["query"] else "")
    return Group(Text(harmless(f"{raw['method']} {target}"), "bold"), *_message(raw))


def raw_reply(raw: Mapping[str, Any]) -> RenderableType:
    """An answer as it was on the wire."""
    return Group(Text(f"HTTP {raw['status']}", "bold"), *_message(raw))


def _message(raw: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield from (Text(harmless(f"{name}: {value}"), "dim") for name, value in raw["headers"])
    if raw["body"]:
        encoded = "" if raw["body_encoding"] == "utf-8" else f"({raw['body_encoding']}) "
        yield Padding(Text(encoded + harmless(raw["body"], lines=True), overflow="fold"), (1, 0, 0, 0))

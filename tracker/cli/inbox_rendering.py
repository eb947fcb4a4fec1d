"""Callbacks as text: a row each, or one of them as it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from tracker.cli.moments import short_time, zone_name
from tracker.cli.myself import as_called
from tracker.cli.terminal import harmless
from tracker.cli.unbroken import Rows, whole

_STYLES: Final = {
    "joined": "green",
    "orphaned": "yellow",
    "unreadable": "red",
    "quarantined": "red",
    "ignored": "dim",
}

#: statuses of submissions of which nobody knows whether they were sent
_UNCERTAIN: Final = ("unconfirmed", "unknown")

#: of the columns but the last: an id, the longest time of this year, the longest state
_LEAST: Final = (29, 19, 11)


def table(callbacks: Sequence[Mapping[str, Any]], *, utc: bool, titles: bool = True) -> Rows:
    """A row for each."""
    rows = [
        (
            Text(str(callback["id"])),
            Text(short_time(callback["received_at"], utc=utc)),
            Text(callback["state"], _STYLES.get(callback["state"], "")),
            Text(harmless(_made(callback))),
        )
        for callback in callbacks
    ]
    names = ("callback", f"received, {zone_name(utc=utc)}", "state", "consequence")
    return Rows(titles=names, rows=rows, least=_LEAST, show_titles=titles)


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
        whole(f"{when}, account {callback['account']}, from {raw.get('remote') or 'unknown'}"),
        whole(_made(callback)),
        *_candidates(callback, utc=utc),
        Text(),
        *raw_request(raw),
    )


def _candidates(callback: Mapping[str, Any], *, utc: bool) -> Iterator[Text]:
    """The submissions that it may belong to, and how somebody who knows says so."""
    if not callback["candidates"]:
        return
    contradicted = callback["reason"] == "contradicted"
    yield whole("fits, but for what is known of them:" if contradicted else "may belong to any of these:")
    for one in callback["candidates"]:
        asked = short_time(one["requested_at"], utc=utc)
        # of one that waited when a backup was made, the time is the latest at which it can have been sent
        sent = f"may have been sent by {asked}" if one["status"] in _UNCERTAIN else f"sent {asked}"
        provider_id = f", {harmless(one['submission_id'])}" if one["submission_id"] else ""
        yield whole(f"    {one['submission']} of {one['call']}, {one['status']}, {sent}{provider_id}")
    yield whole(as_called(f"`tracker inbox join {callback['id']} SUBMISSION` says to which."))


def raw_request(raw: Mapping[str, Any], indent: str = "") -> Iterator[Text]:
    """A request as it was on the wire: its line, its headers, its body; no line of it is ever broken."""
    target = raw["url"] if "url" in raw else raw["path"] + (f"?{raw['query']}" if raw["query"] else "")
    yield whole(f"{indent}{harmless(raw['method'])} {harmless(target)}", "bold")
    yield from _message(raw, indent)


def raw_reply(raw: Mapping[str, Any], indent: str = "") -> Iterator[Text]:
    """An answer as it was on the wire."""
    yield whole(f"{indent}HTTP {raw['status']}", "bold")
    yield from _message(raw, indent)


def _message(raw: Mapping[str, Any], indent: str) -> Iterator[Text]:
    yield from (whole(f"{indent}{name}: {value}", "dim") for name, value in raw["headers"])
    if raw["body"]:
        yield Text()
        encoded = "" if raw["body_encoding"] == "utf-8" else f"({raw['body_encoding']}) "
        for line in (encoded + harmless(raw["body"], lines=True)).split("\n"):
            yield whole(indent + line.expandtabs(8))

"""Formats times, sizes and numbers of rows for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from tracker.domain.time_text import format_duration, from_iso

_SIZE_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")

#: what one row and several rows of a table are called, if not by the table's name
_ROW_NAMES: Final = {
    "call_secrets": ("call's secret variables", "calls' secret variables"),
    "counts": ("count of what was not kept", "counts of what was not kept"),
    "exchanges": ("exchange with the provider", "exchanges with the provider"),
    "idempotency_keys": ("Idempotency-Key", "Idempotency-Keys"),
    "jobs": ("piece of due work", "pieces of due work"),
    "inbox": ("callback as it came", "callbacks as they came"),
    "inbox_removals": ("request to be removed", "requests to be removed"),
    "pace": ("account's pace", "accounts' paces"),
    "positions": ("reader's position", "readers' positions"),
    "settings": ("note of the database's own", "notes of the database's own"),
    "waiting_keys": ("id that a callback waits for", "ids that callbacks wait for"),
}


def parse_display_time(text: str, utc: bool) -> datetime:
    """Parse a time as the API writes it, and return it in UTC or in this machine's zone."""
    at = from_iso(text)
    return at if utc else at.astimezone()


def format_time(text: str, *, utc: bool = False) -> str:
    """Return a time of the API for a sentence or a table: 2 Mar 10:57:40, with the year if it is not this one."""
    at = parse_display_time(text, utc)
    year = f" {at:%Y}" if at.year != datetime.now(at.tzinfo).year else ""
    return f"{at.day} {at:%b}{year} {at:%H:%M:%S}"


def format_gap(before: datetime | None, at: datetime) -> str:
    """Return the time that passed between two events, such as `+ 8 s`; empty if there is none.

    It is negative if the later event in the order of the timeline has the earlier date.
    """
    if before is None:
        return ""
    gap = at.replace(microsecond=0) - before.replace(microsecond=0)
    if gap == timedelta(0):
        return ""
    text = format_duration(abs(gap.total_seconds()))
    if len(text) > len("59 min"):
        text = text.replace(" min", "m").replace(" ", "")
    return f"{'+' if gap > timedelta(0) else '-'} {text}"


def zone_name(*, utc: bool) -> str:
    """Return the zone in which times are shown, such as UTC or UTC+05:30."""
    return zone_suffix(parse_display_time(datetime.now(UTC).isoformat(), utc)).strip(" ()")


def zone_suffix(at: datetime) -> str:
    """Return the zone of a time in brackets, to stand behind a date."""
    offset = at.strftime("%z")
    return " (UTC)" if offset in ("+0000", "") else f" (UTC{offset[:3]}:{offset[3:5]})"


def format_size(size: float) -> str:
    """Return a number of bytes with two or three digits and its unit: 512 bytes, 4.2 MiB, 118 MiB."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_SIZE_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_SIZE_UNITS[unit]}" if unit and value < 100 else f"{value:.0f} {_SIZE_UNITS[unit]}"


def format_row_counts(rows: Mapping[str, int]) -> str:
    """Return the numbers of rows by table, such as `2 calls, 1 event`; empty tables are left out."""
    return ", ".join(f"{n:,} {_row_name(table, n)}" for table, n in sorted(rows.items()) if n)


def _row_name(table: str, n: int) -> str:
    one, several = _ROW_NAMES.get(table, (table.removesuffix("s"), table))
    return one if n == 1 else several

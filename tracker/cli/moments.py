"""Times and lengths of time, as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tracker.domain.time_text import from_iso


def length(seconds: float) -> str:
    """A length of time in the two largest units that it has: 8 s, 1 min 15 s, 5 h 30 min, 3 d 2 h."""
    rest = round(seconds)
    if rest < 60:
        return f"{rest} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts: list[tuple[int, str]] = []
    for size, name in units:
        if rest >= size or parts:
            parts.append((rest // size, name))
        rest %= size
    return " ".join(f"{n} {name}" for n, name in parts[:2] if n)


def gap_since(before: datetime | None, at: datetime) -> str:
    """How long after the event before; an event that the order of life puts later may be dated earlier."""
    if before is None:
        return ""
    gap = at.replace(microsecond=0) - before.replace(microsecond=0)
    if gap == timedelta(0):
        return ""
    told = length(abs(gap.total_seconds()))
    if len(told) > len("59 min"):
        told = told.replace(" min", "m").replace(" ", "")
    return f"{'+' if gap > timedelta(0) else '-'} {told}"


def short_time(text: str, *, utc: bool = False) -> str:
    """A time in a sentence or a table: day, month, hours, minutes, seconds; with the year where it is not this one."""
    at = local(text, utc)
    year = f" {at:%Y}" if at.year != datetime.now(at.tzinfo).year else ""
    return f"{at.day} {at:%b}{year} {at:%H:%M:%S}"


def zone_name(*, utc: bool) -> str:
    """What times are shown in, such as UTC or UTC+05:30."""
    return zone_suffix(local(datetime.now(UTC).isoformat(), utc)).strip(" ()")


def zone_suffix(at: datetime) -> str:
    """The zone of a time, in brackets, to stand behind a date."""
    offset = at.strftime("%z")
    return " (UTC)" if offset in ("+0000", "") else f" (UTC{offset[:3]}:{offset[3:5]})"


def local(text: str, utc: bool) -> datetime:
    """A time of the interface, in UTC or in this machine's zone."""
    at = from_iso(text)
    return at if utc else at.astimezone()

"""Decides which reports are of the same call record of the provider.

A *record* is a status, a start and an end, as the provider has them. Times are compared as instants, so a callback in
Indian time and a poll in UTC that mean the same moment are of one record.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from tracker.domain.call_reports import CallReport, JoinedReport

_QUARTER_HOUR = timedelta(minutes=15)
_ANY_QUARTER_HOUR = datetime(2000, 1, 1, tzinfo=UTC)
_MAX_ZONE_SHIFT = timedelta(hours=14)


def provider_status_key(provider_status: str | None) -> str:
    """Return a provider's status in the form in which statuses are compared, or "" if there is none.

    Case, spaces, `-` and `_` do not count.
    """
    return _normalise_status(provider_status) if provider_status else ""


@lru_cache(maxsize=1024)  # a provider has about a dozen; the limit bounds what forged callbacks can add
def _normalise_status(provider_status: str) -> str:
    return "".join(c for c in provider_status.casefold() if c not in "-_" and not c.isspace())


def find_zone_shift(a: CallReport, b: CallReport) -> timedelta | None:
    """Return by how much the times of `b` lie after those of `a`, if they differ by nothing but a time zone.

    Zero means that they are equal. None means that only one of them has a start or an end, or that the difference
    is not that of two zones: a multiple of 15 minutes, the same for start and end, of at most 14 hours.
    """
    if (a.started_at is None) != (b.started_at is None) or (a.ended_at is None) != (b.ended_at is None):
        return None
    start_shift = _difference(a.started_at, b.started_at)
    end_shift = _difference(a.ended_at, b.ended_at)
    if start_shift is not None and end_shift is not None and start_shift != end_shift:
        return None
    shift = start_shift if end_shift is None else end_shift
    if shift is None:
        return timedelta(0)
    return shift if shift % _QUARTER_HOUR == timedelta(0) and abs(shift) <= _MAX_ZONE_SHIFT else None


def _difference(a: datetime | None, b: datetime | None) -> timedelta | None:
    return b - a if a is not None and b is not None else None


def group_by_record(reports: Iterable[JoinedReport], *, redials: bool) -> list[list[JoinedReport]]:
    """Return the reports of one submission in groups of the same record, in the order of their receipt.

    If the provider redials, only equal times make the same record, because a record whose times are shifted by a
    multiple of 15 minutes can be that of another dial.
    """
    by_record: dict[tuple[str, datetime | None, datetime | None], list[JoinedReport]] = {}
    for joined in reports:
        r = joined.report
        key = (provider_status_key(r.provider_status), r.started_at, r.ended_at)
        by_record.setdefault(key, []).append(joined)
    groups = list(by_record.values()) if redials else _merge_zone_shifted(by_record.values())
    groups = [sorted(group, key=_receipt_order) for group in groups]
    return sorted(groups, key=lambda group: _receipt_order(group[0]))


def _receipt_order(joined: JoinedReport) -> tuple[datetime, str]:
    return (joined.received_at, joined.id)


def _merge_zone_shifted(groups: Iterable[list[JoinedReport]]) -> list[list[JoinedReport]]:
    """Merge the groups whose records are the same except for a time zone (`find_zone_shift`).

    Merging is transitive, so the result does not depend on the order. Only records with the same status, length and
    place within their quarter of an hour can be the same. Among those, comparing each with the next later one is
    enough.
    """
    similar: dict[tuple[Any, ...], list[list[JoinedReport]]] = {}
    for group in groups:
        r = group[0].report
        at, length = r.ended_at or r.started_at, None
        if r.started_at is not None and r.ended_at is not None:
            length = r.ended_at - r.started_at
        offset = (at - _ANY_QUARTER_HOUR) % _QUARTER_HOUR if at is not None else None
        status = provider_status_key(r.provider_status)
        similar.setdefault((status, r.started_at is None, r.ended_at is None, length, offset), []).append(
            group
        )
    merged: list[list[JoinedReport]] = []
    for candidates in similar.values():
        candidates.sort(key=lambda g: g[0].report.ended_at or g[0].report.started_at or _ANY_QUARTER_HOUR)
        chains = candidates[:1]
        for group in candidates[1:]:
            if find_zone_shift(chains[-1][-1].report, group[0].report) is None:
                chains.append(group)
            else:
                chains[-1].extend(group)
        merged += chains
    return merged

"""Derives events from the reports that are joined to a submission.

The same reports in any order give the same events, because each step looks at the whole set and never at what was
written before. The first report of a record makes its event. Another report of the same record is a repeat: it adds no
second event, but may add a detail that was not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from tracker.domain import value
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import AtSource, Event, EventSource, EventType, key_part
from tracker.domain.same_record import group_by_record, provider_status_key
from tracker.domain.time_text import iso

#: minutes; the offsets from UTC that are in use, besides the whole hours
_UNEVEN_ZONE_OFFSETS = (210, 270, 330, 345, 390, 525, 570, 630, 765)
_MAX_ZONE_OFFSET = 14 * 60
_QUARTER_HOUR = timedelta(minutes=15)
#: A delay that is this close to an offset counts as that offset.
_ZONE_TOLERANCE = timedelta(minutes=2)


@value
class DerivedEvents:
    """The events of one submission, and which report repeats which."""

    events: tuple[Event, ...]
    #: id of each report → id of the report that it repeats; None for the first report of a record
    repeat_of: dict[str, str | None]


def derive_events(
    *, call: str, submission: str, attempt: int, interval: int, reports: Iterable[JoinedReport]
) -> DerivedEvents:
    """Return the events of one submission that follow from its reports. A report that is given twice counts once.

    `interval` is in minutes: how long after a failed dial the provider redials, or 0 if it does not.
    """
    builder = _EventBuilder(call, submission, attempt, interval)
    unique = {r.id: r for r in reports}
    single = len(unique) == 1  # nearly always
    groups = [[*unique.values()]] if single else group_by_record(unique.values(), redials=interval > 0)
    events: dict[str, Event] = {}
    repeat_of: dict[str, str | None] = {}
    for group in groups:
        first = group[0]
        for joined in group:
            repeat_of[joined.id] = None if joined is first else first.id
        for event in builder.build(group):
            events.setdefault(event.key, event)  # two records of one dial share the event that it began
    return DerivedEvents(events=tuple(events.values()), repeat_of=repeat_of)


class _EventBuilder:
    """A builder of the events of one submission."""

    def __init__(self, call: str, submission: str, attempt: int, interval: int) -> None:
        self._call, self._submission, self._attempt, self._interval = call, submission, attempt, interval

    def build(self, group: Sequence[JoinedReport]) -> Iterator[Event]:
        """Yield the events of one record. `group` are its reports in the order of their receipt."""
        first = group[0]
        report = first.report
        status = key_part(provider_status_key(report.provider_status))
        record_key = (
            f"{self._submission}/{status}/{_time_key(report.started_at)}/{_time_key(report.ended_at)}"
        )
        dial = self._dial_key(report)
        details = _details(report)
        if report.started_at is not None and _shows_dial_began(report):
            yield self._event(
                first,
                f"{self._submission}/initiated/{dial}/{_time_key(report.started_at)}",
                dial=dial,
                status=CallStatus.initiated,
                at=report.started_at,
                detail={"at_as_sent": report.started_raw},
            )
        yield self._record_event(first, record_key, dial, details)
        for repeat in group[1:]:
            added = {k: v for k, v in _details(repeat.report).items() if details.get(k) != v}
            details |= added
            if added:
                detail_key = key_part("/".join(f"{k}={v}" for k, v in sorted(added.items())))
                key = f"{record_key}/detail/{detail_key}"
                yield self._event(repeat, key, dial=dial, type=EventType.detail, detail=added)
        yield from self._zone_warnings(group, record_key, dial)

    def _record_event(
        self, joined: JoinedReport, record_key: str, dial: str, details: dict[str, Any]
    ) -> Event:
        r = joined.report
        is_over = r.status is None or r.status.is_outcome
        at = r.ended_at if is_over else r.started_at
        detail = dict(details)
        if at is not None:
            detail["at_as_sent"] = r.ended_raw if is_over else r.started_raw
        if r.started_at is not None:
            detail["started_at"] = iso(r.started_at)
        is_known = r.status is not None
        reason = r.reason
        if not is_known:
            reason = Reason.unknown_word if provider_status_key(r.provider_status) else None
        return self._event(
            joined,
            f"{record_key}/record",
            dial=dial,
            type=EventType.status if is_known else EventType.detail,
            status=r.status,
            at=at,
            reason=reason,
            provider_status=r.provider_status,
            detail=detail,
        )

    def _zone_warnings(self, group: Sequence[JoinedReport], record_key: str, dial: str) -> Iterator[Event]:
        first = group[0]
        for repeat in group[1:]:
            # records are merged in chains, so this shift can be larger than that of two zones
            shift = _shift(first.report, repeat.report)
            if shift:
                minutes = int(shift.total_seconds() // 60)
                yield self._event(
                    repeat,
                    f"{record_key}/zone/{minutes}",
                    dial=dial,
                    type=EventType.warning,
                    reason=Reason.zone,
                    detail={
                        "shift_minutes": minutes,
                        "start_as_sent": repeat.report.started_raw,
                        "end_as_sent": repeat.report.ended_raw,
                    },
                )
        ended_at = first.report.ended_at
        if ended_at is None or first.source is not EventSource.callback:
            return
        minutes_off = guess_zone_offset(first.received_at - ended_at)
        if minutes_off is not None:
            yield self._event(
                first,
                f"{record_key}/zone-at-receipt",
                dial=dial,
                type=EventType.warning,
                reason=Reason.zone,
                detail={"off_by_minutes": minutes_off, "end_as_sent": first.report.ended_raw},
            )

    def _dial_key(self, r: CallReport) -> str:
        if self._interval == 0:
            return "1"
        if r.started_at is None and r.ended_at is None:
            return key_part(provider_status_key(r.provider_status))
        return f"{_time_key(r.started_at)}/{_time_key(r.ended_at)}"

    def _event(
        self,
        joined: JoinedReport,
        key: str,
        *,
        dial: str,
        detail: dict[str, Any],
        type: EventType = EventType.status,
        status: CallStatus | None = None,
        at: datetime | None = None,
        reason: Reason | None = None,
        provider_status: str | None = None,
    ) -> Event:
        return Event(
            key=key,
            call=self._call,
            submission=self._submission,
            attempt=self._attempt,
            dial=dial,
            type=type,
            status=status,
            at=at if at is not None else joined.received_at,
            at_source=AtSource.provider if at is not None else AtSource.received,
            source=joined.source,
            provider_status=provider_status,
            reason=reason,
            matched_by=joined.matched_by,
            callback=joined.id if joined.source is EventSource.callback else None,
            detail={k: v for k, v in detail.items() if v is not None},
        )


def guess_zone_offset(delay: timedelta) -> int | None:
    """Return by how many minutes a record's times seem to be off, or None if they look right.

    `delay` is the time from the record's end to the receipt of its callback. It shows a wrong time zone if it is close
    to an offset that is in use. A callback that is an hour late is common, so only two hours count. A callback from
    before the end of its call is not, so half an hour counts.
    """
    minutes = 15 * round(delay / _QUARTER_HOUR)
    if -30 < minutes < 120 or abs(minutes) > _MAX_ZONE_OFFSET:
        return None
    is_in_use = minutes % 60 == 0 or abs(minutes) in _UNEVEN_ZONE_OFFSETS
    return minutes if is_in_use and abs(delay - timedelta(minutes=minutes)) <= _ZONE_TOLERANCE else None


def _shift(a: CallReport, b: CallReport) -> timedelta | None:
    at_a, at_b = a.ended_at or a.started_at, b.ended_at or b.started_at
    return at_b - at_a if at_a is not None and at_b is not None else None


def _shows_dial_began(r: CallReport) -> bool:
    """Whether the start of this record shows that a dial began, and its status does not say so itself.

    A status that we do not know may mean anything, so it changes nothing.
    """
    if r.status is None:
        return not provider_status_key(r.provider_status)
    return r.status is not CallStatus.initiated


def _details(r: CallReport) -> dict[str, Any]:
    details = {
        "duration_s": r.duration_s,
        "recording_url": r.recording_url,
        "dtmf": r.dtmf,
        "charges": r.charges,
    }
    return {k: v for k, v in details.items() if v is not None}


def _time_key(at: datetime | None) -> str:
    return iso(at) if at is not None else "-"

"""From what the provider said of one submission to events.

The same evidence in any order gives the same events: each step below looks at the whole set and never at what was
written before. A *record* is (word, start, end); whatever says the same record again is a repeat and adds no second
event, at most a detail that was not known. Times are compared as instants, so that a callback in Indian time and a
poll in UTC that mean the same moment are one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from tracker.domain import value
from tracker.domain.call_reports import CallReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import AtSource, Event, EventSource, EventType, MatchedBy, key_part
from tracker.domain.time_text import iso

_QUARTER = timedelta(minutes=15)
_SOME_QUARTER = datetime(2000, 1, 1, tzinfo=UTC)
_NEARLY = timedelta(minutes=2)
_FARTHEST_ZONE = timedelta(hours=14)
#: minutes; the offsets from UTC that are in use, beside the whole hours
_ODD_OFFSETS = (210, 270, 330, 345, 390, 525, 570, 630, 765)


@value
class JoinedReport:
    """One joined callback, or one row of an answered question."""

    #: `cb_…` or `ask_…/n`
    id: str
    source: EventSource
    received_at: datetime
    report: CallReport
    matched_by: MatchedBy | None = None


@value
class DerivedEvents:
    """The events that follow, and for each piece of evidence the one that it repeats (None: the first to say so)."""

    events: tuple[Event, ...]
    repeat_of: dict[str, str | None]


def provider_status_key(word: str | None) -> str:
    """A status word without case, spaces, `-` and `_`; "" where there is none."""
    return _word_key(word) if word else ""


@lru_cache(maxsize=1024)  # there are a dozen; what strangers send is bounded
def _word_key(word: str) -> str:
    return "".join(c for c in word.casefold() if c not in "-_" and not c.isspace())


def find_zone_shift(a: CallReport, b: CallReport) -> timedelta | None:
    """By how much the times of b lie after those of a, if they are the same times but for a time zone.

    Zero where they are equal. None where one has a time that the other has not, or the difference is no zone's.
    """
    if (a.started_at is None) != (b.started_at is None) or (a.ended_at is None) != (b.ended_at is None):
        return None
    started = _shift(a.started_at, b.started_at)
    ended = _shift(a.ended_at, b.ended_at)
    if started is not None and ended is not None and started != ended:
        return None
    shift = ended if started is None else started
    if shift is None:
        return timedelta(0)
    return shift if shift % _QUARTER == timedelta(0) and abs(shift) <= _FARTHEST_ZONE else None


def _shift(a: datetime | None, b: datetime | None) -> timedelta | None:
    return b - a if a is not None and b is not None else None


def derive_events(
    *, call: str, submission: str, attempt: int, interval: int, reports: Iterable[JoinedReport]
) -> DerivedEvents:
    """The events of one submission that its evidence gives.

    `interval` is in minutes, 0: the provider does not redial. The same piece of evidence given twice counts once.
    """
    maker = _Maker(call, submission, attempt, interval)
    once = {r.id: r for r in reports}
    clusters = (
        [[*once.values()]]
        if len(once) == 1
        else _clusters(sorted(once.values(), key=lambda e: (e.received_at, e.id)), redials=interval > 0)
    )
    events: dict[str, Event] = {}
    repeat_of: dict[str, str | None] = {}
    for cluster in clusters:
        first = cluster[0]
        for e in cluster:
            repeat_of[e.id] = None if e is first else first.id
        for event in maker.events(cluster):
            events.setdefault(event.key, event)  # two records of one dial share the fact that it began
    return DerivedEvents(events=tuple(events.values()), repeat_of=repeat_of)


def _clusters(ordered: Sequence[JoinedReport], *, redials: bool) -> list[list[JoinedReport]]:
    """Evidence of the same record, each cluster with its first receipt in front."""
    by_record: dict[tuple[str, datetime | None, datetime | None], list[JoinedReport]] = {}
    for e in ordered:
        r = e.report
        by_record.setdefault((provider_status_key(r.provider_status), r.started_at, r.ended_at), []).append(e)
    groups = list(by_record.values()) if redials else _merge_zone_shifted(by_record.values())
    clusters = [sorted(group, key=lambda e: (e.received_at, e.id)) for group in groups]
    return sorted(clusters, key=lambda c: (c[0].received_at, c[0].id))


def _merge_zone_shifted(records: Iterable[list[JoinedReport]]) -> list[list[JoinedReport]]:
    """Records put together that are one but for a time zone (`same_moments`), transitively, so that the result does
    not depend on who came first.

    Only records with the same word, the same length and the same place within their quarter of an hour can be one;
    among those it is enough to hold each against the next later one.
    """
    alike: dict[tuple[Any, ...], list[list[JoinedReport]]] = {}
    for group in records:
        r = group[0].report
        at, length = r.ended_at or r.started_at, None
        if r.started_at is not None and r.ended_at is not None:
            length = r.ended_at - r.started_at
        within = (at - _SOME_QUARTER) % _QUARTER if at is not None else None
        key = (
            provider_status_key(r.provider_status),
            r.started_at is None,
            r.ended_at is None,
            length,
            within,
        )
        alike.setdefault(key, []).append(group)
    found: list[list[JoinedReport]] = []
    for groups in alike.values():
        groups.sort(key=lambda g: g[0].report.ended_at or g[0].report.started_at or _SOME_QUARTER)
        joined = groups[:1]
        for group in groups[1:]:
            if find_zone_shift(joined[-1][-1].report, group[0].report) is None:
                joined.append(group)
            else:
                joined[-1].extend(group)
        found += joined
    return found


class _Maker:
    def __init__(self, call: str, submission: str, attempt: int, interval: int) -> None:
        self.call, self.submission, self.attempt, self.interval = call, submission, attempt, interval

    def events(self, cluster: Sequence[JoinedReport]) -> Iterable[Event]:
        first = cluster[0]
        report = first.report
        word = key_part(provider_status_key(report.provider_status))
        record = f"{self.submission}/{word}/{_text(report.started_at)}/{_text(report.ended_at)}"
        dial = self._dial(report)
        told = _details(report)
        if report.started_at is not None and _begins(report):
            yield self._event(
                first,
                f"{self.submission}/initiated/{dial}/{_text(report.started_at)}",
                dial=dial,
                status=CallStatus.initiated,
                at=report.started_at,
                detail={"at_as_sent": report.started_raw},
            )
        yield self._main(first, record, dial, told)
        for e in cluster[1:]:
            more = {k: v for k, v in _details(e.report).items() if told.get(k) != v}
            told |= more
            if more:
                spelled = key_part("/".join(f"{k}={v}" for k, v in sorted(more.items())))
                yield self._event(
                    e, f"{record}/detail/{spelled}", dial=dial, type=EventType.detail, detail=more
                )
        yield from self._zone_warnings(cluster, record, dial)

    def _main(self, e: JoinedReport, record: str, dial: str, told: dict[str, Any]) -> Event:
        r = e.report
        over = r.status is None or r.status.is_outcome
        at = r.ended_at if over else r.started_at
        detail: dict[str, Any] = dict(told)
        if at is not None:
            detail["at_as_sent"] = r.ended_raw if over else r.started_raw
        if r.started_at is not None:
            detail["started_at"] = iso(r.started_at)
        known = r.status is not None
        reason = (
            r.reason if known else (Reason.unknown_word if provider_status_key(r.provider_status) else None)
        )
        return self._event(
            e,
            f"{record}/record",
            dial=dial,
            type=EventType.status if known else EventType.detail,
            status=r.status,
            at=at,
            reason=reason,
            word=r.provider_status,
            detail=detail,
        )

    def _zone_warnings(self, cluster: Sequence[JoinedReport], record: str, dial: str) -> Iterable[Event]:
        first = cluster[0]
        for e in cluster[1:]:
            # within a chain of such records this one may be farther away than a zone can be
            shift = _shift(first.report.ended_at, e.report.ended_at) or _shift(
                first.report.started_at, e.report.started_at
            )
            if shift:
                minutes = int(shift.total_seconds() // 60)
                yield self._event(
                    e,
                    f"{record}/zone/{minutes}",
                    dial=dial,
                    type=EventType.warning,
                    reason=Reason.zone,
                    detail={
                        "shift_minutes": minutes,
                        "start_as_sent": e.report.started_raw,
                        "end_as_sent": e.report.ended_raw,
                    },
                )
        ended = first.report.ended_at
        off = (
            guess_zone_offset(first.received_at - ended)
            if ended and first.source is EventSource.callback
            else None
        )
        if off is not None:
            yield self._event(
                first,
                f"{record}/zone-at-receipt",
                dial=dial,
                type=EventType.warning,
                reason=Reason.zone,
                detail={"off_by_minutes": off, "end_as_sent": first.report.ended_raw},
            )

    def _dial(self, r: CallReport) -> str:
        if self.interval == 0:
            return "1"
        if r.started_at is None and r.ended_at is None:
            return key_part(provider_status_key(r.provider_status))
        return f"{_text(r.started_at)}/{_text(r.ended_at)}"

    def _event(
        self,
        e: JoinedReport,
        key: str,
        *,
        dial: str,
        detail: dict[str, Any],
        type: EventType = EventType.status,
        status: CallStatus | None = None,
        at: datetime | None = None,
        reason: Reason | None = None,
        word: str | None = None,
    ) -> Event:
        return Event(
            key=key,
            call=self.call,
            submission=self.submission,
            attempt=self.attempt,
            dial=dial,
            type=type,
            status=status,
            at=at if at is not None else e.received_at,
            at_source=AtSource.provider if at is not None else AtSource.received,
            source=e.source,
            provider_status=word,
            reason=reason,
            matched_by=e.matched_by,
            callback=e.id if e.source is EventSource.callback else None,
            detail={k: v for k, v in detail.items() if v is not None},
        )


def _begins(r: CallReport) -> bool:
    """Whether the start of this record says that a dial began, and nothing else of it says so.

    A word that we do not know may mean anything: what it says changes no status.
    """
    if r.status is None:
        return not provider_status_key(r.provider_status)
    return r.status is not CallStatus.initiated


def _details(r: CallReport) -> dict[str, Any]:
    told = {
        "duration_s": r.duration_s,
        "recording_url": r.recording_url,
        "dtmf": r.dtmf,
        "charges": r.charges,
    }
    return {k: v for k, v in told.items() if v is not None}


def _text(at: datetime | None) -> str:
    return iso(at) if at is not None else "-"


def guess_zone_offset(late_by: timedelta) -> int | None:
    """Minutes by which a record seems to be off, if the time between its end and its receipt looks like a time zone.

    A callback that is merely late by an hour is common, one from the future is not: so the past needs two hours.
    """
    minutes = 15 * round(late_by / _QUARTER)
    if -30 < minutes < 120 or abs(minutes) > 14 * 60:
        return None
    in_use = minutes % 60 == 0 or abs(minutes) in _ODD_OFFSETS
    return minutes if in_use and abs(late_by - timedelta(minutes=minutes)) <= _NEARLY else None

"""Tests that order and repetition change no timeline, for any reports and any events of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.domain.factories import accepted, at, decision, derive, never_left, own_status, submitting
from tests.domain.strategies import INTERVALS, call_reports, joined_reports
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.same_record import find_zone_shift, provider_status_key
from tracker.domain.timeline.fold import Timeline, fold

NO_FURTHER_REDIAL = Event(
    key="sub_1/quiet", call="call_1", submission="sub_1", attempt=1, type=EventType.decision, at=at(9999),
    at_source=AtSource.tracker, source=EventSource.inferred, reason=Reason.no_further_redial,
)  # fmt: skip

OWN_EVENTS = st.lists(
    st.sampled_from(
        [
            *accepted(),
            never_left(2, 1, until=8),
            submitting(8, 2),
            own_status(CallStatus.unconfirmed, 30, source=EventSource.inferred, reason=Reason.sender_lost),
            own_status(CallStatus.unconfirmed, 30, reason=Reason.no_clear_answer, key="/2"),
            own_status(CallStatus.rejected, 3, reason=Reason.rate_limited),
            own_status(CallStatus.unknown, 9000, source=EventSource.inferred),
            own_status(CallStatus.busy, 9000, source=EventSource.operator, key="/operator"),
            decision("wait", 0, until=60),
            decision("resend", 3, until=8),
            decision("cancel", 4, source=EventSource.operator),
            NO_FURTHER_REDIAL,
            *accepted(2, 600),
        ]
    ),
    max_size=8,
)


def without_ids(timeline: Timeline) -> Timeline:
    """Return the timeline without the ids of its events, which are random, and without their order."""

    def strip_id(e: Event | None) -> Event | None:
        return replace(e, id="") if e else None

    return replace(
        timeline,
        events=tuple(sorted((replace(e, id="") for e in timeline.events), key=lambda e: e.key)),
        submissions=tuple(
            replace(s, deciding=strip_id(s.deciding), record_event=strip_id(s.record_event))
            for s in timeline.submissions
        ),
    )


def as_stored(events: Sequence[Event], data: st.DataObject) -> list[Event]:
    """Return the events as a database returns them: in any order, with random ids."""
    ids = data.draw(st.permutations(range(len(events))))
    with_ids = [replace(e, id=f"ev_{n:03}") for e, n in zip(events, ids, strict=True)]
    return data.draw(st.permutations(with_ids))


@given(st.data(), joined_reports(), OWN_EVENTS, INTERVALS)
def test_timeline_ignores_order_and_repetition(
    data: st.DataObject, reports: list[JoinedReport], own: list[Event], interval: int
) -> None:
    repeated = [*reports, *data.draw(st.lists(st.sampled_from(reports), max_size=4))] if reports else []
    derived = derive(reports, interval=interval)
    assert derive(data.draw(st.permutations(repeated)), interval=interval) == derived

    events = [*own, *derived.events]
    timeline = fold(events, interval=interval)
    repeated_events = [*events, *data.draw(st.lists(st.sampled_from(events), max_size=4))] if events else []
    assert fold(data.draw(st.permutations(repeated_events)), interval=interval) == timeline
    assert fold(timeline.events, interval=interval) == timeline


@given(joined_reports(), OWN_EVENTS, INTERVALS)
def test_timeline_is_consistent(reports: list[JoinedReport], own: list[Event], interval: int) -> None:
    """Lists of calls rest on this: one index on status and settled also serves outcome and answered."""
    call = fold([*own, *derive(reports, interval=interval).events], interval=interval)
    assert call.outcome == (call.status if call.settled else None)
    assert call.status.is_outcome or not call.settled
    assert (call.answered is True) == (call.status is CallStatus.completed)
    if call.answered is False:
        assert call.settled
        assert call.status not in (CallStatus.completed, CallStatus.unknown)
    assert call.duration_s is None or call.answered
    if call.settled:
        assert call.next_attempt_at is None
        assert all(s.outcome is not None for s in call.submissions)


@given(st.data(), joined_reports(), OWN_EVENTS, INTERVALS)
def test_meaning_does_not_depend_on_event_ids(
    data: st.DataObject, reports: list[JoinedReport], own: list[Event], interval: int
) -> None:
    events = [*{e.key: e for e in own}.values(), *derive(reports, interval=interval).events]
    first, second = (fold(as_stored(events, data), interval=interval) for _ in range(2))
    assert without_ids(first) == without_ids(second)


@given(st.data(), joined_reports(), INTERVALS)
def test_reports_in_batches_end_as_reports_at_once(
    data: st.DataObject, reports: list[JoinedReport], interval: int
) -> None:
    """The joiner derives each batch from all reports known by then and withdraws what is no longer derived.

    So only the last batch counts. An event of an earlier batch that is derived again under its key keeps its status,
    its dial and its type.
    """
    arriving = data.draw(st.permutations(reports))
    cut = data.draw(st.integers(0, len(reports)))
    before, after = derive(arriving[:cut], interval=interval), derive(arriving, interval=interval)
    assert after == derive(reports, interval=interval)
    later_events = {e.key: e for e in after.events}
    for e in before.events:
        again = later_events.get(e.key)
        assert again is None or (again.status, again.dial, again.type) == (e.status, e.dial, e.type)


@given(joined_reports(), INTERVALS)
def test_every_report_is_accounted_for_with_unique_keys(reports: list[JoinedReport], interval: int) -> None:
    derived = derive(reports, interval=interval)
    assert len({e.key for e in derived.events}) == len(derived.events)
    assert derived.repeat_of.keys() == {r.id for r in reports}
    firsts = {id for id, first in derived.repeat_of.items() if first is None}
    assert {first for first in derived.repeat_of.values() if first} <= firsts
    assert len(firsts) == sum(e.key.endswith("/record") for e in derived.events)
    received_at = {r.id: r.received_at for r in reports}
    assert all(received_at[first] <= received_at[id] for id, first in derived.repeat_of.items() if first)


@given(joined_reports(), INTERVALS)
def test_same_record_is_transitive(reports: list[JoinedReport], interval: int) -> None:
    """An independent computation finds the same groups: two reports of one record, directly or through others."""

    def is_same(a: JoinedReport, b: JoinedReport) -> bool:
        statuses = {provider_status_key(r.report.provider_status) for r in (a, b)}
        shift = find_zone_shift(a.report, b.report)
        return len(statuses) == 1 and shift is not None and (interval == 0 or not shift)

    group_of = {r.id: r.id for r in reports}
    for _ in reports:
        for a in reports:
            for b in reports:
                if is_same(a, b):
                    group_of[a.id] = group_of[b.id] = min(group_of[a.id], group_of[b.id])
    first_of = {id: first or id for id, first in derive(reports, interval=interval).repeat_of.items()}
    assert all(
        (group_of[a] == group_of[b]) == (first_of[a] == first_of[b]) for a in group_of for b in group_of
    )


@given(call_reports(), call_reports())
def test_zone_shift_is_symmetric(a: CallReport, b: CallReport) -> None:
    there, back = find_zone_shift(a, b), find_zone_shift(b, a)
    assert (there is None) == (back is None)
    assert there is None or back is None or there == -back


@given(joined_reports(), joined_reports(), OWN_EVENTS, INTERVALS)
def test_no_report_unsettles_or_unanswers_a_call(
    reports: list[JoinedReport], more: list[JoinedReport], own: list[Event], interval: int
) -> None:
    later = [replace(r, id=f"{r.id}-later") for r in more]
    before = fold([*own, *derive(reports, interval=interval).events], interval=interval)
    after = fold([*own, *derive([*reports, *later], interval=interval).events], interval=interval)
    assert after.settled or not before.settled
    if before.answered:
        assert after.answered
        assert after.status is CallStatus.completed

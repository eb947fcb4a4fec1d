"""Draws reports for property tests. Times come from few values, so repeats, zone shifts and ties are common."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.domain.factories import HOUR, MINUTE, at, make_report
from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.events import EventSource, MatchedBy

QUARTER = 15 * MINUTE
SHIFTS = st.sampled_from([0, 0, 0, QUARTER, -QUARTER, 330 * MINUTE, -330 * MINUTE, 14 * HOUR, 15 * HOUR])
STATUSES = st.sampled_from(["ANSWER", "MISSED", "BUSY", "NOANSWER", "CANCEL", "RINGING", "VOICEMAIL", None])
#: minutes; 0 means that the provider does not redial
INTERVALS = st.sampled_from([0, 0, 5, 15])


@st.composite
def call_reports(draw: st.DrawFn) -> CallReport:
    """Draw a report. Two of them are often of the same record, or of the same except for a time zone."""
    shift = draw(SHIFTS)
    start, end = draw(st.sampled_from([None, 5, 305])), draw(st.sampled_from([None, 9, 310]))
    return make_report(
        draw(STATUSES),
        None if start is None else start + shift,
        None if end is None else end + shift,
        duration_s=draw(st.sampled_from([None, None, 21, 22])),
        charges=draw(st.sampled_from([None, "0.5", "0.6"])),
    )


@st.composite
def joined_reports(draw: st.DrawFn) -> list[JoinedReport]:
    """Draw reports with unique ids. Several may be received at the same time."""
    times = st.sampled_from([10, 10, 20, 400, 9000])
    drawn = draw(st.lists(st.tuples(call_reports(), times, st.booleans()), max_size=6))
    return [
        JoinedReport(
            id=f"ask_{n}/0" if is_poll else f"cb_{n}",
            source=EventSource.poll if is_poll else EventSource.callback,
            received_at=at(received),
            report=report,
            matched_by=MatchedBy.submission_id,
        )
        for n, (report, received, is_poll) in enumerate(drawn)
    ]

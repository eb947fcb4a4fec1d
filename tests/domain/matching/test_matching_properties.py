"""Tests that order and repetition change no join, for any receipts and any submissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.domain.factories import HOUR, at, derive
from tests.domain.strategies import call_reports
from tracker.domain.call_reports import JoinedReport
from tracker.domain.calls import CallStatus
from tracker.domain.events import EventSource, MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Unjoined, Verdict
from tracker.domain.matching.heuristics import duplicate_key
from tracker.domain.matching.match import match
from tracker.domain.timeline.fold import fold

NUMBERS = ("+918867130003", "+918919525224")
IDS = ("70fa87e0:1", "70fa87e0:2", "3b69aca9")
LATER = [timedelta(seconds=s) for s in (0, 1, 600, 26 * HOUR)]


@st.composite
def submissions(draw: st.DrawFn) -> list[SubmissionFacts]:
    """Draw submissions that share accounts, numbers, lanes, ids and times."""
    return [
        SubmissionFacts(
            id=f"sub_{n}",
            account=draw(st.sampled_from("aab")),
            to=draw(st.sampled_from(NUMBERS)),
            bridge=draw(st.sampled_from(["91", "92"])),
            flow_id=draw(st.sampled_from([None, "1"])),
            interval=draw(st.sampled_from([0, 0, 5])),
            lane=draw(st.sampled_from([None, "x", "y"])),
            provider_id=draw(st.sampled_from([None, *IDS])),
            requested_at=draw(st.sampled_from([None, at(0), at(0), at(300), at(25 * HOUR)])),
            refused=draw(st.sampled_from([False, False, True])),
        )
        for n in range(draw(st.integers(0, 4)))
    ]


@st.composite
def receipts(draw: st.DrawFn) -> list[Receipt]:
    """Draw receipts that share accounts, numbers, lanes, ids and times with the submissions."""
    drawn = []
    for n in range(draw(st.integers(0, 6))):
        report = replace(
            draw(call_reports()),
            ids=draw(st.sampled_from([(), (), (IDS[0].upper(),), ("70fa87e0",), ("unknown",)])),
            message_id=draw(st.sampled_from([None, None, "1234", IDS[2]])),
            references=draw(st.sampled_from([(), (), ("sub_1",)])),
            to=draw(st.sampled_from([None, *NUMBERS, NUMBERS[0]])),
            bridge=draw(st.sampled_from([None, "91"])),
            flow_id=draw(st.sampled_from([None, "1", "2"])),
            click_to_call=draw(st.sampled_from([False, False, False, True])),
        )
        is_poll = draw(st.integers(0, 9)) == 0
        drawn.append(
            Receipt(
                id=f"ask_{n}/0" if is_poll else f"cb_{n}",
                account=draw(st.sampled_from("aaab")),
                lane=draw(st.sampled_from([None, "x", "y"])),
                received_at=at(draw(st.sampled_from([-10, 0, 10, 10, 400, 7 * HOUR, 25 * HOUR]))),
                report=report,
                manual_submission="sub_0" if not is_poll and draw(st.integers(0, 9)) == 0 else None,
                polled_submission="sub_0" if is_poll else None,
            )
        )
    return drawn


@given(st.data(), receipts(), submissions())
def test_joins_ignore_order_and_repetition(
    data: st.DataObject, received: list[Receipt], submitted: list[SubmissionFacts]
) -> None:
    verdicts = match(received, submitted)
    assert verdicts.keys() == {r.id for r in received}
    assert match(data.draw(st.permutations(received)), data.draw(st.permutations(submitted))) == verdicts
    assert match([*received, *received], [*submitted, *submitted]) == verdicts


@given(st.data(), receipts(), submissions())
def test_repeat_joins_like_the_first_and_changes_nothing(
    data: st.DataObject, received: list[Receipt], submitted: list[SubmissionFacts]
) -> None:
    """A receipt with neither id nor start has no duplicates, and a report extends the hold of a lane.

    Both are left out here, as are joins by an operator.
    """
    received = [replace(r, manual_submission=None, lane=None) for r in received]
    if not received:
        return
    first = data.draw(st.sampled_from(received))
    later = first.received_at + data.draw(st.sampled_from(LATER))
    repeat = replace(first, id=f"{first.id}-again", received_at=later)
    if duplicate_key(first.report) is None or first.polled_submission:
        return
    before, after = match(received, submitted), match([*received, repeat], submitted)
    assert {id: v for id, v in after.items() if id != repeat.id} == before
    assert are_equivalent(after[repeat.id], before[first.id])


def are_equivalent(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts name the same submission, or the same reason for none."""
    if isinstance(one, Join) and isinstance(other, Join):
        return one.submission == other.submission
    return one == other


@given(receipts(), submissions())
def test_verdict_satisfies_its_rule(received: list[Receipt], submitted: list[SubmissionFacts]) -> None:
    submission_of = {s.id: s for s in submitted}
    verdicts = match(received, submitted)
    for r in received:
        verdict = verdicts[r.id]
        if isinstance(verdict, Unjoined):
            assert verdict.ignored == (verdict.reason == "click-to-call")
            is_ambiguous = len(verdict.candidates) > 1 and verdict.reason != "contradicted"
            assert (verdict.reason == "ambiguous") == is_ambiguous
            assert set(verdict.candidates) <= submission_of.keys()
            continue
        if verdict.matched_by in (MatchedBy.lane_and_number, MatchedBy.number_and_time):
            s = submission_of[verdict.submission]
            assert (s.account, s.to, s.refused) == (r.account, r.report.to, False)
            assert s.requested_at is not None
            assert s.requested_at <= r.received_at
            assert not r.report.click_to_call
        if verdict.matched_by is MatchedBy.lane_and_number:
            assert submission_of[verdict.submission].lane == r.lane


@given(receipts(), submissions(), st.data())
def test_match_and_fold_together_ignore_order(
    received: list[Receipt], submitted: list[SubmissionFacts], data: st.DataObject
) -> None:
    states = match_and_fold(received, submitted)
    shuffled = match_and_fold(data.draw(st.permutations(received)), data.draw(st.permutations(submitted)))
    assert shuffled == states


def match_and_fold(
    received: Sequence[Receipt], submitted: Sequence[SubmissionFacts]
) -> dict[str, tuple[CallStatus, bool, datetime | None]]:
    """Return the state of each submission as a rebuild from the inbox finds it."""
    joined: dict[str, list[JoinedReport]] = {s.id: [] for s in submitted}
    receipt_of = {r.id: r for r in received}
    for id, verdict in match(received, submitted).items():
        if isinstance(verdict, Join) and verdict.submission in joined:
            r = receipt_of[id]
            joined[verdict.submission].append(
                JoinedReport(id=id, source=EventSource.callback, received_at=r.received_at, report=r.report)
            )
    states = {}
    for s in submitted:
        timeline = fold(derive(joined[s.id], interval=s.interval).events, interval=s.interval)
        states[s.id] = (timeline.status, timeline.settled, timeline.ended_at)
    return states

"""Tests the joins by number and time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.domain.factories import HOUR, INDIA, MINUTE, at
from tests.domain.matching.factories import (
    BY_TIME,
    UUID,
    join,
    orphan,
    receipt,
    report,
    submission,
    verdict_on,
)
from tracker.domain.call_reports import CallReport
from tracker.domain.matching.facts import Join, Verdict

DAY = 24 * HOUR


def test_number_and_time_joins_exactly_one_candidate() -> None:
    assert verdict_on(receipt(10), [submission()]) == join(1, BY_TIME)
    assert verdict_on(receipt(10), [submission(), submission(2)]) == orphan("ambiguous", 1, 2)
    assert verdict_on(receipt(10), []) == orphan("no-submission")


def test_nearness_in_time_never_decides() -> None:
    assert verdict_on(receipt(86_000), [submission(), submission(2, requested=85_990)]) == orphan(
        "ambiguous", 1, 2
    )


@pytest.mark.parametrize(
    ("requested", "received", "fits"),
    [(0, -0.001, False), (0, 0, True), (0, DAY, True), (0, DAY + 0.001, False), (None, 10, False)],
)
def test_candidate_was_requested_within_a_day_before(
    requested: float | None, received: float, fits: bool
) -> None:
    verdict = verdict_on(receipt(received), [submission(requested=requested)])
    assert verdict == (join(1, BY_TIME) if fits else orphan("no-submission"))


@pytest.mark.parametrize(
    ("content", "fits"),
    [
        (report(bridge="911111111111"), False),
        (report(bridge=None), True),
        (report(flow_id="25"), False),
        (report(flow_id=None), True),
        (report(to=None), False),
        (report(to="+911234567890"), False),
    ],
)
def test_candidate_needs_equal_number_bridge_and_flow(content: CallReport, fits: bool) -> None:
    assert isinstance(verdict_on(receipt(10, content), [submission()]), Join) is fits


def test_submission_without_flow_fits_any_flow() -> None:
    assert verdict_on(receipt(10, report(flow_id="99")), [submission(flow_id=None)]) == join(1, BY_TIME)


def test_refused_submission_is_no_candidate() -> None:
    """No phone can ring because of it. An id still finds it."""
    both = [submission(refused=True), submission(2)]
    assert verdict_on(receipt(10), both) == join(2, BY_TIME)
    assert verdict_on(receipt(10, lane="a"), [submission(refused=True, lane="a")]) == orphan("no-submission")


EXACT = receipt(10, report("BUSY", 5, 9, ids=(UUID,)), id="cb_exact")
FIRST = submission(provider_id=UUID)
SECOND = submission(2, requested=600)


@pytest.mark.parametrize(
    "content",
    [
        report("NOANSWER", 5, 9),
        report("BUSY", 6, 9),
        report("BUSY", 5, 10),
        report("NOANSWER"),
        report("BUSY", 605, 609),
    ],
)
def test_contradicted_candidate_is_excluded(content: CallReport) -> None:
    assert verdict_on(receipt(700, content), [FIRST, SECOND], EXACT) == join(2, BY_TIME)
    assert verdict_on(receipt(700, content), [FIRST], EXACT) == orphan("contradicted", 1)


@pytest.mark.parametrize(
    "content",
    [
        report("BUSY", 5, 9),
        report("BUSY"),
        report(None),
        report("BUSY", 5),
        report("BUSY", 5 + INDIA, 9 + INDIA),
    ],
)
def test_uncontradicted_candidates_stay_ambiguous(content: CallReport) -> None:
    """The same record in another zone, or with less detail, can be of either submission."""
    assert verdict_on(receipt(700, content), [FIRST, SECOND], EXACT) == orphan("ambiguous", 1, 2)


def test_open_status_contradicts_no_outcome() -> None:
    """A status on the way to the outcome is not another outcome."""
    for status in ("RINGING", "QUEUED"):
        exact = replace(EXACT, report=report(status, ids=(UUID,)))
        assert verdict_on(receipt(20, report("BUSY")), [FIRST], exact) == join(1, BY_TIME)


@pytest.mark.parametrize(
    ("status", "other"), [("VOICEMAIL", "BUSY"), ("BUSY", "VOICEMAIL"), ("VOICEMAIL", "FAX")]
)
def test_unknown_status_contradicts_no_other_status(status: str, other: str) -> None:
    """It may come before the other status, or be a new name for it. Different times still contradict."""
    exact = replace(EXACT, report=report(status, 5, 9, ids=(UUID,)))
    assert verdict_on(receipt(20, report(other)), [FIRST], exact) == join(1, BY_TIME)
    assert verdict_on(receipt(20, report(other, 5, 9)), [FIRST], exact) == join(1, BY_TIME)
    assert verdict_on(receipt(20, report(other, 6, 10)), [FIRST], exact) == orphan("contradicted", 1)
    assert verdict_on(receipt(700, report(other)), [FIRST, SECOND], exact) == orphan("ambiguous", 1, 2)


def test_nothing_contradicts_when_redialling() -> None:
    r = receipt(700, report("NOANSWER", 605, 635))
    assert verdict_on(r, [replace(FIRST, interval=5)], EXACT) == join(1, BY_TIME)
    assert verdict_on(r, [replace(FIRST, interval=5), SECOND], EXACT) == orphan("ambiguous", 1, 2)


def test_uncertain_join_excludes_no_candidate() -> None:
    by_time = receipt(10, report("BUSY", 5, 9))
    assert verdict_on(receipt(20, report("NOANSWER", 5, 35)), [submission()], by_time) == join(1, BY_TIME)


def test_poll_row_and_operator_join_exclude_candidates() -> None:
    r = receipt(700, report("NOANSWER", 605, 635))
    poll_row = receipt(650, report("BUSY", 5, 9), polled_submission="sub_1", id="ask_1/0")
    manual = receipt(650, report("BUSY", 5, 9), manual_submission="sub_1")
    for certain in (poll_row, manual):
        assert verdict_on(r, [submission(), SECOND], certain) == join(2, BY_TIME)


def test_later_receipt_excludes_candidates() -> None:
    late = replace(EXACT, received_at=at(5 * HOUR))
    assert verdict_on(receipt(700, report("NOANSWER", 605, 635)), [FIRST, SECOND], late) == join(2, BY_TIME)


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (600 - 15 * MINUTE - 1, join(1, BY_TIME)),
        (600 - 15 * MINUTE, orphan("ambiguous", 1, 2)),
        (650, orphan("ambiguous", 1, 2)),
        # excludes both, so it counts for none
        (-2 * HOUR, orphan("ambiguous", 1, 2)),
        # too far from the receipt to be believable
        (700 - 37 * HOUR, orphan("ambiguous", 1, 2)),
        (700 + 37 * HOUR, orphan("ambiguous", 1, 2)),
    ],
)
def test_report_that_ended_before_request_excludes_candidate(end: float, verdict: Verdict) -> None:
    both = [submission(requested=-1000), submission(2, requested=600)]
    assert verdict_on(receipt(700, report("BUSY", end - 4, end)), both) == verdict


def test_start_time_alone_excludes_no_candidate() -> None:
    """Only an end time can show that a record was over before a request."""
    both = [submission(requested=-1000), submission(2, requested=600)]
    assert verdict_on(receipt(700, report("BUSY", -900)), both) == orphan("ambiguous", 1, 2)


def test_single_candidate_joins_despite_impossible_times() -> None:
    assert verdict_on(receipt(10, report("BUSY", -INDIA, 4 - INDIA)), [submission()]) == join(1, BY_TIME)


def test_join_becomes_ambiguous_with_a_second_submission() -> None:
    """A second request before the receipt is enough, even if it becomes known after the callback.

    Settled submissions are candidates, too: `match` does not know which ones are settled.
    """
    r = receipt(700)
    assert verdict_on(r, [submission()]) == join(1, BY_TIME)
    assert verdict_on(r, [submission(), submission(2, requested=600)]) == orphan("ambiguous", 1, 2)


def test_request_after_the_receipt_changes_no_join() -> None:
    assert verdict_on(receipt(10), [submission(), submission(2, requested=600)]) == join(1, BY_TIME)

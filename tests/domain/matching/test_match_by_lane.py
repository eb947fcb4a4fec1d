"""Tests the joins by lane and number."""

from __future__ import annotations

from dataclasses import replace

from tests.domain.factories import HOUR
from tests.domain.matching.factories import (
    BY_LANE,
    BY_TIME,
    UUID,
    join,
    orphan,
    receipt,
    report,
    submission,
    verdict_on,
)

DAY = 24 * HOUR


def test_lane_and_number_pick_one_of_two_submissions() -> None:
    both = [submission(lane="a"), submission(2, lane="b")]
    assert verdict_on(receipt(10, lane="b"), both) == join(2, BY_LANE)


def test_lane_is_held_from_the_request() -> None:
    assert verdict_on(receipt(-1, lane="a"), [submission(lane="a")]) == orphan("no-submission")
    assert verdict_on(receipt(0, lane="a"), [submission(lane="a")]) == join(1, BY_LANE)


def test_lane_without_report_is_held_for_the_match_window() -> None:
    submissions = [submission(lane="a")]
    assert verdict_on(receipt(DAY, lane="a"), submissions) == join(1, BY_LANE)
    assert verdict_on(receipt(DAY + 1, lane="a"), submissions) == orphan("no-submission")


def test_lane_is_held_six_hours_after_the_last_report() -> None:
    exact = receipt(10, report("BUSY", ids=(UUID,)))
    submissions = [submission(lane="a", provider_id=UUID), submission(2, lane="b")]
    second = receipt(10 + 6 * HOUR, report("NOANSWER"), lane="a")
    assert verdict_on(second, submissions, exact) == join(1, BY_LANE)
    too_late = receipt(11 + 6 * HOUR, report("NOANSWER"), lane="a")
    assert verdict_on(too_late, submissions, exact) == join(2, BY_TIME), (
        "no holder, and the first is contradicted"
    )
    assert verdict_on(replace(too_late, report=report("CANCEL")), submissions, exact, second) == join(
        1, BY_LANE
    )


def test_lane_with_two_holders_falls_to_number_and_time() -> None:
    both = [submission(lane="a"), submission(2, requested=600, lane="a")]
    assert verdict_on(receipt(700, lane="a"), both) == orphan("ambiguous", 1, 2)
    assert verdict_on(receipt(10, lane="a"), both) == join(1, BY_LANE)


def test_lane_is_held_by_account_and_number() -> None:
    others = [submission(2, to="+911234567890", lane="a"), submission(3, account="b", lane="a")]
    assert verdict_on(receipt(10, lane="a"), others) == orphan("no-submission")
    assert verdict_on(receipt(10, lane="a"), [submission(lane="a"), *others]) == join(1, BY_LANE)


def test_unknown_lane_falls_to_number_and_time() -> None:
    assert verdict_on(receipt(10, lane="z"), [submission()]) == join(1, BY_TIME)

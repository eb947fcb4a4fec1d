"""Tests the joins of callbacks that are duplicates of a joined one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.domain.factories import at
from tests.domain.matching.factories import (
    BY_LANE,
    BY_TIME,
    join,
    orphan,
    receipt,
    report,
    submission,
    verdict_on,
)
from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Unjoined
from tracker.domain.matching.heuristics import duplicate_key

RECORD = report("BUSY", 5, 9, message_id="1234")


def test_duplicate_follows_the_joined_callback() -> None:
    """By its own time the repeat would be ambiguous, because there are two submissions by then."""
    first, repeat = receipt(10, RECORD), receipt(700, RECORD)
    submissions = [submission(), submission(2, requested=600)]
    assert verdict_on(first, submissions, repeat) == join(1, BY_TIME)
    assert verdict_on(repeat, submissions, first) == join(1, MatchedBy.twin)


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, ids=("x",)),
        replace(RECORD, message_id="other"),
        replace(RECORD, to=None),
        replace(RECORD, provider_status="NOANSWER"),
        replace(RECORD, started_at=at(6)),
        replace(RECORD, ended_at=at(10)),
    ],
)
def test_duplicate_needs_equal_ids_number_status_and_times(other: CallReport) -> None:
    submissions = [submission(), submission(2, requested=600)]
    verdict = verdict_on(receipt(700, other), submissions, receipt(10, RECORD))
    assert isinstance(verdict, Unjoined)


def test_duplicate_may_differ_in_other_fields() -> None:
    repeat = receipt(
        700, replace(RECORD, duration_s=4, charges="1", recording_url="https://example.com", bridge=None)
    )
    submissions = [submission(), submission(2, requested=600)]
    assert verdict_on(repeat, submissions, receipt(10, RECORD)) == join(1, MatchedBy.twin)


def test_report_without_start_and_id_has_no_duplicate() -> None:
    timeless = report("BUSY", None, 9)
    assert duplicate_key(timeless) is None
    submissions = [submission(), submission(2, requested=600)]
    verdict = verdict_on(receipt(700, timeless), submissions, receipt(10, timeless))
    assert verdict == orphan("ambiguous", 1, 2)
    assert duplicate_key(replace(timeless, ids=("x",))) is not None
    assert duplicate_key(report("BUSY", 5)) is not None


def test_duplicate_follows_from_any_lane() -> None:
    submissions = [submission(lane="a"), submission(2, lane="b")]
    first, repeat = receipt(10, RECORD, lane="a"), receipt(20, RECORD, lane="b")
    assert verdict_on(first, submissions, repeat) == join(1, BY_LANE)
    assert verdict_on(repeat, submissions, first) == join(1, MatchedBy.twin)


def test_orphan_follows_duplicate_that_is_joined_later() -> None:
    submissions = [submission(lane="a"), submission(2, lane="b")]
    first, repeat = receipt(10, RECORD), receipt(20, RECORD, lane="b")
    assert verdict_on(repeat, submissions, first) == join(2, BY_LANE)
    assert verdict_on(first, submissions, repeat) == join(2, MatchedBy.twin)


def test_operator_join_moves_duplicates() -> None:
    first, repeat = receipt(10, RECORD), receipt(20, RECORD, manual_submission="sub_2")
    submissions = [submission(), submission(2, requested=600)]
    assert verdict_on(first, submissions, repeat) == join(2, MatchedBy.twin)
    assert verdict_on(repeat, submissions, first) == join(2, MatchedBy.operator)
    fixed = receipt(5, RECORD, fixed_join=join(1, BY_TIME))
    assert verdict_on(first, submissions, repeat, fixed) == join(2, MatchedBy.twin)


def test_duplicates_do_not_cross_accounts() -> None:
    other = receipt(20, RECORD, account="b")
    assert verdict_on(other, [submission()], receipt(10, RECORD)) == orphan("no-submission")


def test_poll_row_has_no_duplicate() -> None:
    """Only callbacks repeat. A poll asks about one submission, so an equal row tells nothing about other callbacks."""
    poll_row = receipt(50, RECORD, polled_submission="sub_2", id="ask_1/0")
    submissions = [submission(), submission(2)]
    assert verdict_on(receipt(40, RECORD), submissions, poll_row) == orphan("ambiguous", 1, 2)


def test_repeat_is_as_old_as_its_first_receipt() -> None:
    """A callback of a foreign call that is sent again after our request is still foreign.

    No callback of a submission can come before its request.
    """
    foreign, repeat = receipt(-60, RECORD), receipt(300, RECORD)
    assert verdict_on(foreign, [submission()], repeat) == orphan("no-submission")
    assert verdict_on(repeat, [submission()], foreign) == orphan("no-submission")
    assert verdict_on(repeat, [submission()]) == join(1, BY_TIME)


def test_fixed_join_contradicts_only_when_certain() -> None:
    uncertain = receipt(10, RECORD, fixed_join=join(1, BY_TIME))
    other = receipt(20, report("NOANSWER", 105, 135))
    assert verdict_on(receipt(30, RECORD), [submission()], uncertain) == join(1, MatchedBy.twin)
    assert verdict_on(other, [submission()], uncertain) == join(1, BY_TIME)
    certain = receipt(10, RECORD, fixed_join=join(1, MatchedBy.submission_id))
    assert verdict_on(other, [submission()], certain) == orphan("contradicted", 1)


def test_duplicate_key_fits_an_index() -> None:
    key = duplicate_key(report(ids=("x" * 10_000,), message_id="y" * 10_000))
    assert key is not None
    assert all(len(part) < 200 for part in key)

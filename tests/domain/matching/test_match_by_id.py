"""Tests the joins by id, and those that an operator makes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.domain.factories import HOUR
from tests.domain.matching.factories import (
    UUID,
    join,
    orphan,
    receipt,
    report,
    submission,
    verdict_on,
)
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Unjoined
from tracker.domain.matching.ids import base_id_key, id_key

DAY = 24 * HOUR
FIRST = submission(provider_id=UUID)
SECOND = submission(2, requested=600)


@pytest.mark.parametrize(
    ("provider_id", "reported_id", "matched_by"),
    [
        (f"{UUID}:1", f"{UUID}:1", MatchedBy.submission_id),
        (f"{UUID}:1", f" {UUID.upper()}:1 ", MatchedBy.submission_id),
        (f"{UUID}:1", UUID, MatchedBy.submission_id_without_suffix),
        (UUID, f"{UUID}:1", MatchedBy.submission_id_without_suffix),
        (f"{UUID}:1", f"{UUID}:2", MatchedBy.submission_id_without_suffix),
    ],
)
def test_submission_id_joins_ignoring_case_then_suffix(
    provider_id: str, reported_id: str, matched_by: MatchedBy
) -> None:
    verdict = verdict_on(
        receipt(10, report(ids=(reported_id,))),
        [submission(provider_id=provider_id), submission(2, provider_id="other")],
    )
    assert verdict == join(1, matched_by)


def test_submission_id_joins_under_any_key() -> None:
    r = receipt(10, report(ids=("another-id", UUID)))
    assert verdict_on(r, [submission(provider_id=UUID)]) == join(1, MatchedBy.submission_id)


def test_suffix_is_ignored_only_when_unique() -> None:
    both = [submission(1, provider_id=f"{UUID}:1"), submission(2, provider_id=f"{UUID}:2")]
    assert verdict_on(receipt(10, report(ids=(f"{UUID}:2",))), both) == join(2, MatchedBy.submission_id)
    assert verdict_on(receipt(10, report(ids=(UUID,))), both) == orphan("ambiguous", 1, 2)


def test_id_of_another_account_joins_nothing() -> None:
    r = receipt(10, report(ids=(UUID,), references=("sub_1",)), account="b")
    assert verdict_on(r, [submission(provider_id=UUID)]) == orphan("no-submission")


def test_echoed_reference_joins() -> None:
    r = receipt(10, report(ids=("unknown",), references=("sub_1",)))
    assert verdict_on(r, [submission(), submission(2)]) == join(1, MatchedBy.reference)


@pytest.mark.parametrize("message_id", [f"{UUID}:1", UUID, UUID.upper()])
def test_message_id_joins_when_equal_to_submission_id(message_id: str) -> None:
    r = receipt(10, report(message_id=message_id))
    assert verdict_on(r, [submission(provider_id=f"{UUID}:1"), submission(2)]) == join(
        1, MatchedBy.message_id
    )


def test_id_overrules_reference_and_reference_message_id() -> None:
    submissions = [
        submission(1, provider_id="one"),
        submission(2, provider_id="two"),
        submission(3, provider_id="three"),
    ]
    r = report(ids=("one",), references=("sub_2",), message_id="three")
    assert verdict_on(receipt(10, r), submissions) == join(1, MatchedBy.submission_id)
    assert verdict_on(receipt(10, replace(r, ids=())), submissions) == join(2, MatchedBy.reference)
    assert verdict_on(receipt(10, replace(r, ids=(), references=())), submissions) == join(
        3, MatchedBy.message_id
    )


def test_id_joins_at_any_time_and_for_any_number() -> None:
    r = receipt(30 * DAY, report(ids=(UUID,), to="+911234567890"))
    assert verdict_on(r, [submission(provider_id=UUID, refused=True)]) == join(1, MatchedBy.submission_id)


def test_early_id_joins_when_it_is_recorded() -> None:
    r = receipt(10, report(ids=(UUID,), to=None))
    assert verdict_on(r, [submission()]) == orphan("no-submission")
    assert verdict_on(r, [submission(provider_id=UUID)]) == join(1, MatchedBy.submission_id)


def test_poll_row_joins_the_polled_submission() -> None:
    r = receipt(10, report(to=None), polled_submission="sub_1")
    assert verdict_on(r, [submission()]) == join(1, MatchedBy.submission_id)


def test_operator_overrules_an_id() -> None:
    r = receipt(10, report(ids=(UUID,)), manual_submission="sub_2")
    assert verdict_on(r, [FIRST, SECOND]) == join(2, MatchedBy.operator)


def test_click_to_call_joins_by_id_only() -> None:
    clicked = report("ANSWER", 5, 28, click_to_call=True)
    ignored = Unjoined(reason="click-to-call", ignored=True)
    assert verdict_on(receipt(10, clicked), [submission()]) == ignored
    assert verdict_on(receipt(10, clicked, lane="a"), [submission(lane="a")]) == ignored
    assert (
        verdict_on(receipt(10, clicked), [submission()], receipt(9, replace(clicked, click_to_call=False)))
        == ignored
    )
    exact = receipt(10, replace(clicked, ids=(UUID,)))
    assert verdict_on(exact, [FIRST]) == join(1, MatchedBy.submission_id)
    manual = receipt(10, clicked, manual_submission="sub_1")
    assert verdict_on(manual, [FIRST]) == join(1, MatchedBy.operator)


def test_id_keys_ignore_case_and_suffix() -> None:
    assert id_key(f" {UUID.upper()}:1 ") == f"{UUID}:1"
    assert base_id_key(f"{UUID}:12") == base_id_key(UUID) == UUID
    assert base_id_key("a:b") == "a:b"

"""Which submission a callback belongs to: the sentences of "Matching", from sure to unsure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from tests.domain.story import HOUR, INDIA, MINUTE, at, report
from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Unjoined, Verdict
from tracker.domain.matching.heuristics import duplicate_key
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.domain.matching.match import match

NUMBER, BRIDGE = "+918867130003", "918068280001"
UUID = "70fa87e0-9df9-4327-bc80-a561c48703d8"
DAY = 24 * HOUR


def submitted(
    n: int = 1, *, requested: float | None = 0, provider_id: str | None = None, **fields: Any
) -> SubmissionFacts:
    usual: dict[str, Any] = {
        "account": "a", "to": NUMBER, "bridge": BRIDGE, "flow_id": "24", "interval": 0, "lane": None,
    }  # fmt: skip
    requested_at = None if requested is None else at(requested)
    return SubmissionFacts(
        id=f"sub_{n}", provider_id=provider_id, requested_at=requested_at, **{**usual, **fields}
    )


def said(
    word: str | None = "BUSY", start: float | None = None, end: float | None = None, **fields: Any
) -> CallReport:
    return report(word, start, end, **{"to": NUMBER, "bridge": BRIDGE, "flow_id": "24", **fields})


def receipt(came: float, what: CallReport | None = None, *, id: str = "", **fields: Any) -> Receipt:
    received = {"account": "a", "lane": None, **fields}
    return Receipt(id=id or f"cb_{came:012.3f}", received_at=at(came), report=what or said(), **received)


def verdict(r: Receipt, submissions: Iterable[SubmissionFacts], *others: Receipt) -> Verdict:
    """The verdict on r; the same in whatever order the evidence is given."""
    submissions = list(submissions)
    found = [
        match(order, subs)[r.id]
        for order in permutations([r, *others])
        for subs in (submissions, submissions[::-1])
    ]
    assert all(v == found[0] for v in found)
    return found[0]


def joined(n: int, matched_by: MatchedBy) -> Join:
    return Join(submission=f"sub_{n}", matched_by=matched_by)


def orphan(reason: str, *candidates: int) -> Unjoined:
    return Unjoined(reason=reason, candidates=tuple(f"sub_{n}" for n in candidates))


BY_TIME = MatchedBy.number_and_time


# ---- 1. exact ----


@pytest.mark.parametrize(
    ("ours", "theirs", "matched_by"),
    [
        (f"{UUID}:1", f"{UUID}:1", MatchedBy.submission_id),
        (f"{UUID}:1", f" {UUID.upper()}:1 ", MatchedBy.submission_id),
        (f"{UUID}:1", UUID, MatchedBy.submission_id_without_suffix),
        (UUID, f"{UUID}:1", MatchedBy.submission_id_without_suffix),
        (f"{UUID}:1", f"{UUID}:2", MatchedBy.submission_id_without_suffix),
    ],
)
def test_the_submission_id_joins_without_case_then_without_suffix(
    ours: str, theirs: str, matched_by: MatchedBy
) -> None:
    found = verdict(
        receipt(10, said(ids=(theirs,))), [submitted(provider_id=ours), submitted(2, provider_id="other")]
    )
    assert found == joined(1, matched_by)


def test_any_key_may_carry_the_id() -> None:
    r = receipt(10, said(ids=("a-call-of-theirs", UUID)))
    assert verdict(r, [submitted(provider_id=UUID)]) == joined(1, MatchedBy.submission_id)


def test_without_the_suffix_only_where_that_is_unique() -> None:
    both = [submitted(1, provider_id=f"{UUID}:1"), submitted(2, provider_id=f"{UUID}:2")]
    assert verdict(receipt(10, said(ids=(f"{UUID}:2",))), both) == joined(2, MatchedBy.submission_id)
    assert verdict(receipt(10, said(ids=(UUID,))), both) == orphan("ambiguous", 1, 2)


def test_an_id_of_another_account_joins_nothing() -> None:
    r = receipt(10, said(ids=(UUID,), references=("sub_1",)), account="b")
    assert verdict(r, [submitted(provider_id=UUID)]) == orphan("no-submission")


def test_our_own_id_that_comes_back_joins() -> None:
    r = receipt(10, said(ids=("unknown",), references=("sub_1",)))
    assert verdict(r, [submitted(), submitted(2)]) == joined(1, MatchedBy.reference)


@pytest.mark.parametrize("mid", [f"{UUID}:1", UUID, UUID.upper()])
def test_the_message_id_joins_where_it_is_the_submission_id_or_its_uuid(mid: str) -> None:
    r = receipt(10, said(message_id=mid))
    assert verdict(r, [submitted(provider_id=f"{UUID}:1"), submitted(2)]) == joined(1, MatchedBy.message_id)


def test_an_id_goes_before_a_reference_and_that_before_a_message_id() -> None:
    ss = [submitted(1, provider_id="one"), submitted(2, provider_id="two"), submitted(3, provider_id="three")]
    r = said(ids=("one",), references=("sub_2",), message_id="three")
    assert verdict(receipt(10, r), ss) == joined(1, MatchedBy.submission_id)
    assert verdict(receipt(10, replace(r, ids=())), ss) == joined(2, MatchedBy.reference)
    assert verdict(receipt(10, replace(r, ids=(), references=())), ss) == joined(3, MatchedBy.message_id)


def test_an_id_joins_however_late_and_whatever_the_number() -> None:
    r = receipt(30 * DAY, said(ids=(UUID,), to="+911234567890"))
    assert verdict(r, [submitted(provider_id=UUID, refused=True)]) == joined(1, MatchedBy.submission_id)


def test_an_id_that_comes_before_ours_is_recorded_joins_once_it_is() -> None:
    r = receipt(10, said(ids=(UUID,), to=None))
    assert verdict(r, [submitted()]) == orphan("no-submission")
    assert verdict(r, [submitted(provider_id=UUID)]) == joined(1, MatchedBy.submission_id)


def test_a_row_of_a_poll_belongs_to_the_submission_that_was_polled_submission() -> None:
    r = receipt(10, said(to=None), polled_submission="sub_1")
    assert verdict(r, [submitted()]) == joined(1, MatchedBy.submission_id)


# ---- 2. twin ----

RECORD = said("BUSY", 5, 9, message_id="1234")


def test_what_equals_a_joined_callback_follows_it() -> None:
    """At its own time it would be ambiguous: there are two submissions by then."""
    first, again = receipt(10, RECORD), receipt(700, RECORD)
    ss = [submitted(), submitted(2, requested=600)]
    assert verdict(first, ss, again) == joined(1, BY_TIME)
    assert verdict(again, ss, first) == joined(1, MatchedBy.twin)


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
def test_twins_are_equal_in_id_mid_number_word_start_and_end(other: CallReport) -> None:
    ss = [submitted(), submitted(2, requested=600)]
    found = verdict(receipt(700, other), ss, receipt(10, RECORD))
    assert isinstance(found, Unjoined)


def test_twins_may_differ_in_everything_else() -> None:
    again = receipt(
        700, replace(RECORD, duration_s=4, charges="1", recording_url="https://example.com", bridge=None)
    )
    assert verdict(again, [submitted(), submitted(2, requested=600)], receipt(10, RECORD)) == joined(
        1, MatchedBy.twin
    )


def test_what_has_neither_start_nor_id_has_no_twin() -> None:
    timeless = said("BUSY", None, 9)
    assert duplicate_key(timeless) is None
    again = verdict(receipt(700, timeless), [submitted(), submitted(2, requested=600)], receipt(10, timeless))
    assert again == orphan("ambiguous", 1, 2)
    assert duplicate_key(replace(timeless, ids=("x",))) is not None
    assert duplicate_key(said("BUSY", 5)) is not None


def test_a_twin_follows_by_whatever_lane_it_came() -> None:
    lanes = [submitted(lane="a"), submitted(2, lane="b")]
    first, again = receipt(10, RECORD, lane="a"), receipt(20, RECORD, lane="b")
    assert verdict(first, lanes, again) == joined(1, MatchedBy.lane_and_number)
    assert verdict(again, lanes, first) == joined(1, MatchedBy.twin)


def test_an_orphan_follows_its_twin_that_was_joined_later() -> None:
    two = [submitted(lane="a"), submitted(2, lane="b")]
    first, again = receipt(10, RECORD), receipt(20, RECORD, lane="b")
    assert verdict(again, two, first) == joined(2, MatchedBy.lane_and_number)
    assert verdict(first, two, again) == joined(2, MatchedBy.twin)


def test_moving_one_by_hand_moves_its_twins() -> None:
    first, again = receipt(10, RECORD), receipt(20, RECORD, manual_submission="sub_2")
    two = [submitted(), submitted(2, requested=600)]
    assert verdict(first, two, again) == joined(2, MatchedBy.twin)
    assert verdict(again, two, first) == joined(2, MatchedBy.operator)
    standing = receipt(5, RECORD, fixed_join=joined(1, BY_TIME))
    assert verdict(first, two, again, standing) == joined(2, MatchedBy.twin)


def test_twins_of_two_accounts_are_strangers() -> None:
    other = receipt(20, RECORD, account="b")
    assert verdict(other, [submitted()], receipt(10, RECORD)) == orphan("no-submission")


def test_a_row_of_a_poll_is_nobodys_twin() -> None:
    """Only a callback is repeated; an equal row of a poll was asked for and says nothing of whose callback it is."""
    asked = receipt(50, RECORD, polled_submission="sub_2", id="ask_1/0")
    two = [submitted(), submitted(2)]
    assert verdict(receipt(40, RECORD), two, asked) == orphan("ambiguous", 1, 2)


def test_a_repeat_is_no_younger_than_what_it_repeats() -> None:
    """No callback of a submission comes before its request, so a foreign call's callback that is sent again after
    our request is still foreign."""
    foreign, again = receipt(-60, RECORD), receipt(300, RECORD)
    assert verdict(foreign, [submitted()], again) == orphan("no-submission")
    assert verdict(again, [submitted()], foreign) == orphan("no-submission")
    assert verdict(again, [submitted()]) == joined(1, BY_TIME)


def test_a_join_that_stands_lends_itself_to_twins_but_speaks_against_nobody_unless_it_is_sure() -> None:
    unsure = receipt(10, RECORD, fixed_join=joined(1, BY_TIME))
    other = receipt(20, said("NOANSWER", 105, 135))
    assert verdict(receipt(30, RECORD), [submitted()], unsure) == joined(1, MatchedBy.twin)
    assert verdict(other, [submitted()], unsure) == joined(1, BY_TIME)
    sure = receipt(10, RECORD, fixed_join=joined(1, MatchedBy.submission_id))
    assert verdict(other, [submitted()], sure) == orphan("contradicted", 1)


# ---- 3. lane and number ----


def test_the_lane_and_the_number_tell_two_submissions_apart() -> None:
    two = [submitted(lane="a"), submitted(2, lane="b")]
    assert verdict(receipt(10, lane="b"), two) == joined(2, MatchedBy.lane_and_number)


def test_a_lane_is_held_from_the_request_on() -> None:
    assert verdict(receipt(-1, lane="a"), [submitted(lane="a")]) == orphan("no-submission")
    assert verdict(receipt(0, lane="a"), [submitted(lane="a")]) == joined(1, MatchedBy.lane_and_number)


def test_a_lane_without_a_record_is_held_until_we_give_up() -> None:
    one = [submitted(lane="a")]
    assert verdict(receipt(DAY, lane="a"), one) == joined(1, MatchedBy.lane_and_number)
    assert verdict(receipt(DAY + 1, lane="a"), one) == orphan("no-submission")


def test_a_lane_rests_six_hours_after_its_last_record() -> None:
    exact = receipt(10, said("BUSY", ids=(UUID,)))
    rest = [submitted(lane="a", provider_id=UUID), submitted(2, lane="b")]
    second = receipt(10 + 6 * HOUR, said("NOANSWER"), lane="a")
    assert verdict(second, rest, exact) == joined(1, MatchedBy.lane_and_number)
    too_late = receipt(11 + 6 * HOUR, said("NOANSWER"), lane="a")
    assert verdict(too_late, rest, exact) == joined(2, BY_TIME), "no holder, and the first is contradicted"
    assert verdict(replace(too_late, report=said("CANCEL")), rest, exact, second) == joined(
        1, MatchedBy.lane_and_number
    )


def test_a_lane_that_two_hold_falls_to_number_and_time() -> None:
    two = [submitted(lane="a"), submitted(2, requested=600, lane="a")]
    assert verdict(receipt(700, lane="a"), two) == orphan("ambiguous", 1, 2)
    assert verdict(receipt(10, lane="a"), two) == joined(1, MatchedBy.lane_and_number)


def test_a_lane_is_held_by_account_and_number() -> None:
    others = [submitted(2, to="+911234567890", lane="a"), submitted(3, account="b", lane="a")]
    assert verdict(receipt(10, lane="a"), others) == orphan("no-submission")
    assert verdict(receipt(10, lane="a"), [submitted(lane="a"), *others]) == joined(
        1, MatchedBy.lane_and_number
    )


def test_a_lane_that_nobody_knows_falls_to_number_and_time() -> None:
    assert verdict(receipt(10, lane="z"), [submitted()]) == joined(1, BY_TIME)


# ---- 4. number and time ----


def test_exactly_one_candidate_joins() -> None:
    assert verdict(receipt(10), [submitted()]) == joined(1, BY_TIME)
    assert verdict(receipt(10), [submitted(), submitted(2)]) == orphan("ambiguous", 1, 2)
    assert verdict(receipt(10), []) == orphan("no-submission")


def test_nearness_never_decides() -> None:
    assert verdict(receipt(86_000), [submitted(), submitted(2, requested=85_990)]) == orphan(
        "ambiguous", 1, 2
    )


@pytest.mark.parametrize(
    ("requested", "came", "fits"),
    [(0, -0.001, False), (0, 0, True), (0, DAY, True), (0, DAY + 0.001, False), (None, 10, False)],
)
def test_a_candidate_was_requested_before_the_receipt_and_at_most_a_day_earlier(
    requested: float | None, came: float, fits: bool
) -> None:
    found = verdict(receipt(came), [submitted(requested=requested)])
    assert found == (joined(1, BY_TIME) if fits else orphan("no-submission"))


@pytest.mark.parametrize(
    ("what", "fits"),
    [
        (said(bridge="911111111111"), False),
        (said(bridge=None), True),
        (said(flow_id="25"), False),
        (said(flow_id=None), True),
        (said(to=None), False),
        (said(to="+911234567890"), False),
    ],
)
def test_number_bridge_and_flow_are_equal_where_both_are_known(what: CallReport, fits: bool) -> None:
    assert isinstance(verdict(receipt(10, what), [submitted()]), Join) is fits


def test_a_submission_that_plays_a_sound_has_no_flow_to_compare() -> None:
    assert verdict(receipt(10, said(flow_id="99")), [submitted(flow_id=None)]) == joined(1, BY_TIME)


def test_what_the_provider_refused_is_no_candidate() -> None:
    """No phone can ring because of it. (By an id it is still found.)"""
    two = [submitted(refused=True), submitted(2)]
    assert verdict(receipt(10), two) == joined(2, BY_TIME)
    assert verdict(receipt(10, lane="a"), [submitted(refused=True, lane="a")]) == orphan("no-submission")


EXACT = receipt(10, said("BUSY", 5, 9, ids=(UUID,)), id="cb_exact")
FIRST = submitted(provider_id=UUID)
SECOND = submitted(2, requested=600)


@pytest.mark.parametrize(
    "what",
    [
        said("NOANSWER", 5, 9),
        said("BUSY", 6, 9),
        said("BUSY", 5, 10),
        said("NOANSWER"),
        said("BUSY", 605, 609),
    ],
)
def test_a_candidate_that_an_exact_record_contradicts_is_excluded(what: CallReport) -> None:
    assert verdict(receipt(700, what), [FIRST, SECOND], EXACT) == joined(2, BY_TIME)
    assert verdict(receipt(700, what), [FIRST], EXACT) == orphan("contradicted", 1)


@pytest.mark.parametrize(
    "what",
    [
        said("BUSY", 5, 9),
        said("BUSY"),
        said(None),
        said("busy".upper(), 5),
        said("BUSY", 5 + INDIA, 9 + INDIA),
    ],
)
def test_what_an_exact_record_does_not_contradict_leaves_it_ambiguous(what: CallReport) -> None:
    """The same record, in another zone or with less said, may be of either."""
    assert verdict(receipt(700, what), [FIRST, SECOND], EXACT) == orphan("ambiguous", 1, 2)


def test_that_a_phone_rang_or_was_to_ring_contradicts_no_outcome() -> None:
    """Design says "another word"; the word of a state on the way is none of an outcome's."""
    for word in ("RINGING", "QUEUED"):
        exact = replace(EXACT, report=said(word, ids=(UUID,)))
        assert verdict(receipt(20, said("BUSY")), [FIRST], exact) == joined(1, BY_TIME)


@pytest.mark.parametrize(
    ("word", "other"), [("VOICEMAIL", "BUSY"), ("BUSY", "VOICEMAIL"), ("VOICEMAIL", "FAX")]
)
def test_a_word_that_we_do_not_know_contradicts_no_other(word: str, other: str) -> None:
    """It may be on the way to the other, or the other's new name; and it is shown. Other times contradict as ever."""
    exact = replace(EXACT, report=said(word, 5, 9, ids=(UUID,)))
    assert verdict(receipt(20, said(other)), [FIRST], exact) == joined(1, BY_TIME)
    assert verdict(receipt(20, said(other, 5, 9)), [FIRST], exact) == joined(1, BY_TIME)
    assert verdict(receipt(20, said(other, 6, 10)), [FIRST], exact) == orphan("contradicted", 1)
    assert verdict(receipt(700, said(other)), [FIRST, SECOND], exact) == orphan("ambiguous", 1, 2)


def test_with_interval_nothing_contradicts_for_there_are_several_dials() -> None:
    r = receipt(700, said("NOANSWER", 605, 635))
    assert verdict(r, [replace(FIRST, interval=5)], EXACT) == joined(1, BY_TIME)
    assert verdict(r, [replace(FIRST, interval=5), SECOND], EXACT) == orphan("ambiguous", 1, 2)


def test_only_what_was_joined_exactly_excludes() -> None:
    by_time = receipt(10, said("BUSY", 5, 9))
    assert verdict(receipt(20, said("NOANSWER", 5, 35)), [submitted()], by_time) == joined(1, BY_TIME)


def test_the_row_of_a_poll_and_an_operators_join_exclude_too() -> None:
    r = receipt(700, said("NOANSWER", 605, 635))
    asked = receipt(650, said("BUSY", 5, 9), polled_submission="sub_1", id="ask_1/0")
    by_hand = receipt(650, said("BUSY", 5, 9), manual_submission="sub_1")
    for sure in (asked, by_hand):
        assert verdict(r, [submitted(), SECOND], sure) == joined(2, BY_TIME)


def test_evidence_that_comes_later_excludes_as_well() -> None:
    late = replace(EXACT, received_at=at(5 * HOUR))
    assert verdict(receipt(700, said("NOANSWER", 605, 635)), [FIRST, SECOND], late) == joined(2, BY_TIME)


@pytest.mark.parametrize(
    ("end", "found"),
    [
        (600 - 15 * MINUTE - 1, joined(1, BY_TIME)),
        (600 - 15 * MINUTE, orphan("ambiguous", 1, 2)),
        (650, orphan("ambiguous", 1, 2)),
        # excluded for both, so for none
        (-2 * HOUR, orphan("ambiguous", 1, 2)),
        # too far from the receipt to be believed
        (700 - 37 * HOUR, orphan("ambiguous", 1, 2)),
        (700 + 37 * HOUR, orphan("ambiguous", 1, 2)),
    ],
)
def test_a_record_that_ended_well_before_a_request_is_not_of_it(end: float, found: Verdict) -> None:
    two = [submitted(requested=-1000), submitted(2, requested=600)]
    assert verdict(receipt(700, said("BUSY", end - 4, end)), two) == found


def test_a_start_alone_excludes_nobody() -> None:
    """The sentence is about a record that ended; when this one did, nobody said."""
    two = [submitted(requested=-1000), submitted(2, requested=600)]
    assert verdict(receipt(700, said("BUSY", -900)), two) == orphan("ambiguous", 1, 2)


def test_one_candidate_joins_also_with_times_that_cannot_be() -> None:
    assert verdict(receipt(10, said("BUSY", -INDIA, 4 - INDIA)), [submitted()]) == joined(1, BY_TIME)


def test_settled_submissions_are_candidates_too_so_a_join_can_become_ambiguous() -> None:
    """Nothing that match() sees says whether a submission is settled; a second request before the receipt is enough,
    also where it becomes known later than the callback."""
    r = receipt(700)
    assert verdict(r, [submitted()]) == joined(1, BY_TIME)
    assert verdict(r, [submitted(), submitted(2, requested=600)]) == orphan("ambiguous", 1, 2)


def test_a_request_after_the_receipt_takes_no_join_away() -> None:
    assert verdict(receipt(10), [submitted(), submitted(2, requested=600)]) == joined(1, BY_TIME)


# ---- 5. operator; click-to-call ----


def test_an_operator_goes_before_everything() -> None:
    r = receipt(10, said(ids=(UUID,)), manual_submission="sub_2")
    assert verdict(r, [FIRST, SECOND]) == joined(2, MatchedBy.operator)


def test_click_to_call_is_joined_by_an_exact_id_only() -> None:
    clicked = said("ANSWER", 5, 28, click_to_call=True)
    ignored = Unjoined(reason="click-to-call", ignored=True)
    assert verdict(receipt(10, clicked), [submitted()]) == ignored
    assert verdict(receipt(10, clicked, lane="a"), [submitted(lane="a")]) == ignored
    assert (
        verdict(receipt(10, clicked), [submitted()], receipt(9, replace(clicked, click_to_call=False)))
        == ignored
    )
    exact = receipt(10, replace(clicked, ids=(UUID,)))
    assert verdict(exact, [FIRST]) == joined(1, MatchedBy.submission_id)
    by_hand = receipt(10, clicked, manual_submission="sub_1")
    assert verdict(by_hand, [FIRST]) == joined(1, MatchedBy.operator)


def test_keys_of_ids() -> None:
    assert id_key(f" {UUID.upper()}:1 ") == f"{UUID}:1"
    assert base_id_key(f"{UUID}:12") == base_id_key(UUID) == UUID
    assert base_id_key("a:b") == "a:b"


def test_a_twin_key_fits_an_index() -> None:
    key = duplicate_key(said(ids=("x" * 10_000,), message_id="y" * 10_000))
    assert key is not None
    assert all(len(part) < 200 for part in key)

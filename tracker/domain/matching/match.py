"""Matches receipts to submissions: `match` is the entry.

`match` is a pure function of stored evidence (receipts and submissions), never of a status. So the joins come out the
same in whatever order the evidence was stored. The rules, from sure to unsure:

1. an operator chose the submission;
2. an id identifies it (`ids`);
3. the receipt is a duplicate of one that is joined (`heuristics`, as are the next two);
4. exactly one submission to the number holds the lane by which the callback came;
5. exactly one submission to the number fits in time.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Verdict
from tracker.domain.matching.heuristics import match_by_heuristics
from tracker.domain.matching.ids import SubmissionIndex


def match(receipts: Iterable[Receipt], submissions: Iterable[SubmissionFacts]) -> dict[str, Verdict]:
    """Return the verdict on each receipt, by the receipt's id. Repetitions in the arguments change nothing.

    The arguments must hold everything that can matter: the submissions that an id may mean and, for receipts without
    such an id, all submissions to their numbers and all receipts of those numbers.
    """
    unique_receipts = {r.id: r for r in receipts}
    unique_submissions = {s.id: s for s in submissions}
    joins = match_by_id(unique_receipts.values(), unique_submissions.values())
    if len(joins) == len(unique_receipts):  # nearly always
        return {**joins}
    return {**joins, **match_by_heuristics(unique_receipts.values(), unique_submissions.values(), joins)}


def match_by_id(receipts: Iterable[Receipt], submissions: Iterable[SubmissionFacts]) -> dict[str, Join]:
    """Return the joins that no other receipt can change: an operator's, the fixed ones, and those by id."""
    index = SubmissionIndex(submissions)
    return {
        r.id: join
        for r in receipts
        if (join := _manual_join(r) or r.fixed_join or index.find_join(r)) is not None
    }


def _manual_join(receipt: Receipt) -> Join | None:
    submission = receipt.manual_submission
    return Join(submission=submission, matched_by=MatchedBy.operator) if submission else None

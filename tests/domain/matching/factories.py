"""Builds submissions and receipts for one number. Times are seconds after the first request."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

from tests.domain.factories import at, make_report
from tracker.domain.call_reports import CallReport
from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Unjoined, Verdict
from tracker.domain.matching.match import match

NUMBER, BRIDGE = "+918867130003", "918068280001"
UUID = "70fa87e0-9df9-4327-bc80-a561c48703d8"

BY_TIME = MatchedBy.number_and_time
BY_LANE = MatchedBy.lane_and_number


def submission(
    n: int = 1, *, requested: float | None = 0, provider_id: str | None = None, **fields: Any
) -> SubmissionFacts:
    """Return submission `sub_n` to the number."""
    defaults: dict[str, Any] = {
        "account": "a", "to": NUMBER, "bridge": BRIDGE, "flow_id": "24", "interval": 0, "lane": None,
    }  # fmt: skip
    requested_at = None if requested is None else at(requested)
    return SubmissionFacts(
        id=f"sub_{n}", provider_id=provider_id, requested_at=requested_at, **{**defaults, **fields}
    )


def report(
    provider_status: str | None = "BUSY",
    start: float | None = None,
    end: float | None = None,
    **fields: Any,
) -> CallReport:
    """Return a report about the number that names no submission."""
    defaults = {"to": NUMBER, "bridge": BRIDGE, "flow_id": "24"}
    return make_report(provider_status, start, end, **{**defaults, **fields})


def receipt(received: float, content: CallReport | None = None, *, id: str = "", **fields: Any) -> Receipt:
    """Return the receipt of a report. Its id rises with the time of receipt."""
    return Receipt(
        id=id or f"cb_{received:012.3f}",
        received_at=at(received),
        report=content or report(),
        **{"account": "a", "lane": None, **fields},
    )


def verdict_on(r: Receipt, submissions: Iterable[SubmissionFacts], *others: Receipt) -> Verdict:
    """Return the verdict on `r`. Assert that it is the same in whatever order the evidence is passed."""
    submissions = list(submissions)
    verdicts = [
        match(receipts, order)[r.id]
        for receipts in permutations([r, *others])
        for order in (submissions, submissions[::-1])
    ]
    assert all(v == verdicts[0] for v in verdicts)
    return verdicts[0]


def join(n: int, matched_by: MatchedBy) -> Join:
    """Return the verdict that joins to submission `sub_n`."""
    return Join(submission=f"sub_{n}", matched_by=matched_by)


def orphan(reason: str, *candidates: int) -> Unjoined:
    """Return the verdict that joins to no submission."""
    return Unjoined(reason=reason, candidates=tuple(f"sub_{n}" for n in candidates))

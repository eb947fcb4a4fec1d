"""Matches the receipts that no id decides: by an equal callback, by lane and number, or by number and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from tracker.domain.call_reports import CallReport
from tracker.domain.calls import OPEN_STATUSES
from tracker.domain.events import MatchedBy, key_part
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Unjoined, Verdict
from tracker.domain.matching.ids import id_key
from tracker.domain.same_record import find_zone_shift, provider_status_key
from tracker.domain.time_text import iso

#: A callback without an id can belong to a submission for this long after the request.
MATCH_WINDOW = timedelta(hours=24)
#: A submission holds its lane for this long after its last report.
LANE_HOLD = timedelta(hours=6)
#: Times in a payload are ignored if they differ by more than this from the receipt.
_MAX_PAYLOAD_DRIFT = timedelta(hours=36)
#: A report cannot be of a submission that was requested this long after the report's end.
_MIN_GAP_BEFORE_REQUEST = timedelta(minutes=15)


def match_by_heuristics(
    receipts: Iterable[Receipt], submissions: Iterable[SubmissionFacts], joins: Mapping[str, Join]
) -> dict[str, Verdict]:
    """Return the verdicts on the receipts that are not among `joins`, by the receipt's id.

    `joins` are the joins of the other receipts. Each receipt and each submission must be given once.
    """
    ordered = sorted(receipts, key=lambda r: (r.received_at, r.id))
    first_received = _first_received(ordered)
    known = _KnownJoins()
    for receipt in sorted((r for r in ordered if r.id in joins), key=_duplicate_precedence):
        known.add(receipt, joins[receipt.id])

    by_number: dict[tuple[str, str], list[SubmissionFacts]] = {}
    for s in submissions:
        by_number.setdefault((s.account, s.to), []).append(s)
    undecided = [r for r in ordered if r.id not in joins]
    verdicts: dict[str, Verdict] = {}
    for receipt in undecided:
        to_number = by_number.get((receipt.account, receipt.report.to or ""), ())
        verdict = _decide(receipt, first_received[receipt.id], to_number, known)
        verdicts[receipt.id] = verdict
        if isinstance(verdict, Join):
            known.add(receipt, verdict)
    # a receipt can be a duplicate of a later one that was joined after it was decided
    for receipt in undecided:
        verdict = verdicts[receipt.id]
        if isinstance(verdict, Unjoined) and not verdict.ignored and (join := known.find_duplicate(receipt)):
            verdicts[receipt.id] = join
    return verdicts


def duplicate_key(report: CallReport) -> tuple[str, ...] | None:
    """Return the key that all receipts of one record share, or None if there is too little to compare.

    Too little is neither an id nor a start time.
    """
    id = id_key(report.ids[0]) if report.ids else ""
    if not id and report.started_at is None:
        return None
    return (
        key_part(id),
        key_part(id_key(report.message_id or "")),
        report.to or "",
        key_part(provider_status_key(report.provider_status)),
        iso(report.started_at) if report.started_at else "",
        iso(report.ended_at) if report.ended_at else "",
    )


def contradicts(a: CallReport, b: CallReport) -> bool:
    """Whether two reports cannot be of the same record because the provider's status, the start or the end differs.

    A missing value is no contradiction. Nor is a status that comes before the outcome, such as ringing. Nor is a
    status that we do not know, because it may come before the outcome or be another name for it.
    """
    reports = (r for r in (a, b) if r.status is not None and r.status not in OPEN_STATUSES)
    if len({provider_status_key(r.provider_status) for r in reports} - {""}) > 1:
        return True
    if find_zone_shift(a, b) is not None:
        return False
    starts_differ = a.started_at and b.started_at and a.started_at != b.started_at
    ends_differ = a.ended_at and b.ended_at and a.ended_at != b.ended_at
    return bool(starts_differ or ends_differ)


class _KnownJoins:
    """The joins that are decided so far, with what the heuristics need to know of them."""

    def __init__(self) -> None:
        #: submission → when its reports were received
        self._received: dict[str, list[datetime]] = {}
        #: submission → the reports of its certain joins
        self._certain_reports: dict[str, list[CallReport]] = {}
        #: (account, *duplicate_key) → submission
        self._submission_of: dict[tuple[str, ...], str] = {}

    def add(self, receipt: Receipt, join: Join) -> None:
        self._received.setdefault(join.submission, []).append(receipt.received_at)
        if join.is_certain:
            self._certain_reports.setdefault(join.submission, []).append(receipt.report)
        key = duplicate_key(receipt.report)
        if key is not None and receipt.polled_submission is None:
            self._submission_of.setdefault((receipt.account, *key), join.submission)

    def find_duplicate(self, receipt: Receipt) -> Join | None:
        """Return the join to the submission of an equal receipt, or None."""
        key = duplicate_key(receipt.report)
        submission = self._submission_of.get((receipt.account, *key)) if key else None
        return Join(submission=submission, matched_by=MatchedBy.twin) if submission else None

    def holds_lane(self, s: SubmissionFacts, at: datetime) -> bool:
        """Whether the submission holds its lane at a time: after its last report, or else after its request."""
        received = [t for t in self._received.get(s.id, ()) if t <= at]
        if received:
            return at <= max(received) + LANE_HOLD
        return s.requested_at is not None and at <= s.requested_at + MATCH_WINDOW

    def contradict(self, report: CallReport, s: SubmissionFacts) -> bool:
        """Whether a certain join of the submission contradicts the report. Never if the provider redials."""
        if s.interval:
            return False
        return any(contradicts(report, other) for other in self._certain_reports.get(s.id, ()))


def _first_received(ordered: Iterable[Receipt]) -> dict[str, datetime]:
    """Return when the record of each receipt was first received, by the receipt's id. Takes receipts in time order.

    A repeat is as old as its first receipt. Otherwise a call that was over before our request could be taken for ours
    when its callback is sent again.
    """
    first: dict[tuple[str, ...], datetime] = {}
    first_received: dict[str, datetime] = {}
    for r in ordered:
        key = duplicate_key(r.report) if r.polled_submission is None else None
        first_received[r.id] = first.setdefault((r.account, *key), r.received_at) if key else r.received_at
    return first_received


def _duplicate_precedence(receipt: Receipt) -> int:
    """Return the rank of a joined receipt among its duplicates, which follow the lowest.

    An operator's join comes first, then a certain one, then one that is only fixed.
    """
    if receipt.manual_submission:
        return 0
    return 2 if receipt.fixed_join and not receipt.fixed_join.is_certain else 1


def _decide(
    receipt: Receipt, at: datetime, to_number: Iterable[SubmissionFacts], known: _KnownJoins
) -> Verdict:
    """Return the verdict on one receipt that no id decides.

    `at` is when its record was first received; `to_number` are the account's submissions to its number.
    """
    report = receipt.report
    if report.click_to_call:
        return Unjoined(reason="click-to-call", ignored=True)
    if join := known.find_duplicate(receipt):
        return join
    if report.to is None:
        return Unjoined(reason="no-submission")
    requested = [
        s for s in to_number if s.requested_at is not None and s.requested_at <= at and not s.refused
    ]
    if receipt.lane is not None:
        holders = [s for s in requested if s.lane == receipt.lane and known.holds_lane(s, at)]
        if len(holders) == 1:
            return Join(submission=holders[0].id, matched_by=MatchedBy.lane_and_number)
    return _match_by_number_and_time(report, at, requested, known)


def _match_by_number_and_time(
    report: CallReport, at: datetime, requested: Iterable[SubmissionFacts], known: _KnownJoins
) -> Verdict:
    """Return a join if exactly one of these submissions to the report's number can be meant. Nearness never decides."""
    candidates = [
        s
        for s in requested
        if s.requested_at is not None
        and at <= s.requested_at + MATCH_WINDOW
        and (not report.bridge or not s.bridge or report.bridge == s.bridge)
        and (not report.flow_id or not s.flow_id or report.flow_id == s.flow_id)
    ]
    if not candidates:
        return Unjoined(reason="no-submission")
    uncontradicted = [s for s in candidates if not known.contradict(report, s)]
    if not uncontradicted:
        return Unjoined(reason="contradicted", candidates=tuple(sorted(s.id for s in candidates)))
    # if the payload's times exclude every candidate, the times are wrong
    fitting = [s for s in uncontradicted if not _ended_before_request(report, at, s)] or uncontradicted
    if len(fitting) == 1:
        return Join(submission=fitting[0].id, matched_by=MatchedBy.number_and_time)
    return Unjoined(reason="ambiguous", candidates=tuple(sorted(s.id for s in fitting)))


def _ended_before_request(report: CallReport, at: datetime, s: SubmissionFacts) -> bool:
    """Whether the report ended well before the submission was requested, if its times are believable."""
    if report.ended_at is None or s.requested_at is None or abs(at - report.ended_at) > _MAX_PAYLOAD_DRIFT:
        return False
    return report.ended_at < s.requested_at - _MIN_GAP_BEFORE_REQUEST

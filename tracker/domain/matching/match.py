"""Which submission a callback belongs to, and how sure we are.

`match` is a pure function of stored evidence (receipts and submissions), never of a status, so that joins come out
the same in whatever order the evidence was stored. From sure to unsure: an id; a twin (it equals a callback that is
joined); the lane on which it came and the number; the number and the time, where exactly one submission fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.domain.call_reports import CallReport
from tracker.domain.calls import OPEN_STATUSES
from tracker.domain.event_derivation import find_zone_shift, provider_status_key
from tracker.domain.events import MatchedBy, key_part
from tracker.domain.time_text import iso
from tracker.domain.values import value

#: how long after its request a callback without an id may still belong to a submission
MATCH_WINDOW = timedelta(hours=24)
#: how long a lane stays with a submission after its last record
LANE_HOLD = timedelta(hours=6)
#: payload times farther than this from the receipt say nothing
_BELIEVABLE = timedelta(hours=36)
#: a record that ended this long before a request cannot be its record
_BEFORE_REQUEST = timedelta(minutes=15)

_SUFFIX = re.compile(r":\d+$")


@value
class SubmissionFacts:
    """A submission as matching sees it."""

    id: str
    #: the call it belongs to; matching does not look at it
    call: str = ""
    account: str
    #: E.164
    to: str
    #: digits
    bridge: str
    flow_id: str | None
    #: minutes
    interval: int
    lane: str | None
    #: as the provider gave it; None before it was accepted
    provider_id: str | None
    #: the commit to `submitting`, UTC; None before
    requested_at: datetime | None
    #: the provider refused it or it never left: no phone can ring because of it
    refused: bool = False


@value
class Receipt:
    """A readable callback as matching sees it; also a row of a poll, which carries the submission it was asked for."""

    id: str
    account: str
    lane: str | None
    received_at: datetime
    report: CallReport
    #: an operator said so: this submission, whatever the rest says
    manual_submission: str | None = None
    #: the row of a poll: the submission that was asked for
    polled_submission: str | None = None
    #: a join that stands and is not weighed here; its like follow it
    fixed_join: Join | None = None


@dataclass(frozen=True, kw_only=True)
class Join:
    submission: str
    matched_by: MatchedBy

    @property
    def is_certain(self) -> bool:
        """Whether an id or a person says so: only then does its record speak against another one."""
        return self.matched_by.is_exact or self.matched_by is MatchedBy.operator


@dataclass(frozen=True, kw_only=True)
class Unjoined:
    """Nothing fits, or several do. `ignored`: it is nothing of ours, and nobody should look again."""

    #: `no-submission`, `ambiguous`, `contradicted`, `click-to-call`
    reason: str
    ignored: bool = False
    #: the submissions among which it is ambiguous
    candidates: tuple[str, ...] = ()


Verdict = Join | Unjoined


def id_key(id: str) -> str:
    """A provider's submission id for comparing: case does not count."""
    return id.strip().casefold()


def base_id_key(id: str) -> str:
    """The same without the `:n` suffix."""
    return _SUFFIX.sub("", id_key(id))


def is_named_by_first_id(report: CallReport, submission: SubmissionFacts) -> bool:
    """Whether the first of its ids is this submission's: then nothing that becomes known later says otherwise."""
    id = submission.provider_id
    return bool(id and report.ids and id_key(report.ids[0]) == id_key(id))


def duplicate_key(report: CallReport) -> tuple[str, ...] | None:
    """What two receipts have in common that tell the same record; None where there is too little to compare."""
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


def match(receipts: Iterable[Receipt], submissions: Iterable[SubmissionFacts]) -> dict[str, Verdict]:
    """For each receipt the submission it belongs to, or why there is none.

    The caller gives everything that can matter: the submissions that an id may mean, and for receipts without one all
    submissions to their numbers and all receipts of those numbers.
    """
    once = {r.id: r for r in receipts}
    known = {s.id: s for s in submissions}
    decided = match_by_id(once.values(), known.values())
    verdicts: dict[str, Verdict] = {**decided}
    if len(verdicts) == len(once):  # the rest is for those that no id decides
        return verdicts

    ordered = sorted(once.values(), key=lambda r: (r.received_at, r.id))
    came = _first_receipts(ordered)
    heard: dict[str, list[datetime]] = {}
    exact: dict[str, list[CallReport]] = {}
    twins: dict[tuple[str, ...], str] = {}
    rest: list[Receipt] = []

    for r in sorted(ordered, key=_standing):
        join = decided.get(r.id)
        if join is None:
            rest.append(r)
            continue
        if join.is_certain:
            exact.setdefault(join.submission, []).append(r.report)
        heard.setdefault(join.submission, []).append(r.received_at)
        _remember_twin(twins, r, join)

    by_number: dict[tuple[str, str], list[SubmissionFacts]] = {}
    for s in known.values():
        by_number.setdefault((s.account, s.to), []).append(s)
    for r in rest:
        verdict = _without_id(r, came[r.id], twins, by_number, exact, heard)
        verdicts[r.id] = verdict
        if isinstance(verdict, Join):
            heard.setdefault(verdict.submission, []).append(r.received_at)
            _remember_twin(twins, r, verdict)
    # a twin that was joined later in the order of receipts counts for the earlier one, too
    for r in rest:
        verdict = verdicts[r.id]
        if isinstance(verdict, Unjoined) and not verdict.ignored and (found := _twin(twins, r)):
            verdicts[r.id] = found
    return verdicts


def match_by_id(receipts: Iterable[Receipt], submissions: Iterable[SubmissionFacts]) -> dict[str, Join]:
    """The joins that hang on nothing else: by an operator's word, by an id, or because they stand."""
    ids = _Ids(submissions)
    return {
        r.id: join for r in receipts if (join := _manual_join(r) or r.fixed_join or ids.find(r)) is not None
    }


def _first_receipts(ordered: Iterable[Receipt]) -> dict[str, datetime]:
    """For each receipt when its record first came: a repeat is no younger than what it repeats.

    Otherwise a call that was over before our request could be taken for ours when its callback is sent again.
    """
    first: dict[tuple[str, ...], datetime] = {}
    came: dict[str, datetime] = {}
    for r in ordered:
        key = duplicate_key(r.report) if r.polled_submission is None else None
        came[r.id] = first.setdefault((r.account, *key), r.received_at) if key else r.received_at
    return came


def _standing(r: Receipt) -> int:
    """Whose twins follow whom: what an operator said goes before what an id says, and that before what only stands."""
    return 0 if r.manual_submission else 2 if r.fixed_join and not r.fixed_join.is_certain else 1


def _manual_join(r: Receipt) -> Join | None:
    return (
        Join(submission=r.manual_submission, matched_by=MatchedBy.operator) if r.manual_submission else None
    )


class _Ids:
    """The submissions by everything that identifies one."""

    def __init__(self, submissions: Iterable[SubmissionFacts]) -> None:
        self.own: dict[tuple[str, str], list[str]] = {}
        self.full: dict[tuple[str, str], list[str]] = {}
        self.base: dict[tuple[str, str], list[str]] = {}
        for s in submissions:
            self.own[s.account, id_key(s.id)] = [s.id]
            if s.provider_id is not None:
                self.full.setdefault((s.account, id_key(s.provider_id)), []).append(s.id)
                self.base.setdefault((s.account, base_id_key(s.provider_id)), []).append(s.id)

    def find(self, r: Receipt) -> Join | None:
        if r.polled_submission is not None:
            return Join(submission=r.polled_submission, matched_by=MatchedBy.submission_id)
        ids, mid = r.report.ids, r.report.message_id
        first = self.full.get((r.account, id_key(ids[0])), []) if ids else []
        if len(first) == 1:  # nearly always
            return Join(submission=first[0], matched_by=MatchedBy.submission_id)
        tries = (
            (self.full, [id_key(i) for i in ids], MatchedBy.submission_id),
            (self.base, [base_id_key(i) for i in ids], MatchedBy.submission_id_without_suffix),
            (self.own, [id_key(i) for i in r.report.references], MatchedBy.reference),
            (self.full, [id_key(mid)] if mid else [], MatchedBy.message_id),
            (self.base, [base_id_key(mid)] if mid else [], MatchedBy.message_id),
        )
        for index, keys, matched_by in tries:
            for key in keys:
                found = index.get((r.account, key), ())
                if len(found) == 1:
                    return Join(submission=found[0], matched_by=matched_by)
        return None


def _remember_twin(twins: dict[tuple[str, ...], str], r: Receipt, join: Join) -> None:
    key = duplicate_key(r.report)
    if key is not None and r.polled_submission is None:
        twins.setdefault((r.account, *key), join.submission)


def _twin(twins: Mapping[tuple[str, ...], str], r: Receipt) -> Join | None:
    key = duplicate_key(r.report)
    submission = twins.get((r.account, *key)) if key else None
    return Join(submission=submission, matched_by=MatchedBy.twin) if submission else None


def _without_id(
    r: Receipt,
    came: datetime,
    twins: Mapping[tuple[str, ...], str],
    by_number: Mapping[tuple[str, str], Sequence[SubmissionFacts]],
    exact: Mapping[str, Sequence[CallReport]],
    heard: Mapping[str, Sequence[datetime]],
) -> Verdict:
    if r.report.click_to_call:
        return Unjoined(reason="click-to-call", ignored=True)
    if found := _twin(twins, r):
        return found
    if r.report.to is None:
        return Unjoined(reason="no-submission")
    to_number = by_number.get((r.account, r.report.to), ())
    requested = [s for s in to_number if s.requested_at is not None and s.requested_at <= came]
    if holder := _lane_holder(r.lane, came, requested, heard):
        return Join(submission=holder, matched_by=MatchedBy.lane_and_number)
    return _by_number_and_time(r.report, came, requested, exact)


def _lane_holder(
    lane: str | None,
    at: datetime,
    requested: Iterable[SubmissionFacts],
    heard: Mapping[str, Sequence[datetime]],
) -> str | None:
    """The one submission that holds the lane for this number at that time."""
    if lane is None:
        return None
    holders = [s.id for s in requested if s.lane == lane and not s.refused and _holds(s, at, heard)]
    return holders[0] if len(holders) == 1 else None


def _holds(s: SubmissionFacts, at: datetime, heard: Mapping[str, Sequence[datetime]]) -> bool:
    before = [t for t in heard.get(s.id, ()) if t <= at]
    if before:
        return at <= max(before) + LANE_HOLD
    return s.requested_at is not None and at <= s.requested_at + MATCH_WINDOW


def _by_number_and_time(
    r: CallReport,
    came: datetime,
    requested: Iterable[SubmissionFacts],
    exact: Mapping[str, Sequence[CallReport]],
) -> Verdict:
    candidates = [
        s
        for s in requested
        if s.requested_at is not None
        and came <= s.requested_at + MATCH_WINDOW
        and not s.refused
        and (not r.bridge or not s.bridge or r.bridge == s.bridge)
        and (not r.flow_id or not s.flow_id or r.flow_id == s.flow_id)
    ]
    if not candidates:
        return Unjoined(reason="no-submission")
    free = [s for s in candidates if s.interval or not any(contradicts(r, e) for e in exact.get(s.id, ()))]
    if not free:
        return Unjoined(reason="contradicted", candidates=tuple(sorted(s.id for s in candidates)))
    in_time = [s for s in free if not _ended_before(r, came, s)] or free
    if len(in_time) == 1:
        return Join(submission=in_time[0].id, matched_by=MatchedBy.number_and_time)
    return Unjoined(reason="ambiguous", candidates=tuple(sorted(s.id for s in in_time)))


def contradicts(a: CallReport, b: CallReport) -> bool:
    """Whether two records cannot be the same one: another word, start or end.

    What one of them does not say is no contradiction; neither is that a phone rang, or was to ring, before its outcome,
    nor a word that we do not know, for it may mean that, or be another name of what the other says.
    """
    words = {
        provider_status_key(r.provider_status)
        for r in (a, b)
        if r.status is not None and r.status not in OPEN_STATUSES
    } - {""}
    if len(words) > 1:
        return True
    if find_zone_shift(a, b) is not None:
        return False
    starts_differ = a.started_at and b.started_at and a.started_at != b.started_at
    ends_differ = a.ended_at and b.ended_at and a.ended_at != b.ended_at
    return bool(starts_differ or ends_differ)


def _ended_before(r: CallReport, came: datetime, s: SubmissionFacts) -> bool:
    """Whether the record was over well before the submission was requested, if its times can be believed."""
    if r.ended_at is None or s.requested_at is None or abs(came - r.ended_at) > _BELIEVABLE:
        return False
    return r.ended_at < s.requested_at - _BEFORE_REQUEST

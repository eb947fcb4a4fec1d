"""Gathering: everything that can matter for the match of some callbacks, so that it can be a pure function.

An id decides by itself. Where none does, all submissions to the number in question matter, all receipts for it that no
id has joined, and the records that are surely joined to those submissions; and whatever equals one of the receipts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from tracker.domain.events import MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts, Unjoined, Verdict
from tracker.domain.matching.heuristics import LANE_HOLD, MATCH_WINDOW
from tracker.domain.matching.ids import base_id_key, id_key, is_named_by_first_id
from tracker.domain.matching.match import match, match_by_id
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries
from tracker.store.inbox.match_queries import duplicate_text

_NOWHERE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class MatchContext:
    """What is matched together, and what came of it."""

    receipts: dict[str, Receipt]
    submissions: dict[str, SubmissionFacts]
    #: the receipts whose verdict may be written; the others only bear witness
    targets: set[str]
    verdicts: dict[str, Verdict]


def load_match_context(
    c: Connection, account: str, targets: Sequence[Receipt], stood: Mapping[str, str] = _NOWHERE
) -> MatchContext:
    """Everything that bears on these receipts.

    targets: readable ones of one account that nobody said to ignore. stood: the submissions to which some of them are
    joined so far (receipt → submission); who goes from one leaves others there behind.
    """
    receipts = {r.id: r for r in targets}
    submissions = {s.id: s for s in _by_id(c, account, targets)}
    first = match_by_id(targets, submissions.values())
    sure = {id: submissions[join.submission] for id, join in first.items() if join.is_certain}
    named = {id for id, s in sure.items() if _by_its_first_id(receipts[id], first[id], s)}
    left = match_queries.submitted_by_keys(c, account, own=set(stood.values()))
    submissions |= {s.id: s for s in left if s.id not in submissions}
    loose = numbers_waited_for(c, account, [*sure.values(), *left])
    straight = _straight(targets, sure, named - stood.keys(), loose)
    gathered = MatchContext(
        receipts=receipts,
        submissions=submissions,
        targets=set(receipts),
        verdicts={id: first[id] for id in straight},
    )
    if rest := [r for r in targets if r.id not in straight]:
        _gather_around(c, account, rest, sure, named, loose, gathered)
    return gathered


def _by_its_first_id(r: Receipt, join: Join, submission: SubmissionFacts) -> bool:
    return join.matched_by is MatchedBy.submission_id and is_named_by_first_id(r.report, submission)


class Dialled(Protocol):
    """What waiting for a number hangs on: it, and when it was dialled."""

    @property
    def to(self) -> str: ...

    @property
    def requested_at(self) -> datetime | None: ...


def numbers_waited_for(c: Connection, account: str, submissions: Iterable[Dialled]) -> set[str]:
    """The numbers of these submissions for which there are receipts that no id has joined: those are weighed anew."""
    requested = [(s.requested_at, s.to) for s in submissions if s.requested_at is not None]
    if not requested:
        return set()
    return match_queries.numbers_with_heuristic_callbacks(
        c, account, {to for _, to in requested}, min(requested)[0]
    )


def _straight(
    targets: Sequence[Receipt], sure: Mapping[str, SubmissionFacts], named: set[str], loose: set[str]
) -> set[str]:
    """The receipts that their first id decides (`named`) and on which no other match hangs.

    What names its id has the id's twins, which that id joins; who is joined otherwise takes its twins along.
    """
    aside = [r.report for r in targets if r.id not in sure]
    entangled = loose | {reading.to for reading in aside if reading.to}
    alike = {twin for reading in aside if (twin := duplicate_text(reading))}
    return {
        r.id
        for r in targets
        if r.id in named
        and sure[r.id].to not in entangled
        and not (alike and duplicate_text(r.report) in alike)
    }


def _gather_around(
    c: Connection,
    account: str,
    targets: Sequence[Receipt],
    sure: Mapping[str, SubmissionFacts],
    named: set[str],
    loose: set[str],
    gathered: MatchContext,
) -> None:
    """Add what bears on receipts that no id decides, or on whose number others wait; and match them together."""
    receipts, submissions = {r.id: r for r in targets}, gathered.submissions
    alone = [r for r in targets if r.id not in named]
    gathered.targets.update(r.id for r in _take_twins(c, account, alone, receipts))

    # the numbers for which no id decides, and from when on
    since: dict[str, datetime] = {}
    for s in submissions.values():
        if s.to in loose and s.requested_at:
            since[s.to] = min(since.get(s.to, s.requested_at), s.requested_at)
    for r in receipts.values():
        if r.report.to and r.id not in sure and r.fixed_join is None:
            since[r.report.to] = min(since.get(r.report.to, r.received_at), r.received_at)

    reaches = not since
    while not reaches:
        start = min(since.values())
        weighed = (receipts[id].received_at for id in gathered.targets & receipts.keys())
        # each may hold a lane for those that come after it
        end = max(max(weighed) + LANE_HOLD, start + MATCH_WINDOW)
        for s in match_queries.submitted_to(c, account, since, start - MATCH_WINDOW, end):
            submissions.setdefault(s.id, s)
        more = [
            r
            for r in match_queries.heuristic_candidates(c, account, since, start, end)
            if r.id not in receipts
        ]
        receipts |= {r.id: r for r in more}
        # whose twins matter too; one of them may lie outside of what was looked at
        twins = _take_twins(c, account, more, receipts)
        gathered.targets.update(r.id for r in (*more, *twins))
        outside = [r for r in twins if r.report.to and not start <= r.received_at <= end]
        for r in outside:
            since[r.report.to or ""] = min(since[r.report.to or ""], r.received_at)
        reaches = not outside and not any(r.lane for r in more)
    lanes = {r.lane for r in receipts.values() if r.lane}
    if since and lanes:
        # who holds one may have been requested however long ago
        for s in match_queries.submitted_by_lanes(c, account, since, lanes):
            submissions.setdefault(s.id, s)
    # an id that two share must not be taken for that one's which happens to be near
    given = {r.id for r in targets}
    added = [r for id, r in receipts.items() if id in gathered.targets and id not in given]
    for s in _by_id(c, account, added) if added else ():
        submissions.setdefault(s.id, s)
    if since:
        around = [s for s in submissions.values() if s.to in since]
        for r in match_queries.exact_receipts(c, around):
            receipts.setdefault(r.id, r)
        if lanes:
            # whether a lane is held hangs on when its submission was heard of last
            for r in match_queries.joined_before(c, around, min(since.values())):
                receipts.setdefault(r.id, r)
    stand = {r.manual_submission for r in receipts.values() if r.manual_submission}
    stand |= {r.fixed_join.submission for r in receipts.values() if r.fixed_join}
    for s in match_queries.submitted_by_keys(c, account, own=stand - submissions.keys()):
        submissions.setdefault(s.id, s)
    gathered.receipts.update(receipts)
    gathered.verdicts.update(match(receipts.values(), submissions.values()))


def _take_twins(
    c: Connection, account: str, of: Iterable[Receipt], receipts: dict[str, Receipt]
) -> list[Receipt]:
    """Add what equals one of these; gives those of them that are to be weighed.

    What an id or a person has joined stands. What the circumstances have is weighed together with its twins, or two of
    them would in the end rest on nothing but each other.
    """
    twins = {twin for r in of if (twin := duplicate_text(r.report))}
    found = match_queries.twin_receipts(c, account, twins) if twins else []
    fresh = [r for r in found if r.id not in receipts]
    stand = [r for r in fresh if r.fixed_join is not None and r.fixed_join.is_certain]
    weighed = [
        replace(r, fixed_join=None) for r in fresh if r.fixed_join is None or not r.fixed_join.is_certain
    ]
    receipts |= {r.id: r for r in (*stand, *weighed)}
    return weighed


def pollable_candidates(gathered: MatchContext, ids: Iterable[str]) -> set[str]:
    """The candidates of these ambiguous receipts about which the provider can tell us something new.

    One that it has named no id for cannot be asked about; one that an id has given its only record has no other.
    """
    said = {
        join.submission
        for id, join in gathered.verdicts.items()
        if isinstance(join, Join) and join.is_certain and _is_over(gathered.receipts[id])
    }
    named = {s for id in ids if isinstance(v := gathered.verdicts[id], Unjoined) for s in v.candidates}
    return {
        id for id in named if (s := gathered.submissions[id]).provider_id and (s.interval or id not in said)
    }


def _is_over(r: Receipt) -> bool:
    return r.report.status is not None and r.report.status.is_outcome


def _by_id(c: Connection, account: str, receipts: Sequence[Receipt]) -> list[SubmissionFacts]:
    """The submissions that these receipts may name; what goes before the rest in `match` is looked up before it."""
    named = {id_key(id) for r in receipts for id in r.report.ids}
    found = match_queries.submitted_by_keys(c, account, full=named)
    times = Counter(id_key(s.provider_id) for s in found if s.provider_id)
    rest = [
        r for r in receipts if r.manual_submission or not any(times[id_key(id)] == 1 for id in r.report.ids)
    ]
    if not rest:
        return found
    full: set[str] = set()
    base: set[str] = set()
    own: set[str] = set()
    for r in rest:
        for id in (*r.report.ids, *((r.report.message_id,) if r.report.message_id else ())):
            full.add(id_key(id))
            base.add(base_id_key(id))
        own |= set(r.report.references)
        if r.manual_submission:
            own.add(r.manual_submission)
    return [*found, *match_queries.submitted_by_keys(c, account, full=full - named, base=base, own=own)]

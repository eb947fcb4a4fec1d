"""Straight joins: callbacks that their first id names, and on which no other match hangs. Nearly all are.

What follows from one hangs on so little that it can be worked out beforehand, while others write; when it is written,
it is only asked whether that little still holds. Whatever is not so straight, or no more, is weighed as anything is.
Nearly always it is the first that is heard of an accepted call; then nothing need be read of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from tracker.clock import Clock
from tracker.domain.call_reports import JoinedReport
from tracker.domain.events import EventSource, MatchedBy
from tracker.domain.matching.facts import Receipt, SubmissionFacts
from tracker.domain.matching.ids import id_key
from tracker.lifecycle.joining.full_match import joins_for_log
from tracker.lifecycle.joining.match_context import numbers_waited_for
from tracker.lifecycle.timeline.event_writer import Followed, follow, follow_first
from tracker.store.calls import records
from tracker.store.engine import bulk
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries, preconditions, prepared_writes, states
from tracker.store.inbox.match_queries import duplicate_text
from tracker.store.inbox.preconditions import Claim

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What follows from receipts of one account, if what it hangs on does not change before it is written."""

    account: str
    claims: Sequence[Claim]
    #: asks which of them do not hold
    question: preconditions.Question
    #: writes all of them
    plan: bulk.Plan
    #: for the log: `named_joins`
    which: Sequence[Mapping[str, str | None]]
    #: of the calls that change
    submissions: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.claims)


class _Named(NamedTuple):
    """A receipt, and the submission that its first id names."""

    receipt: Receipt
    submission: SubmissionFacts

    @property
    def evidence(self) -> JoinedReport:
        r = self.receipt
        return JoinedReport(
            id=r.id, source=EventSource.callback, received_at=r.received_at, report=r.report,
            matched_by=MatchedBy.submission_id,
        )  # fmt: skip

    @property
    def standing(self) -> states.MatchState:
        return states.MatchState(
            id=self.receipt.id, state=states.JOINED, reading=self.receipt.report, named=True,
            matched_by=MatchedBy.submission_id.value, submission=self.submission.id, call=self.submission.call,
        )  # fmt: skip

    @property
    def claim(self) -> Claim:
        s = self.submission
        return Claim(self.receipt.id, id_key(self.receipt.report.ids[0]), s.id, s.call, s.to, s.requested_at)


class _Join(NamedTuple):
    """What follows from the receipts of one call."""

    call: str
    named: Sequence[_Named]
    followed: Followed


def prepare(c: Connection, account: str, receipts: Sequence[Receipt], at_once: int) -> list[Prepared]:
    """What follows from those of these pending receipts that are straight, in pieces of so many, or a few more where a
    call has several. Writes nothing.

    A piece has neighbours: calls that were placed together lie on the same pages, so a page is changed, logged and
    synced for many callbacks instead of for each.
    """
    bulk.force_index_scans(c)
    of_call: dict[str, list[_Named]] = {}
    for named in _straight(c, account, receipts):
        of_call.setdefault(named.submission.call, []).append(named)
    calls = records.peek_calls(c, of_call)
    firsts = records.only_accepted_calls(c, calls)
    # before what is known is read: what comes in between is noticed when it is written
    known = preconditions.known(c, calls.keys() - firsts)
    first = [_join_first(calls[id], of_call[id]) for id in firsts]
    more = _join_others(c, {id: calls[id] for id in known}, of_call)
    return [
        *(_prepared(c, account, piece) for piece in _pieces(first, at_once)),
        *(_prepared(c, account, piece, known) for piece in _pieces(more, at_once)),
    ]


def _join_first(call: records.CallForUpdate, named: Sequence[_Named]) -> _Join:
    of = named[0].submission
    return _Join(of.call, named, follow_first(call, of.call, of.id, [n.evidence for n in named]))


def _join_others(
    c: Connection, calls: Mapping[str, records.CallForUpdate], of_call: Mapping[str, Sequence[_Named]]
) -> list[_Join]:
    heard: dict[str, list[JoinedReport]] = {}
    call_of: dict[str, str] = {}
    for id in calls:
        for named in of_call[id]:
            heard.setdefault(named.submission.id, []).append(named.evidence)
            call_of[named.submission.id] = id
    if not calls:
        return []
    return [_Join(id, of_call[id], followed) for id, followed in follow(c, calls, heard, call_of).items()]


def _pieces(joins: Iterable[_Join], at_once: int) -> Iterator[list[_Join]]:
    piece: list[_Join] = []
    count = 0
    for join in sorted(joins, key=lambda join: join.call):
        piece.append(join)
        count += len(join.named)
        if count >= at_once:
            yield piece
            piece, count = [], 0
    if piece:
        yield piece


def _prepared(
    c: Connection,
    account: str,
    joins: Sequence[_Join],
    known: Mapping[str, preconditions.Known] | None = None,
) -> Prepared:
    """known: of calls of which more is known than that they were accepted."""
    claims = [named.claim for join in joins for named in join.named]
    standings = [named.standing for join in joins for named in join.named]
    events = [event for join in joins for event in join.followed.events]
    timelines = {join.call: join.followed.timeline for join in joins}
    changed = {join.call: join.followed.timeline for join in joins if join.followed.events}
    repeats = {id: of for join in joins for id, of in join.followed.repeats.items()}
    if known is None:
        question = preconditions.question_of_firsts(c, account, claims)
        plan = prepared_writes.plan_first(c, standings, events, changed, repeats)
    else:
        question = preconditions.question_of_others(c, account, claims, [known[join.call] for join in joins])
        plan = prepared_writes.plan_more(c, standings, events, changed, repeats)
    return Prepared(
        account=account,
        claims=claims,
        question=question,
        plan=plan,
        which=joins_for_log(standings, timelines),
        submissions={id: [s.id for s in timeline.submissions] for id, timeline in changed.items()},
    )


def _straight(c: Connection, account: str, receipts: Sequence[Receipt]) -> Iterator[_Named]:
    """Those of these receipts that their first id decides, and on which no other match hangs."""
    named = {r.id: id_key(r.report.ids[0]) for r in receipts if r.report.ids}
    found = _alone(c, account, set(named.values()))
    sure = {id: found[key] for id, key in named.items() if key in found}
    aside = [r.report for r in receipts if r.id not in sure]
    waited_for = {reading.to for reading in aside if reading.to} | numbers_waited_for(
        c, account, sure.values()
    )
    alike = {twin for reading in aside if (twin := duplicate_text(reading))}
    for r in receipts:
        s = sure.get(r.id)
        if s is None or s.to in waited_for:
            continue
        if alike and duplicate_text(r.report) in alike:
            continue
        yield _Named(r, s)


def write(c: Connection, prepared: Prepared, clock: Clock) -> set[str]:
    """Write what still holds; gives the receipts of which nothing is written. The joining lock is held."""
    lost = preconditions.fallen(c, prepared.question)
    # what was heard of one call was worked out together
    calls = lost.calls | {claim.call for claim in prepared.claims if claim.receipt in lost.receipts}
    fallen = {claim.receipt for claim in prepared.claims if claim.call in calls}
    of_calls = {id for call in calls for id in prepared.submissions.get(call, ())}
    # dated behind all waiting for locks: who asks what changed since the latest that he has seen is to see it
    bulk.run(c, prepared.plan, at=clock(), but=fallen | calls | of_calls)
    log.info(
        "callbacks.joined",
        account=prepared.account,
        count=len(prepared) - len(fallen),
        which=[join for join in prepared.which if join["callback"] not in fallen],
    )
    return fallen


def _alone(c: Connection, account: str, keys: Collection[str]) -> dict[str, SubmissionFacts]:
    """By each of these ids the submission that it names, if it names one only."""
    found = match_queries.submitted_by_keys(c, account, full=keys)
    times = Counter(id_key(s.provider_id) for s in found if s.provider_id)
    return {key: s for s in found if s.provider_id and times[key := id_key(s.provider_id)] == 1}

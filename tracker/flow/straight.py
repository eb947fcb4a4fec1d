"""Straight joins: the first callback of an accepted call, named by its first id. Nearly all are.

What follows from one hangs on so little that it can be worked out beforehand, while others write; when it is written,
it is only asked whether that little still holds. Whatever is not so straight, or no more, is weighed as anything is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog

from tracker.domain.events import Event, MatchedBy, Source
from tracker.domain.matching import Receipt, Submitted, id_key
from tracker.domain.records import Evidence
from tracker.domain.timeline import Timeline
from tracker.flow.gathering import numbers_waited_for
from tracker.flow.recording import follow_first
from tracker.flow.weighing import named_joins
from tracker.store import bulk, evidence, holding, inbox, plans, records
from tracker.store.database import Connection
from tracker.store.evidence import twin_text
from tracker.store.holding import Claim

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What follows from receipts of one account, if what it hangs on does not change before it is written."""

    account: str
    claims: Sequence[Claim]
    #: asks which of them do not hold
    question: bulk.Plan
    #: writes all of them
    plan: bulk.Plan
    #: for the log: `named_joins`
    which: Sequence[Mapping[str, str | None]]

    def __len__(self) -> int:
        return len(self.claims)


class _Join(NamedTuple):
    """What follows from one receipt."""

    claim: Claim
    standing: inbox.Standing
    events: Sequence[Event]
    timeline: Timeline


def prepare(
    c: Connection, account: str, receipts: Sequence[Receipt], now: datetime, at_once: int
) -> list[Prepared]:
    """What follows from those of these pending receipts that are straight, in pieces of so many. Writes nothing.

    A piece has neighbours: calls that were placed together lie on the same pages, so a page is changed, logged and
    synced for many callbacks instead of for each.
    """
    joins = sorted(_joins(c, account, receipts), key=lambda join: join.claim.call)
    return [_prepared(c, account, joins[at : at + at_once], now) for at in range(0, len(joins), at_once)]


def _prepared(c: Connection, account: str, joins: Sequence[_Join], now: datetime) -> Prepared:
    standings = [join.standing for join in joins]
    timelines = {join.claim.call: join.timeline for join in joins}
    claims = [join.claim for join in joins]
    return Prepared(
        account=account,
        claims=claims,
        question=holding.question(c, account, claims),
        plan=plans.plan(c, standings, [event for join in joins for event in join.events], timelines, now),
        which=named_joins(standings, timelines),
    )


def _joins(c: Connection, account: str, receipts: Sequence[Receipt]) -> Iterator[_Join]:
    named = {r.id: id_key(r.reading.ids[0]) for r in receipts if r.reading.ids}
    found = _alone(c, account, set(named.values()))
    calls = Counter(found[key].call for key in named.values() if key in found)
    sure = {id: found[key] for id, key in named.items() if key in found and calls[found[key].call] == 1}
    aside = [r.reading for r in receipts if r.id not in sure]
    waited_for = {reading.to for reading in aside if reading.to} | numbers_waited_for(
        c, account, sure.values()
    )
    alike = {twin for reading in aside if (twin := twin_text(reading))}

    locked = records.look_at(c, [s.call for s in sure.values()])
    accepted = records.accepted(c, locked)
    for r in receipts:
        s = sure.get(r.id)
        if s is None or s.call not in accepted or s.to in waited_for:
            continue
        if alike and twin_text(r.reading) in alike:
            continue
        matched_by = MatchedBy.submission_id
        heard = Evidence(
            id=r.id,
            source=Source.callback,
            received_at=r.received_at,
            reading=r.reading,
            matched_by=matched_by,
        )
        events, timeline = follow_first(locked[s.call], s.call, s.id, heard)
        standing = inbox.Standing(
            id=r.id, state=inbox.JOINED, reading=r.reading, named=True, matched_by=matched_by.value, submission=s.id,
            call=s.call,
        )  # fmt: skip
        claim = Claim(r.id, named[r.id], s.id, s.call, s.to, s.requested_at)
        yield _Join(claim, standing, events, timeline)


def write(c: Connection, prepared: Prepared) -> set[str]:
    """Write what still holds; gives the receipts of which nothing is written. The joining lock is held."""
    fallen = holding.fallen(c, prepared.question)
    bulk.run(
        c, prepared.plan, {id for claim in prepared.claims if claim.receipt in fallen for id in claim.ids}
    )
    log.info(
        "callbacks.joined",
        account=prepared.account,
        count=len(prepared) - len(fallen),
        which=[join for join in prepared.which if join["callback"] not in fallen],
    )
    return fallen


def _alone(c: Connection, account: str, keys: Collection[str]) -> dict[str, Submitted]:
    """By each of these ids the submission that it names, if it names one only."""
    found = evidence.submitted_by_keys(c, account, full=keys)
    times = Counter(id_key(s.provider_id) for s in found if s.provider_id)
    return {key: s for s in found if s.provider_id and times[key := id_key(s.provider_id)] == 1}

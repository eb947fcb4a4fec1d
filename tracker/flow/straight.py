"""Straight joins: the first callback of an accepted call, named by its first id. Nearly all are.

What follows from one hangs on so little that it can be worked out beforehand, while others write; when it is written,
it is only asked whether that little still holds. Whatever is not so straight, or no more, is weighed as anything is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from tracker.domain.events import Event, MatchedBy, Source
from tracker.domain.matching import Receipt, Submitted, id_key
from tracker.domain.records import Evidence
from tracker.domain.timeline import Timeline
from tracker.flow.gathering import numbers_waited_for
from tracker.flow.recording import follow_first
from tracker.flow.weighing import named_joins
from tracker.store import bulk, evidence, inbox, plans, records
from tracker.store.database import Connection
from tracker.store.evidence import twin_text

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class _Straight:
    """What follows from one receipt."""

    #: the id that names its submission, for comparing
    key: str
    submission: Submitted
    standing: inbox.Standing
    events: Sequence[Event]
    timeline: Timeline


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What follows from receipts of one account, if what it hangs on does not change before it is written."""

    account: str
    at: datetime
    #: by the ids of their receipts
    joins: Mapping[str, _Straight]
    #: writes all of them
    plan: bulk.Plan


def prepare(c: Connection, account: str, receipts: Sequence[Receipt], now: datetime) -> Prepared | None:
    """What follows from those of these pending receipts that are straight; None where none is. Writes nothing."""
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
    joins: dict[str, _Straight] = {}
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
        joins[r.id] = _Straight(
            key=named[r.id], submission=s, standing=standing, events=events, timeline=timeline
        )
    if not joins:
        return None
    return Prepared(account=account, at=now, joins=joins, plan=_plan(c, list(joins.values()), now))


def write(c: Connection, prepared: Prepared, still: Collection[str]) -> set[str]:
    """Write what still holds; gives the receipts of which that is true. The joining lock is held.

    still: receipts that are pending, in this transaction.
    """
    joins = {id: j for id, j in prepared.joins.items() if id in still}
    named = evidence.named_by(c, prepared.account, {j.key for j in joins.values()})
    loose = numbers_waited_for(c, prepared.account, [j.submission for j in joins.values()])
    accepted = records.accepted(c, records.lock(c, [j.submission.call for j in joins.values()]))
    holding = {
        id: j
        for id, j in joins.items()
        if named.get(j.key) == [j.submission.id]
        and j.submission.call in accepted
        and j.submission.to not in loose
    }
    if len(holding) == len(prepared.joins):
        bulk.run(c, prepared.plan)
    elif holding:
        bulk.run(c, _plan(c, list(holding.values()), prepared.at))
    timelines = {j.submission.call: j.timeline for j in holding.values()}
    log.info(
        "callbacks.joined",
        account=prepared.account,
        count=len(holding),
        which=named_joins([j.standing for j in holding.values()], timelines),
    )
    return set(holding)


def _alone(c: Connection, account: str, keys: Collection[str]) -> dict[str, Submitted]:
    """By each of these ids the submission that it names, if it names one only."""
    found = evidence.submitted_by_keys(c, account, full=keys)
    times = Counter(id_key(s.provider_id) for s in found if s.provider_id)
    return {key: s for s in found if s.provider_id and times[key := id_key(s.provider_id)] == 1}


def _plan(c: Connection, joins: Sequence[_Straight], now: datetime) -> bulk.Plan:
    return plans.plan(
        c,
        [j.standing for j in joins],
        [e for j in joins for e in j.events],
        {j.submission.call: j.timeline for j in joins},
        now,
    )

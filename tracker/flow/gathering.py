"""Gathering: everything that can matter for the match of some callbacks, so that it can be a pure function.

An id decides by itself. Where none does, all submissions to the number in question matter, all receipts for it that no
id has joined, and the records that are surely joined to those submissions; and whatever equals one of the receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.domain.matching import (
    GIVE_UP_AFTER,
    Join,
    Receipt,
    Submitted,
    Unjoined,
    Verdict,
    base_key,
    id_key,
    match,
)
from tracker.store import evidence
from tracker.store.database import Connection
from tracker.store.evidence import twin_text


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What is matched together."""

    receipts: dict[str, Receipt]
    submissions: dict[str, Submitted]
    #: the receipts whose verdict may be written; the others only bear witness
    targets: set[str]


def gather(c: Connection, account: str, targets: Sequence[Receipt]) -> Gathered:
    """Everything that bears on these receipts. `targets`: readable ones of one account that nobody said to ignore."""
    receipts = {r.id: r for r in targets}
    submissions = {s.id: s for s in _by_id(c, account, targets)}
    first = match(receipts.values(), submissions.values())
    joined = {id: v.submission for id, v in first.items() if isinstance(v, Join) and v.sure}

    written = set(receipts)
    twins = {twin for r in targets if r.id not in joined and (twin := twin_text(r.reading))}
    for r in evidence.twin_receipts(c, account, twins) if twins else ():
        if r.id not in receipts:
            receipts[r.id] = r
            if r.joined is None:
                written.add(r.id)

    # the numbers for which no id decides, and from when on
    since: dict[str, datetime] = {}
    numbers = {s.to for id in joined.values() if (s := submissions.get(id)) and s.requested_at}
    if numbers:
        earliest = min(s.requested_at for s in submissions.values() if s.requested_at)
        for number in evidence.loose_numbers(c, account, numbers, earliest):
            since[number] = min(
                s.requested_at for s in submissions.values() if s.to == number and s.requested_at
            )
    for r in receipts.values():
        if r.reading.to and r.id not in joined and r.joined is None:
            since[r.reading.to] = min(since.get(r.reading.to, r.received_at), r.received_at)

    if since:
        start = min(since.values())
        end = max(max(r.received_at for r in targets), start + GIVE_UP_AFTER)
        for s in evidence.submitted_to(c, account, since, start - GIVE_UP_AFTER, end):
            submissions.setdefault(s.id, s)
        for r in evidence.loose_receipts(c, account, since, start, end):
            if r.id not in receipts:
                receipts[r.id] = r
                written.add(r.id)
        for r in evidence.exact_receipts(c, submissions.keys()):
            receipts.setdefault(r.id, r)
    stand = {r.by_hand for r in receipts.values() if r.by_hand}
    stand |= {r.joined.submission for r in receipts.values() if r.joined}
    for s in evidence.submitted_by_keys(c, account, (), (), stand - submissions.keys()):
        submissions.setdefault(s.id, s)
    return Gathered(receipts=receipts, submissions=submissions, targets=written)


def worth_asking(gathered: Gathered, verdicts: Mapping[str, Verdict], ids: Iterable[str]) -> set[str]:
    """The candidates of these ambiguous receipts about which the provider can tell us something new.

    One that it has named no id for cannot be asked about; one that an id has given its only record has no other.
    """
    said = {
        join.submission
        for id, join in verdicts.items()
        if isinstance(join, Join) and join.sure and _is_over(gathered.receipts[id])
    }
    named = {s for id in ids if isinstance(v := verdicts[id], Unjoined) for s in v.candidates}
    return {
        id for id in named if (s := gathered.submissions[id]).provider_id and (s.interval or id not in said)
    }


def _is_over(r: Receipt) -> bool:
    return r.reading.status is not None and r.reading.status.is_outcome


def _by_id(c: Connection, account: str, receipts: Iterable[Receipt]) -> list[Submitted]:
    full: set[str] = set()
    base: set[str] = set()
    own: set[str] = set()
    for r in receipts:
        for id in (*r.reading.ids, *((r.reading.mid,) if r.reading.mid else ())):
            full.add(id_key(id))
            base.add(base_key(id))
        own |= set(r.reading.references)
        if r.by_hand:
            own.add(r.by_hand)
    return evidence.submitted_by_keys(c, account, full, base, own)

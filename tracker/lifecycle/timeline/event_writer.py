"""The one way in which events of calls are written.

Lock the calls in the order of their ids, insert, read all their events, fold, write the caches back: in one
transaction, whoever writes. So what is cached is always what the events mean, on whatever path they came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import Call, CallStatus
from tracker.domain.event_derivation import DerivedEvents, derive_events
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.timeline.fold import Timeline, fold
from tracker.store.calls import records
from tracker.store.calls.records import Attempt, CallForUpdate
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries, states

_DERIVED = (EventSource.callback, EventSource.poll)
_NOTHING_READ: Mapping[str, CallReport] = {}


def apply_events(
    connection: Connection,
    calls: Mapping[str, Call | CallForUpdate],
    *,
    add: Sequence[Event] = (),
    rederive: Collection[str] = (),
    read: Mapping[str, CallReport] = _NOTHING_READ,
    redate: Collection[str] = (),
    now: datetime,
) -> dict[str, Timeline]:
    """Write events of locked calls and what follows from them; gives their timelines.

    calls: as `store.records.lock_calls` or `lock` gave them, in this transaction.
    add: new facts of ours; one whose key is known already is the same fact, and is not added again.
    rederive: submissions whose evidence changed; their callbacks' and polls' events are made anew from all of it.
    read: readings of callbacks that are known already, by their ids.
    redate: those of these calls that count as changed, whatever follows.
    now: read behind the locks, so that no call is dated before another one that was seen while this one waited.
    """
    stored = records.events_of(connection, calls.keys())
    changed = set(redate)
    fresh: list[Event] = []

    if add:
        known = {(call, event.key) for call, events in stored.items() for event, _ in events}
        fresh += [e for e in add if (e.call, e.key) not in known]
    if rederive:
        attempts = records.attempts_of(connection, calls.keys())
        due = {id: attempts[id] for id in rederive}
        said, repeated = match_queries.evidence_of(connection, {a.id: a.call for a in due.values()}, read)
        changes = _reconcile_events(due, stored, said, repeated)
        fresh += changes.fresh
        changed |= changes.calls
        records.delete_events(connection, changes.stale)
        records.set_withdrawn(connection, changes.withdraw, True)
        records.set_withdrawn(connection, changes.restore, False)
        states.write_repeats(connection, changes.repeats)
    for event in records.insert_events(connection, fresh, now):
        stored[event.call].append((event, False))
        changed.add(event.call)

    timelines = {
        id: fold((event for event, withdrawn in stored[id] if not withdrawn), interval=call.interval or 0)
        for id, call in calls.items()
    }
    records.write_calls(connection, {id: timelines[id] for id in changed}, now)
    records.write_submissions(connection, [s for id in changed for s in timelines[id].submissions])
    return timelines


class Followed(NamedTuple):
    """What follows for one call from what was heard of it."""

    #: new ones, without ids
    events: Sequence[Event]
    timeline: Timeline
    #: of the callbacks that were heard, those that say again what another one said first (callback → that one)
    repeats: Mapping[str, str]


def follow_first(call: CallForUpdate, id: str, submission: str, heard: Sequence[JoinedReport]) -> Followed:
    """What follows for a call of which nothing was heard since its first submission was accepted; the timeline but for
    what stood there already.

    What is said now is all the evidence there is, and what stands before it means only that the provider has accepted:
    so neither evidence nor events need reading, and what follows is the same.
    """
    attempt = Attempt(id=submission, call=id, interval=call.interval or 0, number=1)
    derived = _derive(attempt, heard)
    timeline = fold([_acceptance(attempt, call), *derived.events], interval=attempt.interval)
    return Followed(derived.events, timeline, _said_again(derived.repeat_of))


def follow(
    connection: Connection,
    calls: Mapping[str, CallForUpdate],
    heard: Mapping[str, Sequence[JoinedReport]],
    call_of: Mapping[str, str],
) -> dict[str, Followed]:
    """What follows for calls of which something was heard before, without those for which it is more than new events:
    what comes late may change what earlier ones mean. Writes nothing.

    heard: what is said now, by submission. call_of: the calls of these submissions.
    """
    stored = records.events_of(connection, calls.keys())
    attempts = records.attempts_of(connection, calls.keys())
    said, repeated = match_queries.evidence_of(connection, call_of, {})
    of_call: dict[str, dict[str, Attempt]] = {}
    for id, call in call_of.items():
        if id in attempts:  # it may be gone by now
            of_call.setdefault(call, {})[id] = attempts[id]
            said[id] += heard[id]
    found: dict[str, Followed] = {}
    for call, due in of_call.items():
        new = {e.id for id in due for e in heard[id]}
        changes = _reconcile_events(due, stored, said, dict.fromkeys(new) | repeated)
        of_others = {e.callback for e in changes.fresh} | changes.repeats.keys()
        if changes.stale or changes.withdraw or changes.restore or not of_others <= new:
            continue
        known = (event for event, withdrawn in stored[call] if not withdrawn)
        timeline = fold([*known, *changes.fresh], interval=calls[call].interval or 0)
        found[call] = Followed(changes.fresh, timeline, _said_again(changes.repeats))
    return found


def _said_again(repeat_of: Mapping[str, str | None]) -> dict[str, str]:
    return {id: of for id, of in repeat_of.items() if of is not None}


def _acceptance(of: Attempt, call: CallForUpdate) -> Event:
    """What the events of an accepted submission amount to."""
    return Event(
        key=f"{of.id}/queued", call=of.call, submission=of.id, attempt=of.number, type=EventType.status,
        status=CallStatus.queued, at=call.created_at, at_source=AtSource.received, source=EventSource.sender,
        detail={"charges": call.charges},
    )  # fmt: skip


class _Changes(NamedTuple):
    """What brings the events of callbacks and polls in line with the evidence."""

    #: to be inserted
    fresh: list[Event]
    #: ids of events
    stale: list[str]
    withdraw: list[str]
    restore: list[str]
    #: callbacks that repeat another one than is stored, or none any more (callback → the other)
    repeats: dict[str, str | None]
    #: whose events are others now
    calls: set[str]


def _reconcile_events(
    attempts: Mapping[str, Attempt],
    stored: dict[str, list[tuple[Event, bool]]],
    said: Mapping[str, Sequence[JoinedReport]],
    repeated: Mapping[str, str | None],
) -> _Changes:
    """What is to change for these submissions. `stored` becomes what will stand there, but for what is fresh.

    repeated: what each callback among the evidence is stored as repeating.
    """
    changes = _Changes([], [], [], [], {}, set())
    repeats: dict[str, str | None] = {}
    for id, submission in attempts.items():
        derived = _derive(submission, said[id])
        repeats |= _among_callbacks(derived.repeat_of)
        wanted = {e.key: e for e in derived.events}
        kept: list[tuple[Event, bool]] = []
        for event, withdrawn in stored[submission.call]:
            if event.submission != id or event.source not in _DERIVED:
                kept.append((event, withdrawn))
                continue
            want = wanted.pop(event.key, None)
            if want is not None and _same(want, event):
                kept.append((event, False))
                if withdrawn:
                    changes.restore.append(event.id)
                    changes.calls.add(submission.call)
            elif want is not None:
                # an earlier receipt of the same record became known: the fact keeps its id
                changes.stale.append(event.id)
                changes.fresh.append(replace(want, id=event.id, recorded_at=event.recorded_at))
            else:
                kept.append((event, True))
                if not withdrawn:
                    changes.withdraw.append(event.id)
                    changes.calls.add(submission.call)
        stored[submission.call] = kept
        changes.fresh.extend(wanted.values())
    changes.repeats.update({id: of for id, of in repeats.items() if id in repeated and repeated[id] != of})
    return changes


def _among_callbacks(repeat_of: Mapping[str, str | None]) -> dict[str, str | None]:
    """Which callback repeats which; where a poll said it first, the first callback stands for it."""
    first: dict[str, str] = {}
    repeats: dict[str, str | None] = {}
    for id, of in sorted(repeat_of.items()):
        if not id.startswith("cb_"):
            continue
        if of is None or of.startswith("cb_"):
            repeats[id] = of
        else:
            repeats[id] = None if first.setdefault(of, id) == id else first[of]
    return repeats


def _derive(submission: Attempt, said: Iterable[JoinedReport]) -> DerivedEvents:
    return derive_events(
        call=submission.call,
        submission=submission.id,
        attempt=submission.number,
        interval=submission.interval,
        reports=said,
    )


def _same(wanted: Event, stored: Event) -> bool:
    return wanted == replace(stored, id="", recorded_at=None)

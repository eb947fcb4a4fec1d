"""Work out what follows for calls from what was heard of them, for the joiner; `call_state` is what writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import Call, CallStatus
from tracker.domain.event_derivation import DerivedEvents, derive_events
from tracker.domain.events import AtSource, Event, EventSource, EventType
from tracker.domain.timeline.fold import Timeline, fold
from tracker.lifecycle.timeline import call_state
from tracker.lifecycle.timeline.event_changes import find_event_changes, find_repeat_changes
from tracker.store.calls import records
from tracker.store.calls.records import Attempt, CallForUpdate
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries

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
    loaded = call_state.load(connection, calls, with_reports=bool(rederive), parsed=read)
    for event in add:
        loaded[event.call].add(event)
    for id in rederive:
        if (state := loaded.of_submission(id)) is not None:
            state.derive(id)
    for id in redate:
        loaded[id].touch()
    loaded.save(now)
    return {id: state.timeline for id, state in loaded.items()}


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
        derived = {id: _derive(attempt, said[id]) for id, attempt in due.items()}
        changes = find_event_changes(stored[call], derived)
        repeats = find_repeat_changes(derived, dict.fromkeys(new) | repeated)
        of_others = {e.callback for e in changes.insert} | repeats.keys()
        if changes.delete or changes.withdraw or changes.restore or not of_others <= new:
            continue
        known = (event for event, withdrawn in stored[call] if not withdrawn)
        timeline = fold([*known, *changes.insert], interval=calls[call].interval or 0)
        found[call] = Followed(changes.insert, timeline, _said_again(repeats))
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


def _derive(submission: Attempt, said: Iterable[JoinedReport]) -> DerivedEvents:
    return derive_events(
        call=submission.call,
        submission=submission.id,
        attempt=submission.number,
        interval=submission.interval,
        reports=said,
    )

"""The one way in which events of calls are written.

Lock the calls in the order of their ids, insert, read all their events, fold, write the caches back: in one
transaction, whoever writes. So what is cached is always what the events mean, on whatever path they came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tracker.domain.calls import Call, CallStatus
from tracker.domain.events import AtSource, Event, EventType, Source
from tracker.domain.readings import Reading
from tracker.domain.records import Derived, Evidence, derive
from tracker.domain.timeline import Timeline, fold
from tracker.store import evidence, inbox, records
from tracker.store.database import Connection
from tracker.store.records import Attempt, Locked

_DERIVED = (Source.callback, Source.poll)
_NOTHING_READ: Mapping[str, Reading] = {}


def record(
    connection: Connection,
    calls: Mapping[str, Call | Locked],
    *,
    add: Sequence[Event] = (),
    rederive: Collection[str] = (),
    read: Mapping[str, Reading] = _NOTHING_READ,
    now: datetime,
) -> dict[str, Timeline]:
    """Write events of locked calls and what follows from them; gives their timelines.

    calls: as `store.records.lock_calls` or `lock` gave them, in this transaction.
    add: new facts of ours; one whose key is known already is the same fact, and is not added again.
    rederive: submissions whose evidence changed; their callbacks' and polls' events are made anew from all of it.
    read: readings of callbacks that are known already, by their ids.
    """
    stored = records.events_of(connection, calls.keys())
    changed: set[str] = set()
    fresh: list[Event] = []

    if add:
        known = {(call, event.key) for call, events in stored.items() for event, _ in events}
        fresh += [e for e in add if (e.call, e.key) not in known]
    if rederive:
        attempts = records.attempts_of(connection, calls.keys())
        fresh += _rederive(connection, {id: attempts[id] for id in rederive}, stored, changed, read)
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


def follow_first(call: Locked, id: str, submission: str, said: Evidence) -> tuple[Sequence[Event], Timeline]:
    """What follows for a call of which nothing was heard since its first submission was accepted: its new events, and
    its timeline but for what stood there already.

    What is said now is all the evidence there is, and what stands before it means only that the provider has accepted:
    so neither evidence nor events need reading, and what follows is the same.
    """
    attempt = Attempt(id=submission, call=id, interval=call.interval or 0, number=1)
    events = _derive(attempt, [said]).events
    return events, fold([_acceptance(attempt, call), *events], interval=attempt.interval)


def _acceptance(of: Attempt, call: Locked) -> Event:
    """What the events of an accepted submission amount to."""
    return Event(
        key=f"{of.id}/queued", call=of.call, submission=of.id, attempt=of.number, type=EventType.status,
        status=CallStatus.queued, at=call.created_at, at_source=AtSource.received, source=Source.sender,
        detail={"charges": call.charges},
    )  # fmt: skip


def _rederive(
    connection: Connection,
    attempts: Mapping[str, Attempt],
    stored: dict[str, list[tuple[Event, bool]]],
    changed: set[str],
    read: Mapping[str, Reading],
) -> list[Event]:
    """Bring the events of callbacks and polls in line with the evidence; gives those that are to be inserted."""
    fresh: list[Event] = []
    stale: list[str] = []
    withdraw: list[str] = []
    restore: list[str] = []
    repeats: dict[str, str | None] = {}
    said, repeated = evidence.evidence_of(connection, {a.id: a.call for a in attempts.values()}, read)
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
                    restore.append(event.id)
                    changed.add(submission.call)
            elif want is not None:
                # an earlier receipt of the same record became known: the fact keeps its id
                stale.append(event.id)
                fresh.append(replace(want, id=event.id, recorded_at=event.recorded_at))
            else:
                kept.append((event, True))
                if not withdrawn:
                    withdraw.append(event.id)
                    changed.add(submission.call)
        stored[submission.call] = kept
        fresh += wanted.values()
    records.delete_events(connection, stale)
    records.set_withdrawn(connection, withdraw, True)
    records.set_withdrawn(connection, restore, False)
    inbox.write_repeats(
        connection, {id: of for id, of in repeats.items() if id in repeated and repeated[id] != of}
    )
    return fresh


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


def _derive(submission: Attempt, said: Iterable[Evidence]) -> Derived:
    return derive(
        call=submission.call,
        submission=submission.id,
        attempt=submission.number,
        interval=submission.interval,
        evidence=said,
    )


def _same(wanted: Event, stored: Event) -> bool:
    return wanted == replace(stored, id="", recorded_at=None)

"""Finds what brings the stored events of a call in line with what the provider reported. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tracker.domain.call_reports import JoinedReport
from tracker.domain.calls import Submission
from tracker.domain.event_derivation import DerivedEvents, derive_events
from tracker.domain.events import Event, EventSource

#: an event as it is stored, and whether it is withdrawn
StoredEvent = tuple[Event, bool]

_DERIVED = (EventSource.callback, EventSource.poll)


@dataclass(kw_only=True)
class EventChanges:
    """The difference between the stored events of one call and the events that its evidence makes."""

    #: the events that stay stored, each with whether it is withdrawn after the change
    kept: list[StoredEvent] = field(default_factory=list)
    #: new ones; one that takes the place of a deleted event keeps its id and its `recorded_at`
    insert: list[Event] = field(default_factory=list)
    #: ids of events
    delete: list[str] = field(default_factory=list)
    withdraw: list[str] = field(default_factory=list)
    restore: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.insert or self.delete or self.withdraw or self.restore)


def derive_submission(submission: Submission, reports: Iterable[JoinedReport]) -> DerivedEvents:
    """Return the events that all reports of a submission make."""
    return derive_events(
        call=submission.call,
        submission=submission.id,
        attempt=submission.number,
        interval=submission.interval,
        reports=reports,
    )


def find_event_changes(stored: Iterable[StoredEvent], derived: Mapping[str, DerivedEvents]) -> EventChanges:
    """Compare the stored events of one call with those derived for some of its submissions.

    stored: all events of the call. derived: by submission; events of other submissions stay as they are, and so do
    all that come neither from a callback nor from a poll.
    """
    changes = EventChanges()
    wanted = {event.key: event for of_one in derived.values() for event in of_one.events}
    for event, is_withdrawn in stored:
        if event.submission not in derived or event.source not in _DERIVED:
            changes.kept.append((event, is_withdrawn))
            continue
        want = wanted.pop(event.key, None)
        if want is None:
            changes.kept.append((event, True))
            if not is_withdrawn:
                changes.withdraw.append(event.id)
        elif want == replace(event, id="", recorded_at=None):
            changes.kept.append((event, False))
            if is_withdrawn:
                changes.restore.append(event.id)
        else:
            # an earlier callback with the same report became known
            changes.delete.append(event.id)
            changes.insert.append(replace(want, id=event.id, recorded_at=event.recorded_at))
    changes.insert.extend(wanted.values())
    return changes


def find_repeat_changes(
    derived: Mapping[str, DerivedEvents], stored: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return the callbacks that repeat another callback than is stored (callback → the other, None: none).

    stored: the callback that each callback among the evidence is stored as repeating, if any.
    """
    return {
        callback: repeated
        for of_one in derived.values()
        for callback, repeated in _repeats_among_callbacks(of_one).items()
        if stored.get(callback) != repeated
    }


def _repeats_among_callbacks(derived: DerivedEvents) -> dict[str, str | None]:
    """Return which callback repeats which. Where a poll reported it first, the first callback stands for it."""
    first: dict[str, str] = {}
    repeats: dict[str, str | None] = {}
    for id, repeated in sorted(derived.repeat_of.items()):
        if not id.startswith("cb_"):
            continue
        if repeated is None or repeated.startswith("cb_"):
            repeats[id] = repeated
        else:
            repeats[id] = None if first.setdefault(repeated, id) == id else first[repeated]
    return repeats

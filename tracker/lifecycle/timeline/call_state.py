"""Loads calls once, changes them in memory and saves them once: the one way in which events of calls are written.

`load` locks the calls in the order of their ids. `CallStates.save` writes their new events and refreshes the status
columns of calls and submissions from the timelines, in the same transaction. So these columns always agree with the
events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import Call, Submission
from tracker.domain.event_derivation import DerivedEvents
from tracker.domain.events import Event
from tracker.domain.timeline.fold import Timeline, fold
from tracker.lifecycle.timeline.event_changes import (
    EventChanges,
    StoredEvent,
    derive_submission,
    find_event_changes,
    find_repeat_changes,
)
from tracker.store.calls.calls import lock_calls, lock_calls_of_submissions, update_calls
from tracker.store.calls.events import delete_events, insert_events, load_events, set_withdrawn
from tracker.store.calls.submissions import find_submissions, insert_submission, update_submissions
from tracker.store.engine.database import Connection
from tracker.store.inbox import match_queries, states

_NOTHING_PARSED: Final[Mapping[str, CallReport]] = MappingProxyType({})
_SUBMISSION_FIELDS: Final = {field.name for field in fields(Submission)}


class CallState:
    """One locked call with its submissions and events, and the changes that are not saved yet."""

    def __init__(
        self,
        call: Call,
        submissions: Iterable[Submission],
        stored: Iterable[StoredEvent],
        reports: Mapping[str, Collection[JoinedReport]] | None = None,
    ) -> None:
        """reports: by submission; None if they were not loaded."""
        self.call = call
        #: what the provider reported of each submission (submission → callbacks and polls)
        self.reports = reports
        # the changes, for `CallStates.save`
        #: of submissions whose reports changed (submission → its events)
        self.derived: dict[str, DerivedEvents] = {}
        self.new_submissions: list[Submission] = []
        #: submission → column → value
        self.columns: dict[str, dict[str, Any]] = {}
        self._submissions = {s.id: s for s in submissions}
        self._stored = list(stored)
        self._added: dict[str, Event] = {}
        self._is_touched = False
        self._changes: EventChanges | None = None
        self._timeline: Timeline | None = None

    @property
    def submissions(self) -> list[Submission]:
        """The submissions by number. Their statuses are those that are stored."""
        return list(self._submissions.values())

    def submission(self, id: str) -> Submission:
        """Return one submission. Raises KeyError if it belongs to another call."""
        return self._submissions[id]

    @property
    def timeline(self) -> Timeline:
        """What the events mean, including those that are not saved yet."""
        if self._timeline is None:
            kept = (event for event, is_withdrawn in self.changes.kept if not is_withdrawn)
            self._timeline = fold([*kept, *self.new_events], interval=self.call.interval or 0)
        return self._timeline

    def add(self, *events: Event) -> None:
        """Add facts of our own. One whose key is known already is the same fact, and is not added again."""
        known = {event.key for event, _ in self._stored} | self._added.keys()
        for event in events:
            if event.key not in known:
                self._added[event.key] = event
                self._timeline = None

    def derive(
        self, submission_id: str, *, add: Iterable[JoinedReport] = (), remove: Collection[str] = ()
    ) -> None:
        """Bring the events of callbacks and polls of one submission in line with all reports about it.

        add: reports that were not stored when this was loaded; each takes the place of one with the same id.
        remove: ids of reports that no longer belong to the submission.
        """
        assert self.reports is not None, "load the call with its reports"
        before = {report.id: report for report in self.reports[submission_id] if report.id not in remove}
        reports = (before | {report.id: report for report in add}).values()
        self.reports = {**self.reports, submission_id: reports}
        self.derived[submission_id] = derive_submission(self._submissions[submission_id], reports)
        self._changes = self._timeline = None

    def touch(self) -> None:
        """Have the call count as changed, even if no event of it changes."""
        self._is_touched = True

    def add_submission(self, submission: Submission) -> None:
        """Add the next attempt of the call."""
        self.new_submissions.append(submission)
        self._submissions[submission.id] = submission

    def change_submission(self, id: str, **columns: Any) -> None:
        """Set columns of a submission, other than its status, which follows from the events."""
        self.columns.setdefault(id, {}).update(columns)
        self._show(id, columns)

    @property
    def is_changed(self) -> bool:
        """Whether the events of the call change, or it was touched."""
        return self._is_touched or bool(self._added or self.changes)

    @property
    def changes(self) -> EventChanges:
        """What `derive` changes of the stored events."""
        if self._changes is None:
            self._changes = find_event_changes(self._stored, self.derived)
        return self._changes

    @property
    def new_events(self) -> list[Event]:
        """The events to be inserted."""
        return [*self.changes.insert, *self._added.values()]

    def mark_saved(self, inserted: Iterable[Event]) -> None:
        """Take over what was saved. inserted: `new_events` as they were stored."""
        for state in self.timeline.submissions if self.is_changed else ():
            self._show(state.id, {"status": state.status, "outcome": state.outcome})
        self._stored = [*self.changes.kept, *((event, False) for event in inserted)]
        self.derived, self.new_submissions, self.columns = {}, [], {}
        self._added, self._is_touched, self._changes = {}, False, None

    def _show(self, id: str, columns: Mapping[str, Any]) -> None:
        shown = {name: value for name, value in columns.items() if name in _SUBMISSION_FIELDS}
        if "provider_id" in columns:
            shown["submission_id"] = columns["provider_id"]
        self._submissions[id] = replace(self._submissions[id], **shown)


class CallStates(Mapping[str, CallState]):
    """Locked calls by their ids, in one transaction."""

    def __init__(
        self, connection: Connection, by_call: Mapping[str, CallState], repeat_of: Mapping[str, str | None]
    ) -> None:
        """repeat_of: the callback that each callback among the reports is stored as repeating."""
        self._connection, self._by_call, self._repeat_of = connection, by_call, repeat_of
        self._by_submission = {s.id: state for state in by_call.values() for s in state.submissions}

    def __getitem__(self, call_id: str) -> CallState:
        return self._by_call[call_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_call)

    def __len__(self) -> int:
        return len(self._by_call)

    def of_submission(self, id: str) -> CallState | None:
        """Return the call of a submission, if it was loaded."""
        return self._by_submission.get(id)

    def save(self, now: datetime) -> None:
        """Write the changes of all calls, each table in one statement.

        now: take it after the locks, that is after `load`. Otherwise `updated_at` could be older than a value that a
        client has already polled past.
        """
        c, all_states = self._connection, self._by_call.values()
        changed = {id: state for id, state in self._by_call.items() if state.is_changed}
        changes = [state.changes for state in changed.values()]
        delete_events(c, [id for of_call in changes for id in of_call.delete])
        set_withdrawn(c, [id for of_call in changes for id in of_call.withdraw], True)
        set_withdrawn(c, [id for of_call in changes for id in of_call.restore], False)
        derived = {id: events for state in all_states for id, events in state.derived.items()}
        states.write_repeats(c, find_repeat_changes(derived, self._repeat_of))
        for submission in (s for state in all_states for s in state.new_submissions):
            insert_submission(c, submission)
        inserted: dict[str, list[Event]] = {id: [] for id in changed}
        new_events = [event for state in changed.values() for event in state.new_events]
        for event in insert_events(c, new_events, now):
            inserted[event.call].append(event)
        update_calls(c, {id: state.timeline for id, state in changed.items()}, now)
        update_submissions(
            c,
            [submission for state in changed.values() for submission in state.timeline.submissions],
            {id: columns for state in all_states for id, columns in state.columns.items()},
        )
        for state in all_states:
            state.mark_saved(inserted.get(state.call.id, ()))


def load(
    connection: Connection,
    call_ids: Collection[str],
    *,
    with_reports: bool = False,
    parsed: Mapping[str, CallReport] = _NOTHING_PARSED,
) -> CallStates:
    """Lock these calls and load them with their submissions and events. Calls that do not exist are left out.

    with_reports: also load what the provider reported of their submissions, for `CallState.derive`. parsed: reports of
    callbacks that need not be read again, by callback.
    """
    return _load(connection, lock_calls(connection, call_ids), with_reports, parsed)


def load_of_submissions(connection: Connection, submission_ids: Collection[str]) -> CallStates:
    """Lock and load the calls of these submissions as `load` does, without reports."""
    return _load(connection, lock_calls_of_submissions(connection, submission_ids), False, _NOTHING_PARSED)


def _load(
    connection: Connection, calls: Mapping[str, Call], with_reports: bool, parsed: Mapping[str, CallReport]
) -> CallStates:
    submissions: dict[str, list[Submission]] = {id: [] for id in calls}
    for submission in find_submissions(connection, calls):
        submissions[submission.call].append(submission)
    events = load_events(connection, calls)
    if not with_reports:
        by_call = {id: CallState(call, submissions[id], events[id]) for id, call in calls.items()}
        return CallStates(connection, by_call, {})
    call_of = {s.id: id for id, of_call in submissions.items() for s in of_call}
    found, repeat_of = match_queries.evidence_of(connection, call_of, parsed)
    by_call = {
        id: CallState(call, submissions[id], events[id], {s.id: found[s.id] for s in submissions[id]})
        for id, call in calls.items()
    }
    return CallStates(connection, by_call, repeat_of)

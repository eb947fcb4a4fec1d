"""Makes a database that came from a backup safe, so that nobody is dialled again.

The database does not know what happened after the backup was made. So dialling is paused, and each submission that was
waiting or being sent becomes `unconfirmed`, which nothing dials by itself, because it may have been dialled since. The
provider is asked about what it had taken, because its callbacks may have come after the backup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.calls import Call, CallStatus, Reason, Submission, Trigger
from tracker.domain.events import EventSource
from tracker.domain.pause import Pause, PauseReason
from tracker.lifecycle.placing.place import add_submission
from tracker.lifecycle.timeline.call_state import CallStates, load, load_of_submissions
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.store.calls.secrets import erase_secrets
from tracker.store.engine.database import Connection, Database
from tracker.store.maintenance import restore_queries
from tracker.store.policy import pauses
from tracker.store.queue import heartbeats, jobs

log = structlog.get_logger()

#: submissions that one transaction changes
_BATCH: Final = 200
#: calls that a report names at most
_NAMED_CALLS: Final = 20


@dataclass(kw_only=True)
class RestoreReport:
    """The open work that was found in a restored database."""

    #: the time of the newest event or callback in the records; later ones are unknown
    known_until: datetime | None = None
    #: submissions that became `unconfirmed`, with the resends that were due
    unconfirmed: int = 0
    #: the calls of the first of these
    calls: list[str] = field(default_factory=list)
    #: submissions that the provider is asked about
    asked: int = 0
    #: submissions that stay pending, because their time has not come
    planned: int = 0

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        until = self.known_until.isoformat().replace("+00:00", "Z") if self.known_until else None
        return {
            "known_until": until, "unconfirmed": self.unconfirmed, "calls": self.calls, "asked": self.asked,
            "planned": self.planned,
        }  # fmt: skip


def after_restore(
    database: Database,
    clock: Clock = system_clock,
    progress: Callable[[int], None] = lambda _: None,
    *,
    has_later_callbacks: bool = False,
    batch: int = _BATCH,
) -> RestoreReport:
    """Pause dialling, and mark open submissions; run again, it also marks what was placed since and waits.

    It works in short transactions. If the process is killed in between, dialling stays paused, and the next run marks
    the rest.
    progress: is called with the number of submissions that were handled so far. has_later_callbacks: the inbox has
    callbacks that are newer than the records, and these may be about submissions that were waiting. batch: submissions
    of one transaction. Raises StorageUnavailable.
    """
    return _AfterRestore(database, clock, progress, has_later_callbacks, batch).run()


class _AfterRestore:
    """One run of `after_restore`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        progress: Callable[[int], None],
        has_later_callbacks: bool,
        batch: int,
    ) -> None:
        self._database, self._clock, self._progress, self._batch = database, clock, progress, batch
        self._has_later_callbacks = has_later_callbacks
        self._report = RestoreReport(known_until=database.read(restore_queries.newest_time))

    def run(self) -> RestoreReport:
        report = self._report
        self._database.write(lambda c: _pause(c, Pause(since=self._clock(), why=PauseReason.restored)))
        self._mark_unsent()
        self._mark_resends()
        self._plan_polls()
        report.planned = self._database.read(restore_queries.count_pending)
        log.info(
            "database.restored", unconfirmed=report.unconfirmed, asked=report.asked, planned=report.planned,
            known_until=report.document()["known_until"],
        )  # fmt: skip
        return report

    def _mark_unsent(self) -> None:
        last = ""
        while found := self._database.read(
            lambda c: restore_queries.maybe_dialled(c, last, self._batch, self._clock())  # noqa: B023
        ):
            ids = {call for _, call in found}
            self._count(self._database.write(lambda c: self._mark(c, load(c, ids))))  # noqa: B023
            last = found[-1][0]

    def _mark(self, c: Connection, calls: CallStates) -> list[Submission]:
        """Mark those submissions of locked calls that may have been dialled since the backup."""
        now = self._clock()
        maybe_dialled = [
            s
            for state in calls.values()
            for s in state.submissions
            if s.status is CallStatus.submitting
            or (s.status is CallStatus.pending and _was_due(state.call, now))
        ]
        requested = {s.id: self._requested_at(now, s.created_at, calls[s.call].call) for s in maybe_dialled}
        _make_unconfirmed(c, calls, maybe_dialled, requested, now)
        return maybe_dialled

    def _mark_resends(self) -> None:
        while refused_ids := self._database.read(
            lambda c: restore_queries.rate_limited_awaiting_resend(c, self._batch)
        ):
            self._count(self._database.write(lambda c: self._add_resends(c, refused_ids)))

    def _add_resends(self, c: Connection, refused_ids: Sequence[str]) -> list[Submission]:
        """Record the resends that were due as unconfirmed, because they may have been made and sent."""
        calls = load_of_submissions(c, refused_ids)
        now = self._clock()
        resends, requested = [], {}
        for id in refused_ids:
            state = calls.of_submission(id)
            if state is None or state.timeline.settled or state.timeline.submissions[-1].id != id:
                continue
            resend = add_submission(c, state, trigger=Trigger.resend, now=now, due_at=now)
            requested[resend.id] = self._requested_at(now, state.submission(id).created_at, state.call)
            resends.append(resend)
        _make_unconfirmed(c, calls, resends, requested, now)
        for id in sorted(refused_ids):
            jobs.drop(c, jobs.RESEND, id)
        return resends

    def _requested_at(self, now: datetime, created_at: datetime, call: Call) -> datetime:
        """Return since when callbacks may be about a submission that was not sent when the backup was made.

        Without later callbacks in the inbox, only those that come from now on may.
        """
        if not self._has_later_callbacks:
            return now
        known_until = self._report.known_until or created_at
        return max(known_until, created_at, call.not_before or created_at)

    def _plan_polls(self) -> None:
        last = ""
        while found := self._database.read(
            lambda c: restore_queries.open_with_provider_id(c, last, self._batch)  # noqa: B023
        ):
            self._database.write(lambda c: self._plan(c, found))
            self._report.asked += len(found)
            last = found[-1][0]
            self._progress(self._report.unconfirmed + self._report.asked)

    def _plan(self, c: Connection, submissions: Sequence[tuple[str, str]]) -> None:
        for id, account in submissions:
            jobs.plan(c, jobs.POLL, id, account, self._clock())

    def _count(self, marked: Sequence[Submission]) -> None:
        report = self._report
        report.unconfirmed += len(marked)
        report.calls += [s.call for s in marked[: _NAMED_CALLS - len(report.calls)]]
        self._progress(report.unconfirmed + report.asked)


def _pause(c: Connection, pause: Pause) -> None:
    heartbeats.deregister_all(c)  # the workers that the backup knows worked elsewhere
    standing = next((p for p in pauses.find_pauses(c) if p.scope == pause.scope), None)
    if standing is None or standing.why is not pause.why:  # a person's pause would not tell of the restore
        pauses.delete_pause(c, None, None)
        pauses.insert_pause(c, pause)


def _was_due(call: Call, now: datetime) -> bool:
    return call.not_before is None or call.not_before <= now


def _make_unconfirmed(
    c: Connection,
    calls: CallStates,
    submissions: Sequence[Submission],
    requested: dict[str, datetime],
    now: datetime,
) -> None:
    """Make submissions of locked calls unconfirmed. requested: when those that have no such time were sent (by id)."""
    for s in submissions:
        state = calls[s.call]
        state.change_submission(s.id, lease_until=None, requested_at=s.requested_at or requested[s.id])
        factory = EventFactory(s, now, EventSource.inferred)
        detail = {"was": s.status.value}
        state.add(factory.status(CallStatus.unconfirmed, Reason.restored, key="restored", detail=detail))
    calls.save(now)
    for s in sorted(submissions, key=lambda s: s.id):
        jobs.drop(c, jobs.SEND, s.id)
        erase_secrets(c, s.call)

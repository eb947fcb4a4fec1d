"""After a backup was restored, nobody is dialled again.

The database does not know what happened after the backup was made. So dialling pauses, and all that was to be dialled,
or was being dialled, may have been dialled since: it becomes `unconfirmed`, which nothing dials again by itself. What
the provider took is asked about, for its callbacks may have come after the backup.
"""

from __future__ import annotations

from collections.abc import Callable
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
_AT_ONCE: Final = 200
#: ids that are told, of however many
_NAMED: Final = 20


@dataclass(kw_only=True)
class RestoreReport:
    """What was found and done."""

    #: the latest thing that the database knew of; what came later is not in it
    known_until: datetime | None = None
    #: submissions that became `unconfirmed`, among them those of calls that were told to come again
    unconfirmed: int = 0
    #: the first calls of these
    calls: list[str] = field(default_factory=list)
    #: submissions that the provider is asked about
    asked: int = 0
    #: submissions that stay pending, for their time has not come
    planned: int = 0

    def document(self) -> dict[str, Any]:
        until = self.known_until.isoformat().replace("+00:00", "Z") if self.known_until else None
        return {
            "known_until": until, "unconfirmed": self.unconfirmed, "calls": self.calls, "asked": self.asked,
            "planned": self.planned,
        }  # fmt: skip


def after_restore(
    database: Database, clock: Clock = system_clock, progress: Callable[[int], None] = lambda _: None
) -> RestoreReport:
    """Pause dialling, and mark what was open; said again, what was placed since and waits is marked, too.

    In short transactions; a process that is killed in between leaves dialling paused, and the rest to the next run.
    progress: told how many submissions were looked after so far. Raises StorageUnavailable.
    """
    done = RestoreReport(known_until=database.read(restore_queries.newest))
    pause = Pause(since=clock(), why=PauseReason.restored)
    database.write(lambda c: _pause(c, pause))
    _mark_dialled(database, clock, done, progress)
    _mark_told_to_come_again(database, clock, done, progress)
    _have_asked(database, clock, done, progress)
    done.planned = database.read(restore_queries.planned_for_later)
    log.info(
        "database.restored", unconfirmed=done.unconfirmed, asked=done.asked, planned=done.planned,
        known_until=done.document()["known_until"],
    )  # fmt: skip
    return done


def _pause(c: Connection, pause: Pause) -> None:
    heartbeats.deregister_all(c)  # whoever worked on it worked elsewhere
    known = next((p for p in pauses.find_pauses(c) if p.scope == pause.scope), None)
    if known is None or known.why is not pause.why:  # one of a person's says why less well
        pauses.delete_pause(c, None, None)
        pauses.insert_pause(c, pause)


def _mark_dialled(
    database: Database, clock: Clock, done: RestoreReport, progress: Callable[[int], None]
) -> None:
    last = ""
    while found := database.read(lambda c: restore_queries.maybe_dialled(c, last, _AT_ONCE, clock())):  # noqa: B023
        ids = {call for _, call in found}
        marked = database.write(lambda c: _mark(c, load(c, ids), clock()))  # noqa: B023
        _count(done, marked)
        last = found[-1][0]
        progress(done.unconfirmed + done.asked)


def _mark(c: Connection, calls: CallStates, now: datetime) -> list[Submission]:
    """Under the calls' locks, mark what may have been dialled."""
    may_have_left = [
        s
        for state in calls.values()
        for s in state.submissions
        if s.status is CallStatus.submitting or (s.status is CallStatus.pending and _was_due(state.call, now))
    ]
    _make_unconfirmed(c, calls, may_have_left, now)
    return may_have_left


def _was_due(call: Call, now: datetime) -> bool:
    return call.not_before is None or call.not_before <= now


def _make_unconfirmed(c: Connection, calls: CallStates, submissions: list[Submission], now: datetime) -> None:
    for s in submissions:
        state = calls[s.call]
        # a callback that comes from now on may be about it: if it was requested, then by now
        state.change_submission(s.id, lease_until=None, requested_at=s.requested_at or now)
        say = EventFactory(s, now, EventSource.inferred)
        detail = {"was": s.status.value}
        state.add(say.status(CallStatus.unconfirmed, Reason.restored, key="restored", detail=detail))
    calls.save(now)
    for s in sorted(submissions, key=lambda s: s.id):
        jobs.drop(c, jobs.SEND, s.id)
        erase_secrets(c, s.call)


def _mark_told_to_come_again(
    database: Database, clock: Clock, done: RestoreReport, progress: Callable[[int], None]
) -> None:
    while found := database.read(lambda c: restore_queries.rate_limited_awaiting_resend(c, _AT_ONCE)):
        marked = database.write(lambda c: _materialise_planned_resend(c, found, clock))
        _count(done, marked)
        progress(done.unconfirmed + done.asked)


def _materialise_planned_resend(c: Connection, refused_ids: list[str], clock: Clock) -> list[Submission]:
    """The submission that was planned may have been made and sent: it is recorded, as what nobody can tell."""
    calls = load_of_submissions(c, refused_ids)
    now = clock()
    made = []
    for id in refused_ids:
        state = calls.of_submission(id)
        if state is None or state.timeline.settled or state.timeline.submissions[-1].id != id:
            continue
        made.append(add_submission(c, state, trigger=Trigger.resend, now=now, due_at=now))
    _make_unconfirmed(c, calls, made, now)
    for id in sorted(refused_ids):
        jobs.drop(c, jobs.RESEND, id)
    return made


def _have_asked(
    database: Database, clock: Clock, done: RestoreReport, progress: Callable[[int], None]
) -> None:
    last = ""
    while found := database.read(lambda c: restore_queries.can_be_asked_for(c, last, _AT_ONCE)):  # noqa: B023

        def plan(c: Connection, found: list[tuple[str, str]] = found) -> None:
            for id, account in found:
                jobs.plan(c, jobs.POLL, id, account, clock())

        database.write(plan)
        done.asked += len(found)
        last = found[-1][0]
        progress(done.unconfirmed + done.asked)


def _count(done: RestoreReport, marked: list[Submission]) -> None:
    done.unconfirmed += len(marked)
    done.calls += [s.call for s in marked[: _NAMED - len(done.calls)]]

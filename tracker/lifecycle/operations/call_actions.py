"""Cancels and retries calls for operators. Each act leaves an event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import CREDENTIALS_MISSING, Account
from tracker.domain.calls import CallStatus, Reason, Submission, Trigger
from tracker.domain.events import Decision, Event, EventSource
from tracker.domain.timeline.fold import Timeline
from tracker.errors import Conflict, NotFound
from tracker.lifecycle.placing.idempotency import IdempotentRequest, Placed, canonical_json, run_once
from tracker.lifecycle.placing.place import add_submission
from tracker.lifecycle.sending.secret_variables import find_erased_variables
from tracker.lifecycle.timeline.call_state import CallState, CallStates, load
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.store.calls.secrets import erase_secrets
from tracker.store.engine.database import Connection, Database
from tracker.store.queue import jobs

log = structlog.get_logger()


class CallActions:
    """What operators do with calls. Each act raises StorageUnavailable."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._clock = database, accounts, clock

    def cancel(self, call_id: str, *, force: bool = False) -> bool:
        """Make no further attempt of a call.

        Return True if no request had left, so that the call is canceled. Return False if the provider has a request,
        whose outcome counts. Raises NotFound; Conflict if the call is settled.

        force: end an attempt as `unknown` whose request may have left after the backup that was restored; then True.
        """
        return self._database.write(lambda c: self._cancel(c, call_id, force))

    def retry(self, call_id: str, *, force: bool = False, scope: str = "", key: str | None = None) -> Placed:
        """Make another attempt of a call, pending and due now. The dial gate still applies to it.

        scope: the client. key: its Idempotency-Key; the same key again returns the same submission. Raises NotFound;
        Conflict if an attempt is open, if the call was answered (unless `force`), if its secret variables are erased,
        or if its account has no access token; IdempotencyConflict if the key was used for another request.
        """
        content = canonical_json({"retry": call_id, "force": force})
        request = IdempotentRequest(scope=scope, key=key, content=content)
        return run_once(self._database, request, lambda c: self._retry(c, call_id, force))

    def _cancel(self, c: Connection, call_id: str, force: bool) -> bool:
        calls, state = _load(c, call_id)
        timeline, now = state.timeline, self._clock()
        if timeline.settled:
            raise Conflict(f"The call is settled: {timeline.outcome}. Nothing is left to cancel.")
        *earlier, latest = state.submissions
        events = EventFactory(latest, now, EventSource.operator)
        # about this attempt if its request has not left, else about the next one
        decide = events.decision if latest.status is CallStatus.pending else events.next_decision
        state.add(decide("cancel", Reason.operator, {"decision": Decision.cancel}))
        waits_for_resend = latest.outcome is not None and timeline.next_attempt_at is not None
        is_canceled = True
        if latest.status is CallStatus.pending or waits_for_resend:
            jobs.drop(c, jobs.SEND, latest.id)
            jobs.drop(c, jobs.RESEND, latest.id)
            erase_secrets(c, call_id)
            state.add(events.status(CallStatus.canceled, Reason.operator, key="canceled-by-operator"))
        elif force and _is_lost_by_restore(timeline):
            state.add(_give_up(latest, now))
        else:
            is_canceled = False
        calls.save(now)
        log.info("call.canceled" if is_canceled else "call.cancel_requested", call=call_id)
        return is_canceled and all(s.outcome is not None for s in earlier)

    def _retry(self, c: Connection, call_id: str, force: bool) -> Placed:
        calls, state = _load(c, call_id)
        now, latest = self._clock(), state.submissions[-1]
        open_ones = [s for s in state.submissions if s.outcome is None]
        if [s.id for s in open_ones] == [latest.id] and _is_lost_by_restore(state.timeline):
            if not force:
                raise Conflict(
                    f"Attempt {latest.number} may have been dialled after the backup that was restored. If you know "
                    'that it was not, or want to dial again all the same, send {"force": true}.'
                )
        elif open_ones:
            raise Conflict(
                f"Attempt {open_ones[-1].number} is open ({open_ones[-1].status}): it may still ring. "
                "Wait for its outcome."
            )
        if state.timeline.answered and not force:
            raise Conflict('The call was answered. To dial again all the same, send {"force": true}.')
        if names := ", ".join(find_erased_variables(c, state.call)):
            raise Conflict(
                f"The secret variables ({names}) were erased when they were sent. Place a new call."
            )
        account = self._accounts.get(state.call.account)
        if account is not None and not account.access_token:
            raise Conflict(f"accounts.{account.name}.{CREDENTIALS_MISSING}.")
        jobs.drop(c, jobs.RESEND, latest.id)
        if open_ones:
            state.add(_give_up(latest, now))
        submission = add_submission(c, state, trigger=Trigger.operator, now=now, due_at=now)
        events = EventFactory(submission, now, EventSource.operator)
        detail = {"decision": Decision.retry, "force": force}
        state.add(events.decision("retry", Reason.operator, detail))
        calls.save(now)
        log.info("call.retried", call=call_id, submission=submission.id)
        return Placed.of(submission)


def _load(c: Connection, call_id: str) -> tuple[CallStates, CallState]:
    calls = load(c, [call_id])
    if call_id not in calls:
        raise NotFound(f"There is no call {call_id}.")
    return calls, calls[call_id]


def _is_lost_by_restore(timeline: Timeline) -> bool:
    latest = timeline.submissions[-1]
    return latest.status is CallStatus.unconfirmed and latest.reason == Reason.restored


def _give_up(lost: Submission, now: datetime) -> Event:
    """Return the end of an attempt that was lost by a restore. A callback about it still counts."""
    return EventFactory(lost, now, EventSource.inferred).status(CallStatus.unknown, Reason.restored)

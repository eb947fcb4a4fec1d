"""Operating: what a person decides about a call or a callback. Each act leaves an event that says so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import CREDENTIALS_MISSING, Account
from tracker.domain.calls import CallStatus, Reason, Submission, Trigger
from tracker.domain.events import Decision, Event, EventSource
from tracker.domain.matching.facts import SubmissionFacts
from tracker.domain.matching.ids import base_id_key, id_key
from tracker.domain.timeline.fold import Timeline
from tracker.errors import Conflict, NotFound
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.operations.join_rules import require_same_number
from tracker.lifecycle.operations.pauses import require_complete_database
from tracker.lifecycle.placing.idempotency import (
    IdempotentRequest,
    Placed,
    canonical_json,
    find_replay,
    remember_request,
    run_once,
)
from tracker.lifecycle.placing.place import add_submission
from tracker.lifecycle.sending.secret_variables import erased
from tracker.lifecycle.timeline.call_state import CallState, CallStates, load, load_of_submissions
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.store.calls.secrets import erase_secrets
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import match_queries, states
from tracker.store.queue import jobs

log = structlog.get_logger()


class Operator:
    """The acts of people. Each of them raises IncompleteCopy in a copy that is not complete."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], joiner: Joiner, clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._joiner, self._clock = database, accounts, joiner, clock

    def cancel(self, call_id: str, *, force: bool = False) -> bool:
        """No (further) attempt. True where no request had left, and the call is canceled; False where the provider has
        one, whose outcome stands. Raises NotFound; Conflict where the call is settled.

        force: an attempt of which nobody can tell since a backup was restored ends as `unknown` (True, too).
        """
        return self._database.write(lambda c: self._cancel(c, call_id, force))

    def retry(self, call_id: str, *, force: bool = False, scope: str = "", key: str | None = None) -> Placed:
        """Another attempt by hand; gives the new submission, pending and due now. The gate still applies to it.

        scope, key: who asks, and their Idempotency-Key; the same key again gives the same submission. Raises NotFound;
        Conflict while an attempt is open, where the call was answered (unless `force`), where its secret variables are
        erased, or its account has no token; IdempotencyConflict for the same key with another request.
        """
        content = canonical_json({"retry": call_id, "force": force})
        asked = IdempotentRequest(scope=scope, key=key, content=content)
        return run_once(
            self._database, lambda c: find_replay(c, asked) or self._retry(c, call_id, force, asked)
        )

    def join(
        self,
        callback_id: str,
        *,
        submission: str | None = None,
        submission_id: str | None = None,
        force: bool = False,
    ) -> None:
        """This callback belongs to that submission (our id, or the provider's), whatever the matching says.

        force: also join a callback about another phone number. Raises NotFound; NumberMismatch, Conflict.
        """
        self._database.write(lambda c: self._join(c, callback_id, submission, submission_id, force))

    def ignore(self, callback_id: str) -> None:
        """This callback is about nothing of ours, whatever holds it; a join of it is taken back.

        What was not believed keeps its reason. Raises NotFound; Conflict where nobody has read it yet.
        """
        self._database.write(lambda c: self._ignore(c, callback_id))

    def _cancel(self, c: Connection, call_id: str, force: bool) -> bool:
        require_complete_database(c)
        calls, state = self._load(c, call_id)
        timeline, now = state.timeline, self._clock()
        if timeline.settled:
            raise Conflict(f"The call is settled: {timeline.outcome}. Nothing is left to cancel.")
        *earlier, latest = state.submissions
        events = EventFactory(latest, now, EventSource.operator)
        # about this attempt as long as it has not left, else about the next one
        decide = events.decision if latest.status is CallStatus.pending else events.next_decision
        state.add(decide("cancel", Reason.operator, {"decision": Decision.cancel}))
        waits_for_resend = latest.outcome is not None and timeline.next_attempt_at is not None
        if latest.status is CallStatus.pending or waits_for_resend:
            jobs.drop(c, jobs.SEND, latest.id)
            jobs.drop(c, jobs.RESEND, latest.id)
            erase_secrets(c, call_id)
            state.add(events.status(CallStatus.canceled, Reason.operator, key="canceled-by-operator"))
            is_over, event = all(s.outcome is not None for s in earlier), "call.canceled"
        elif force and _lost_by_restoring(timeline):
            state.add(_over(latest, now))
            is_over, event = all(s.outcome is not None for s in earlier), "call.given_up"
        else:
            is_over, event = False, "call.cancel_requested"
        calls.save(now)
        log.info(event, call=call_id)
        return is_over

    def _retry(self, c: Connection, call_id: str, force: bool, asked: IdempotentRequest) -> Placed:
        require_complete_database(c)
        calls, state = self._load(c, call_id)
        now, latest = self._clock(), state.submissions[-1]
        open_ones = [s for s in state.submissions if s.outcome is None]
        if [s.id for s in open_ones] == [latest.id] and _lost_by_restoring(state.timeline):
            if not force:
                raise Conflict(
                    f"Attempt {latest.number} may have been dialled after the backup that was restored; if "
                    'you know that it was not, or want to dial again all the same, send {"force": true}.'
                )
        elif open_ones:
            status = open_ones[-1].status
            raise Conflict(
                f"Attempt {open_ones[-1].number} is open ({status}): it may still ring. Wait for its outcome."
            )
        if state.timeline.answered and not force:
            raise Conflict('The call was answered; to dial again all the same, send {"force": true}.')
        if names := ", ".join(erased(c, state.call)):
            raise Conflict(
                f"The secret variables ({names}) were erased when they were sent; place a new call."
            )
        account = self._accounts.get(state.call.account)
        if account is not None and not account.access_token:
            raise Conflict(f"accounts.{account.name}.{CREDENTIALS_MISSING}.")
        jobs.drop(c, jobs.RESEND, latest.id)
        if open_ones:
            state.add(_over(latest, now))
        new = add_submission(c, state, trigger=Trigger.operator, now=now, due_at=now)
        events = EventFactory(new, now, EventSource.operator)
        detail = {"decision": Decision.retry, "force": force}
        state.add(events.decision("retry", Reason.operator, detail))
        calls.save(now)
        remember_request(c, asked, call_id, now)
        log.info("call.retried", call=call_id, submission=new.id)
        return Placed(call=call_id, submission=new.id, account=new.account)

    def _load(self, c: Connection, call_id: str) -> tuple[CallStates, CallState]:
        calls = load(c, [call_id])
        if call_id not in calls:
            raise NotFound(f"There is no call {call_id}.")
        return calls, calls[call_id]

    def _join(
        self,
        c: Connection,
        callback_id: str,
        submission: str | None,
        submission_id: str | None,
        force: bool,
    ) -> None:
        require_complete_database(c)
        states.lock_joining(c)
        standing = self._readable(c, callback_id)
        receipt = match_queries.receipts_including_ignored(c, [callback_id])[0]
        account = receipt.account
        targets = self._meant(c, account, submission, submission_id)
        if len(targets) != 1:
            asked = submission or submission_id
            raise NotFound(
                f"{'No' if not targets else 'More than one'} submission of {account} has the id {asked}."
            )
        if not force:
            require_same_number(receipt, targets[0])
        self._note(c, callback_id, standing, targets[0].id)
        states.set_by_hand(c, callback_id, targets[0].id)
        self._joiner.weigh_again(c, account, [callback_id])
        for id in {standing.submission, targets[0].id}:
            if id and (touched := find_submission(c, id)):
                self._joiner.weigh_number(c, touched)
        log.info("callback.joined_by_hand", callback=callback_id, submission=targets[0].id)

    def _meant(
        self, c: Connection, account: str, submission: str | None, submission_id: str | None
    ) -> list[SubmissionFacts]:
        """The submissions that an operator may mean: by an id as it was given, else by it without its suffix."""
        if submission:
            return match_queries.submitted_by_keys(c, account, own=[submission])
        id = submission_id or ""
        return match_queries.submitted_by_keys(
            c, account, full=[id_key(id)]
        ) or match_queries.submitted_by_keys(c, account, base=[base_id_key(id)])

    def _ignore(self, c: Connection, callback_id: str) -> None:
        require_complete_database(c)
        states.lock_joining(c)
        standing = self._standing(c, callback_id)
        receipt = next(iter(match_queries.receipts_including_ignored(c, [callback_id])), None)
        if receipt is None:
            self._ignore_unread(c, standing)
            return
        self._note(c, callback_id, standing, None)
        states.set_by_hand(c, callback_id, None)
        ignored = states.MatchState(
            id=callback_id, state=states.IGNORED, reason=Reason.operator, reading=receipt.report
        )
        states.write_match_states(c, [ignored])
        states.add_wait_keys(c, receipt.account, {}, [callback_id])
        if standing.call and standing.submission:
            calls = load(c, [standing.call], with_reports=True)
            calls[standing.call].derive(standing.submission)
            calls.save(self._clock())
            self._joiner.weigh_number(c, calls[standing.call].submission(standing.submission))
        if twin := match_queries.duplicate_text(receipt.report):
            # what was joined for being equal to it has to be joined by something else now
            alike = [
                r.id for r in match_queries.twin_receipts(c, receipt.account, {twin}) if r.id != callback_id
            ]
            self._joiner.weigh_again(c, receipt.account, alike)
        log.info("callback.ignored_by_hand", callback=callback_id)

    def _ignore_unread(self, c: Connection, standing: states.MatchState) -> None:
        """One that holds no record, and so touches no call."""
        if standing.state == states.PENDING:
            raise Conflict("The callback is pending: nobody has read it yet; try again in a moment.")
        if standing.state == states.IGNORED:
            return
        reason = standing.reason if standing.state == states.QUARANTINED else Reason.operator
        states.set_by_hand(c, standing.id, None)
        states.write_match_states(c, [states.MatchState(id=standing.id, state=states.IGNORED, reason=reason)])
        log.info("callback.ignored_by_hand", callback=standing.id)

    def _standing(self, c: Connection, callback_id: str) -> states.MatchState:
        standing = states.match_states(c, [callback_id]).get(callback_id)
        if standing is None:
            raise NotFound(f"There is no callback {callback_id}.")
        return standing

    def _readable(self, c: Connection, callback_id: str) -> states.MatchState:
        standing = self._standing(c, callback_id)
        if not match_queries.receipts_including_ignored(c, [callback_id]):
            raise Conflict(
                f"The callback is {standing.state}: it holds no record that could belong to a call."
            )
        return standing

    def _note(self, c: Connection, callback_id: str, before: states.MatchState, to: str | None) -> None:
        """Leave a decision on every call that the act touches."""
        calls = load_of_submissions(c, {id for id in (before.submission, to) if id})
        now = self._clock()
        detail = {
            "decision": Decision.join_callback if to else Decision.ignore_callback,
            "callback": callback_id,
            "from": before.submission,
            "to": to,
        }
        for id in {before.submission, to}:
            if id and (state := calls.of_submission(id)):
                key = f"hand/{callback_id}/{now.isoformat()}"
                events = EventFactory(state.submission(id), now, EventSource.operator)
                state.add(events.decision(key, Reason.operator, detail))
        calls.save(now)


def _lost_by_restoring(timeline: Timeline) -> bool:
    latest = timeline.submissions[-1]
    return latest.status is CallStatus.unconfirmed and latest.reason == Reason.restored


def _over(lost: Submission, now: datetime) -> Event:
    """Nobody waits any more for what was lost by restoring; a callback that comes all the same still counts."""
    return EventFactory(lost, now, EventSource.inferred).status(CallStatus.unknown, Reason.restored)

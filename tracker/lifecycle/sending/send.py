"""Sends a submission to the provider once, and records the response.

The commit to `submitting`, with owner and lease, comes before the request. So no other process sends the submission,
whatever happens to this one. `submitting` goes back to `pending` only if its own sender finds that no byte left.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, repeat
from secrets import choice
from string import ascii_lowercase
from time import monotonic
from typing import Final

import structlog

from tracker.clock import Clock, system_clock
from tracker.domain.accounts import Account
from tracker.domain.call_reports import SubmitResult, SubmitResultKind
from tracker.domain.calls import CallStatus, Reason, Submission, Trigger
from tracker.domain.events import Decision, EventSource
from tracker.errors import StorageUnavailable
from tracker.lifecycle.joining.joiner import Joiner
from tracker.lifecycle.placing.place import add_submission
from tracker.lifecycle.sending.claim import Claim, claim_submission
from tracker.lifecycle.sending.exchange_evidence import make_exchange, mask_response
from tracker.lifecycle.sending.secret_variables import find_erased_variables
from tracker.lifecycle.sending.submit_outcomes import SubmitState, decide_outcome
from tracker.lifecycle.timeline.call_state import load, load_of_submissions
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.logs.redaction import SecretMasker, masker_of
from tracker.providers.base import ExchangeFailure, HttpResponse
from tracker.providers.registry import get_provider
from tracker.providers.transport import exchange
from tracker.store.calls.exchanges import Exchange, insert_exchange
from tracker.store.calls.secrets import erase_secrets
from tracker.store.calls.submissions import find_ended_leases
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import states
from tracker.store.queue import jobs

log = structlog.get_logger()

#: seconds for which a response is kept while the database is away, and the pauses between the tries to record it
_RECORD_FOR_S: Final = 120.0
_RECORD_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
#: after this a worker matches the early callbacks of a submission, if its sender did not
_MATCH_GRACE: Final = timedelta(seconds=5)
#: seconds that a sender waits for the joiner: many times what a batch takes
_MATCH_LOCK_TIMEOUT_S: Final = 2.0
#: after these results no phone can ring because of the request
_NO_PHONE_RINGS: Final = (
    SubmitResultKind.refused,
    SubmitResultKind.rate_limited,
    SubmitResultKind.never_left,
)


class Sender:
    """Sends submissions of the configured accounts. A process needs one."""

    def __init__(
        self,
        database: Database,
        accounts: Mapping[str, Account],
        joiner: Joiner,
        clock: Clock = system_clock,
        *,
        record_for_s: float = _RECORD_FOR_S,
        record_pauses_s: Sequence[float] = _RECORD_PAUSES_S,
        match_lock_timeout_s: float = _MATCH_LOCK_TIMEOUT_S,
    ) -> None:
        """record_for_s: how long to keep a response while the database is away. record_pauses_s: the pauses between
        the tries to record it, the last of which repeats. match_lock_timeout_s: how long to wait for a joiner."""
        self._database, self._accounts, self._joiner, self._clock = database, accounts, joiner, clock
        self._record_for_s, self._record_pauses_s = record_for_s, tuple(record_pauses_s)
        self._match_lock_timeout_s = match_lock_timeout_s
        # letters only: the log would mask digits as a telephone number
        self.owner = f"{socket.gethostname()}-{''.join(choice(ascii_lowercase) for _ in range(10))}"

    async def submit(self, submission_id: str) -> None:
        """Send a submission if it can be claimed, and record the response. Raises StorageUnavailable."""
        claim = await asyncio.to_thread(self.claim, submission_id)
        if claim is None:
            return
        lease_until = claim.submission.lease_until
        assert lease_until is not None
        requested_at = self._clock()
        response = await exchange(
            claim.request,
            timeout_s=claim.account.timeout_s,
            proxy=claim.account.proxy,
            before_write=lambda: self._clock() < lease_until,
        )
        await self.record_until_stored(claim, response, requested_at)

    async def record_until_stored(
        self, claim: Claim, response: HttpResponse | ExchangeFailure, requested_at: datetime
    ) -> None:
        """Do `record_response` again while the database is away, because only this process knows the response.

        Raises StorageUnavailable if it is away for too long; then the lease ends, as that of a lost sender.
        """
        give_up_at = monotonic() + self._record_for_s
        for pause_s in chain(self._record_pauses_s, repeat(self._record_pauses_s[-1])):
            try:
                await asyncio.to_thread(self.record_response, claim, response, requested_at)
            except StorageUnavailable as error:
                if monotonic() >= give_up_at:
                    raise
                log.warning("response.record_failed", submission=claim.submission.id, error=str(error))
                await asyncio.sleep(pause_s)
            else:
                return

    def claim(self, submission_id: str) -> Claim | None:
        """Claim a pending submission, if the gate and the rate limit let it. Who has a claim sends the request."""
        return self._database.write(
            lambda c: claim_submission(c, submission_id, self._accounts, owner=self.owner, clock=self._clock)
        )

    def record_response(
        self, claim: Claim, response: HttpResponse | ExchangeFailure, requested_at: datetime
    ) -> None:
        """Record a response once, then match callbacks that came before it. Raises StorageUnavailable."""
        result = get_provider(claim.account.provider).parse_submit_response(claim.account, response)
        masker = _masker_of(claim)
        result = replace(
            result,
            # an error may quote the variable that it rejects
            message=result.message and masker.mask_text(result.message),
            provider_status=result.provider_status and masker.mask_text(result.provider_status),
        )
        now, redacted = self._clock(), claim.redacted_request
        sent = make_exchange(
            id=claim.exchange_id,
            kind="send",
            submission=claim.submission,
            request=replace(redacted, body=masker.mask_bytes(redacted.body)),
            response=mask_response(response, masker),
            requested_at=requested_at,
            answered_at=now,
        )
        submission, may_be_late = self._database.write(lambda c: self._record(c, claim, result, sent))
        log.info(
            "submission.sent", submission=submission.id, call=submission.call, account=submission.account,
            answer=result.kind.value, reason=result.reason, http_status=sent.status, status=submission.status.value,
            took_s=round((now - requested_at).total_seconds(), 3),
        )  # fmt: skip
        if may_be_late:
            self._match_early(submission)

    def end_leases(self) -> int:
        """Make submissions `unconfirmed` whose sender is lost, and return how many. Raises StorageUnavailable."""
        ended = self._database.read(lambda c: find_ended_leases(c, self._clock()))
        for id in ended:
            self._database.write(lambda c, id=id: self._end_lease(c, id))  # type: ignore[misc]
        return len(ended)

    def resend(self, refused_id: str) -> None:
        """Make the submission that follows a rate-limited one, unless that was withdrawn. Raises StorageUnavailable."""
        self._database.write(lambda c: self._resend(c, refused_id))

    def _record(
        self, c: Connection, claim: Claim, result: SubmitResult, sent: Exchange
    ) -> tuple[Submission, bool]:
        """Return the submission as it is now, and whether callbacks may have come before its id."""
        no_phone_rings = result.kind in _NO_PHONE_RINGS
        if no_phone_rings:
            states.lock_joining(c)  # before the lock of any call, as every joiner does
        id = claim.submission.id
        calls = load(c, [claim.submission.call])
        state = calls[claim.submission.call]
        if not insert_exchange(c, sent):
            return state.submission(id), result.submission_id is not None
        # the answer came at one time and is written at a later one, after the locks
        now = self._clock()
        outcome = decide_outcome(
            SubmitState(
                call_state=state,
                submission=state.submission(id),
                erased=find_erased_variables(c, state.call),
                now=sent.answered_at,
            ),
            result,
            sent.status,
        )
        state.change_submission(id, **{"lease_until": None, **outcome.columns})
        state.add(*outcome.events)
        calls.save(now)
        submission = state.submission(id)
        if outcome.resend_at is not None:
            jobs.plan(c, jobs.RESEND, id, submission.account, outcome.resend_at)
        elif outcome.send_at is not None:
            jobs.plan(c, jobs.SEND, id, submission.account, outcome.send_at)
        else:
            erase_secrets(c, submission.call)
        has_id = result.submission_id is not None
        may_be_late = has_id and self._joiner.may_have_early_callbacks(c, submission)
        if may_be_late:
            # this process matches them after the commit; the job is for its death in between
            jobs.plan(c, jobs.MATCH_EARLY, id, submission.account, sent.answered_at + _MATCH_GRACE)
        if no_phone_rings:
            # callbacks that came meanwhile and were joined to it by number and time are about other calls
            self._joiner.rematch_number(c, claim.submission)
        return submission, may_be_late

    def _match_early(self, submission: Submission) -> None:
        try:
            self._joiner.match_after_accept(submission, lock_timeout_s=self._match_lock_timeout_s)
        except StorageUnavailable as error:
            # a client waits for this answer; the job that was committed with the id is done later
            log.warning("submission.match_deferred", submission=submission.id, error=str(error))

    def _end_lease(self, c: Connection, id: str) -> None:
        calls = load_of_submissions(c, [id])
        state, now = calls.of_submission(id), self._clock()
        if state is None:
            return
        submission = state.submission(id)
        if submission.lease_until is None or submission.lease_until >= now:
            return  # its sender came back meanwhile
        state.change_submission(id, lease_until=None)
        events = EventFactory(submission, now, EventSource.inferred)
        state.add(events.status(CallStatus.unconfirmed, Reason.sender_lost, key="sender-lost"))
        calls.save(now)
        erase_secrets(c, submission.call)
        log.warning("submission.lease_ended", submission=id, call=submission.call, owner=submission.owner)

    def _resend(self, c: Connection, refused_id: str) -> None:
        calls = load_of_submissions(c, [refused_id])
        state, now = calls.of_submission(refused_id), self._clock()
        if state is None or state.timeline.submissions[-1].id != refused_id:
            return
        if state.timeline.settled:
            # also if the outcome that settled it is taken back later, because the job is gone
            erase_secrets(c, state.call.id)
            detail = {"decision": Decision.stop, "outcome": state.timeline.outcome}
            events = EventFactory(state.submission(refused_id), now)
            state.add(events.next_decision("stop", Reason.outcome_known, detail))
        else:
            new = add_submission(c, state, trigger=Trigger.resend, now=now, due_at=now)
            detail = {"decision": Decision.new_submission}
            state.add(EventFactory(new, now).decision("made", Reason.rate_limited, detail))
        calls.save(now)


def _masker_of(claim: Claim) -> SecretMasker:
    configured = claim.account.secrets
    return SecretMasker((*configured, *claim.secrets)) if claim.secrets else masker_of(configured)

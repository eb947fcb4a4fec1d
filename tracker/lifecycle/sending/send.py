"""Sending: one request to the provider per submission, and what became of it.

`pending → submitting` is committed with owner and lease before the request leaves, so nobody else sends it, whatever
happens to this process. `submitting` never goes back to `pending` but by its own sender's finding that no byte left.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
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
from tracker.lifecycle.sending.exchanges import mask_result, reply_fields
from tracker.lifecycle.sending.secret_variables import erased
from tracker.lifecycle.sending.submit_outcomes import SubmitState, submit_outcome
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

#: how long an answer is held ready for a database that is away, and the pauses between the tries
RECORD_FOR_S: Final = 120.0
RECORD_PAUSES_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
#: after this a worker looks for callbacks that were earlier, where the sender did not
LOOK_GRACE: Final = timedelta(seconds=5)
#: seconds that the sender himself waits for whoever joins: many times what a batch takes
LOOK_PATIENCE_S: Final = 2.0
#: after these answers no phone can ring because of the request
NO_PHONE: Final = (SubmitResultKind.refused, SubmitResultKind.rate_limited, SubmitResultKind.never_left)


class Sender:
    """Sends submissions of the configured accounts; one per process is enough."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], joiner: Joiner, clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._joiner, self._clock = database, accounts, joiner, clock
        # letters alone: digits alone would look like a telephone number to the log
        self.owner = f"{socket.gethostname()}-{''.join(choice(ascii_lowercase) for _ in range(10))}"

    async def submit(self, submission_id: str) -> None:
        """Send this submission if it is its time, and record the answer. Returns at once where the gate or the pace
        holds it back, or somebody else is sending it. Raises StorageUnavailable."""
        claim = await asyncio.to_thread(self.claim, submission_id)
        if claim is None:
            return
        lease_until = claim.submission.lease_until
        assert lease_until is not None
        requested_at = self._clock()
        result = await exchange(
            claim.request,
            timeout_s=claim.account.timeout_s,
            proxy=claim.account.proxy,
            before_write=lambda: self._clock() < lease_until,
        )
        await self.record_answer(claim, result, requested_at)

    async def record_answer(
        self, claim: Claim, result: HttpResponse | ExchangeFailure, requested_at: datetime
    ) -> None:
        """`answered`, again and again while the database is away: nobody else knows what the provider said.

        Raises StorageUnavailable when it has been away for too long; then the lease ends, as of a lost sender.
        """
        give_up_at = monotonic() + RECORD_FOR_S
        for pause_s in chain(RECORD_PAUSES_S, repeat(RECORD_PAUSES_S[-1])):
            try:
                await asyncio.to_thread(self.answered, claim, result, requested_at)
            except StorageUnavailable as error:
                if monotonic() >= give_up_at:
                    raise
                log.warning("answer.not_recorded_yet", submission=claim.submission.id, error=str(error))
                await asyncio.sleep(pause_s)
            else:
                return

    def claim(self, submission_id: str) -> Claim | None:
        """Make a pending submission `submitting`, if the gate and the pace let it; whoever gets a claim sends it."""
        return self._database.write(
            lambda c: claim_submission(c, submission_id, self._accounts, owner=self.owner, clock=self._clock)
        )

    def answered(self, claim: Claim, result: HttpResponse | ExchangeFailure, requested_at: datetime) -> None:
        """Record what came back, then look for callbacks that were earlier. Said again, it changes nothing."""
        configured = claim.account.secrets
        masker = SecretMasker((*configured, *claim.secrets)) if claim.secrets else masker_of(configured)
        answer = get_provider(claim.account.provider).parse_submit_response(claim.account, result)
        # an error may quote the variable that it does not like
        answer = replace(
            answer,
            message=answer.message and masker.mask_text(answer.message),
            provider_status=answer.provider_status and masker.mask_text(answer.provider_status),
        )
        now = self._clock()
        kept = Exchange(
            id=claim.exchange, kind="send", call=claim.submission.call, submission=claim.submission.id,
            requested_at=requested_at, answered_at=now, method=claim.told.method, url=claim.told.url,
            request_headers=tuple((k.encode(), v.encode()) for k, v in claim.told.headers.items()),
            request_body=masker.mask_bytes(claim.told.body), **reply_fields(mask_result(result, masker)),
        )  # fmt: skip
        submission, may_be_early = self._database.write(lambda c: self._record(c, claim, answer, kept, now))
        log.info(
            "submission.sent", submission=submission.id, call=submission.call, account=submission.account,
            answer=answer.kind.value, reason=answer.reason, http_status=kept.status, status=submission.status.value,
            took_s=round((now - requested_at).total_seconds(), 3),
        )  # fmt: skip
        if may_be_early:
            self._look_for(submission)

    def _look_for(self, submission: Submission) -> None:
        """The answer is recorded, and somebody waits for it: where whoever joins stands still, the due work that was
        committed with the id looks later."""
        try:
            self._joiner.look_for(submission, patience_s=LOOK_PATIENCE_S)
        except StorageUnavailable as error:
            log.warning("submission.looks_later", submission=submission.id, error=str(error))

    def end_leases(self) -> int:
        """Mark what a lost sender left behind as unconfirmed; gives how many there were."""
        found = self._database.read(lambda c: find_ended_leases(c, self._clock()))
        for id in found:
            self._database.write(lambda c, id=id: self._end_lease(c, id))  # type: ignore[misc]
        return len(found)

    def resend(self, refused_id: str) -> None:
        """After "too many requests": make the new submission that was planned, unless it was withdrawn meanwhile."""
        self._database.write(lambda c: self._resend(c, refused_id))

    def _record(
        self, c: Connection, claim: Claim, answer: SubmitResult, kept: Exchange, now: datetime
    ) -> tuple[Submission, bool]:
        """Return the submission as it is now, and whether callbacks may have been earlier than its id."""
        if answer.kind in NO_PHONE:
            states.lock_joining(c)  # before any call, as every joiner does
        id = claim.submission.id
        calls = load(c, [claim.submission.call])
        state = calls[claim.submission.call]
        if not insert_exchange(c, kept):
            return state.submission(id), answer.submission_id is not None
        # the answer came at one moment, and is written at a later one, behind its turn and its locks
        written_at = self._clock()
        at = SubmitState(call=state, submission=state.submission(id), erased=erased(c, state.call), now=now)
        outcome = submit_outcome(at, answer, kept.status)
        state.change_submission(id, **{"lease_until": None, **outcome.columns})
        state.add(*outcome.events)
        calls.save(written_at)
        submission = state.submission(id)
        if outcome.resend_at is not None:
            jobs.plan(c, jobs.RESEND, id, submission.account, outcome.resend_at)
        elif outcome.send_at is not None:
            jobs.plan(c, jobs.SEND, id, submission.account, outcome.send_at)
        else:
            erase_secrets(c, submission.call)
        may_be_early = answer.submission_id is not None and self._joiner.may_have_early_callbacks(
            c, submission
        )
        if may_be_early:
            # the sender looks for them after the commit; this is for when it dies in between
            jobs.plan(c, jobs.MATCH_EARLY, id, submission.account, now + LOOK_GRACE)
        if answer.kind in NO_PHONE:
            # what came meanwhile and was taken for its report is another call's
            self._joiner.weigh_number(c, claim.submission)
        return submission, may_be_early

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
        log.warning("submission.sender_lost", submission=id, call=submission.call, owner=submission.owner)

    def _resend(self, c: Connection, refused_id: str) -> None:
        calls = load_of_submissions(c, [refused_id])
        state, now = calls.of_submission(refused_id), self._clock()
        if state is None or state.timeline.submissions[-1].id != refused_id:
            return
        if state.timeline.settled:
            # for good, also if what settled it is taken back later: its due work is gone
            erase_secrets(c, state.call.id)
            detail = {"decision": Decision.stop, "outcome": state.timeline.outcome}
            refused = EventFactory(state.submission(refused_id), now)
            state.add(refused.next_decision("stop", Reason.outcome_known, detail))
        else:
            new = add_submission(c, state, trigger=Trigger.resend, now=now, due_at=now)
            detail = {"decision": Decision.new_submission}
            state.add(EventFactory(new, now).decision("made", Reason.rate_limited, detail))
        calls.save(now)

"""Sending: one request to the provider per submission, and what became of it.

`pending → submitting` is committed with owner and lease before the request leaves, so nobody else sends it, whatever
happens to this process. `submitting` never goes back to `pending` but by its own sender's finding that no byte left.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, Final

import structlog

from tracker.domain.accounts import Account
from tracker.domain.calls import Call, CallStatus, Dial, Reason, Submission, Trigger
from tracker.domain.events import Source, iso
from tracker.domain.gate import pass_gate
from tracker.domain.readings import Answer
from tracker.domain.timeline import Decided
from tracker.flow.answers import Standing, consequence
from tracker.flow.clock import Clock, system_clock
from tracker.flow.joining import Joiner
from tracker.flow.placing import new_submission
from tracker.flow.recording import record
from tracker.flow.telling import Teller
from tracker.providers.base import Failure, Reply
from tracker.providers.registry import provider_named
from tracker.providers.transport import exchange
from tracker.store import jobs, records, sending
from tracker.store.database import Connection, Database
from tracker.store.ids import new_id

log = structlog.get_logger()

#: beyond the account's `timeout_s`
LEASE_MARGIN: Final = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right and the duty to send this submission once, until the lease ends."""

    submission: Submission
    account: Account
    dial: Dial


class Sender:
    """Sends submissions of the configured accounts; one per process is enough."""

    def __init__(
        self, database: Database, accounts: Mapping[str, Account], joiner: Joiner, clock: Clock = system_clock
    ) -> None:
        self._database, self._accounts, self._joiner, self._clock = database, accounts, joiner, clock
        self.owner = f"{socket.gethostname()}-{token_hex(6)}"

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
            provider_named(claim.account.provider).send_request(claim.account, claim.dial),
            timeout_s=claim.account.timeout_s,
            proxy=claim.account.proxy,
            before_write=lambda: self._clock() < lease_until,
        )
        await asyncio.to_thread(self.answered, claim, result, requested_at)

    def claim(self, submission_id: str) -> Claim | None:
        """Make a pending submission `submitting`, if the gate and the pace let it; whoever gets a claim sends it."""
        return self._database.write(lambda c: self._claim(c, submission_id))

    def answered(self, claim: Claim, result: Reply | Failure, requested_at: datetime) -> None:
        """Record what came back, then look for callbacks that were earlier."""
        answer = provider_named(claim.account.provider).read_answer(claim.account, result)
        if answer.message is not None:  # an error may quote the variable that it does not like
            answer = replace(answer, message=without(answer.message.encode(), _hidden(claim)).decode())
        submission = self._recorded(claim, answer, result, requested_at)
        if answer.submission_id is not None or submission.refused:
            self._joiner.look_for(submission)

    def end_leases(self) -> int:
        """Mark what a lost sender left behind as unconfirmed; gives how many there were."""
        found = self._database.read(lambda c: records.ended_leases(c, self._clock()))
        for submission in found:
            self._database.write(lambda c, id=submission.id: self._end_lease(c, id))  # type: ignore[misc]
        return len(found)

    def resend(self, refused_id: str) -> None:
        """After "too many requests": make the new submission that was planned, unless it was withdrawn meanwhile."""
        self._database.write(lambda c: self._resend(c, refused_id))

    def _claim(self, c: Connection, id: str) -> Claim | None:
        now = self._clock()
        found = locked_submission(c, id)
        if found is None or found[1].status is not CallStatus.pending:
            jobs.drop(c, jobs.SEND, id)
            return None
        call, submission = found
        account = self._accounts.get(call.account)
        if account is None:
            log.error("submission.no_account", submission=id, account=call.account)
            jobs.plan(c, jobs.SEND, id, call.account, now + timedelta(minutes=1))
            return None
        cancel = record(c, {call.id: call}, now=now)[call.id].cancel_requested
        passage = pass_gate(account, call, cancel_requested=cancel, now=now)
        until = passage.until
        if passage.decided == Decided.dial:
            given = jobs.is_paced(c, jobs.SEND, id)
            until = sending.take_turn(c, account.name, account.calls_per_second, now, given=given)
            if until is not None:
                passage = replace(passage, decided=Decided.wait, reason=Reason.pace, until=until)
        say = Teller(submission, now)
        if passage.decided == Decided.wait and until is not None:
            jobs.plan(c, jobs.SEND, id, account.name, until, paced=passage.reason is Reason.pace)
            add = [say.decision(f"wait/{passage.reason}/{iso(until)}", passage.reason, passage.detail())]
            record(c, {call.id: call}, add=add, now=now)
            return None
        jobs.drop(c, jobs.SEND, id)
        tries = submission.tries + 1
        if passage.decided != Decided.dial:
            records.erase_secrets(c, call.id)
            add = [
                say.decision(f"refuse/{tries}", passage.reason, passage.detail()),
                say.status(CallStatus.canceled, passage.reason),
            ]
            record(c, {call.id: call}, add=add, now=now)
            log.info("submission.held", submission=id, call=call.id, reason=passage.reason)
            return None
        lease_until = now + timedelta(seconds=account.timeout_s) + LEASE_MARGIN
        if not records.begin_submitting(
            c, id, owner=self.owner, lease_until=lease_until, now=now, tries=tries
        ):
            return None
        add = [
            say.decision(f"dial/{tries}", None, passage.detail()),
            say.status(CallStatus.submitting, None, key=f"submitting/{tries}", detail={"try": tries}),
        ]
        record(c, {call.id: call}, add=add, now=now)
        dial = Dial(
            call=call.id, submission=id, to=call.to, bridge=call.bridge, flow_id=call.flow_id, audio=call.audio,
            name=call.name, interval=call.interval, webhook_id=call.webhook_id, reference=call.reference,
            variables={**call.variables, **records.secrets_of(c, call.id)},
        )  # fmt: skip
        mine = replace(submission, owner=self.owner, lease_until=lease_until, requested_at=now, tries=tries)
        return Claim(submission=mine, account=account, dial=dial)

    def _recorded(
        self, claim: Claim, answer: Answer, result: Reply | Failure, requested_at: datetime
    ) -> Submission:
        told = provider_named(claim.account.provider).redacted_request(claim.account, claim.dial)
        now = self._clock()
        kept = sending.Exchange(
            id=new_id("send"), kind="send", call=claim.dial.call, submission=claim.submission.id,
            requested_at=requested_at, answered_at=now, method=told.method, url=told.url,
            request_headers=tuple((k.encode(), v.encode()) for k, v in told.headers.items()), request_body=told.body,
            **reply_fields(result, _hidden(claim)),
        )  # fmt: skip
        submission = self._database.write(lambda c: self._record(c, claim, answer, kept, now))
        log.info(
            "submission.sent", submission=submission.id, call=submission.call, account=submission.account,
            answer=answer.kind.value, reason=answer.reason, http_status=kept.status, status=submission.status.value,
            took_s=round((now - requested_at).total_seconds(), 3),
        )  # fmt: skip
        return submission

    def _record(
        self, c: Connection, claim: Claim, answer: Answer, kept: sending.Exchange, now: datetime
    ) -> Submission:
        found = locked_submission(c, claim.submission.id)
        assert found is not None
        call, submission = found
        calls = {call.id: call}
        sending.insert_exchange(c, kept)
        before = record(c, calls, now=now)[call.id]
        at = Standing(
            call=call, submission=submission, timeline=before, now=now,
            series=_series(records.submissions_of(c, [call.id])),
        )  # fmt: skip
        follows = consequence(at, answer, kept.status)
        records.update_submission(c, submission.id, **{"lease_until": None, **follows.columns})
        if follows.resend_at is not None:
            jobs.plan(c, jobs.RESEND, submission.id, call.account, follows.resend_at)
        elif follows.send_at is not None:
            jobs.plan(c, jobs.SEND, submission.id, call.account, follows.send_at)
        else:
            records.erase_secrets(c, call.id)
        record(c, calls, add=follows.events, now=now)
        after = records.find_submission(c, submission.id)
        assert after is not None
        return after

    def _end_lease(self, c: Connection, id: str) -> None:
        now = self._clock()
        found = locked_submission(c, id)
        if found is None or found[1].lease_until is None or found[1].lease_until >= now:
            return  # its sender came back meanwhile
        call, submission = found
        records.update_submission(c, id, lease_until=None)
        records.erase_secrets(c, call.id)
        say = Teller(submission, now, Source.inferred)
        add = [say.status(CallStatus.unconfirmed, Reason.sender_lost, key="sender-lost")]
        record(c, {call.id: call}, add=add, now=now)
        log.warning("submission.sender_lost", submission=id, call=call.id, owner=submission.owner)

    def _resend(self, c: Connection, refused_id: str) -> None:
        now = self._clock()
        found = locked_submission(c, refused_id)
        if found is None:
            return
        call, refused = found
        timeline = record(c, {call.id: call}, now=now)[call.id]
        latest = timeline.submissions[-1]
        if latest.id != refused.id or timeline.settled:
            records.erase_secrets(c, call.id) if timeline.settled else None
            return
        new = new_submission(c, call, number=refused.number + 1, trigger=Trigger.resend, now=now, due_at=now)
        add = [Teller(new, now).decision("made", Reason.rate_limited, {"decision": "new-submission"})]
        record(c, {call.id: call}, add=add, now=now)


def _hidden(claim: Claim) -> tuple[str, ...]:
    """What is taken out of all that the provider says: the account's secrets and the call's secret variables."""
    names = claim.account.secret_variables
    return (*claim.account.secrets, *(v for n, v in claim.dial.variables.items() if n in names))


def _series(submissions: Sequence[Submission]) -> list[str]:
    """The latest submission, and those before it that it sends again."""
    series: list[str] = []
    for submission in reversed(submissions):
        series.append(submission.id)
        if submission.trigger is not Trigger.resend:
            break
    return series


def locked_submission(c: Connection, submission_id: str) -> tuple[Call, Submission] | None:
    """A submission and its call, whose row is locked; the submission as it is under that lock."""
    submission = records.find_submission(c, submission_id)
    if submission is None:
        return None
    call = records.lock_calls(c, [submission.call])[submission.call]
    fresh = records.find_submission(c, submission_id)
    return (call, fresh) if fresh else None


def reply_fields(result: Reply | Failure, secrets: tuple[str, ...]) -> dict[str, Any]:
    """What came back, as fields of an exchange, without secrets."""
    if isinstance(result, Failure):
        return {"failure": result.message}
    return {
        "status": result.status,
        "reply_headers": tuple((k, without(v, secrets)) for k, v in result.headers),
        "reply_body": without(result.body, secrets),
        "failure": result.broken,
    }


def without(data: bytes, secrets: tuple[str, ...]) -> bytes:
    """The data with every occurrence of a secret replaced. A secret variable shorter than 4 characters is left: it
    would tear holes into ids and numbers."""
    for secret in secrets:
        if len(secret) >= 4:
            data = data.replace(secret.encode(), b"***")
    return data

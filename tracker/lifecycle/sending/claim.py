"""Claiming: from `pending` to `submitting`, for one sender alone, past the gate and in the account's pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.domain.accounts import Account
from tracker.domain.calls import Call, CallStatus, Reason, Submission, SubmitCommand
from tracker.domain.dial_gate import evaluate_gate
from tracker.domain.events import Decision
from tracker.domain.pause import find_pause
from tracker.domain.time_text import iso
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.lifecycle.timeline.event_writer import apply_events
from tracker.providers.base import Outgoing
from tracker.providers.registry import provider_named
from tracker.store.calls import exchanges, records
from tracker.store.engine.database import Connection
from tracker.store.ids import new_id
from tracker.store.policy import pauses
from tracker.store.queue import jobs

log = structlog.get_logger()

#: beyond the account's `timeout_s`
LEASE_MARGIN: Final = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right and the duty to send this submission once, until the lease ends."""

    submission: Submission
    account: Account
    #: what is sent, and the same as evidence
    request: Outgoing
    told: Outgoing
    #: the values of secret variables
    secrets: tuple[str, ...] = field(repr=False)
    #: under which the one request of this claim is evidence, however often its answer is brought
    exchange: str


def claim_submission(
    c: Connection, id: str, accounts: Mapping[str, Account], *, owner: str, now: datetime
) -> Claim | None:
    """Make a pending submission `submitting` for this owner, if the gate and the pace let it; None where they do not
    (which is told), and where it is not pending."""
    found = locked_submission(c, id)
    if found is None or found[1].status is not CallStatus.pending:
        jobs.drop(c, jobs.SEND, id)
        return None
    call, submission = found
    account = accounts.get(call.account)
    if account is None:
        log.error("submission.no_account", submission=id, account=call.account)
        return None
    cancel = apply_events(c, {call.id: call}, now=now)[call.id].cancel_requested
    pause = find_pause(call, pauses.of_call(c, call))
    passage = evaluate_gate(account, call, cancel_requested=cancel, pause=pause, now=now)
    until = passage.until
    if passage.decision == Decision.dial:
        given = jobs.is_paced(c, jobs.SEND, id)
        until = exchanges.acquire_dial_slot(c, account.name, account.calls_per_second, now, given=given)
        if until is not None:
            passage = replace(passage, decision=Decision.wait, reason=Reason.pace, until=until)
    say = EventFactory(submission, now)
    if pause is not None and passage.reason is Reason.paused:
        jobs.plan(c, jobs.SEND, id, account.name, pauses.HELD)
        key = f"wait/paused/{pause.scope}/{iso(pause.since)}"
        apply_events(c, {call.id: call}, add=[say.decision(key, passage.reason, passage.detail())], now=now)
        return None
    if passage.decision == Decision.wait and until is not None:
        jobs.plan(c, jobs.SEND, id, account.name, until, paced=passage.reason is Reason.pace)
        add = [say.decision(f"wait/{passage.reason}/{iso(until)}", passage.reason, passage.detail())]
        apply_events(c, {call.id: call}, add=add, now=now)
        return None
    jobs.drop(c, jobs.SEND, id)
    tries = submission.tries + 1
    if passage.decision != Decision.dial:
        records.erase_secrets(c, call.id)
        add = [
            say.decision(f"refuse/{tries}", passage.reason, passage.detail()),
            say.status(CallStatus.canceled, passage.reason),
        ]
        apply_events(c, {call.id: call}, add=add, now=now)
        log.info("submission.held", submission=id, call=call.id, reason=passage.reason)
        return None
    lease_until = now + timedelta(seconds=account.timeout_s) + LEASE_MARGIN
    if not records.begin_submitting(c, id, owner=owner, lease_until=lease_until, now=now, tries=tries):
        return None
    add = [
        say.decision(f"dial/{tries}", None, passage.detail()),
        say.status(CallStatus.submitting, None, key=f"submitting/{tries}", detail={"try": tries}),
    ]
    apply_events(c, {call.id: call}, add=add, now=now)
    secrets = records.secrets_of(c, call.id)
    wish = call.wish_values() | {"variables": {**call.variables, **secrets}}
    command = SubmitCommand(**wish, call=call.id, submission=id)
    # built before the commit: where that fails nothing has happened, and the submission is pending still
    provider = provider_named(account.provider)
    return Claim(
        submission=replace(submission, owner=owner, lease_until=lease_until, requested_at=now, tries=tries),
        account=account,
        request=provider.send_request(account, command),
        told=provider.redacted_request(account, command),
        secrets=tuple(secrets.values()),
        exchange=new_id("send"),
    )


def locked_submission(c: Connection, submission_id: str) -> tuple[Call, Submission] | None:
    """A submission and its call, whose row is locked; the submission as it is under that lock."""
    submission = records.find_submission(c, submission_id)
    if submission is None:
        return None
    call = records.lock_calls(c, [submission.call])[submission.call]
    fresh = records.find_submission(c, submission_id)
    return (call, fresh) if fresh else None

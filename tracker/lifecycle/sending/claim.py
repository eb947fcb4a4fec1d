"""Claiming: from `pending` to `submitting`, for one sender alone, past the gate and in the account's pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.domain.accounts import Account
from tracker.domain.calls import CallStatus, Reason, Submission, SubmitCommand
from tracker.domain.dial_gate import evaluate_gate
from tracker.domain.events import Decision
from tracker.domain.pause import find_pause
from tracker.domain.time_text import iso
from tracker.lifecycle.timeline.call_state import load_of_submissions
from tracker.lifecycle.timeline.event_factory import EventFactory
from tracker.providers.base import HttpRequest
from tracker.providers.registry import get_provider
from tracker.store.calls.secrets import erase_secrets, load_secrets
from tracker.store.calls.submissions import begin_submitting
from tracker.store.engine.database import Connection
from tracker.store.ids import new_id
from tracker.store.policy import pauses
from tracker.store.queue import jobs
from tracker.store.queue.rate_limit import acquire_dial_slot

log = structlog.get_logger()

#: beyond the account's `timeout_s`
LEASE_MARGIN: Final = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right and the duty to send this submission once, until the lease ends."""

    submission: Submission
    account: Account
    #: what is sent, and the same as evidence
    request: HttpRequest
    told: HttpRequest
    #: the values of secret variables
    secrets: tuple[str, ...] = field(repr=False)
    #: under which the one request of this claim is evidence, however often its answer is brought
    exchange: str


def claim_submission(
    c: Connection, id: str, accounts: Mapping[str, Account], *, owner: str, clock: Clock
) -> Claim | None:
    """Make a pending submission `submitting` for this owner, if the gate and the pace let it.

    Return None if they do not, which is then an event of the call, and if the submission is not pending.
    """
    calls = load_of_submissions(c, [id])
    state = calls.of_submission(id)
    if state is None or state.submission(id).status is not CallStatus.pending:
        jobs.drop(c, jobs.SEND, id)
        return None
    call, submission, now = state.call, state.submission(id), clock()
    account = accounts.get(call.account)
    if account is None:
        log.error("submission.no_account", submission=id, account=call.account)
        return None
    pause = find_pause(call, pauses.of_call(c, call))
    cancel_requested = state.timeline.cancel_requested
    gate = evaluate_gate(account, call, cancel_requested=cancel_requested, pause=pause, now=now)
    until = gate.until
    if gate.decision == Decision.dial:
        is_reserved = jobs.is_paced(c, jobs.SEND, id)
        until = acquire_dial_slot(c, account.name, account.calls_per_second, now, is_reserved=is_reserved)
        if until is not None:
            gate = replace(gate, decision=Decision.wait, reason=Reason.pace, until=until)
    events = EventFactory(submission, now)
    if pause is not None and gate.reason is Reason.paused:
        jobs.plan(c, jobs.SEND, id, account.name, pauses.HELD)
        key = f"wait/paused/{pause.scope}/{iso(pause.since)}"
        state.add(events.decision(key, gate.reason, gate.detail()))
        calls.save(now)
        return None
    if gate.decision == Decision.wait and until is not None:
        jobs.plan(c, jobs.SEND, id, account.name, until, paced=gate.reason is Reason.pace)
        state.add(events.decision(f"wait/{gate.reason}/{iso(until)}", gate.reason, gate.detail()))
        calls.save(now)
        return None
    jobs.drop(c, jobs.SEND, id)
    tries = submission.tries + 1
    if gate.decision != Decision.dial:
        erase_secrets(c, call.id)
        state.add(
            events.decision(f"refuse/{tries}", gate.reason, gate.detail()),
            events.status(CallStatus.canceled, gate.reason),
        )
        calls.save(now)
        log.info("submission.held", submission=id, call=call.id, reason=gate.reason)
        return None
    lease_until = now + timedelta(seconds=account.timeout_s) + LEASE_MARGIN
    if not begin_submitting(c, id, owner=owner, lease_until=lease_until, now=now, tries=tries):
        return None
    state.add(
        events.decision(f"dial/{tries}", None, gate.detail()),
        events.status(CallStatus.submitting, None, key=f"submitting/{tries}", detail={"try": tries}),
    )
    calls.save(now)
    secrets = load_secrets(c, call.id)
    wish = call.wish_values() | {"variables": {**call.variables, **secrets}}
    command = SubmitCommand(**wish, call=call.id, submission=id)
    # built before the commit: where that fails nothing has happened, and the submission is pending still
    provider = get_provider(account.provider)
    return Claim(
        submission=replace(submission, owner=owner, lease_until=lease_until, requested_at=now, tries=tries),
        account=account,
        request=provider.submit_request(account, command),
        told=provider.redacted_request(account, command),
        secrets=tuple(secrets.values()),
        exchange=new_id("send"),
    )

"""Claims a pending submission for one sender, if the dial gate and the rate limit let it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tracker.clock import Clock
from tracker.domain.accounts import Account
from tracker.domain.calls import CallStatus, Reason, Submission, SubmitCommand
from tracker.domain.dial_gate import GateDecision, evaluate_gate
from tracker.domain.events import Decision, Event
from tracker.domain.pause import Pause, find_pause
from tracker.domain.time_text import iso
from tracker.lifecycle.timeline.call_state import CallState, load_of_submissions
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

#: added to the account's `timeout_s`
LEASE_MARGIN: Final = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to send a submission once, until its lease ends, and the duty to record the response."""

    submission: Submission
    account: Account
    request: HttpRequest
    #: the same request as evidence, without secrets
    redacted_request: HttpRequest
    #: the values of secret variables
    secrets: tuple[str, ...] = field(repr=False)
    #: the id of the one exchange of this claim, so that its response is recorded once
    exchange_id: str


def claim_submission(
    c: Connection, id: str, accounts: Mapping[str, Account], *, owner: str, clock: Clock
) -> Claim | None:
    """Make a pending submission `submitting` for this owner, if the gate and the rate limit let it.

    Return None if they do not, and if the submission is not pending. A decision to wait or to refuse is an event.
    """
    calls = load_of_submissions(c, [id])
    state = calls.of_submission(id)
    if state is None or state.submission(id).status is not CallStatus.pending:
        jobs.drop(c, jobs.SEND, id)
        return None
    submission, now = state.submission(id), clock()
    account = accounts.get(submission.account)
    if account is None:
        log.error("submission.claim_failed", submission=id, error=f"{submission.account} is not configured")
        return None
    pause = find_pause(state.call, pauses.lock_pauses_of_call(c, state.call))
    gate = _evaluate(c, state, id, account, pause, now)
    if gate.decision == Decision.wait:
        is_paced = gate.reason is Reason.pace
        jobs.plan(c, jobs.SEND, id, account.name, gate.until or pauses.HELD_UNTIL, paced=is_paced)
        state.add(_wait_event(EventFactory(submission, now), gate, pause))
        calls.save(now)
        return None
    jobs.drop(c, jobs.SEND, id)
    tries = submission.tries + 1
    events = EventFactory(submission, now)
    if gate.decision == Decision.refuse:
        state.add(
            events.decision(f"refuse/{tries}", gate.reason, gate.detail()),
            events.status(CallStatus.canceled, gate.reason),
        )
        calls.save(now)
        erase_secrets(c, submission.call)
        log.info("submission.canceled", submission=id, call=submission.call, reason=gate.reason)
        return None
    lease_until = now + timedelta(seconds=account.timeout_s) + LEASE_MARGIN
    if not begin_submitting(c, id, owner=owner, lease_until=lease_until, now=now, tries=tries):
        return None
    state.add(
        events.decision(f"dial/{tries}", None, gate.detail()),
        events.status(CallStatus.submitting, None, key=f"submitting/{tries}", detail={"try": tries}),
    )
    calls.save(now)
    claimed = replace(submission, owner=owner, lease_until=lease_until, requested_at=now, tries=tries)
    # before the commit: if the request cannot be built, nothing has happened, and the submission stays pending
    return _make_claim(c, state, claimed, account)


def _evaluate(
    c: Connection, state: CallState, id: str, account: Account, pause: Pause | None, now: datetime
) -> GateDecision:
    """Evaluate the gate and, if it is open, take a slot of the account's rate limit."""
    gate = evaluate_gate(
        account, state.call, cancel_requested=state.timeline.cancel_requested, pause=pause, now=now
    )
    if gate.decision != Decision.dial:
        return gate
    is_reserved = jobs.is_paced(c, jobs.SEND, id)
    slot = acquire_dial_slot(c, account.name, account.calls_per_second, now, is_reserved=is_reserved)
    if slot is None:
        return gate
    return replace(gate, decision=Decision.wait, reason=Reason.pace, until=slot)


def _wait_event(events: EventFactory, gate: GateDecision, pause: Pause | None) -> Event:
    if pause is not None and gate.reason is Reason.paused:
        key = f"wait/paused/{pause.scope}/{iso(pause.since)}"
    else:
        key = f"wait/{gate.reason}/{iso(gate.until) if gate.until else None}"
    return events.decision(key, gate.reason, gate.detail())


def _make_claim(c: Connection, state: CallState, submission: Submission, account: Account) -> Claim:
    secrets = load_secrets(c, submission.call)
    wish = state.call.wish_values() | {"variables": {**state.call.variables, **secrets}}
    command = SubmitCommand(**wish, call=submission.call, submission=submission.id)
    provider = get_provider(account.provider)
    return Claim(
        submission=submission,
        account=account,
        request=provider.submit_request(account, command),
        redacted_request=provider.redacted_request(account, command),
        secrets=tuple(secrets.values()),
        exchange_id=new_id("send"),
    )

"""The states of a call and of a submission, and what a call asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class CallStatus(StrEnum):
    """Where a call or a submission stands. The order is the order of life; the outcomes come last."""

    pending = "pending"  #: recorded, not sent
    submitting = "submitting"  #: somebody holds the lease and is sending it
    unconfirmed = "unconfirmed"  #: sent, no clear answer: it may be ringing
    queued = "queued"  #: accepted by the provider
    initiated = "initiated"  #: the provider began to dial
    ringing = "ringing"
    in_progress = "in-progress"
    completed = "completed"  #: answered, now over
    busy = "busy"
    no_answer = "no-answer"
    canceled = "canceled"
    failed = "failed"
    rejected = "rejected"  #: the provider refused the submission
    unknown = "unknown"  #: nobody could tell us before the deadline

    # as equal as the texts are; an enum's own is a call into Python, a dozen times for each callback
    __hash__ = str.__hash__

    @property
    def is_outcome(self) -> bool:
        return self in OUTCOMES


#: The statuses that end a submission.
OUTCOMES = frozenset(
    {
        CallStatus.completed,
        CallStatus.busy,
        CallStatus.no_answer,
        CallStatus.canceled,
        CallStatus.failed,
        CallStatus.rejected,
        CallStatus.unknown,
    }
)

#: The statuses of a submission that is not over yet.
OPEN_STATUSES = frozenset(CallStatus) - OUTCOMES


class Reason(StrEnum):
    """Why an outcome is what it is, where one is known; and why a decision, a warning or a join was made."""

    agent_no_answer = "agent-no-answer"  #: the flow answered, the agent it forwarded to did not
    caller_hung_up = "caller-hung-up"
    congestion = "congestion"
    channel_unavailable = "channel-unavailable"
    bad_credentials = "bad-credentials"
    insufficient_balance = "insufficient-balance"
    invalid_number = "invalid-number"
    invalid_field = "invalid-field"
    rate_limited = "rate-limited"
    refused = "refused"  #: the provider refused and said nothing that we understand
    provider_unreachable = "provider-unreachable"
    no_clear_answer = "no-clear-answer"  #: sent, but the answer did not come or says neither yes nor no
    sender_lost = "sender-lost"  #: the process that was sending is gone; nobody knows what it sent
    dialling_off = "dialling-off"
    not_allowed = "not-allowed"  #: the number is not in `allow_to`
    expired = "expired"  #: `not_after` has passed
    operator = "operator"
    not_before = "not-before"
    secrets_erased = "secrets-erased"  #: what it would have to say is not known any more
    outcome_known = "outcome-known"  #: it became known meanwhile how the call ended
    paused = "paused"  #: dialling is paused
    restored = "restored"  #: a backup was restored: nobody knows what was dialled after it
    pace = "pace"  #: `calls_per_second` is used up for this moment
    zone = "zone"  #: the times look as if they were in another time zone
    unknown_word = "unknown-word"  #: the provider used a status that we do not know
    no_further_redial = "no-further-redial"


class Trigger(StrEnum):
    """Why a submission was made."""

    first = "first"
    resend = "resend"  #: the provider said "too many requests"; the same wish again
    operator = "operator"  #: somebody asked for another attempt by hand


#: The provider's own redial intervals, in minutes.
REDIAL_INTERVALS = (0, 5, 15, 30, 45, 60)


@dataclass(frozen=True, kw_only=True)
class SubmitCommand:
    """What one request to the provider asks for: the wish of the call, and whose submission it is."""

    call: str
    submission: str
    #: E.164 with "+"
    to: str
    #: digits
    bridge: str
    flow_id: str | None = None
    #: a sound's UUID or its http(s) address
    audio: str | None = None
    name: str | None = None
    #: minutes, one of `INTERVALS`; None: not sent
    interval: int | None = None
    webhook_id: str | None = None
    #: in the clear, secret ones too: only for the request itself
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """The wish to reach one number with one message, as it was asked for."""

    id: str
    account: str
    #: E.164 with "+"
    to: str
    #: digits
    bridge: str
    flow_id: str | None
    audio: str | None
    #: secret ones only as a keyed digest
    variables: Mapping[str, str]
    metadata: Mapping[str, Any]
    name: str | None
    #: minutes, one of `INTERVALS`; None: not sent, which the provider takes for 0
    interval: int | None
    webhook_id: str | None
    campaign: str | None
    reference: str | None
    rule: str | None
    policy: str | None
    #: UTC
    not_before: datetime | None
    #: UTC
    not_after: datetime | None
    #: UTC
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One attempt: one request to the provider for one number."""

    id: str
    call: str
    account: str
    #: E.164 with "+"
    to: str
    bridge: str
    flow_id: str | None
    #: minutes
    interval: int
    #: from 1
    number: int
    trigger: Trigger
    status: CallStatus
    outcome: CallStatus | None
    lane: str | None
    #: the provider's id, as sent
    submission_id: str | None
    #: no phone can ring because of it: the provider refused it, or it never left
    refused: bool
    #: how often sending it was begun; more than once only where the request never left
    tries: int
    owner: str | None
    lease_until: datetime | None
    #: the commit to `submitting`
    requested_at: datetime | None
    accepted_at: datetime | None
    created_at: datetime

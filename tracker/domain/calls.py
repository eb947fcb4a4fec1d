"""Defines calls, submissions, and the statuses and reasons that both have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tracker.domain.wish.call_wish import CallWish


class CallStatus(StrEnum):
    """The status of a call or a submission. The members are in the order of life, and the outcomes come last."""

    pending = "pending"  #: recorded, not sent
    submitting = "submitting"  #: a sender holds the lease and is sending the request
    unconfirmed = "unconfirmed"  #: sent without a clear answer, so the phone may ring
    queued = "queued"  #: accepted by the provider
    initiated = "initiated"  #: the provider began to dial
    ringing = "ringing"  #: the phone rings
    in_progress = "in-progress"  #: answered, not over yet
    completed = "completed"  #: answered and over
    busy = "busy"  #: the line was busy
    no_answer = "no-answer"  #: the phone rang and was not answered
    canceled = "canceled"  #: ended by us or by the caller before an answer; `reason` tells which
    failed = "failed"  #: not reached
    rejected = "rejected"  #: the provider refused the submission
    unknown = "unknown"  #: the outcome cannot be found out

    # The hash of the text, because the hash of an enum is a call into Python, a dozen times for each callback.
    __hash__ = str.__hash__

    @property
    def is_outcome(self) -> bool:
        """Whether the status ends a submission."""
        return self in OUTCOMES


#: the statuses that end a submission
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

#: the statuses of a submission that is not over yet
OPEN_STATUSES = frozenset(CallStatus) - OUTCOMES


class Reason(StrEnum):
    """The reason of an outcome, a decision or a warning, if one is known."""

    agent_no_answer = "agent-no-answer"  #: the flow answered, but the agent it forwarded to did not
    caller_hung_up = "caller-hung-up"  #: the calling side hung up before an answer
    congestion = "congestion"  #: the network was congested
    channel_unavailable = "channel-unavailable"  #: no channel was free for the dial
    bad_credentials = "bad-credentials"  #: the provider does not accept the access token
    insufficient_balance = "insufficient-balance"  #: the account has no credit left at the provider
    invalid_number = "invalid-number"  #: the provider does not accept the number
    invalid_field = "invalid-field"  #: the provider does not accept another field of the request
    rate_limited = "rate-limited"  #: the provider answered "too many requests"
    refused = "refused"  #: the provider refused without a reason that we understand
    provider_unreachable = "provider-unreachable"  #: the request never left
    no_clear_answer = "no-clear-answer"  #: sent, but the answer is missing or says neither yes nor no
    sender_lost = "sender-lost"  #: the sending process ended, and it is unknown whether the request left
    dialling_off = "dialling-off"  #: the account has `dialling = "off"`
    not_allowed = "not-allowed"  #: the number is not in `allow_to`
    expired = "expired"  #: `not_after` has passed
    operator = "operator"  #: an operator decided it
    not_before = "not-before"  #: `not_before` has not come yet
    secrets_erased = (
        "secrets-erased"  #: the secret variables were erased, so the request cannot be sent again
    )
    outcome_known = "outcome-known"  #: the outcome of the call became known meanwhile
    paused = "paused"  #: dialling is paused
    restored = "restored"  #: a backup was restored, and it is unknown what was dialled after it was made
    pace = "pace"  #: `calls_per_second` is used up at this moment
    zone = "zone"  #: the times seem to be in another time zone
    unknown_word = "unknown-word"  #: the provider used a status that we do not know
    no_further_redial = "no-further-redial"  #: the provider will not redial


class Trigger(StrEnum):
    """The cause of a submission."""

    first = "first"  #: the call was placed
    resend = "resend"  #: the provider answered "too many requests", so the same wish goes out again
    operator = "operator"  #: an operator asked for another attempt


@dataclass(frozen=True, kw_only=True)
class Call(CallWish):
    """A recorded wish."""

    id: str
    #: UTC
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class SubmitCommand(CallWish):
    """The wish as one request to the provider asks for it, with its secret variables in the clear."""

    #: the ids of the call and of the submission
    call: str
    submission: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One attempt to place a call: one request to the provider for one number."""

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
    #: True if the provider refused it or the request never left, so no phone can ring because of it
    refused: bool
    #: how many times a sender began to send it; more than once only if the request never left
    tries: int
    #: the sender that holds the lease
    owner: str | None
    #: UTC
    lease_until: datetime | None
    #: UTC, the commit to `submitting`
    requested_at: datetime | None
    #: UTC
    accepted_at: datetime | None
    #: UTC
    created_at: datetime

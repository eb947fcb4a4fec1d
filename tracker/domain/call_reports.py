"""Defines the values into which an adapter translates a provider's callbacks and answers.

A report is a translation and draws no conclusion. `matching` decides to which submission it belongs, and `timeline`
what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tracker.domain import value
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import EventSource, MatchedBy


@value
class CallReport:
    """A call record as one callback, or one row of a poll's answer, tells it. Missing values are None.

    A time without a zone was read in the zone that the account has for this source. Its text is kept beside it.
    """

    #: the values that may be the provider's submission id, surest first, as sent
    ids: tuple[str, ...] = ()
    #: our own `sub_…` ids that the provider echoed, in lower case
    references: tuple[str, ...] = ()
    #: the provider's message id
    message_id: str | None = None
    #: the callee, E.164 with "+"
    to: str | None = None
    #: digits
    bridge: str | None = None
    flow_id: str | None = None
    #: the provider's status, as sent
    provider_status: str | None = None
    #: the same in our words; None if it is missing or not known to us
    status: CallStatus | None = None
    reason: Reason | None = None
    #: as sent
    started_raw: str | None = None
    #: as sent
    ended_raw: str | None = None
    #: UTC
    started_at: datetime | None = None
    #: UTC
    ended_at: datetime | None = None
    duration_s: int | None = None
    recording_url: str | None = None
    dtmf: str | None = None
    charges: str | None = None
    #: True for a click-to-call record, which belongs to a submission of ours only if an id says so
    click_to_call: bool = False


@value
class JoinedReport:
    """A call report that was joined to a submission."""

    #: `cb_…` of a callback, `ask_…/n` of a poll's row
    id: str
    source: EventSource
    #: UTC
    received_at: datetime
    report: CallReport
    matched_by: MatchedBy | None = None


@dataclass(frozen=True, kw_only=True)
class NotACall:
    """A well-formed callback that is not about a call of ours. It is stored as ignored, with this reason."""

    #: `unsubscription`, `sms-report`, `handshake`, …
    reason: str


@dataclass(frozen=True, kw_only=True)
class UnreadableCallback:
    """A callback that does not parse, or that has no fields."""

    reason: str


class SubmitResultKind(StrEnum):
    """The meaning of the provider's answer to a submission."""

    accepted = "accepted"  #: the provider will dial
    refused = "refused"  #: the provider will not dial
    rate_limited = "rate-limited"  #: refused because of too many requests; may be sent again later
    unclear = "unclear"  #: the phone may ring, so the request is never sent again
    never_left = "never-left"  #: no byte of the request was written, so it may be sent again


@dataclass(frozen=True, kw_only=True)
class SubmitResult:
    """The provider's answer to one submission."""

    kind: SubmitResultKind
    #: the provider's id, as sent; only if accepted
    submission_id: str | None = None
    reason: Reason | None = None
    #: the provider's message, or the error on the way to it; at most 500 characters
    message: str | None = None
    #: the provider's status, as sent
    provider_status: str | None = None
    #: seconds, from Retry-After
    retry_after_s: float | None = None
    charges: str | None = None
    #: UTC, the provider's time of acceptance
    accepted_at: datetime | None = None
    #: the same, as sent
    accepted_raw: str | None = None


@dataclass(frozen=True, kw_only=True)
class StatusResult:
    """The provider's answer to a poll of one submission."""

    #: its call records; empty if the provider has none yet
    reports: tuple[CallReport, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WebhookChallenge:
    """A request that verifies a webhook. The answer must echo `challenge` and `validation_key`."""

    challenge: str
    validation_key: str | None
    #: the validation tokens that the request presents, in its query and in its body
    tokens: tuple[str, ...] = field(default=(), repr=False)

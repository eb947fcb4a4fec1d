"""What a provider said, in our words: the values that an adapter makes of a callback, an answer or a poll.

A reading judges nothing. To which submission it belongs is decided in `matching`, what follows from it in `timeline`.
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
    """One call record as one callback (or one row of a poll) tells it. Missing values are None.

    Times that carry no zone were read in the account's zone for their source; the text is kept beside them.
    """

    #: values that may be the provider's submission id, surest first, as sent
    ids: tuple[str, ...] = ()
    #: our own `sub_…` ids that were echoed, lower case
    references: tuple[str, ...] = ()
    #: the provider's message id
    message_id: str | None = None
    #: the callee, E.164 with "+"
    to: str | None = None
    #: digits
    bridge: str | None = None
    flow_id: str | None = None
    #: the status as sent
    provider_status: str | None = None
    #: the status in our words; None where the word is missing or not known
    status: CallStatus | None = None
    reason: Reason | None = None
    started_raw: str | None = None
    ended_raw: str | None = None
    #: UTC
    started_at: datetime | None = None
    #: UTC
    ended_at: datetime | None = None
    duration_s: int | None = None
    recording_url: str | None = None
    dtmf: str | None = None
    charges: str | None = None
    #: a click-to-call record: belongs to one of our submissions only by exact id
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
    """A well-formed callback that is not about a call of ours; kept, and ignored with this reason."""

    #: `unsubscription`, `sms-report`, `handshake`, …
    reason: str


@dataclass(frozen=True, kw_only=True)
class UnreadableCallback:
    """A callback that does not parse, or holds no fields at all."""

    reason: str


class SubmitResultKind(StrEnum):
    """What the provider's answer to a submission means for us."""

    accepted = "accepted"
    refused = "refused"
    rate_limited = "rate-limited"
    unclear = "unclear"  #: the phone may ring; never sent again
    never_left = "never-left"  #: no byte of the request reached the provider; may be sent again


@dataclass(frozen=True, kw_only=True)
class SubmitResult:
    """The provider's answer to one submission."""

    kind: SubmitResultKind
    #: the provider's id, as sent; only when accepted
    submission_id: str | None = None
    reason: Reason | None = None
    #: the provider's own words, or what went wrong on the way, at most 500 characters
    message: str | None = None
    #: the provider's own status word
    provider_status: str | None = None
    #: seconds, from Retry-After
    retry_after_s: float | None = None
    charges: str | None = None
    #: the provider's own time of acceptance, UTC
    accepted_at: datetime | None = None
    accepted_raw: str | None = None


@dataclass(frozen=True, kw_only=True)
class StatusResult:
    """The answer to asking for one submission: its records; empty when the provider does not know yet."""

    reports: tuple[CallReport, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WebhookChallenge:
    """A webhook's verification: what was asked, to be echoed."""

    challenge: str
    validation_key: str | None
    #: what the request presents as the validation token, from the query and from the body
    tokens: tuple[str, ...] = field(default=(), repr=False)

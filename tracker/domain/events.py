"""An event: one dated fact about a call. Events are only ever added; what they mean together is `timeline.fold`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from tracker.domain import value
from tracker.domain.calls import CallStatus

#: characters; ids and words are shorter, an index entry of PostgreSQL ends at some 2,700 bytes
_LONGEST_PART = 120


class EventType(StrEnum):
    """What kind of fact it is."""

    status = "status"  #: the submission reached this status
    detail = "detail"  #: something more became known; no change of status
    decision = "decision"  #: somebody or some rule decided, and why
    warning = "warning"  #: something looks wrong and somebody should look at it


class Decision(StrEnum):
    """What a decision event decided: the value of `decision` in its detail."""

    dial = "dial"  #: the gate let the dial through
    wait = "wait"  #: not yet; `until` is the time of the next try, unless it is unknown
    refuse = "refuse"  #: the gate refused the dial for good
    resend = "resend"  #: the same wish goes out again in a new submission, at `until`
    new_submission = "new-submission"  #: a planned resend became this submission
    retry = "retry"  #: an operator asked for another attempt
    stop = "stop"  #: no further attempt
    cancel = "cancel"  #: an operator wants no further attempt
    join_callback = "join"  #: an operator joined a callback to this submission
    ignore_callback = "ignore"  #: an operator took a callback away from this submission


class EventSource(StrEnum):
    """How we know."""

    sender = "sender"  #: our own sending: what we decided, did and were answered
    callback = "callback"
    poll = "poll"  #: we asked the provider
    rule = "rule"
    operator = "operator"
    inferred = "inferred"  #: concluded from silence


class AtSource(StrEnum):
    """Whose clock an event's `at` is from."""

    provider = "provider"  #: the time in the payload
    received = "received"  #: the payload has none: our receipt stands for it
    tracker = "tracker"  #: our own act, our own clock


class MatchedBy(StrEnum):
    """How a callback found its submission, from sure to unsure."""

    submission_id = "submission-id"
    submission_id_without_suffix = "submission-id-without-suffix"
    reference = "reference"  #: our own `sub_…` id came back
    message_id = "message-id"
    twin = "twin"  #: it equals a callback that is joined
    lane_and_number = "lane-and-number"
    number_and_time = "number-and-time"
    operator = "operator"

    @property
    def is_exact(self) -> bool:
        """Whether an id says so, and not the circumstances."""
        return self in EXACT_MATCHES


EXACT_MATCHES = frozenset(
    {
        MatchedBy.submission_id,
        MatchedBy.submission_id_without_suffix,
        MatchedBy.reference,
        MatchedBy.message_id,
    }
)


@value
class Event:
    """One dated fact about a call."""

    #: what makes it the same fact when it is said again; unique in a call
    key: str
    #: `ev_…`, given when it is stored
    id: str = ""
    call: str
    submission: str | None = None
    #: the number of the submission that it belongs to in the order of the timeline, from 1
    attempt: int
    #: which ringing of the phone; "" for what concerns the submission as a whole
    dial: str = ""
    type: EventType
    status: CallStatus | None = None
    #: UTC
    at: datetime
    at_source: AtSource
    source: EventSource
    #: the provider's own word
    provider_status: str | None = None
    reason: str | None = None
    matched_by: MatchedBy | None = None
    #: `cb_…` of the callback that said so first
    callback: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: UTC; None until it is stored
    recorded_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("an event's time must have a zone")

    @property
    def decision(self) -> str | None:
        """The `Decision` of a decision event; None for every other event."""
        return self.detail.get("decision") if self.type is EventType.decision else None


def key_part(text: str) -> str:
    """A provider's text as part of a key: as it is, or its digest where it is long, for keys stand in an index."""
    if len(text) <= _LONGEST_PART:
        return text
    return "sha256:" + sha256(text.encode(errors="backslashreplace")).hexdigest()

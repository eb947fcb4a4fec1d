"""Defines events, the dated facts about a call. `timeline.fold` derives the state of the call from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from tracker.domain import value
from tracker.domain.calls import CallStatus

#: characters; real ids and statuses are shorter, and an index entry of PostgreSQL holds some 2,700 bytes
_MAX_PART_LENGTH = 120


class EventType(StrEnum):
    """The kind of fact that an event states."""

    status = "status"  #: the submission reached this status
    detail = "detail"  #: a further detail became known, and no status changed
    decision = "decision"  #: an operator or the program decided something
    warning = "warning"  #: something looks wrong, and an operator should check it


class Decision(StrEnum):
    """The decision of a decision event, in its detail under `decision`."""

    dial = "dial"  #: the gate let the dial through
    wait = "wait"  #: not yet; `until` is the time of the next try, unless it is unknown
    refuse = "refuse"  #: the gate refused the dial for good
    resend = "resend"  #: the same wish goes out again in a new submission, at `until`
    new_submission = "new-submission"  #: a planned resend became this submission
    retry = "retry"  #: an operator asked for another attempt
    stop = "stop"  #: no further attempt
    cancel = "cancel"  #: an operator wants no further attempt
    join_callback = "join"  #: an operator joined a callback to a submission, or moved it from another one
    ignore_callback = "ignore"  #: an operator took a callback away from this submission


class EventSource(StrEnum):
    """The source of an event."""

    sender = "sender"  #: our own sending: its decisions, its requests and their answers
    callback = "callback"  #: the provider, in a callback
    poll = "poll"  #: the provider, when we asked
    rule = "rule"  #: a rule for further attempts
    operator = "operator"  #: a person
    inferred = "inferred"  #: concluded from silence


class AtSource(StrEnum):
    """The clock that an event's `at` comes from."""

    provider = "provider"  #: the provider's, from the payload
    received = "received"  #: our time of receipt, because the payload has no time
    tracker = "tracker"  #: ours, for an act of our own


class MatchedBy(StrEnum):
    """The rule by which a callback found its submission, from sure to unsure."""

    submission_id = "submission-id"  #: the provider's submission id came back
    submission_id_without_suffix = "submission-id-without-suffix"  #: the same without the `:n` at its end
    reference = "reference"  #: our own `sub_…` id came back
    message_id = "message-id"  #: the message id equals a submission id
    twin = "twin"  #: the callback is a duplicate of one that is joined
    lane_and_number = "lane-and-number"  #: one submission to the number holds the callback's lane
    number_and_time = "number-and-time"  #: exactly one submission to the number fits in time
    operator = "operator"  #: an operator chose the submission

    @property
    def is_exact(self) -> bool:
        """Whether an id identified the submission."""
        return self in EXACT_MATCHES


#: the rules that rest on an id
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
    """A dated fact about a call. Events are added and never changed."""

    #: unique in a call; the same fact always has the same key
    key: str
    #: `ev_…`; empty until it is stored
    id: str = ""
    call: str
    submission: str | None = None
    #: the number of the submission that it stands with in the timeline, from 1
    attempt: int
    #: the dial that it is about; "" if it is about the submission as a whole
    dial: str = ""
    type: EventType
    status: CallStatus | None = None
    #: UTC
    at: datetime
    at_source: AtSource
    source: EventSource
    #: the provider's status, as sent
    provider_status: str | None = None
    reason: str | None = None
    matched_by: MatchedBy | None = None
    #: `cb_…` of the callback that stated it first
    callback: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: UTC; None until it is stored
    recorded_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("An event's time must have a zone.")

    @property
    def decision(self) -> str | None:
        """The `Decision` of a decision event; None for every other event."""
        return self.detail.get("decision") if self.type is EventType.decision else None


def key_part(text: str) -> str:
    """Return a provider's text as part of a key: unchanged, or as a digest if it is too long for an index."""
    if len(text) <= _MAX_PART_LENGTH:
        return text
    return "sha256:" + sha256(text.encode(errors="backslashreplace")).hexdigest()

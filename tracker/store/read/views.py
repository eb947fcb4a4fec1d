"""Declares what reading returns of calls, submissions and callbacks: immutable rows, times in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tracker.domain.events import Event
from tracker.domain.wish.call_wish import WISH_FIELDS
from tracker.store.calls.exchanges import Exchange


class SubmissionView(NamedTuple):
    """A submission as it stands in its call."""

    id: str
    number: int
    trigger: str
    status: str
    outcome: str | None
    #: the provider's id
    submission_id: str | None
    lane: str | None
    requested_at: datetime | None
    accepted_at: datetime | None


class CallView(NamedTuple):
    """A call: its wish, what its events mean, and its submissions by number."""

    id: str
    #: in the order of `WISH_FIELDS`
    wish_values: tuple[Any, ...]
    status: str
    outcome: str | None
    reason: str | None
    settled: bool
    disputed: bool
    answered: bool | None
    attempts: int
    duration_s: int | None
    started_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None
    cancel_requested: bool
    recording_url: str | None
    dtmf: str | None
    charges: str | None
    created_at: datetime
    updated_at: datetime
    submissions: Sequence[SubmissionView]

    @property
    def wish(self) -> dict[str, Any]:
        """The wish by field of `CallWish`."""
        return dict(zip(WISH_FIELDS, self.wish_values, strict=True))


class CallbackView(NamedTuple):
    """A callback of the inbox, without its request."""

    id: str
    account: str
    lane: str | None
    state: str
    reason: str | None
    received_at: datetime
    method: str
    #: bytes of the body
    size: int
    #: how many later callbacks repeat it
    repeats: int
    repeat_of: str | None
    matched_by: str | None
    call: str | None
    submission: str | None


class RawRequest(NamedTuple):
    """The request of a callback as it came, without secrets."""

    method: str
    path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    remote: str | None


class ReceivedCallback(NamedTuple):
    """A callback with its request."""

    callback: CallbackView
    #: a keyed digest of the secret that a quarantined request presented
    fingerprint: str | None
    #: None if its inbox file was lost
    request: RawRequest | None


class Evidence(NamedTuple):
    """Everything that the timeline of a call rests on."""

    call: str
    exchanges: Sequence[Exchange]
    callbacks: Sequence[ReceivedCallback]
    #: events that are decisions
    decisions: Sequence[Event]
    #: events that no longer count, because their callback was moved
    withdrawn: Sequence[Event]

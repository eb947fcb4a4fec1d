"""The JSON shapes of the interface, the same for the HTTP API and the command line. Every key is always there."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tracker.domain.calls import Call, Submission
from tracker.domain.events import AtSource, Event, iso
from tracker.domain.pausing import Pause

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the events of a call mean, as it is cached beside the call."""

    status: str
    outcome: str | None
    reason: str | None
    settled: bool
    disputed: bool
    answered: bool | None
    attempts: int
    #: seconds
    duration_s: int | None
    started_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None
    cancel_requested: bool
    recording_url: str | None
    dtmf: str | None
    charges: str | None
    updated_at: datetime


def time(at: datetime | None) -> str | None:
    return iso(at) if at is not None else None


def pause_document(pause: Pause) -> Document:
    """A pause that stands."""
    return {
        "scope": pause.scope, "account": pause.account, "campaign": pause.campaign, "since": iso(pause.since),
        "why": pause.why.value,
    }  # fmt: skip


def call_document(call: Call, summary: Summary, submissions: Iterable[Submission]) -> Document:
    """A call with its submissions."""
    s = summary
    return {
        "id": call.id, "account": call.account, "to": call.to, "bridge": call.bridge, "flow_id": call.flow_id,
        "audio": call.audio, "variables": dict(call.variables), "metadata": dict(call.metadata), "name": call.name,
        "interval": call.interval, "webhook_id": call.webhook_id, "campaign": call.campaign,
        "reference": call.reference, "rule": call.rule, "policy": call.policy, "not_before": time(call.not_before),
        "not_after": time(call.not_after), "status": s.status, "outcome": s.outcome, "reason": s.reason,
        "settled": s.settled, "disputed": s.disputed, "answered": s.answered, "attempts": s.attempts,
        "duration_s": s.duration_s, "started_at": time(s.started_at), "ended_at": time(s.ended_at),
        "next_attempt_at": time(s.next_attempt_at), "cancel_requested": s.cancel_requested,
        "recording_url": s.recording_url, "dtmf": s.dtmf, "charges": s.charges, "created_at": time(call.created_at),
        "updated_at": time(s.updated_at), "submissions": [submission_document(each) for each in submissions],
    }  # fmt: skip


def submission_document(s: Submission) -> Document:
    return {
        "id": s.id, "number": s.number, "trigger": s.trigger.value, "status": s.status.value,
        "outcome": s.outcome.value if s.outcome else None, "submission_id": s.submission_id, "lane": s.lane,
        "requested_at": time(s.requested_at), "accepted_at": time(s.accepted_at),
    }  # fmt: skip


def event_document(e: Event) -> Document:
    """An event. `position` is null until there is a change feed; `at_source` is null for acts of our own."""
    return {
        "id": e.id, "position": None, "call": e.call, "submission": e.submission, "type": e.type.value,
        "status": e.status.value if e.status else None, "at": time(e.at),
        "at_source": None if e.at_source is AtSource.tracker else e.at_source.value, "recorded_at": time(e.recorded_at),
        "source": e.source.value, "provider_status": e.provider_status, "reason": e.reason,
        "matched_by": e.matched_by.value if e.matched_by else None, "callback": e.callback, "detail": dict(e.detail),
    }  # fmt: skip


def raw_document(
    *,
    method: str,
    path: bytes,
    query: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    remote: str | None,
) -> Document:
    """A stored request."""
    return {
        "method": method,
        "path": path.decode("latin-1"),
        "query": query.decode("latin-1"),
        "headers": headers_document(headers),
        **body_document(body),
        "remote": remote,
    }


def headers_document(headers: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


def body_document(body: bytes) -> Mapping[str, str]:
    """A body as text where it is UTF-8, else in base64."""
    try:
        return {"body": body.decode(), "body_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}

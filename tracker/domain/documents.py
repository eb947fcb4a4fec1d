"""The JSON shapes of the interface, the same for the HTTP API and the command line. Every key is always there."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tracker.domain.events import AtSource, Event
from tracker.domain.pause import Pause
from tracker.domain.time_text import iso
from tracker.domain.wish.call_wish import WISH_FIELDS

Document = dict[str, Any]


#: the keys of the documents of a call (but for its submissions), a submission and a callback, in their order
CALL: Final = (
    "id", *WISH_FIELDS, "status", "outcome", "reason", "settled", "disputed", "answered", "attempts", "duration_s",
    "started_at", "ended_at", "next_attempt_at", "cancel_requested", "recording_url", "dtmf", "charges", "created_at",
    "updated_at",
)  # fmt: skip
SUBMISSION: Final = (
    "id", "number", "trigger", "status", "outcome", "submission_id", "lane", "requested_at", "accepted_at",
)  # fmt: skip
CALLBACK: Final = (
    "id", "account", "lane", "state", "reason", "received_at", "method", "size", "repeats", "repeat_of", "matched_by",
    "call", "submission",
)  # fmt: skip


def time(at: datetime | None) -> str | None:
    return iso(at) if at is not None else None


def pause_document(pause: Pause) -> Document:
    """A pause that stands."""
    return {
        "scope": pause.scope, "account": pause.account, "campaign": pause.campaign, "since": iso(pause.since),
        "why": pause.why.value,
    }  # fmt: skip


def call_document(told: Sequence[Any], submissions: Iterable[Sequence[Any]]) -> Document:
    """A call, told in the order of `CALL`, with its submissions, each told in that of `SUBMISSION`."""
    document = dict(zip(CALL, told, strict=True))
    document["submissions"] = [dict(zip(SUBMISSION, each, strict=True)) for each in submissions]
    return document


def callback_document(told: Sequence[Any]) -> Document:
    """A callback, told in the order of `CALLBACK`."""
    return dict(zip(CALLBACK, told, strict=True))


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

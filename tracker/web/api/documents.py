"""Shapes the JSON documents of the interface. The command line prints the same ones.

Every key is always there. Times are in a document as `datetime`, because orjson writes them many times faster than
Python; `to_json` and `plain` turn them into text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson

from tracker.domain.events import AtSource, Event
from tracker.domain.pause import Pause
from tracker.domain.wish.call_wish import WISH_FIELDS
from tracker.lifecycle.operations.orphan_candidates import CallbackDetails
from tracker.store.calls.exchanges import Exchange
from tracker.store.read.system_status import SystemStatus
from tracker.store.read.views import (
    CallbackView,
    CallView,
    Evidence,
    RawRequest,
    ReceivedCallback,
    SubmissionView,
)

Document = dict[str, Any]

#: the keys of a call without its submissions, and those of a submission
_CALL_KEYS: Final = ("id", *WISH_FIELDS, *CallView._fields[2:-1])
_SUBMISSION_KEYS: Final = SubmissionView._fields


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON, times in UTC with Z, with microseconds only if there are any."""
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


def plain(document: Mapping[str, Any]) -> Document:
    """Return a document as a client of the API reads it, with times as text."""
    found: Document = orjson.loads(to_json(document))
    return found


def call_document(call: CallView) -> Document:
    """Return a call with its submissions."""
    # one `zip` for all keys, because a page has fifty calls of thirty-five keys
    document = dict(zip(_CALL_KEYS, (call.id, *call.wish_values, *call[2:-1]), strict=True))
    document["submissions"] = [dict(zip(_SUBMISSION_KEYS, each, strict=True)) for each in call.submissions]
    return document


def event_document(event: Event) -> Document:
    """Return an event. `position` is null until there is a change feed; `at_source` is null for acts of our own."""
    return {
        "id": event.id, "position": None, "call": event.call, "submission": event.submission, "type": event.type,
        "status": event.status, "at": event.at,
        "at_source": None if event.at_source is AtSource.tracker else event.at_source,
        "recorded_at": event.recorded_at, "source": event.source, "provider_status": event.provider_status,
        "reason": event.reason, "matched_by": event.matched_by, "callback": event.callback,
        "detail": dict(event.detail),
    }  # fmt: skip


def evidence_document(evidence: Evidence) -> Document:
    """Return what the timeline of a call rests on."""
    return {
        "call": evidence.call,
        "exchanges": [_exchange_document(each) for each in evidence.exchanges],
        "callbacks": [
            {**callback_document(each.callback), "request": _request_document(each.request)}
            for each in evidence.callbacks
        ],
        "decisions": [event_document(each) for each in evidence.decisions],
        "withdrawn": [event_document(each) for each in evidence.withdrawn],
    }


def callback_document(callback: CallbackView) -> Document:
    """Return a callback as lists have it."""
    return callback._asdict()


def received_callback_document(received: ReceivedCallback) -> Document:
    """Return a callback with its request."""
    return {
        **callback_document(received.callback),
        "fingerprint": received.fingerprint,
        "request": _request_document(received.request),
    }


def callback_details_document(details: CallbackDetails) -> Document:
    """Return a callback with its candidates and its request."""
    document = received_callback_document(details.received)
    request = document.pop("request")
    return {
        **document,
        "candidates": [
            {
                "submission": each.id, "call": each.call, "submission_id": each.submission_id, "status": each.status,
                "requested_at": each.requested_at,
            }
            for each in details.candidates
        ],
        "request": request,
    }  # fmt: skip


def pause_document(pause: Pause) -> Document:
    """Return a pause."""
    return {
        "scope": pause.scope, "account": pause.account, "campaign": pause.campaign, "since": pause.since,
        "why": pause.why,
    }  # fmt: skip


def status_document(status: SystemStatus) -> Document:
    """Return the state of all work, as `/statusz` and `tracker status --json` have it."""
    return {
        "at": status.at,
        "workers": [asdict(worker) for worker in status.workers],
        "lag_s": status.lag_s,
        "accounts": {name: asdict(account) for name, account in status.accounts.items()},
        "callbacks": dict(status.callbacks),
        "unconfirmed_submissions": status.unconfirmed_submissions,
        "paused": [pause_document(pause) for pause in status.paused],
        "jobs_due": dict(status.jobs_due),
        "oldest_job_overdue_s": status.oldest_job_overdue_s,
        "counts": [asdict(counter) for counter in status.counts],
    }


def _exchange_document(exchange: Exchange) -> Document:
    request = {
        "method": exchange.method,
        "url": exchange.url,
        "headers": _header_list(exchange.request_headers),
        **_body_document(exchange.request_body),
    }
    reply = {
        "status": exchange.status,
        "headers": _header_list(exchange.reply_headers),
        **_body_document(exchange.reply_body),
    }
    return {
        "id": exchange.id,
        "kind": exchange.kind,
        "submission": exchange.submission,
        "requested_at": exchange.requested_at,
        "answered_at": exchange.answered_at,
        "request": request,
        "reply": reply if exchange.status is not None else None,
        "failure": exchange.failure,
    }


def _request_document(request: RawRequest | None) -> Document | None:
    if request is None:
        return None
    return {
        "method": request.method,
        "path": request.path.decode("latin-1"),
        "query": request.query.decode("latin-1"),
        "headers": _header_list(request.headers),
        **_body_document(request.body),
        "remote": request.remote,
    }


def _header_list(headers: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


def _body_document(body: bytes) -> Mapping[str, str]:
    """Return a body as text if it is UTF-8, else in base64."""
    try:
        return {"body": body.decode(), "body_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}

"""Stores exchanges: our requests to the provider and what came back, as evidence without secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from tracker.domain.call_reports import CallReport
from tracker.domain.matching.heuristics import MATCH_WINDOW
from tracker.store.calls.submissions import find_pollable_submissions
from tracker.store.engine.upsert import insert_if_absent
from tracker.store.inbox.log import Headers, pack_headers
from tracker.store.inbox.match_queries import report_to_json
from tracker.store.queue import jobs
from tracker.store.schema import tables as t


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request of ours to the provider and what came back, without secrets."""

    id: str
    #: `send` or `ask`
    kind: str
    call: str
    submission: str
    #: UTC
    requested_at: datetime
    #: UTC
    answered_at: datetime
    method: str
    url: str
    request_headers: Headers
    request_body: bytes
    #: of HTTP; None if no answer came
    status: int | None = None
    reply_headers: Headers = ()
    reply_body: bytes = b""
    #: why no answer came, or why it broke off
    failure: str | None = None
    #: of a poll that was answered
    reports: Sequence[CallReport] | None = None


def insert_exchange(connection: Connection, x: Exchange) -> bool:
    """Store an exchange. Return False if it is stored already. The call is locked."""
    row = {
        "id": x.id, "kind": x.kind, "call_id": x.call, "submission_id": x.submission,
        "requested_at": x.requested_at, "answered_at": x.answered_at, "method": x.method, "url": x.url,
        "request_headers": pack_headers(x.request_headers), "request_body": x.request_body, "status": x.status,
        "reply_headers": pack_headers(x.reply_headers), "reply_body": x.reply_body, "failure": x.failure,
        "readings": None if x.reports is None else [report_to_json(report) for report in x.reports],
    }  # fmt: skip
    return insert_if_absent(connection, t.exchanges, row)


def ask_about_open(connection: Connection, account: str, now: datetime) -> int:
    """Have every open submission of an account polled, because a callback of it may have been missed."""
    ids = find_pollable_submissions(connection, account, now - MATCH_WINDOW)
    jobs.plan_all(connection, jobs.POLL, ids, account, now)
    return len(ids)

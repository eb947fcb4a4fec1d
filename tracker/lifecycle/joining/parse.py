"""Parse stored requests with the adapter of their account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import structlog

from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, NotACall, UnreadableCallback
from tracker.domain.matching.facts import Receipt
from tracker.providers.base import CallbackRequest
from tracker.providers.registry import get_provider
from tracker.store.inbox.log import LoggedCallback, LoggedRequest
from tracker.store.inbox.states import PENDING

log = structlog.get_logger()

#: ids and references of one callback that are matched; a record has one or two, a hostile one has thousands
MOST_IDS: Final = 20


class ParsedCallback(NamedTuple):
    """A logged callback and what it says; None if the receiver decided already or its account is not configured."""

    logged: LoggedCallback
    content: CallReport | NotACall | UnreadableCallback | None


def parse(
    accounts: Mapping[str, Account], logged: Sequence[LoggedCallback], requests: Mapping[int, LoggedRequest]
) -> list[ParsedCallback]:
    """Return what these callbacks say. Never raises, whatever they contain."""
    return [
        ParsedCallback(row, _content(accounts.get(row.account), row, requests.get(row.position)))
        for row in logged
    ]


def receipts_by_account(parsed: Sequence[ParsedCallback]) -> dict[str, list[Receipt]]:
    """Return those that are call reports, as matching sees them."""
    found: dict[str, list[Receipt]] = {}
    for row, content in parsed:
        if isinstance(content, CallReport):
            receipt = Receipt(
                id=row.id, account=row.account, lane=row.lane, received_at=row.received_at, report=content
            )
            found.setdefault(row.account, []).append(receipt)
    return found


def _content(
    account: Account | None, row: LoggedCallback, request: LoggedRequest | None
) -> CallReport | NotACall | UnreadableCallback | None:
    if account is None or row.state != PENDING:
        return None
    if request is None:
        return UnreadableCallback(reason="its request was removed")
    callback = CallbackRequest(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=request.body,
    )
    try:
        content = get_provider(account.provider).parse_callback(account, callback)
    except Exception as error:  # our own mistake must not stop the callbacks behind it
        log.exception("callback.parse_failed", callback=row.id)
        return UnreadableCallback(reason=f"internal error: {type(error).__name__}")
    if isinstance(content, CallReport) and max(len(content.ids), len(content.references)) > MOST_IDS:
        return replace(content, ids=content.ids[:MOST_IDS], references=content.references[:MOST_IDS])
    return content

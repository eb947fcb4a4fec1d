"""What a stored callback says, as the adapter of its account reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

import structlog

from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, NotACall, UnreadableCallback
from tracker.domain.matching.facts import Receipt
from tracker.providers.base import CallbackRequest
from tracker.providers.registry import get_provider
from tracker.store.inbox.states import RawCallback

log = structlog.get_logger()

#: ids and references that are weighed of one callback; a record has one or two, a joke has thousands
_MOST_IDS: Final = 20


class ParsedCallback(NamedTuple):
    """A callback without its request, and what it says."""

    id: str
    account: str
    lane: str | None
    received_at: datetime
    what: CallReport | NotACall | UnreadableCallback


def read(accounts: Mapping[str, Account], raw: Iterable[RawCallback]) -> list[ParsedCallback]:
    """What these callbacks of the given accounts say. Whatever they are, it raises nothing."""
    return [
        ParsedCallback(r.id, r.account, r.lane, r.received_at, _what(accounts[r.account], r)) for r in raw
    ]


def receipts(said: Sequence[ParsedCallback]) -> dict[str, list[Receipt]]:
    """Those of them that are call records, by account."""
    found: dict[str, list[Receipt]] = {}
    for s in said:
        if isinstance(s.what, CallReport):
            receipt = Receipt(
                id=s.id, account=s.account, lane=s.lane, received_at=s.received_at, report=s.what
            )
            found.setdefault(s.account, []).append(receipt)
    return found


def _what(account: Account, raw: RawCallback) -> CallReport | NotACall | UnreadableCallback:
    incoming = CallbackRequest(
        method=raw.method, path=raw.path, query=raw.query, headers=raw.headers, body=raw.body
    )
    try:
        what = get_provider(account.provider).parse_callback(account, incoming)
    except Exception as error:  # one that we stumble over must not stop those behind it
        log.exception("callback.not_read", callback=raw.id)
        return UnreadableCallback(reason=f"our own error: {type(error).__name__}")
    if isinstance(what, CallReport) and max(len(what.ids), len(what.references)) > _MOST_IDS:
        return replace(what, ids=what.ids[:_MOST_IDS], references=what.references[:_MOST_IDS])
    return what

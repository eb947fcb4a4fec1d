"""Computes what a database must hold, by the pure functions alone, and compares it with what it does hold.

`match` runs over every receipt and every submission, `derive_events` over all joined reports, `fold` over all events.
Nothing is selected and nothing is cached, so this is slow and simple.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport, JoinedReport, NotACall, UnreadableCallback
from tracker.domain.calls import Submission
from tracker.domain.event_derivation import DerivedEvents, derive_events
from tracker.domain.events import EventSource, MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts
from tracker.domain.matching.match import match
from tracker.domain.timeline.fold import Timeline, fold
from tracker.lifecycle.joining.parse import MOST_IDS
from tracker.providers.base import CallbackRequest, HttpResponse
from tracker.providers.registry import get_provider
from tracker.store.calls.events import load_events
from tracker.store.calls.submissions import find_submissions
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log, states
from tracker.store.schema import tables as t

_PROVIDER_SOURCES = (EventSource.callback, EventSource.poll)
_CACHED_COLUMNS = (
    "status", "outcome", "reason", "settled", "disputed", "answered", "attempts", "duration_s", "started_at",
    "ended_at", "next_attempt_at", "cancel_requested", "recording_url", "dtmf", "charges",
)  # fmt: skip

#: id of a callback → (state, reason, matched_by, submission, repeat_of); (call, part) → its events or its caches
State = dict[Any, Any]


def find_differences(database: Database, accounts: Mapping[str, Account]) -> list[str]:
    """Return a text for each difference between what the database holds and what it must hold."""
    stored, expected = compare(database, accounts)
    keys = sorted(stored.keys() | expected.keys(), key=str)
    return [
        f"{k}: is {stored.get(k)!r}, not {expected.get(k)!r}"
        for k in keys
        if stored.get(k) != expected.get(k)
    ]


def compare(database: Database, accounts: Mapping[str, Account]) -> tuple[State, State]:
    """Return the stored and the expected state of all callbacks and calls. No callback may be pending any more."""
    return database.read(lambda c: _compare(c, accounts))


def _compare(c: Connection, accounts: Mapping[str, Account]) -> tuple[State, State]:
    stored: State = {}
    expected: State = {}
    receipts: dict[str, Receipt] = {}
    outcomes = {row.id: row for row in c.execute(sa.select(t.callbacks))}
    for row in c.execute(sa.select(t.inbox).where(t.inbox.c.state == states.PENDING)):
        outcome = outcomes.get(row.id)
        manual_match = outcome.manual_match if outcome else None
        stored[row.id] = ("pending", None, None, None, None)
        if outcome is not None:
            stored[row.id] = (
                outcome.state, outcome.reason, outcome.matched_by, outcome.submission_id, outcome.repeat_of
            )  # fmt: skip
        content = _parse(accounts[row.account], row)
        if isinstance(content, UnreadableCallback):
            expected[row.id] = ("unreadable", content.reason, None, None, None)
        elif isinstance(content, NotACall):
            expected[row.id] = ("ignored", content.reason, None, None, None)
        elif manual_match == "ignore":
            expected[row.id] = ("ignored", "operator", None, None, None)
        else:
            receipts[row.id] = Receipt(
                id=row.id, account=row.account, lane=row.lane, received_at=row.received_at, report=content,
                manual_submission=manual_match,
            )  # fmt: skip

    calls = list(c.scalars(sa.select(t.calls.c.id)))
    submissions = {s.id: s for s in find_submissions(c, calls)}
    reports_of = _match(receipts, _poll_receipts(c, accounts, submissions), submissions, expected)
    derived_of: dict[str, list[DerivedEvents]] = {id: [] for id in calls}
    submissions_of: dict[str, list[Submission]] = {id: [] for id in calls}
    for s in submissions.values():
        derived = derive_events(
            call=s.call, submission=s.id, attempt=s.number, interval=s.interval, reports=reports_of[s.id]
        )
        derived_of[s.call].append(derived)
        submissions_of[s.call].append(s)
        for id, first in _callback_repeats(derived).items():
            expected[id] = (*expected[id][:4], first)

    cached_calls = {row.id: row._mapping for row in c.execute(sa.select(t.calls))}
    reasons = {row.id: row.reason for row in c.execute(sa.select(t.submissions.c.id, t.submissions.c.reason))}
    for call, stored_events in load_events(c, calls).items():
        interval = submissions_of[call][0].interval
        current = [e for e, is_withdrawn in stored_events if not is_withdrawn]
        provider_events = [e for e in current if e.source in _PROVIDER_SOURCES]
        own_events = [e for e in current if e.source not in _PROVIDER_SOURCES]
        expected_events = [e for derived in derived_of[call] for e in derived.events]
        stored[call, "events"] = {e.key: replace(e, id="", recorded_at=None) for e in provider_events}
        expected[call, "events"] = {e.key: e for e in expected_events}
        # the stored ids decide the order of events in the same place
        timeline = fold(current, interval=interval)
        stored[call, "cache"] = (
            {name: cached_calls[call][name] for name in _CACHED_COLUMNS},
            [(s.id, s.status, s.outcome, reasons[s.id]) for s in submissions_of[call]],
        )
        expected[call, "cache"] = _caches(timeline)
        stored[call, "meaning"] = _caches(timeline)
        expected[call, "meaning"] = _caches(fold([*own_events, *expected_events], interval=interval))
    return stored, expected


def _match(
    receipts: Mapping[str, Receipt],
    poll_receipts: list[Receipt],
    submissions: Mapping[str, Submission],
    expected: State,
) -> dict[str, list[JoinedReport]]:
    """Return the joined reports by submission. Add the verdict on each callback to `expected`."""
    reports_of: dict[str, list[JoinedReport]] = {id: [] for id in submissions}
    for poll in poll_receipts:
        assert poll.polled_submission is not None
        report = _joined_report(poll, EventSource.poll, MatchedBy.submission_id)
        reports_of[poll.polled_submission].append(report)
    facts = [_submission_facts(s) for s in submissions.values()]
    for id, verdict in match([*receipts.values(), *poll_receipts], facts).items():
        if id not in receipts:
            continue
        if isinstance(verdict, Join):
            report = _joined_report(receipts[id], EventSource.callback, verdict.matched_by)
            reports_of[verdict.submission].append(report)
            expected[id] = ("joined", None, verdict.matched_by.value, verdict.submission, None)
        else:
            state = "ignored" if verdict.ignored else "orphaned"
            expected[id] = (state, verdict.reason, None, None, None)
    return reports_of


def _parse(account: Account, row: Any) -> CallReport | NotACall | UnreadableCallback:
    request = CallbackRequest(
        method=row.method,
        path=row.path,
        query=row.query,
        headers=log.unpack_headers(row.headers),
        body=row.body,
    )
    content = get_provider(account.provider).parse_callback(account, request)
    if isinstance(content, CallReport):
        return replace(content, ids=content.ids[:MOST_IDS], references=content.references[:MOST_IDS])
    return content


def _poll_receipts(
    c: Connection, accounts: Mapping[str, Account], submissions: Mapping[str, Submission]
) -> list[Receipt]:
    receipts = []
    for row in c.execute(sa.select(t.exchanges).where(t.exchanges.c.kind == "ask")):
        s = submissions[row.submission_id]
        response = HttpResponse(
            status=row.status,
            headers=log.unpack_headers(row.reply_headers or b""),
            body=row.reply_body or b"",
        )
        account = accounts[s.account]
        poll = get_provider(account.provider).parse_status_response(account, s.submission_id or "", response)
        receipts += [
            Receipt(
                id=f"{row.id}/{n}", account=s.account, lane=None, received_at=row.answered_at, report=report,
                polled_submission=s.id,
            )
            for n, report in enumerate(poll.reports)
        ]  # fmt: skip
    return receipts


def _joined_report(r: Receipt, source: EventSource, matched_by: MatchedBy) -> JoinedReport:
    return JoinedReport(
        id=r.id, source=source, received_at=r.received_at, report=r.report, matched_by=matched_by
    )


def _submission_facts(s: Submission) -> SubmissionFacts:
    return SubmissionFacts(
        id=s.id, call=s.call, account=s.account, to=s.to, bridge=s.bridge, flow_id=s.flow_id, interval=s.interval,
        lane=s.lane, provider_id=s.submission_id, requested_at=s.requested_at, refused=s.refused,
    )  # fmt: skip


def _callback_repeats(derived: DerivedEvents) -> dict[str, str | None]:
    """Return which callback repeats which. If a poll was the first, its first callback takes its place."""
    groups: dict[str, list[str]] = {}
    for id, first in derived.repeat_of.items():
        groups.setdefault(first or id, []).append(id)
    repeats: dict[str, str | None] = {}
    for first, ids in groups.items():
        callbacks = sorted(id for id in ids if id.startswith("cb_"))
        first_callback = first if first.startswith("cb_") else next(iter(callbacks), None)
        repeats |= {id: None if id == first_callback else first_callback for id in callbacks}
    return repeats


def _caches(timeline: Timeline) -> tuple[dict[str, Any], list[Any]]:
    states = [(s.id, s.status, s.outcome, s.reason) for s in timeline.submissions]
    return {name: getattr(timeline, name) for name in _CACHED_COLUMNS}, states

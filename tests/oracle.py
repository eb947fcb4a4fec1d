"""What a database must say, by the pure functions alone: `match` over every receipt and every submission, `derive` over
what is joined, `fold` over the events. Nothing is gathered here and nothing is cached, so it is slow, and right."""

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
from tracker.providers.base import CallbackRequest, HttpResponse
from tracker.providers.registry import get_provider
from tracker.store.calls import records
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import states as inbox
from tracker.store.schema import tables as t

#: of what one callback names, as the joiner weighs it
_MOST_IDS = 20
_SAID_BY_THE_PROVIDER = (EventSource.callback, EventSource.poll)
_CACHED = (
    "status", "outcome", "reason", "settled", "disputed", "answered", "attempts", "duration_s", "started_at",
    "ended_at", "next_attempt_at", "cancel_requested", "recording_url", "dtmf", "charges",
)  # fmt: skip

Said = dict[Any, Any]


def says(database: Database, accounts: Mapping[str, Account]) -> tuple[Said, Said]:
    """(what the database says, what it has to say): for each callback where it stands, for each call its events and
    caches. A callback that nobody has read yet has to be read."""
    return database.read(lambda c: _says(c, accounts))


def differences(database: Database, accounts: Mapping[str, Account]) -> list[str]:
    """Where the database says something else than it has to, one text each."""
    have, want = says(database, accounts)
    keys = sorted(have.keys() | want.keys(), key=str)
    return [f"{k}: is {have.get(k)!r}, not {want.get(k)!r}" for k in keys if have.get(k) != want.get(k)]


def _says(c: Connection, accounts: Mapping[str, Account]) -> tuple[Said, Said]:
    have: Said = {}
    want: Said = {}
    receipts: list[Receipt] = []
    column = t.callbacks.c
    for row in c.execute(sa.select(t.callbacks).where(column.state != inbox.QUARANTINED)):
        have[row.id] = (row.state, row.reason, row.matched_by, row.submission_id, row.repeat_of)
        account = accounts[row.account]
        said = _read(account, row)
        if isinstance(said, UnreadableCallback):
            want[row.id] = ("unreadable", said.reason, None, None, None)
        elif isinstance(said, NotACall):
            want[row.id] = ("ignored", said.reason, None, None, None)
        elif row.by_hand == "ignore":
            want[row.id] = ("ignored", "operator", None, None, None)
        else:
            receipts.append(
                Receipt(
                    id=row.id, account=row.account, lane=row.lane, received_at=row.received_at, report=said,
                    manual_submission=row.by_hand,
                )
            )  # fmt: skip

    calls = list(c.scalars(sa.select(t.calls.c.id)))
    submissions = {s.id: s for s in records.submissions_of(c, calls)}
    said_of: dict[str, list[JoinedReport]] = {id: [] for id in submissions}
    polls = _polls(c, accounts, submissions)
    for poll in polls:
        assert poll.polled_submission is not None
        said_of[poll.polled_submission].append(_evidence(poll, EventSource.poll, MatchedBy.submission_id))
    came = {r.id: r for r in receipts}
    for id, verdict in match([*receipts, *polls], [_submitted(s) for s in submissions.values()]).items():
        if id not in came:
            continue
        if isinstance(verdict, Join):
            said_of[verdict.submission].append(_evidence(came[id], EventSource.callback, verdict.matched_by))
            want[id] = ("joined", None, verdict.matched_by.value, verdict.submission, None)
        else:
            want[id] = ("ignored" if verdict.ignored else "orphaned", verdict.reason, None, None, None)

    derived: dict[str, list[DerivedEvents]] = {id: [] for id in calls}
    for s in submissions.values():
        followed = derive_events(
            call=s.call, submission=s.id, attempt=s.number, interval=s.interval, reports=said_of[s.id]
        )
        derived[s.call].append(followed)
        for id, first in _repeats(followed).items():
            want[id] = (*want[id][:4], first)
    of_call: dict[str, list[Submission]] = {id: [] for id in calls}
    for s in submissions.values():
        of_call[s.call].append(s)
    cached = {row.id: row._mapping for row in c.execute(sa.select(t.calls))}
    reasons = {row.id: row.reason for row in c.execute(sa.select(t.submissions.c.id, t.submissions.c.reason))}
    for call, stored in records.events_of(c, calls).items():
        interval = of_call[call][0].interval
        standing = [e for e, withdrawn in stored if not withdrawn]
        own = [e for e in standing if e.source not in _SAID_BY_THE_PROVIDER]
        followed_all = [e for d in derived[call] for e in d.events]
        have[call, "events"] = {
            e.key: replace(e, id="", recorded_at=None) for e in standing if e.source in _SAID_BY_THE_PROVIDER
        }
        want[call, "events"] = {e.key: e for e in followed_all}
        # with the ids of what is stored, which decide where two events stand in the same place
        told = fold(standing, interval=interval)
        have[call, "cache"] = (
            {name: cached[call][name] for name in _CACHED},
            [(s.id, s.status, s.outcome, reasons[s.id]) for s in of_call[call]],
        )
        want[call, "cache"] = _caches(told)
        have[call, "meaning"] = _caches(told)
        want[call, "meaning"] = _caches(fold([*own, *followed_all], interval=interval))
    return have, want


def _read(account: Account, row: Any) -> CallReport | NotACall | UnreadableCallback:
    incoming = CallbackRequest(
        method=row.method,
        path=row.path,
        query=row.query,
        headers=inbox.unpack_headers(row.headers),
        body=row.body,
    )
    said = get_provider(account.provider).parse_callback(account, incoming)
    if isinstance(said, CallReport):
        return replace(said, ids=said.ids[:_MOST_IDS], references=said.references[:_MOST_IDS])
    return said


def _polls(
    c: Connection, accounts: Mapping[str, Account], submissions: Mapping[str, Submission]
) -> list[Receipt]:
    found = []
    for row in c.execute(sa.select(t.exchanges).where(t.exchanges.c.kind == "ask")):
        s = submissions[row.submission_id]
        reply = HttpResponse(
            status=row.status,
            headers=inbox.unpack_headers(row.reply_headers or b""),
            body=row.reply_body or b"",
        )
        account = accounts[s.account]
        poll = get_provider(account.provider).parse_status_response(account, s.submission_id or "", reply)
        found += [
            Receipt(
                id=f"{row.id}/{n}", account=s.account, lane=None, received_at=row.answered_at, report=said,
                polled_submission=s.id,
            )
            for n, said in enumerate(poll.reports)
        ]  # fmt: skip
    return found


def _evidence(r: Receipt, source: EventSource, matched_by: MatchedBy) -> JoinedReport:
    return JoinedReport(
        id=r.id, source=source, received_at=r.received_at, report=r.report, matched_by=matched_by
    )


def _submitted(s: Submission) -> SubmissionFacts:
    return SubmissionFacts(
        id=s.id, call=s.call, account=s.account, to=s.to, bridge=s.bridge, flow_id=s.flow_id, interval=s.interval,
        lane=s.lane, provider_id=s.submission_id, requested_at=s.requested_at, refused=s.refused,
    )  # fmt: skip


def _repeats(d: DerivedEvents) -> dict[str, str | None]:
    """Which callback repeats which; where a poll said it first, the first callback stands for it."""
    groups: dict[str, list[str]] = {}
    for id, of in d.repeat_of.items():
        groups.setdefault(of or id, []).append(id)
    repeats: dict[str, str | None] = {}
    for first, ids in groups.items():
        callbacks = sorted(id for id in ids if id.startswith("cb_"))
        stands = first if first.startswith("cb_") else next(iter(callbacks), None)
        repeats |= {id: None if id == stands else stands for id in callbacks}
    return repeats


def _caches(told: Timeline) -> tuple[dict[str, Any], list[Any]]:
    states = [(s.id, s.status, s.outcome, s.reason) for s in told.submissions]
    return {name: getattr(told, name) for name in _CACHED}, states

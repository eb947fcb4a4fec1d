"""What was said of submissions: joined callbacks and answered questions, and everything that matching weighs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.call_reports import CallReport, JoinedReport
from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import EXACT_MATCHES, EventSource, MatchedBy
from tracker.domain.matching.facts import Join, Receipt, SubmissionFacts
from tracker.domain.matching.heuristics import duplicate_key
from tracker.domain.time_text import from_iso, iso
from tracker.store.engine import bulk
from tracker.store.engine.chunks import chunks
from tracker.store.schema import tables as t

#: what `by_hand` says where an operator wants a callback ignored
IGNORE = "ignore"

_NOTHING = vars(CallReport())
_SURE = [m.value for m in (*EXACT_MATCHES, MatchedBy.operator)]
# without the request itself, which may have a megabyte
_C = t.callbacks.c
_RECEIPT = (_C.id, _C.account, _C.lane, _C.received_at, _C.report, _C.manual_match)
_TIMES = ("started_at", "ended_at")


def report_to_json(reading: CallReport) -> dict[str, Any]:
    """A reading as JSON, without what it does not say."""
    said = {
        name: value for name, value in vars(reading).items() if value is not None and value != _NOTHING[name]
    }
    for name in _TIMES:
        if name in said:
            said[name] = iso(said[name])
    return said


def report_from_json(said: dict[str, Any]) -> CallReport:
    """The counterpart of `reading_to_json`."""
    values = dict(said)
    for name in ("ids", "references"):
        if name in values:
            values[name] = tuple(values[name])
    for name in _TIMES:
        if name in values:
            values[name] = from_iso(values[name])
    if "status" in values:
        values["status"] = CallStatus(values["status"])
    if "reason" in values:
        values["reason"] = Reason(values["reason"])
    return CallReport(**values)


def duplicate_text(reading: CallReport) -> str | None:
    """`twin_key` as one text, for an index."""
    key = duplicate_key(reading)
    return "\x1f".join(key) if key else None


def evidence_of(
    connection: Connection, calls: Mapping[str, str], read: Mapping[str, CallReport]
) -> tuple[dict[str, list[JoinedReport]], dict[str, str | None]]:
    """Everything that the provider said of these submissions (id → call), and what each callback of it is stored as
    repeating.

    read: readings of some of the callbacks, known already by the ids of these.
    """
    found: dict[str, list[JoinedReport]] = {id: [] for id in calls}
    repeats: dict[str, str | None] = {}
    c, x = t.callbacks.c, t.exchanges.c
    of_calls = set(calls.values())
    told = (c.id, c.received_at, c.report, c.matched_by, c.submission_id, c.repeat_of)
    for id, received_at, said, matched_by, submission, repeat_of in bulk.select(
        connection, told, c.call_id, of_calls, also=" AND state = 'joined'"
    ):
        if submission in found:
            repeats[id] = repeat_of
            found[submission].append(
                JoinedReport(
                    id=id,
                    source=EventSource.callback,
                    received_at=received_at,
                    report=read.get(id) or report_from_json(said),
                    matched_by=MatchedBy(matched_by),
                )
            )
    polls = (x.id, x.answered_at, x.readings, x.submission_id)
    for id, answered_at, readings, submission in bulk.select(
        connection, polls, x.call_id, of_calls, also=" AND kind = 'ask'"
    ):
        if submission in found:
            reports = [report_from_json(one) for one in readings or ()]
            found[submission] += poll_evidence(id, answered_at, reports)
    return found, repeats


def poll_evidence(
    exchange_id: str, answered_at: datetime, reports: Iterable[CallReport]
) -> list[JoinedReport]:
    """Return the reports of an answered poll as evidence."""
    return [
        JoinedReport(
            id=f"{exchange_id}/{n}",
            source=EventSource.poll,
            received_at=answered_at,
            report=report,
            matched_by=MatchedBy.submission_id,
        )
        for n, report in enumerate(reports)
    ]


_S = t.submissions.c
_SUBMITTED = (
    *(_S.id, _S.call_id, _S.account, _S.to, _S.bridge, _S.flow_id, _S.interval),
    *(_S.lane, _S.provider_id, _S.requested_at, _S.refused),
)


def _submitted(row: tuple[Any, ...]) -> SubmissionFacts:
    id, call, account, to, bridge, flow_id, interval, lane, provider_id, requested_at, refused = row
    return SubmissionFacts(
        id=id, call=call, account=account, to=to, bridge=bridge, flow_id=flow_id, interval=interval, lane=lane,
        provider_id=provider_id, requested_at=requested_at, refused=refused,
    )  # fmt: skip


def receipt_of(row: Row[Any]) -> Receipt:
    return Receipt(
        id=row.id,
        account=row.account,
        lane=row.lane,
        received_at=row.received_at,
        report=report_from_json(row.report),
        manual_submission=row.manual_match,
    )


def submitted_by_keys(
    connection: Connection,
    account: str,
    *,
    full: Collection[str] = (),
    base: Collection[str] = (),
    own: Collection[str] = (),
) -> list[SubmissionFacts]:
    """The submissions of an account that any of these ids may mean."""
    found: dict[str, SubmissionFacts] = {}
    for column, keys in ((_S.provider_key, full), (_S.provider_base, base), (_S.id, own)):
        for row in bulk.select(connection, _SUBMITTED, column, keys):
            if row[2] == account:
                found[row[0]] = _submitted(row)
    return list(found.values())


def submitted_to(
    connection: Connection, account: str, numbers: Collection[str], since: datetime, until: datetime
) -> list[SubmissionFacts]:
    """The submissions of an account to these numbers that were requested in that time."""
    query = sa.select(*_SUBMITTED).where(
        _S.account == account, _S.requested_at >= since, _S.requested_at <= until
    )
    return [_submitted(tuple(row)) for row in _each(connection, query, _S.to, numbers)]


def submitted_by_lanes(
    connection: Connection, account: str, numbers: Collection[str], lanes: Collection[str]
) -> list[SubmissionFacts]:
    """The submissions of an account to these numbers by these lanes, whenever they were requested."""
    query = sa.select(*_SUBMITTED).where(_S.account == account, _S.lane.in_(lanes))
    return [_submitted(tuple(row)) for row in _each(connection, query, _S.to, numbers)]


def numbers_with_heuristic_callbacks(
    connection: Connection, account: str, numbers: Collection[str], since: datetime
) -> set[str]:
    """Of these numbers, those with receipts since then that no id has joined."""
    c = t.callbacks.c
    rows = bulk.select(
        connection, (c.heuristic_number, c.account, c.received_at), c.heuristic_number, numbers
    )
    return {number for number, of, received_at in rows if of == account and received_at >= since}


def heuristic_candidates(
    connection: Connection, account: str, numbers: Collection[str], since: datetime, until: datetime
) -> list[Receipt]:
    """The receipts for these numbers in that time that no id has joined."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT).where(c.account == account, c.received_at >= since, c.received_at <= until)
    return [receipt_of(row) for row in _each(connection, query, c.heuristic_number, numbers)]


def exact_receipts(connection: Connection, submissions: Collection[SubmissionFacts]) -> list[Receipt]:
    """Callbacks and rows of polls that an id or an operator has joined to these submissions; their joins stand."""
    c, x = t.callbacks.c, t.exchanges.c
    by_id = {s.id: s for s in submissions}
    calls = {s.call for s in submissions}
    query = sa.select(*_RECEIPT, c.submission_id, c.matched_by).where(
        c.state == "joined", c.matched_by.in_(_SURE)
    )
    found = [_joined(row) for row in _each(connection, query, c.call_id, calls) if row.submission_id in by_id]
    polls = (x.id, x.answered_at, x.readings, x.submission_id)
    for id, answered_at, readings, submission in bulk.select(
        connection, polls, x.call_id, calls, also=" AND kind = 'ask'"
    ):
        found += [
            Receipt(
                id=f"{id}/{n}",
                account=by_id[submission].account,
                lane=None,
                received_at=answered_at,
                report=report_from_json(said),
                polled_submission=submission,
            )
            for n, said in enumerate((readings or ()) if submission in by_id else ())
        ]
    return found


def shared_provider_id_callbacks(connection: Connection, account: str, key: str) -> set[str]:
    """The callbacks that are surely joined to submissions with this id, where it is not one's alone (any more)."""
    submissions = submitted_by_keys(connection, account, full={key})
    if len(submissions) < 2:
        return set()
    return {r.id for r in exact_receipts(connection, submissions) if r.polled_submission is None}


def twin_receipts(connection: Connection, account: str, twins: Collection[str]) -> list[Receipt]:
    """The receipts that equal one of these; where one is joined, its join stands."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT, c.state, c.submission_id, c.matched_by).where(
        c.account == account, c.state.in_(("joined", "orphaned"))
    )
    return [
        _joined(r) if r.state == "joined" else receipt_of(r)
        for r in _each(connection, query, c.duplicate_key, twins)
    ]


def joined_before(
    connection: Connection, submissions: Collection[SubmissionFacts], before: datetime
) -> list[Receipt]:
    """Callbacks that were received before then and are joined to these submissions; their joins stand."""
    c = t.callbacks.c
    by_id = {s.id for s in submissions}
    query = sa.select(*_RECEIPT, c.submission_id, c.matched_by).where(
        c.state == "joined", c.received_at < before
    )
    found = _each(connection, query, c.call_id, {s.call for s in submissions})
    return [_joined(row) for row in found if row.submission_id in by_id]


def _joined(row: Row[Any]) -> Receipt:
    join = Join(submission=row.submission_id, matched_by=MatchedBy(row.matched_by))
    return dataclasses.replace(receipt_of(row), fixed_join=join)


def receipts(connection: Connection, ids: Collection[str]) -> list[Receipt]:
    """These receipts, as far as they are readable and nobody said to ignore them."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT).where(c.report.is_not(None), c.state != "quarantined")
    return [receipt_of(row) for row in _each(connection, query, c.id, ids) if row.manual_match != IGNORE]


def receipts_including_ignored(connection: Connection, ids: Collection[str]) -> list[Receipt]:
    """These receipts, as far as they are readable, whatever anybody said of them."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT).where(c.report.is_not(None))
    return [receipt_of(row) for row in _each(connection, query, c.id, ids)]


def _each(
    connection: Connection, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Collection[str]
) -> Iterator[Row[Any]]:
    """The rows whose column has one of these values, however many values there are."""
    for part in chunks(values):
        yield from connection.execute(query.where(column.in_(part)))

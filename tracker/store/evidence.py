"""What was said of submissions: joined callbacks and answered questions, and everything that matching weighs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tracker.domain.calls import CallStatus, Reason
from tracker.domain.events import EXACT, MatchedBy, Source, from_iso, iso
from tracker.domain.matching import Join, Receipt, Submitted, twin_key
from tracker.domain.readings import Reading
from tracker.domain.records import Evidence
from tracker.store import tables as t
from tracker.store.parts import parts

#: what `by_hand` says where an operator wants a callback ignored
IGNORE = "ignore"

_DEFAULTS = Reading()
_SURE = [m.value for m in (*EXACT, MatchedBy.operator)]
# without the request itself, which may have a megabyte
_C = t.callbacks.c
_RECEIPT = (_C.id, _C.account, _C.lane, _C.received_at, _C.reading, _C.by_hand)
_TIMES = ("started_at", "ended_at")
#: the callbacks of a submission are found through its call, by which they are indexed anyway
_OF_SUBMISSION = (
    _C.state == "joined",
    _C.call_id == t.submissions.c.call_id,
    _C.submission_id == t.submissions.c.id,
)


def reading_to_json(reading: Reading) -> dict[str, Any]:
    """A reading as JSON, without what it does not say."""
    said: dict[str, Any] = {}
    for field in dataclasses.fields(Reading):
        value = getattr(reading, field.name)
        if value != getattr(_DEFAULTS, field.name):
            said[field.name] = iso(value) if isinstance(value, datetime) else value
    return said


def reading_from_json(said: dict[str, Any]) -> Reading:
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
    return Reading(**values)


def twin_text(reading: Reading) -> str | None:
    """`twin_key` as one text, for an index."""
    key = twin_key(reading)
    return "\x1f".join(key) if key else None


def evidence_of(connection: Connection, submission_ids: Collection[str]) -> dict[str, list[Evidence]]:
    """Everything that the provider said of these submissions."""
    found: dict[str, list[Evidence]] = {id: [] for id in submission_ids}
    c, x = t.callbacks.c, t.exchanges.c
    joined = sa.select(c.id, c.received_at, c.reading, c.matched_by, c.submission_id).where(*_OF_SUBMISSION)
    for row in _each(connection, joined, t.submissions.c.id, submission_ids):
        found[row.submission_id].append(
            Evidence(
                id=row.id,
                source=Source.callback,
                received_at=row.received_at,
                reading=reading_from_json(row.reading),
                matched_by=MatchedBy(row.matched_by),
            )
        )
    polls = sa.select(x.id, x.answered_at, x.readings, x.submission_id).where(x.kind == "ask")
    for poll in _each(connection, polls, x.submission_id, submission_ids):
        found[poll.submission_id] += [
            Evidence(
                id=f"{poll.id}/{n}",
                source=Source.poll,
                received_at=poll.answered_at,
                reading=reading_from_json(said),
                matched_by=MatchedBy.submission_id,
            )
            for n, said in enumerate(poll.readings or ())
        ]
    return found


def submitted_of(row: Row[Any]) -> Submitted:
    return Submitted(
        id=row.id,
        call=row.call_id,
        account=row.account,
        to=row.to,
        bridge=row.bridge,
        flow_id=row.flow_id,
        interval=row.interval,
        lane=row.lane,
        provider_id=row.provider_id,
        requested_at=row.requested_at,
        refused=row.refused,
    )


def receipt_of(row: Row[Any]) -> Receipt:
    return Receipt(
        id=row.id,
        account=row.account,
        lane=row.lane,
        received_at=row.received_at,
        reading=reading_from_json(row.reading),
        by_hand=row.by_hand,
    )


def submitted_by_keys(
    connection: Connection, account: str, full: Collection[str], base: Collection[str], own: Collection[str]
) -> list[Submitted]:
    """The submissions of an account that any of these ids may mean."""
    s = t.submissions.c
    found: dict[str, Submitted] = {}
    for column, keys in ((s.provider_key, full), (s.provider_base, base), (s.id, own)):
        query = sa.select(t.submissions).where(s.account == account)
        found |= {row.id: submitted_of(row) for row in _each(connection, query, column, keys)}
    return list(found.values())


def submitted_to(
    connection: Connection, account: str, numbers: Collection[str], since: datetime, until: datetime
) -> list[Submitted]:
    """The submissions of an account to these numbers that were requested in that time."""
    s = t.submissions.c
    query = sa.select(t.submissions).where(
        s.account == account, s.requested_at >= since, s.requested_at <= until
    )
    return [submitted_of(row) for row in _each(connection, query, s.to, numbers)]


def loose_numbers(
    connection: Connection, account: str, numbers: Collection[str], since: datetime
) -> set[str]:
    """Of these numbers, those with receipts since then that no id has joined."""
    c = t.callbacks.c
    query = sa.select(c.loose_number).where(c.account == account, c.received_at >= since).distinct()
    return {row.loose_number for row in _each(connection, query, c.loose_number, numbers)}


def loose_receipts(
    connection: Connection, account: str, numbers: Collection[str], since: datetime, until: datetime
) -> list[Receipt]:
    """The receipts for these numbers in that time that no id has joined."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT).where(c.account == account, c.received_at >= since, c.received_at <= until)
    return [receipt_of(row) for row in _each(connection, query, c.loose_number, numbers)]


def exact_receipts(connection: Connection, submission_ids: Collection[str]) -> list[Receipt]:
    """Callbacks and rows of polls that an id or an operator has joined to these submissions."""
    c, x = t.callbacks.c, t.exchanges.c
    query = sa.select(*_RECEIPT).where(*_OF_SUBMISSION, c.matched_by.in_(_SURE))
    found = [receipt_of(row) for row in _each(connection, query, t.submissions.c.id, submission_ids)]
    polls = sa.select(x.id, x.answered_at, x.readings, x.submission_id, t.submissions.c.account).where(
        x.kind == "ask", t.submissions.c.id == x.submission_id
    )
    for row in _each(connection, polls, x.submission_id, submission_ids):
        found += [
            Receipt(
                id=f"{row.id}/{n}",
                account=row.account,
                lane=None,
                received_at=row.answered_at,
                reading=reading_from_json(said),
                asked_for=row.submission_id,
            )
            for n, said in enumerate(row.readings or ())
        ]
    return found


def twin_receipts(connection: Connection, account: str, twins: Collection[str]) -> list[Receipt]:
    """The receipts that equal one of these; where one is joined, its join stands."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT, c.state, c.submission_id, c.matched_by).where(
        c.account == account, c.state.in_(("joined", "orphaned"))
    )
    return [
        dataclasses.replace(
            receipt_of(r), joined=Join(submission=r.submission_id, matched_by=MatchedBy(r.matched_by))
        )
        if r.state == "joined"
        else receipt_of(r)
        for r in _each(connection, query, c.twin, twins)
    ]


def receipts(connection: Connection, ids: Collection[str]) -> list[Receipt]:
    """These receipts, as far as they are readable and nobody said to ignore them."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT).where(c.reading.is_not(None), c.state != "quarantined")
    return [receipt_of(row) for row in _each(connection, query, c.id, ids) if row.by_hand != IGNORE]


def receipts_any(connection: Connection, ids: Collection[str]) -> list[Receipt]:
    """These receipts, as far as they are readable, whatever anybody said of them."""
    c = t.callbacks.c
    query = sa.select(*_RECEIPT).where(c.reading.is_not(None))
    return [receipt_of(row) for row in _each(connection, query, c.id, ids)]


def _each(
    connection: Connection, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Collection[str]
) -> Iterator[Row[Any]]:
    """The rows whose column has one of these values, however many values there are."""
    for part in parts(values):
        yield from connection.execute(query.where(column.in_(part)))

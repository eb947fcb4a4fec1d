"""The receiver that one writes first: tables and one session for each callback, as SQLModel's documentation teaches.

It does tracker's work in the plain way: store the request raw, find the submission by its id, write the event, update
submission and call, one commit. `bench.taught_app` is its web side. It does less than tracker: it knows neither repeats
nor order, orphans, other formats or doubtful matches.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, create_engine, select

from bench.plan import BRIDGE, FLOW, Plan

#: our tables beside tracker's, which are in the same process where databases are filled
_registry = registry(metadata=sa.MetaData())

OUTCOMES: Final = {
    "ANSWER": "completed", "NOANSWER": "no-answer", "BUSY": "busy", "CANCEL": "canceled", "CONGESTION": "failed",
    "CHANUNAVAIL": "failed",
}  # fmt: skip


class Table(SQLModel, registry=_registry):
    """What all tables share."""


class Call(Table, table=True):
    """With an index for each filter that tracker documents."""

    id: str = Field(primary_key=True)
    account: str = Field(index=True)
    to: str = Field(index=True)
    bridge: str
    flow_id: str | None
    campaign: str | None = Field(index=True)
    reference: str | None = Field(index=True)
    status: str = Field(index=True)
    outcome: str | None = Field(index=True)
    settled: bool = Field(index=True)
    answered: bool | None = Field(index=True)
    disputed: bool = Field(index=True)
    duration_s: int | None
    started_at: datetime | None
    ended_at: datetime | None
    created_at: datetime = Field(index=True)
    updated_at: datetime = Field(index=True)


class Submission(Table, table=True):
    id: str = Field(primary_key=True)
    call_id: str = Field(foreign_key="call.id", index=True)
    provider_id: str | None = Field(index=True)
    status: str
    outcome: str | None
    created_at: datetime


class Event(Table, table=True):
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.id", index=True)
    submission_id: str = Field(foreign_key="submission.id")
    callback_id: int | None = Field(default=None, foreign_key="callback.id")
    status: str
    provider_status: str | None
    source: str
    at: datetime
    recorded_at: datetime
    detail: dict[str, Any] = Field(sa_type=sa.JSON)


class Callback(Table, table=True):
    """The request as it came."""

    id: int | None = Field(default=None, primary_key=True)
    account: str = Field(index=True)
    received_at: datetime = Field(index=True)
    headers: bytes
    body: bytes
    state: str = Field(index=True)
    call_id: str | None = Field(default=None, index=True)


class CallbackIn(SQLModel):
    """What the provider sends."""

    id: str
    mid: str | None = None
    to: str
    bridge: str | None = None
    flow_id: str | None = None
    status: str
    start_at: datetime | None = None
    end_at: datetime | None = None
    duration: int = 0


def engine_of(url: str) -> Engine:
    """The engine of such a program; SQLite with every commit on the disk."""
    if not url.startswith("sqlite"):
        return create_engine(url)
    # thirty seconds: with the usual five, some of 64 that write at once give up
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 30})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def take(session: Session, said: CallbackIn, headers: bytes, body: bytes) -> bool:
    """Store one callback and what it means, in one transaction; whether its submission was found."""
    now = datetime.now(UTC)
    callback = Callback(account="thundersms", received_at=now, headers=headers, body=body, state="orphaned")
    session.add(callback)
    submission = session.exec(select(Submission).where(Submission.provider_id == said.id)).first()
    if submission is not None:
        call = session.exec(select(Call).where(Call.id == submission.call_id)).one()
        outcome = OUTCOMES[said.status]
        callback.state, callback.call_id = "joined", call.id
        submission.status = submission.outcome = outcome
        call.status = call.outcome = outcome
        call.settled, call.answered = True, outcome == "completed"
        call.started_at, call.ended_at, call.duration_s = (
            _utc(said.start_at),
            _utc(said.end_at),
            said.duration,
        )
        call.updated_at = now
        session.add(
            Event(
                call_id=call.id, submission_id=submission.id, callback_id=callback.id, status=outcome,
                provider_status=said.status, source="callback", at=_utc(said.end_at) or now, recorded_at=now,
                detail={"duration_s": said.duration},
            )
        )  # fmt: skip
    session.commit()
    return submission is not None


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None else None


def fill(url: str, plan: Plan) -> None:
    """The tables, and the calls of a plan, each accepted by the provider."""
    engine = engine_of(url)
    tables = _registry.metadata
    tables.create_all(engine)
    numbers = iter(range(plan.count))
    while chunk := list(islice(numbers, 5_000)):
        with engine.begin() as connection:
            for name, rows in _rows(plan, chunk):
                connection.execute(tables.tables[name].insert(), rows)
    engine.dispose()


def _rows(plan: Plan, chunk: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    planned = [(f"call-{n:09d}", f"sub-{n:09d}", plan.call(n)) for n in chunk]
    yield "call", [
        {
            "id": id, "account": "thundersms", "to": call.to, "bridge": BRIDGE, "flow_id": FLOW,
            "campaign": call.campaign, "reference": call.reference, "status": "queued", "settled": False,
            "disputed": False, "created_at": call.at, "updated_at": call.at,
        }
        for id, _, call in planned
    ]  # fmt: skip
    yield (
        "submission",
        [
            {
                "id": sub,
                "call_id": id,
                "provider_id": call.provider_id,
                "status": "queued",
                "created_at": call.at,
            }
            for id, sub, call in planned
        ],
    )
    yield "event", [
        {
            "call_id": id, "submission_id": sub, "status": status, "source": "sender", "at": call.at,
            "recorded_at": call.at, "detail": {},
        }
        for id, sub, call in planned
        for status in ("submitting", "queued")
    ]  # fmt: skip


def problems(url: str, answered: int) -> list[str]:
    """What this receiver promised and did not keep: `answered` callbacks are stored, each with its event, each on a
    call that shows it. Empty where all is as it says."""
    engine = engine_of(url)
    event_of, callback, call = (_registry.metadata.tables[name] for name in ("event", "callback", "call"))
    count = sa.func.count()
    with engine.connect() as connection:
        stored = connection.scalar(sa.select(count).select_from(callback)) or 0
        told = connection.scalar(
            sa.select(count).select_from(
                callback.join(event_of, event_of.c.callback_id == callback.c.id).join(
                    call, sa.and_(call.c.id == callback.c.call_id, call.c.outcome.is_not(None))
                )
            )
        )
    engine.dispose()
    wrong = []
    if stored < answered:
        wrong.append(f"{answered - stored} of {answered} answered callbacks are not stored")
    if told != stored:
        wrong.append(f"{stored - (told or 0)} of {stored} stored callbacks have no event on a settled call")
    return wrong

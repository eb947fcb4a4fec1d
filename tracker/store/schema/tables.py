"""Declares the tables.

A table class validates nothing when it is constructed, because rows are written from values that were checked before.
Texts have no NUL and no lone surrogates, which the provider adapters replace. Columns with what came over the wire are
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlmodel import AutoString, Field, Index, SQLModel, UTCDateTime

from tracker.domain.wish.call_wish import WISH_FIELDS, FieldKind

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

#: SQLite's rowid must be declared INTEGER
_POSITION: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: None is SQL's NULL and not JSON's
_NULLABLE_JSON = cast(Any, sa.JSON(none_as_null=True))


#: SQLite uses the index of the callbacks that are not joined only if a query has exactly this condition
UNJOINED: Final = "state <> 'joined'"


def _partial(name: str, *columns: str, where: str) -> Index:
    """Return an index over the few rows for which `where` is true; queries repeat `where` exactly to use it."""
    return Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _busy(fillfactor: int = 100) -> dict[str, Any]:
    """Return options for a table whose rows change often: PostgreSQL vacuums it before a fifth of it is dead.

    fillfactor: per cent of a page that inserts fill. An update of no indexed column writes no index if the page has
    room for the row's next version.
    """
    often = {"autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05}
    return {"postgresql_with": ({"fillfactor": fillfactor} if fillfactor < 100 else {}) | often}


#: the column of each field of a wish; SQLModel has a use of its own for the name `metadata`
WISH_COLUMNS: Final[Mapping[str, str]] = {
    field: "notes" if field == "metadata" else field for field in WISH_FIELDS
}
_WISH_TYPES: Final = {
    FieldKind.text: AutoString,
    FieldKind.whole_number: sa.Integer,
    FieldKind.mapping: sa.JSON,
    FieldKind.time: UTCDateTime,
}


def _wish_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(column, _WISH_TYPES[WISH_FIELDS[field].kind](), nullable=WISH_FIELDS[field].is_nullable)
        for field, column in WISH_COLUMNS.items()
    ]


class CallRow(SQLModel, table=True):
    """A call: its wish, whose columns `_wish_columns` adds, and the cache of what its events mean."""

    __tablename__ = "calls"

    id: str = Field(primary_key=True)
    created_at: datetime

    status: str
    outcome: str | None
    reason: str | None
    settled: bool
    disputed: bool
    answered: bool | None
    attempts: int
    duration_s: int | None
    started_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None
    cancel_requested: bool
    recording_url: str | None
    dtmf: str | None
    charges: str | None
    updated_at: datetime

    __table_args__ = (
        *_wish_columns(),
        # each index names the query that needs it, and tests/store/test_indexes.py checks that the query uses it.
        # GET /calls by status, outcome, settled, answered, and without a filter: a list is merged from one stream for
        # each status and settled (read/call_search.py). An outcome is the status of a settled call, and an answered
        # call is completed.
        # The other time is the last column, so that a condition on it is checked without reading the row
        Index("ix_calls_status", "status", "settled", "created_at", "id", "updated_at"),
        # the same by updated_at, and updated_after
        Index("ix_calls_changed", "status", "settled", "updated_at", "id", "created_at"),
        # GET /calls?to=
        Index("ix_calls_to", "to", "created_at", "id"),
        # GET /calls?account=
        Index("ix_calls_account", "account", "created_at", "id"),
        # GET /calls?campaign=, also with updated_after
        _partial("ix_calls_campaign", "campaign", "created_at", "id", where="campaign IS NOT NULL"),
        _partial("ix_calls_campaign_changed", "campaign", "updated_at", "id", where="campaign IS NOT NULL"),
        # GET /calls?reference=
        _partial("ix_calls_reference", "reference", "created_at", "id", where="reference IS NOT NULL"),
        # GET /calls?disputed=true
        _partial("ix_calls_disputed", "created_at", "id", where="disputed"),
        _busy(),
    )


class CallSecretRow(SQLModel, table=True):
    """The secret variables of a call, readable only until they are sent."""

    __tablename__ = "call_secrets"

    call_id: str = Field(primary_key=True, foreign_key="calls.id")
    variables: dict[str, Any] = Field(sa_type=sa.JSON)


class SubmissionRow(SQLModel, table=True):
    """A submission: one attempt of a call."""

    __tablename__ = "submissions"

    id: str = Field(primary_key=True)
    call_id: str = Field(foreign_key="calls.id")
    account: str
    to: str
    bridge: str
    flow_id: str | None
    interval: int
    number: int
    trigger: str
    lane: str | None
    #: the provider's id: as it was sent, in the form that is compared, and without its suffix
    provider_id: str | None
    provider_key: str | None
    provider_base: str | None
    status: str
    outcome: str | None
    reason: str | None
    refused: bool
    tries: int
    owner: str | None
    lease_until: datetime | None
    requested_at: datetime | None
    accepted_at: datetime | None
    created_at: datetime

    __table_args__ = (
        # a call has one submission of each number, also if two processes add one
        Index("uq_submissions_call", "call_id", "number", unique=True),
        # joining by id; GET /calls?submission_id=
        Index("ix_submissions_provider_key", "provider_key"),
        Index("ix_submissions_provider_base", "provider_base"),
        # joining by number and time
        Index("ix_submissions_to", "account", "to", "requested_at"),
        # looking for ended leases
        _partial("ix_submissions_lease", "lease_until", where="lease_until IS NOT NULL"),
        # no column that its outcome changes is indexed
        _busy(fillfactor=80),
    )


class EventRow(SQLModel, table=True):
    """An event. Only `withdrawn` ever changes: it is true if the event's callback was moved to another submission."""

    __tablename__ = "events"

    id: str = Field(primary_key=True)
    call_id: str = Field(foreign_key="calls.id")
    key: str
    submission_id: str | None
    attempt: int
    dial: str
    type: str
    status: str | None
    at: datetime
    at_source: str
    recorded_at: datetime
    source: str
    provider_status: str | None
    reason: str | None
    matched_by: str | None
    callback_id: str | None
    detail: dict[str, Any] = Field(sa_type=sa.JSON)
    withdrawn: bool = False

    __table_args__ = (
        # a fact is one event, also if two processes find it; the events of a call
        Index("uq_events_call_key", "call_id", "key", unique=True),
    )


class InboxRow(SQLModel, table=True):
    """A received request, exactly as it came. Rows are appended and pruned, never changed.

    On SQLite this table lies in a file of its own, which only the receiver writes, so that storing a callback never
    waits for the joiner. It has no secondary index there: it is read by position.
    """

    __tablename__ = "inbox"

    #: rises in commit order and is never used twice
    position: int | None = Field(
        default=None, sa_column=sa.Column(_POSITION, primary_key=True, autoincrement=True)
    )
    id: str
    account: str
    lane: str | None
    received_at: datetime
    method: str
    #: bytes of the body as it came
    size: int
    remote: str | None
    #: `pending`, or `ignored` or `quarantined` if the receiver has decided so
    state: str
    reason: str | None
    #: keyed digest of the secret that was presented with a quarantined request
    fingerprint: str | None
    # the long columns come last: SQLite reads the others without following overflow pages
    path: bytes
    query: bytes
    headers: bytes
    body: bytes

    __table_args__ = (
        # PostgreSQL only: a batch that is repeated after a lost connection is stored once
        Index("uq_inbox_id", "id", unique=True),
        {"sqlite_autoincrement": True},
    )


class PositionRow(SQLModel, table=True):
    """How far a consumer has read. `joiner`: the last inbox position whose outcome is in the records."""

    __tablename__ = "positions"

    consumer: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)


class InboxRemovalRow(SQLModel, table=True):
    """An inbox position that pruning removes: its row in the records is gone already."""

    __tablename__ = "inbox_removals"

    position: int = Field(sa_column=sa.Column(_POSITION, primary_key=True, autoincrement=False))


class CallbackRow(SQLModel, table=True):
    """The outcome of one received request. The request itself is in the inbox, at `position`."""

    __tablename__ = "callbacks"

    id: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)
    account: str
    lane: str | None
    received_at: datetime
    method: str
    #: bytes of the body as it came
    size: int

    state: str
    reason: str | None
    #: keyed digest of the secret that was presented with a quarantined request
    fingerprint: str | None
    #: what the provider adapter parsed; None if it is no call report
    report: dict[str, Any] | None = Field(sa_type=_NULLABLE_JSON)
    #: the callee, if no id names the submission: such callbacks are matched together
    heuristic_number: str | None
    duplicate_key: str | None
    matched_by: str | None
    submission_id: str | None
    call_id: str | None
    repeat_of: str | None
    #: an operator's decision: a submission's id, or `ignore`
    manual_match: str | None
    match_retries: int
    next_match_at: datetime | None

    __table_args__ = (
        # GET /callbacks by account, and without a filter: merged from one stream for each account
        Index("ix_callbacks_account", "account", "received_at", "id"),
        # GET /callbacks?call=; the evidence of a call and of its submissions
        _partial("ix_callbacks_call", "call_id", "received_at", "id", where="call_id IS NOT NULL"),
        # GET /callbacks?state= except for joined, which nearly all are; the quarantine's room
        _partial("ix_callbacks_unjoined", "state", "received_at", "id", where=UNJOINED),
        # orphans that are due for another try
        _partial("ix_callbacks_next_match", "next_match_at", where="next_match_at IS NOT NULL"),
        # matching by number and time
        _partial(
            "ix_callbacks_heuristic_number",
            "heuristic_number",
            "received_at",
            where="heuristic_number IS NOT NULL",
        ),
        # matching a callback that equals another
        _partial("ix_callbacks_duplicate_key", "duplicate_key", where="duplicate_key IS NOT NULL"),
        # counting repeats
        _partial("ix_callbacks_repeat_of", "repeat_of", where="repeat_of IS NOT NULL"),
        _busy(),
    )


class WaitingKeyRow(SQLModel, table=True):
    """An id by which a callback waits for its submission, until its own first id has joined it."""

    __tablename__ = "waiting_keys"

    account: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    #: indexed for the removal of callbacks that wait no more
    callback_id: str = Field(primary_key=True, foreign_key="callbacks.id", index=True)


class ExchangeRow(SQLModel, table=True):
    """A request to the provider and its response, without secrets."""

    __tablename__ = "exchanges"

    id: str = Field(primary_key=True)
    kind: str
    #: indexed for the evidence of a call
    call_id: str = Field(foreign_key="calls.id", index=True)
    #: indexed for the removal of a submission, because the database looks for rows that refer to it
    submission_id: str = Field(foreign_key="submissions.id", index=True)
    requested_at: datetime
    answered_at: datetime
    method: str
    url: str
    request_headers: bytes
    request_body: bytes
    status: int | None
    reply_headers: bytes
    reply_body: bytes
    failure: str | None
    #: the reports of a poll's response, one for each of its rows
    readings: list[Any] | None = Field(sa_type=_NULLABLE_JSON)


class JobRow(SQLModel, table=True):
    """A job: due work, written in the transaction that caused it."""

    __tablename__ = "jobs"

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    subject: str
    account: str
    due_at: datetime
    #: whether `due_at` is a moment that the account's rate limit has reserved for it
    paced: bool = False
    tries: int = 0
    #: the worker that has claimed it, and until when
    owner: str | None = None
    lease_until: datetime | None = None

    __table_args__ = (
        # one job of a kind for one subject
        Index("uq_jobs_kind_subject", "kind", "subject", unique=True),
        # due jobs
        Index("ix_jobs_due", "kind", "due_at", "id"),
        _busy(fillfactor=50),
    )


class IdempotencyKeyRow(SQLModel, table=True):
    """An Idempotency-Key: a request that must not be done twice. `scope` and `digest` are keyed digests."""

    __tablename__ = "idempotency_keys"

    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    digest: str
    #: indexed for the removal of a call
    call_id: str = Field(foreign_key="calls.id", index=True)
    #: indexed for the removal of old keys
    created_at: datetime = Field(index=True)


class PaceRow(SQLModel, table=True):
    """The latest moments at which an account dialled, and those that are reserved: ISO texts in order."""

    __tablename__ = "pace"

    account: str = Field(primary_key=True)
    dialled: list[Any] = Field(sa_type=sa.JSON)
    given: list[Any] = Field(sa_type=sa.JSON)


class CountRow(SQLModel, table=True):
    """The number of callbacks that were refused: of unknown accounts, too large, or beyond the quarantine's limits."""

    __tablename__ = "counts"

    name: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    count: int
    last_at: datetime


class WorkerRow(SQLModel, table=True):
    """A worker, and its last heartbeat."""

    __tablename__ = "workers"

    id: str = Field(primary_key=True)
    started_at: datetime
    seen_at: datetime


class SettingRow(SQLModel, table=True):
    """A note of the database's own, such as the key of its digests, its identity, or a pause."""

    __tablename__ = "settings"

    name: str = Field(primary_key=True)
    value: str


def _table(cls: type[SQLModel]) -> sa.Table:
    return cast(sa.Table, getattr(cls, "__table__"))  # noqa: B009 (SQLModel does not declare it)


metadata = SQLModel.metadata
inbox = _table(InboxRow)
positions = _table(PositionRow)
inbox_removals = _table(InboxRemovalRow)
calls = _table(CallRow)
call_secrets = _table(CallSecretRow)
submissions = _table(SubmissionRow)
events = _table(EventRow)
callbacks = _table(CallbackRow)
waiting_keys = _table(WaitingKeyRow)
exchanges = _table(ExchangeRow)
jobs = _table(JobRow)
idempotency_keys = _table(IdempotencyKeyRow)
pace = _table(PaceRow)
counts = _table(CountRow)
workers = _table(WorkerRow)
settings = _table(SettingRow)


#: added to conditions on the state, so that SQLite uses the index
unjoined = sa.text(f"callbacks.{UNJOINED}")

"""Each index has a query that needs it, and each list is read by an index, whatever its filter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.plans import Plan, plans_of
from tracker.domain.matching.facts import SubmissionFacts
from tracker.store.calls.calls import lock_calls, lock_calls_of_submissions
from tracker.store.calls.events import load_events
from tracker.store.calls.submissions import find_ended_leases, find_pollable_submissions, find_submissions
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import match_queries, quarantine, states
from tracker.store.maintenance import prune
from tracker.store.queue import jobs
from tracker.store.queue.idempotency_keys import delete_keys_before
from tracker.store.read.call_search import SortLimits
from tracker.store.read.callbacks import CallbackFilter, get_callback, list_callbacks
from tracker.store.read.calls import ORDERS, CallFilter, get_call, get_evidence, get_timeline, list_calls
from tracker.store.read.system_status import load_system_status
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=9)
MINUTE = timedelta(minutes=1)
#: with the first few matching rows may be sorted; with the second none
LIMITS = [SortLimits(), SortLimits(front=-1, behind=-1)]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with calls of every kind, so that the planner of PostgreSQL has statistics."""
    database = Database(database_url)
    upgrade.upgrade(database)
    database.write(fill)
    yield database
    database.close()


def fill(connection: Connection) -> None:
    kinds = itertools.cycle([("queued", False), ("completed", True), ("busy", True), ("completed", False)])
    connection.execute(t.calls.insert(), [call(n, *next(kinds)) for n in range(1000)])
    connection.execute(t.submissions.insert(), [submission(n) for n in range(500)])
    connection.execute(t.callbacks.insert(), [callback(n) for n in range(500)])
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE")


def call(n: int, status: str, settled: bool) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ["flow_id", "audio", "name", "interval", "webhook_id", "rule", "policy", "not_before", "not_after", "reason",
         "duration_s", "started_at", "ended_at", "next_attempt_at", "recording_url", "dtmf", "charges"]
    )  # fmt: skip
    return nothing | {
        "id": f"call_{n:04}", "account": f"account_{n % 3}", "to": f"+91891952{n % 50:04}", "bridge": "918068280000",
        "variables": {}, "notes": {}, "campaign": "spring" if n % 4 == 0 else None,
        "reference": f"order-{n}" if n % 5 == 0 else None, "created_at": NOW + n * MINUTE, "status": status,
        "outcome": status if settled else None, "settled": settled, "disputed": n % 100 == 2,
        "answered": True if status == "completed" else (False if settled else None), "attempts": 1,
        "cancel_requested": False, "updated_at": NOW + n * MINUTE + n % 7 * MINUTE,
    }  # fmt: skip


def submission(n: int) -> dict[str, Any]:
    nothing = dict.fromkeys(["flow_id", "lane", "reason", "owner", "lease_until", "accepted_at"])
    return nothing | {
        "id": f"sub_{n:04}", "call_id": f"call_{n:04}", "account": f"account_{n % 3}", "to": f"+91891952{n % 50:04}",
        "bridge": "918068280000", "interval": 0, "number": 1, "trigger": "first", "provider_id": f"a-{n}:1",
        "provider_key": f"a-{n}:1", "provider_base": f"a-{n}", "status": "queued", "outcome": None, "refused": False,
        "tries": 1, "requested_at": NOW + n * MINUTE, "created_at": NOW + n * MINUTE,
    }  # fmt: skip


def callback(n: int) -> dict[str, Any]:
    joined = n % 10 > 0
    return {
        "id": f"cb_{n:04}", "position": n + 1, "account": f"account_{n % 3}", "received_at": NOW + n * MINUTE,
        "method": "POST", "size": 2, "match_retries": 0,
        "state": "joined" if joined else ("pending", "orphaned", "quarantined")[n // 10 % 3],
        "call_id": f"call_{n:04}" if joined else None, "submission_id": None,
        "next_match_at": None if joined else LATER, "heuristic_number": None if joined else "+918919525224",
        "duplicate_key": f"twin-{n}" if n % 4 == 0 else None, "repeat_of": "cb_0000" if n % 50 == 1 else None,
    }  # fmt: skip


SUBMITTED = SubmissionFacts(
    id="sub_0001", call="call_0001", account="account_1", to="+918919520001", bridge="918068280000", flow_id=None,
    interval=0, lane=None, provider_id="a-1:1", requested_at=NOW,
)  # fmt: skip


def calls(
    order: str = "-created_at", limits: SortLimits = LIMITS[0], **criteria: Any
) -> Callable[[Connection], object]:
    """Return a function that lists calls."""
    return lambda c: list_calls(c, CallFilter(**criteria), order=order, limits=limits)


def callbacks(**criteria: Any) -> Callable[[Connection], object]:
    """Return a function that lists callbacks."""
    return lambda c: list_callbacks(c, CallbackFilter(**criteria))


#: every index, and a query that would read its whole table without it
NEEDED: dict[str, Callable[[Connection], object]] = {
    "ix_calls_status": calls(status=("queued",)),
    "ix_calls_changed": calls("-updated_at"),
    "ix_calls_to": calls(to=("+918919520001",)),
    "ix_calls_account": calls(account="account_1"),
    "ix_calls_campaign": calls(campaign="spring"),
    "ix_calls_campaign_changed": calls("-updated_at", campaign="spring"),
    "ix_calls_reference": calls(reference="order-5"),
    "ix_calls_disputed": calls(disputed=True),
    "uq_submissions_call": lambda c: find_submissions(c, ["call_0001"]),
    "ix_submissions_provider_key": lambda c: match_queries.submitted_by_keys(c, "account_1", full=["a-1:1"]),
    "ix_submissions_provider_base": lambda c: match_queries.submitted_by_keys(c, "account_1", base=["a-1"]),
    "ix_submissions_to": lambda c: match_queries.submitted_to(c, "account_1", ["+918919520001"], NOW, LATER),
    "ix_submissions_lease": lambda c: find_ended_leases(c, NOW),
    "uq_events_call_key": lambda c: load_events(c, ["call_0001"]),
    # as a batch that is appended a second time is refused
    "uq_inbox_id": lambda c: c.execute(sa.select(t.inbox.c.position).where(t.inbox.c.id == "cb_0001")),
    "ix_callbacks_account": callbacks(account="account_1"),
    "ix_callbacks_call": callbacks(call="call_0001"),
    "ix_callbacks_unjoined": lambda c: states.pending_positions(c, ["account_1"], 100),
    "ix_callbacks_next_match": lambda c: states.due_for_retry(c, ["account_1"], NOW, 100),
    "ix_callbacks_heuristic_number": lambda c: match_queries.heuristic_candidates(
        c, "account_1", ["+91"], NOW, LATER
    ),
    "ix_callbacks_duplicate_key": lambda c: match_queries.twin_receipts(c, "account_1", ["no-twin"]),
    "ix_callbacks_repeat_of": callbacks(),
    "ix_waiting_keys_callback_id": lambda c: states.add_wait_keys(c, "account_1", {}, replace=["cb_0001"]),
    "ix_exchanges_call_id": lambda c: get_evidence(c, "call_0001"),
    # as the database asks for each submission that is removed
    "ix_exchanges_submission_id": lambda c: c.execute(
        sa.select(sa.literal(1)).where(t.exchanges.c.submission_id == "sub_0001")
    ),
    "uq_jobs_kind_subject": lambda c: jobs.is_paced(c, jobs.SEND, "sub_1"),
    "ix_jobs_due": lambda c: jobs.next_due(c, [jobs.SEND], ["account_1"], NOW),
    "ix_idempotency_keys_created_at": lambda c: delete_keys_before(c, NOW),
    "ix_idempotency_keys_call_id": lambda c: prune.remove_calls(c, ["call_0001"], LATER),
}


def test_every_index_is_used_by_its_query(database: Database) -> None:
    indexes = {str(index.name) for table in t.metadata.tables.values() for index in table.indexes}
    assert set(NEEDED) == indexes
    unused = []
    for name, work in NEEDED.items():
        if database.is_sqlite and name == "uq_inbox_id":
            continue  # its inbox has no index
        plans = plans_of(database, work)
        if not any(plan.uses(name) for plan in plans):
            unused.append((name, [(plan.statement, plan.lines()) for plan in plans]))
    assert unused == []


def test_unused_index_is_noticed(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX ix_calls_bridge ON calls (bridge)")
    assert not any(plan.uses("ix_calls_bridge") for plan in plans_of(database, calls(status=("queued",))))
    by_bridge = sa.select(t.calls.c.id).where(t.calls.c.bridge == "1")
    assert any(plan.uses("ix_calls_bridge") for plan in plans_of(database, lambda c: c.execute(by_bridge)))


# lists

SINGLE: list[dict[str, Any]] = [
    {},
    {"status": ("queued",)},
    {"status": ("queued", "busy", "completed")},
    {"outcome": ("busy",)},
    {"outcome": ("busy", "completed")},
    {"settled": True},
    {"settled": False},
    {"answered": True},
    {"answered": False},
    {"disputed": True},
    {"disputed": False},
    {"account": "account_1"},
    {"campaign": "spring"},
    {"to": ("+918919520001", "+918919520002")},
    {"reference": "order-5"},
    {"submission_id": "a-1:1"},
    {"submission_id": "a-1"},
]
RANGED = [criteria for criteria in SINGLE if not {"submission_id", "disputed", "answered"} & set(criteria)]
RANGES: list[dict[str, Any]] = [
    {"created_after": NOW},
    {"created_before": LATER},
    {"created_after": NOW, "created_before": LATER},
    {"updated_after": NOW},
]
LISTS = [(order, criteria) for criteria in SINGLE for order in ORDERS] + [
    (order, criteria | times) for criteria in RANGED for times in RANGES for order in ORDERS
]


def reads_all(plan: Plan) -> list[str]:
    """Return the steps of a plan that read a large table without an index."""
    if isinstance(plan.raw, list):
        bad = [line for line in plan.raw if line.startswith("SCAN") and "USING" not in line]
        return [line for line in bad if any(name in line for name in ("calls", "submissions", "callbacks"))]
    return [line for line in plan.lines() if line.startswith(("Seq Scan calls", "Seq Scan callbacks"))]


def sorts(plan: Plan) -> list[str]:
    """Return the steps of a plan that sort rows which no limit has cut before."""
    if isinstance(plan.raw, list):
        return [line for line in plan.raw if "TEMP B-TREE" in line]
    return _sorts(plan.raw)


def _sorts(node: dict[str, Any]) -> list[str]:
    below = node.get("Plans", ())
    if "Sort" in node["Node Type"] and not all(_is_cut(b) for b in below):
        return [node["Node Type"]]
    return [found for b in below for found in _sorts(b)]


def _is_cut(node: dict[str, Any]) -> bool:
    """Whether every large table below is read behind a limit, or by a key for each of the few rows before it."""
    if node["Node Type"] == "Limit":
        return True
    if below := node.get("Plans"):
        return all(_is_cut(b) for b in below)
    # the keys of a list, and the row of a call that was found
    return node["Node Type"] == "Function Scan" or node.get("Index Name") == "pk_calls"


@pytest.mark.parametrize("limits", LIMITS, ids=["sorting few rows", "sorting none"])
def test_no_list_of_calls_reads_or_sorts_a_table(database: Database, limits: SortLimits) -> None:
    wrong = []
    for order, criteria in LISTS:
        plans = [p for p in plans_of(database, calls(order, limits, **criteria)) if "calls" in p.statement]
        assert plans
        found = [line for plan in plans for line in reads_all(plan)]
        # few rows may be sorted, if they were counted before
        if limits.front < 0 and "submission_id" not in criteria:
            found += [
                line for plan in plans for line in sorts(plan) if "FROM callbacks" not in plan.statement
            ]
        if found:
            wrong.append((order, criteria, found))
    assert wrong == []


@pytest.mark.parametrize("limits", LIMITS, ids=["sorting few rows", "sorting none"])
def test_list_of_calls_equals_a_plain_query(database: Database, limits: SortLimits) -> None:
    """The plain query has one condition for each criterion, and sorts."""
    several: list[dict[str, Any]] = [
        {"status": ("completed",), "settled": False},
        {"status": ("queued",), "outcome": ("busy",)},
        {"campaign": "spring", "status": ("completed",), "updated_after": NOW + 300 * MINUTE},
        {"account": "account_1", "settled": True, "disputed": False, "created_before": NOW + 700 * MINUTE},
        {"to": ("+918919520002", "+918919520007"), "answered": False},
        {"reference": "order-10", "disputed": False, "account": "account_1"},
        {"answered": True, "settled": True, "disputed": True},
    ]
    middle: list[dict[str, Any]] = [
        {"created_after": NOW + 500 * MINUTE},
        {"created_before": NOW + 500 * MINUTE},
        {"created_after": NOW + 500 * MINUTE, "created_before": NOW + 600 * MINUTE},
        {"updated_after": NOW + 500 * MINUTE},
    ]
    queries = [*SINGLE[:-2], *several, *(criteria | times for criteria in RANGED for times in middle)]
    for criteria, order in itertools.product(queries, ORDERS):
        query = CallFilter(**criteria)
        expected = database.read(partial(find_plainly, query=query, order=order))
        seen: list[str] = []
        cursor = None
        for limit in (7, 100, 500):
            read = partial(list_calls, query=query, order=order, limit=limit, cursor=cursor, limits=limits)
            page = database.read(read)
            seen += [call.id for call in page.data]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert (criteria, order, seen) == (criteria, order, expected[: len(seen)] if cursor else expected)


def find_plainly(connection: Connection, query: CallFilter, order: str) -> list[str]:
    """Return the ids of a list of calls without its indexes."""
    c = t.calls.c
    bounds = {
        "created_after": c.created_at.__gt__,
        "created_before": c.created_at.__lt__,
        "updated_after": c.updated_at.__gt__,
    }
    conditions = [
        bounds[name](value)
        if name in bounds
        else c[name].in_(value)
        if isinstance(value, tuple)
        else c[name] == value
        for name, value in vars(query).items()
        if value is not None
    ]
    column = c[order.removeprefix("-")]
    down = order.startswith("-")
    found = sa.select(c.id).where(*conditions)
    return list(
        connection.scalars(found.order_by(column.desc() if down else column, c.id.desc() if down else c.id))
    )


INBOX = [
    {},
    {"state": "pending"},
    {"state": "joined"},
    {"account": "account_1"},
    {"call": "call_0001"},
    {"state": "orphaned", "account": "account_1"},
    {"state": "joined", "account": "account_1"},
    {"call": "call_0001", "state": "joined"},
]


def test_no_list_of_the_inbox_reads_or_sorts_a_table(database: Database) -> None:
    for criteria in INBOX:
        plans = [p for p in plans_of(database, callbacks(**criteria)) if "repeat_of IN" not in p.statement]
        found = [line for plan in plans for line in (*reads_all(plan), *sorts(plan))]
        assert (criteria, found) == (criteria, [])


def test_inbox_of_many_accounts_is_in_order(database: Database) -> None:
    rows = [callback(n) | {"id": f"cb_many_{n:04}", "account": f"many_{n:04}"} for n in range(250)]
    database.write(lambda c: c.execute(t.callbacks.insert(), rows))
    page = database.read(lambda c: list_callbacks(c, CallbackFilter(), limit=500))
    again = database.read(lambda c: list_callbacks(c, CallbackFilter(), limit=500, cursor=page.next_cursor))
    shown = [each.id for each in page.data + again.data]
    c = t.callbacks.c
    query = sa.select(c.id).order_by(c.received_at.desc(), c.id.desc())
    assert shown == database.read(lambda connection: list(connection.scalars(query)))


@pytest.mark.parametrize(
    "work",
    [
        lambda c: lock_calls(c, ["call_0001"]),
        lambda c: lock_calls_of_submissions(c, ["sub_0001"]),
        lambda c: get_call(c, "call_0001"),
        lambda c: get_timeline(c, "call_0001"),
        lambda c: get_evidence(c, "call_0001"),
        lambda c: match_queries.exact_receipts(c, [SUBMITTED]),
        lambda c: match_queries.evidence_of(c, {"sub_0001": "call_0001"}, {}),
        lambda c: quarantine.room_of(c, "account_1"),
        lambda c: states.match_states(c, ["cb_0001"]),
        lambda c: get_callback(c, "cb_0001"),
        lambda c: prune.old_calls(c, "busy", LATER, None, 10),
        lambda c: prune.old_callbacks(c, "orphaned", LATER, None, 10),
        lambda c: load_system_status(c, ["account_1"], LATER),
        lambda c: find_pollable_submissions(c, "account_1", NOW),
    ],
)  # fmt: skip
def test_no_other_query_reads_a_table(database: Database, work: Callable[[Connection], object]) -> None:
    assert [line for plan in plans_of(database, work) for line in reads_all(plan)] == []

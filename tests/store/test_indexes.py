"""Every index serves a query, every list is read by an index: whatever filter, however the rows are distributed."""

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
from tracker.store.read import call_search, system_status
from tracker.store.read import callbacks as inbox_queries
from tracker.store.read import calls as queries
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import ORDERS, CallFilter
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=9)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Some calls of every kind, so that PostgreSQL has something to weigh."""
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
        "id": f"cb_{n:04}", "account": f"account_{n % 3}", "received_at": NOW + n * MINUTE, "method": "POST",
        "path": b"/", "query": b"", "headers": b"", "body": b"{}", "size": 2, "looks": 0,
        "state": "joined" if joined else ("pending", "orphaned", "quarantined")[n // 10 % 3],
        "call_id": f"call_{n:04}" if joined else None, "submission_id": None,
        "look_again_at": None if joined else LATER, "loose_number": None if joined else "+918919525224",
        "twin": f"twin-{n}" if n % 4 == 0 else None, "repeat_of": "cb_0000" if n % 50 == 1 else None,
    }  # fmt: skip


SUBMITTED = SubmissionFacts(
    id="sub_0001", call="call_0001", account="account_1", to="+918919520001", bridge="918068280000", flow_id=None,
    interval=0, lane=None, provider_id="a-1:1", requested_at=NOW,
)  # fmt: skip


def calls(order: str = "-created_at", **which: Any) -> Callable[[Connection], object]:
    return lambda c: queries.list_calls(c, CallFilter(**which), order=order)


def callbacks(**which: Any) -> Callable[[Connection], object]:
    return lambda c: inbox_queries.list_callbacks(c, CallbackFilter(**which))


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
    "ix_callbacks_account": callbacks(account="account_1"),
    "ix_callbacks_call": callbacks(call="call_0001"),
    "ix_callbacks_unjoined": lambda c: states.pending(c, ["account_1"], 100),
    "ix_callbacks_look_again": lambda c: states.due_for_retry(c, ["account_1"], NOW, 100),
    "ix_callbacks_loose_number": lambda c: match_queries.heuristic_candidates(
        c, "account_1", ["+91"], NOW, LATER
    ),
    "ix_callbacks_twin": lambda c: match_queries.twin_receipts(c, "account_1", ["no-twin"]),
    "ix_callbacks_repeat_of": callbacks(),
    "ix_waiting_keys_callback_id": lambda c: states.add_wait_keys(c, "account_1", {}, ["cb_0001"]),
    "ix_exchanges_call_id": lambda c: queries.get_evidence(c, "call_0001"),
    # as the database asks for each submission that is removed
    "ix_exchanges_submission_id": lambda c: c.execute(
        sa.select(sa.literal(1)).where(t.exchanges.c.submission_id == "sub_0001")
    ),
    "uq_jobs_kind_subject": lambda c: jobs.is_paced(c, jobs.SEND, "sub_1"),
    "ix_jobs_due": lambda c: jobs.next_due(c, [jobs.SEND], ["account_1"], NOW),
    "ix_idempotency_keys_created_at": lambda c: delete_keys_before(c, NOW),
    "ix_idempotency_keys_call_id": lambda c: prune.remove_calls(c, ["call_0001"], LATER),
}


def test_every_index_is_used_by_the_query_that_it_names(database: Database) -> None:
    indexes = {str(index.name) for table in t.metadata.tables.values() for index in table.indexes}
    assert set(NEEDED) == indexes
    unused = []
    for name, work in NEEDED.items():
        plans = plans_of(database, work)
        if not any(plan.uses(name) for plan in plans):
            unused.append((name, [(plan.statement, plan.lines()) for plan in plans]))
    assert unused == []


def test_an_index_that_no_query_uses_would_be_noticed(database: Database) -> None:
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
RANGED = [which for which in SINGLE if not {"submission_id", "disputed", "answered"} & set(which)]
RANGES: list[dict[str, Any]] = [
    {"created_after": NOW},
    {"created_before": LATER},
    {"created_after": NOW, "created_before": LATER},
    {"updated_after": NOW},
]
LISTS = [(order, which) for which in SINGLE for order in ORDERS] + [
    (order, which | times) for which in RANGED for times in RANGES for order in ORDERS
]


def reads_all(plan: Plan) -> list[str]:
    """What of a plan reads a large table without an index, or sorts what is not bounded."""
    if isinstance(plan.told, list):
        bad = [line for line in plan.told if line.startswith("SCAN") and "USING" not in line]
        return [line for line in bad if any(name in line for name in ("calls", "submissions", "callbacks"))]
    return [line for line in plan.lines() if line.startswith(("Seq Scan calls", "Seq Scan callbacks"))]


def sorts(plan: Plan) -> list[str]:
    """What of a plan is sorted that no limit has cut before."""
    if isinstance(plan.told, list):
        return [line for line in plan.told if "TEMP B-TREE" in line]
    return _sorts(plan.told)


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
    # the keys that are asked for, and the row of a call that was found
    return node["Node Type"] == "Function Scan" or node.get("Index Name") == "pk_calls"


@pytest.mark.parametrize("few", [call_search._FEW, -1], ids=["few rows are taken", "many rows are walked"])
def test_no_list_of_calls_reads_or_sorts_a_table(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(call_search, "_FEW", few)
    monkeypatch.setattr(call_search, "_MANY", few)
    wrong = []
    for order, which in LISTS:
        plans = [p for p in plans_of(database, calls(order, **which)) if "calls" in p.statement]
        assert plans
        found = [line for plan in plans for line in reads_all(plan)]
        # few rows may be sorted; so few that it was counted before
        if few < 0 and "submission_id" not in which:
            found += [
                line for plan in plans for line in sorts(plan) if "FROM callbacks" not in plan.statement
            ]
        if found:
            wrong.append((order, which, found))
    assert wrong == []


@pytest.mark.parametrize("few", [call_search._FEW, -1], ids=["few rows are taken", "many rows are walked"])
def test_however_a_list_is_read_it_is_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Against what the database says without any of it: one condition for each filter, and a sort."""
    monkeypatch.setattr(call_search, "_FEW", few)
    monkeypatch.setattr(call_search, "_MANY", few)
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
    asked = [*SINGLE[:-2], *several, *(which | times for which in RANGED for times in middle)]
    for which, order in itertools.product(asked, ORDERS):
        expected = database.read(partial(plainly, which=CallFilter(**which), order=order))
        seen: list[str] = []
        cursor = None
        for limit in (7, 100, 500):
            ask = partial(
                queries.list_calls, query=CallFilter(**which), order=order, limit=limit, cursor=cursor
            )
            page = database.read(ask)
            seen += [found.id for found in page.data]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert (which, order, seen) == (which, order, expected[: len(seen)] if cursor else expected)


def plainly(connection: Connection, which: CallFilter, order: str) -> list[str]:
    c = t.calls.c
    asked = {name: value for name, value in vars(which).items() if value is not None}
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
        for name, value in asked.items()
    ]
    column = c[order.removeprefix("-")]
    down = order.startswith("-")
    query = sa.select(c.id).where(*conditions)
    return list(
        connection.scalars(query.order_by(column.desc() if down else column, c.id.desc() if down else c.id))
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
    for which in INBOX:
        plans = [p for p in plans_of(database, callbacks(**which)) if "repeat_of IN" not in p.statement]
        found = [line for plan in plans for line in (*reads_all(plan), *sorts(plan))]
        assert (which, found) == (which, [])


def test_the_inbox_of_many_accounts_is_merged_all_the_same(database: Database) -> None:
    rows = [callback(n) | {"id": f"cb_many_{n:04}", "account": f"many_{n:04}"} for n in range(250)]
    database.write(lambda c: c.execute(t.callbacks.insert(), rows))
    page = database.read(lambda c: inbox_queries.list_callbacks(c, CallbackFilter(), limit=500))
    again = database.read(
        lambda c: inbox_queries.list_callbacks(c, CallbackFilter(), limit=500, cursor=page.next_cursor)
    )
    shown = [each.id for each in page.data + again.data]
    c = t.callbacks.c
    query = sa.select(c.id).order_by(c.received_at.desc(), c.id.desc())
    assert shown == database.read(lambda connection: list(connection.scalars(query)))


@pytest.mark.parametrize(
    "work",
    [
        lambda c: lock_calls(c, ["call_0001"]),
        lambda c: lock_calls_of_submissions(c, ["sub_0001"]),
        lambda c: queries.get_call(c, "call_0001"),
        lambda c: queries.get_timeline(c, "call_0001"),
        lambda c: queries.get_evidence(c, "call_0001"),
        lambda c: match_queries.exact_receipts(c, [SUBMITTED]),
        lambda c: match_queries.evidence_of(c, {"sub_0001": "call_0001"}, {}),
        lambda c: quarantine.room_of(c, "account_1"),
        lambda c: states.match_states(c, ["cb_0001"]),
        lambda c: inbox_queries.get_callback(c, "cb_0001"),
        lambda c: prune.old_calls(c, "busy", LATER, None, 10),
        lambda c: prune.old_callbacks(c, "orphaned", LATER, None, 10),
        lambda c: system_status.load_system_status(c, ["account_1"], LATER),
        lambda c: find_pollable_submissions(c, "account_1", NOW),
    ],
)  # fmt: skip
def test_nothing_but_a_list_reads_a_table_either(
    database: Database, work: Callable[[Connection], object]
) -> None:
    assert [line for plan in plans_of(database, work) for line in reads_all(plan)] == []

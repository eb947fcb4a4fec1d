"""Many rows in one statement: as many as there are, with the values that SQLAlchemy itself would have stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from tracker.store.engine import bulk
from tracker.store.engine.database import Connection, Database
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

AT = datetime(2026, 3, 2, 10, 57, 40, tzinfo=UTC)
E = t.events.c


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    upgrade.prepare(database, create=True)
    database.write(lambda c: c.execute(t.calls.insert(), call("call_1")))
    yield database
    database.close()


def call(id: str) -> dict[str, Any]:
    return {
        "id": id, "account": "a", "to": "+918919525224", "bridge": "1", "variables": {}, "notes": {}, "created_at": AT,
        "status": "pending", "settled": False, "disputed": False, "attempts": 0, "cancel_requested": False,
        "updated_at": AT,
    }  # fmt: skip


def event(n: int, **values: Any) -> dict[str, Any]:
    return {
        "id": f"ev_{n:05}", "call_id": "call_1", "key": f"k{n}", "submission_id": None, "attempt": 1, "dial": "",
        "type": "status", "status": None, "at": AT + timedelta(microseconds=n), "at_source": "tracker",
        "recorded_at": AT, "source": "sender", "provider_status": "हाँ '\"%s:x?", "reason": None, "matched_by": None,
        "callback_id": None, "detail": {"n": n, "text": "é ☎ %"}, "withdrawn": n % 2 == 1, **values,
    }  # fmt: skip


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def stored(database: Database) -> list[dict[str, Any]]:
    query = sa.select(t.events).order_by(E.id)
    return database.read(lambda c: [dict(row._mapping) for row in c.execute(query)])


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 1000])
def test_rows_are_stored_as_sqlalchemy_stores_them(database: Database, count: int) -> None:
    rows = [event(n) for n in range(count)]
    database.write(lambda c: bulk.insert(c, t.events, by_column(rows)))
    mine = stored(database)
    assert mine == rows
    database.write(lambda c: c.execute(t.events.delete()))
    database.write(lambda c: c.execute(t.events.insert(), rows))
    assert stored(database) == mine


@pytest.mark.parametrize("count", [1, 3, 300])
def test_rows_are_read_as_sqlalchemy_reads_them(database: Database, count: int) -> None:
    rows = [event(n) for n in range(count)]
    database.write(lambda c: c.execute(t.events.insert(), rows))
    columns = tuple(t.events.c)
    found = database.read(
        lambda c: bulk.select(c, columns, E.call_id, ["call_1", "call_2"], also=" ORDER BY id")
    )
    assert [dict(zip((c.name for c in columns), row, strict=True)) for row in found] == rows


def test_columns_are_set_row_by_row_and_others_are_left(database: Database) -> None:
    rows = [event(n) for n in range(300)]
    database.write(lambda c: bulk.insert(c, t.events, by_column(rows)))
    changed: dict[str, list[Any]] = {
        "id": [f"ev_{n:05}" for n in range(0, 300, 2)],
        "reason": [f"r{n}" if n % 4 else None for n in range(0, 300, 2)],
        "detail": [{"changed": n} for n in range(0, 300, 2)],
        "recorded_at": [AT + timedelta(seconds=n) for n in range(0, 300, 2)],
        "withdrawn": [True] * 150,
    }
    database.write(lambda c: bulk.update(c, t.events, changed))
    expected = [dict(row) for row in rows]
    for at, id in enumerate(changed["id"]):
        expected[int(str(id)[3:])] |= {name: values[at] for name, values in changed.items()}
    assert stored(database) == expected


def test_a_time_in_another_zone_is_the_same_moment(database: Database) -> None:
    india = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    database.write(lambda c: bulk.insert(c, t.events, by_column([event(1, at=india)])))
    assert stored(database)[0]["at"] == AT


@pytest.mark.parametrize("more", [{"id": ["1", "2"], "key": ["1"]}, {"id": ["1"], "key": ["1", "2"]}])
def test_columns_of_different_lengths_are_refused(more: dict[str, list[Any]]) -> None:
    with pytest.raises(ValueError, match="zip"):
        list(bulk._chunks(list(more.values())))


def test_nothing_is_no_statement(database: Database) -> None:
    assert database.read(lambda c: bulk.select(c, (E.id,), E.id, [])) == []


def test_a_missing_value_is_sqls_null(database: Database) -> None:
    callback: dict[str, list[Any]] = {
        "id": ["cb_1"], "position": [1], "account": ["a"], "received_at": [AT], "method": ["POST"], "size": [2],
        "state": ["pending"], "match_retries": [0], "report": [None], "next_match_at": [None],
    }  # fmt: skip
    database.write(lambda c: bulk.insert(c, t.callbacks, callback))
    is_null = sa.select(sa.func.count()).where(t.callbacks.c.report.is_(sa.null()))
    assert database.read(lambda c: c.scalar(is_null)) == 1
    query = (t.callbacks.c.report, t.callbacks.c.next_match_at)
    found = database.read(lambda c: bulk.select(c, query, t.callbacks.c.id, ["cb_1"]))
    assert found == [(None, None)]


def test_an_error_is_one_of_sqlalchemys(database: Database) -> None:
    rows = by_column([event(1), event(1)])
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda c: bulk.insert(c, t.events, rows))
    assert stored(database) == []


def test_planned_rows_can_be_left_out_when_they_are_written(database: Database) -> None:
    rows = [event(n, callback_id=f"cb_{n}") for n in range(300)]
    gone = {f"cb_{n}" for n in (0, 7, 299)}

    def work(c: sa.Connection) -> None:
        bulk.run(c, bulk.plan_insert(c, t.events, by_column(rows), by="callback_id"), but=gone)
        changed = {"id": [row["id"] for row in rows], "status": ["busy"] * 300}
        bulk.run(c, bulk.plan_update(c, t.events, changed), but={rows[1]["id"]})

    database.write(work)
    left = [row for row in rows if row["callback_id"] not in gone]
    assert stored(database) == [{**row, "status": "busy" if row is not rows[1] else None} for row in left]


def test_several_statements_are_run_as_if_they_were_one(database: Database) -> None:
    database.write(lambda c: c.execute(t.calls.insert(), call("call_2")))

    def write(c: Connection, rows: list[dict[str, Any]], but: list[str]) -> None:
        plan = [
            *bulk.plan_insert(c, t.events, by_column(rows)),
            *bulk.plan_update(
                c, t.calls, {"id": ["call_1", "call_2"], "reason": ["one", None], "attempts": [1, 2]}
            ),
            *bulk.plan_update(c, t.calls, {"id": ["call_3"], "reason": ["nobody's"]}),
        ]
        statements: list[str] = []
        sa.event.listen(c, "before_cursor_execute", lambda *told: statements.append(told[2]))
        bulk.run(c, plan, but=but)
        assert len(statements) == (1 if c.dialect.name == "postgresql" else len(plan))

    def kept() -> list[tuple[Any, ...]]:
        query = sa.select(t.calls.c.id, t.calls.c.reason, t.calls.c.attempts).order_by(t.calls.c.id)
        return database.read(lambda c: [tuple(row) for row in c.execute(query)])

    rows = [event(1), event(2), event(3, call_id="call_2")]
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda c: write(c, [*rows, event(1)], []))
    assert stored(database) == []
    assert kept() == [("call_1", None, 0), ("call_2", None, 0)]
    database.write(lambda c: write(c, rows, ["ev_00002", "call_1"]))
    assert stored(database) == [rows[0], rows[2]]
    assert kept() == [("call_1", None, 0), ("call_2", None, 2)]
    database.write(lambda c: write(c, rows[1:2], []))
    assert stored(database) == rows
    assert kept() == [("call_1", "one", 1), ("call_2", None, 2)]

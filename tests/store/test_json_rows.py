"""Reading rows as one JSON value, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.store.engine.database import Connection, Database
from tracker.store.read.json_rows import fetch_rows
from tracker.store.schema import tables as t
from tracker.store.schema import upgrade

AT = datetime(2026, 3, 2, 10, 57, 40, tzinfo=UTC)
C = t.calls.c
COLUMNS = (C.id, C.to, C.name, C.notes, C.interval, C.settled, C.answered, C.created_at, C.started_at)

#: what the adapters let through: no NUL, no lone surrogates
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
moments = st.datetimes(timezones=st.just(UTC)) | st.datetimes(timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
notes = st.dictionaries(texts, st.recursive(scalars, lambda some: st.lists(some, max_size=3)), max_size=3)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    upgrade.prepare(database, create=True)
    yield database
    database.close()


def call(id: str, **values: Any) -> dict[str, Any]:
    return {
        "id": id, "account": "a", "to": "+918919525224", "bridge": "1", "variables": {}, "notes": {}, "created_at": AT,
        "status": "pending", "settled": False, "disputed": False, "attempts": 0, "cancel_requested": False,
        "updated_at": AT, "name": None, "interval": None, "answered": None, "started_at": None, **values,
    }  # fmt: skip


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {
            "to": texts, "name": st.none() | texts, "notes": notes, "interval": st.none() | st.integers(0, 2**31 - 1),
            "settled": st.booleans(), "answered": st.none() | st.booleans(), "created_at": moments,
            "started_at": st.none() | moments,
        }
    )
)  # fmt: skip
def test_fetch_rows_returns_values_as_stored(database: Database, values: dict[str, Any]) -> None:
    def store_and_fetch(c: Connection) -> Any:
        c.execute(t.calls.delete())
        c.execute(t.calls.insert(), [call("call_1", **values)])
        return fetch_rows(c, COLUMNS, C.id, ["call_1"])

    (row,) = database.write(store_and_fetch)
    assert list(row) == [call("call_1", **values)[column.name] for column in COLUMNS]


@pytest.mark.parametrize("n", [0, 1, 99, 100, 101, 250, 501])
def test_fetch_rows_returns_all_wanted_rows(database: Database, n: int) -> None:
    ids = [f"call_{i:04}" for i in range(600)]
    rows = [call(id, created_at=AT + timedelta(milliseconds=i)) for i, id in enumerate(ids)]
    database.write(lambda c: c.execute(t.calls.insert(), rows))
    wanted = [*ids[:n], "call_that_is_not"]
    found = database.read(lambda c: fetch_rows(c, (C.id, C.created_at), C.id, wanted))
    assert sorted(map(tuple, found)) == [(row["id"], row["created_at"]) for row in rows[:n]]


def test_fetch_rows_adds_rows_of_another_table(database: Database) -> None:
    nothing = dict.fromkeys(["flow_id", "lane", "provider_id", "outcome", "requested_at"])
    submissions = [
        nothing
        | {
            "id": f"sub_{of}_{number}", "call_id": f"call_{of}", "account": "a", "to": "1", "bridge": "1",
            "interval": 0, "number": number, "trigger": "first", "status": "queued", "refused": False, "tries": 1,
            "created_at": AT,
        }
        for of, number in ((1, 1), (1, 2), (2, 1))
    ]  # fmt: skip

    def work(c: Connection) -> Any:
        c.execute(t.calls.insert(), [call(f"call_{n}") for n in range(4)])
        c.execute(t.submissions.insert(), submissions)
        s = t.submissions.c
        columns = (C.id, C.created_at, s.id, s.created_at, s.requested_at)
        return fetch_rows(c, columns, C.id, ["call_0", "call_1", "call_2"], beside=s.call_id)

    assert sorted(map(tuple, database.write(work))) == [
        ("call_0", AT, None, None, None),
        ("call_1", AT, "sub_1_1", AT, None),
        ("call_1", AT, "sub_1_2", AT, None),
        ("call_2", AT, "sub_2_1", AT, None),
    ]


def test_fetch_rows_runs_one_statement(database: Database) -> None:
    ids = [f"call_{n:04}" for n in range(50)]
    database.write(lambda c: c.execute(t.calls.insert(), [call(id) for id in ids]))
    statements: list[str] = []

    def work(c: Connection) -> int:
        sa.event.listen(c, "before_cursor_execute", lambda *event: statements.append(event[2]))
        return len(fetch_rows(c, (C.id,), C.id, ids))

    assert database.read(work) == 50
    assert [("json_group_array" in each or "json_agg" in each) for each in statements] == [True]

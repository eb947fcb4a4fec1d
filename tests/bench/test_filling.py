"""What `bench.fill` writes is what the program writes, row by row, and the program works on with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bench.fill import fill, story_of
from bench.plan import Plan
from bench.stories import ACCOUNT, STORIES, TABLES, account, join, perform, receive
from tracker.domain.timeline.fold import fold
from tracker.lifecycle.services import build_services
from tracker.store.calls.events import load_events
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import states
from tracker.store.schema import upgrade

ID = re.compile(r"\b(call|sub|ev|cb|send|ask)_[0-9a-z]{26}\b")
UNTIL = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
#: enough calls that every story occurs, and the last of them open
PLAN = Plan(60, until=UNTIL)
OPEN = 20


@pytest.fixture
def filled(database_url: str) -> Iterator[Database]:
    fill(database_url, PLAN, open_calls=OPEN)
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def performed(tmp_path: Path) -> Iterator[Database]:
    """The same calls by the program itself, one after the other."""
    database = Database(f"sqlite:///{tmp_path / 'performed.db'}")
    upgrade.prepare(database, create=True)
    for n in range(PLAN.count):
        perform(database, PLAN.call(n), story_of(PLAN, n, PLAN.count - OPEN))
    yield database
    database.close()


def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows, call by call in the order of their ids, which are numbered by their first occurrence."""

    def read(c: Connection) -> dict[str, list[dict[str, Any]]]:
        return {table.name: [dict(r._mapping) for r in c.execute(_in_order(table))] for table in TABLES}

    found = database.read(read)
    known: dict[str, str] = {}
    return {name: [plain(row, known) for row in rows] for name, rows in found.items()}


def _in_order(table: sa.Table) -> sa.Select[Any]:
    by_call = [table.c.call_id] if "call_id" in table.c else []
    order = [table.c.id] if table.name == "inbox" else list(table.primary_key)
    return sa.select(table).order_by(*by_call, *order)


def plain(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            # a process has its own name
            k: "somebody" if k == "owner" and v else plain(v, known)
            for k, v in value.items()
            # the copier gives them out in another order
            if k != "position"
        }
    if isinstance(value, list):
        return [plain(v, known) for v in value]
    if isinstance(value, str):
        return ID.sub(lambda m: known.setdefault(m[0], f"{m[1]}_{len(known)}"), value)
    return value


def test_every_story_is_told() -> None:
    assert {story_of(PLAN, n, PLAN.count - OPEN) for n in range(PLAN.count)} == set(STORIES)


def test_the_rows_are_those_that_the_program_writes(filled: Database, performed: Database) -> None:
    ours, theirs = rows_of(filled), rows_of(performed)
    assert len(ours["calls"]) == PLAN.count
    for name in theirs:
        assert len(ours[name]) == len(theirs[name]), name
        for our, their in zip(ours[name], theirs[name], strict=True):
            assert our == their, name


def test_what_is_cached_is_what_the_events_mean(filled: Database) -> None:
    def read(c: Connection) -> None:
        ids: list[str] = list(c.scalars(sa.text("SELECT id FROM calls")))
        for id, events in load_events(c, ids).items():
            timeline = fold([e for e, withdrawn in events if not withdrawn])
            row = c.execute(sa.text("SELECT status, settled FROM calls WHERE id = :id"), {"id": id}).one()
            assert (row.status, bool(row.settled)) == (timeline.status, timeline.settled)

    filled.read(read)


def test_the_planned_callbacks_join_what_was_filled(filled: Database) -> None:
    receive(
        filled,
        [PLAN.callback(n) for n in PLAN.order("shuffled") if n >= PLAN.count - OPEN],
        datetime.now(UTC),
    )
    join(build_services(filled, {ACCOUNT: account()}))
    standings = filled.read(lambda c: states.match_states(c, _latest(c)))
    assert {(s.state, s.matched_by) for s in standings.values()} == {("joined", "submission-id")}
    assert len({s.call for s in standings.values()}) == OPEN


def _latest(c: Connection) -> list[str]:
    """The callbacks that came after the filling."""
    return list(c.scalars(sa.text(f"SELECT id FROM callbacks ORDER BY received_at DESC LIMIT {OPEN}")))


def test_two_fillings_of_one_database_get_along(database_url: str) -> None:
    fill(database_url, Plan(3, until=UNTIL))
    fill(database_url, Plan(4, until=UNTIL, seed=2))
    database = Database(database_url)
    try:
        assert database.read(lambda c: c.scalar(sa.text("SELECT count(*) FROM calls"))) == 7
    finally:
        database.close()

"""The bench finds what a receiver promised and did not keep, its own baseline's and tracker's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from bench import stories, taught
from bench.fill import fill
from bench.looking import Looker, problems
from bench.phases import _waits
from bench.plan import Plan
from bench.profiling import summed
from bench.report import crowded, medians, verdicts
from tracker.lifecycle.services import build_services
from tracker.store.engine.database import Database

PLAN = Plan(12, until=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
IDS = [PLAN.call(n).provider_id for n in range(PLAN.count)]


def test_the_plain_receiver_stores_what_it_says(database_url: str) -> None:
    taught.fill(database_url, PLAN)
    engine = taught.engine_of(database_url)
    for n in range(10):
        with Session(engine) as session:
            body = PLAN.callback(n)
            said = taught.CallbackIn.model_validate_json(body)
            assert taught.take(session, said, b"accept: application/json\r\n", body)
    assert taught.problems(database_url, 10) == []
    with engine.connect() as connection:
        row = connection.execute(sa.text("SELECT body FROM callback ORDER BY id")).first()
        assert row is not None
        assert bytes(row.body) == PLAN.callback(0)
        outcomes = connection.execute(sa.text("SELECT outcome FROM call ORDER BY id")).scalars().all()
        assert outcomes == [*(taught.OUTCOMES[PLAN.word(n)] for n in range(10)), None, None]
    engine.dispose()


@pytest.mark.parametrize(
    ("answered", "mishap", "found"),
    [
        (5, None, "2 of 5 answered callbacks are not stored"),
        (
            3,
            "DELETE FROM event WHERE callback_id = 2",
            "1 of 3 stored callbacks have no event on a settled call",
        ),
        (3, "UPDATE call SET outcome = NULL", "3 of 3 stored callbacks have no event on a settled call"),
    ],
)
def test_a_plain_receiver_that_stores_less_is_found_out(
    database_url: str, answered: int, mishap: str | None, found: str
) -> None:
    taught.fill(database_url, PLAN)
    engine = taught.engine_of(database_url)
    for n in range(3):
        with Session(engine) as session:
            taught.take(
                session, taught.CallbackIn.model_validate_json(PLAN.callback(n)), b"", PLAN.callback(n)
            )
    if mishap is not None:
        with engine.begin() as connection:
            connection.execute(sa.text(mishap))
    engine.dispose()
    assert taught.problems(database_url, answered) == [found]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    fill(database_url, PLAN)
    opened = Database(database_url)
    yield opened
    opened.close()


def receive(database: Database, numbers: Sequence[int]) -> None:
    """The planned callbacks of these calls arrive."""
    stories.receive(database, [PLAN.callback(n) for n in numbers], datetime.now(UTC))


def read(database: Database) -> None:
    stories.join(build_services(database, {stories.ACCOUNT: stories.account()}))


def found(database_url: str, answered: Sequence[str]) -> list[str]:
    with Looker(database_url) as looker:
        return problems(looker, answered)


def test_what_was_answered_and_joined_is_in_order_repeats_too(database: Database, database_url: str) -> None:
    receive(database, [3, 1, 4])
    read(database)
    receive(database, [1, 5])
    read(database)
    assert found(database_url, [IDS[n] for n in (3, 1, 4, 1, 5)]) == []


@pytest.mark.parametrize(
    ("mishap", "wrong"),
    [
        ("DELETE FROM events WHERE status = 'unheard-of'", []),
        ("DELETE FROM events WHERE callback_id IS NOT NULL", ["3 joined callbacks are on no timeline"]),
        ("UPDATE events SET withdrawn = true", ["3 joined callbacks are on no timeline"]),
        ("UPDATE calls SET reference = 'another'", ["3 callbacks are joined to another call"]),
        (
            "UPDATE callbacks SET state = 'orphaned'",
            ["3 stored callbacks are not joined ({'orphaned': 3})"],
        ),
    ],
)
def test_a_promise_that_was_not_kept_is_found(
    database: Database, database_url: str, mishap: str, wrong: list[str]
) -> None:
    receive(database, [1, 1, 2])
    read(database)
    database.write(lambda c: c.execute(sa.text(mishap)))
    assert found(database_url, [IDS[1], IDS[2]]) == wrong


def test_what_was_answered_and_is_nowhere_is_found(database: Database, database_url: str) -> None:
    receive(database, [1, 2])
    read(database)
    answered = [IDS[1], IDS[2], IDS[2], IDS[7]]
    assert found(database_url, answered) == ["2 callbacks were answered and are not stored"]


def test_what_waits_is_seen_until_it_is_joined(database: Database, database_url: str) -> None:
    with Looker(database_url) as looker:
        assert (looker.pending(), looker.oldest_pending()) == (0, None)
        receive(database, [1, 2])
        oldest = looker.oldest_pending()
        assert looker.pending() == 2
        assert oldest == min(position for position, *_ in looker.stored())
        read(database)
        assert (looker.pending(), looker.oldest_pending()) == (0, None)


def test_a_lag_ends_with_the_first_look_after_the_answer_that_finds_only_later_ones() -> None:
    looks: list[Any] = [(0.0, 0.1, None), (1.0, 1.1, 6), (2.0, 2.1, 7), (3.0, 3.1, None)]
    assert _waits([(0.5, 6)], looks) == [pytest.approx(1.6)]  # at the second look it waited still
    assert _waits([(0.5, 5)], looks) == [pytest.approx(0.6)]
    assert _waits([(2.5, 1)], looks) == [
        pytest.approx(0.6)
    ]  # a look that began before the answer says nothing


def test_medians_are_of_each_figure() -> None:
    rounds: list[dict[str, Any]] = [
        {"rate": 1, "lag": {"p99": 9}, "problems": []},
        {"rate": 3, "lag": {"p99": 1}, "problems": ["x"]},
        {"rate": 2},
    ]
    assert medians(rounds) == {"rate": 2, "lag": {"p99": 5}, "problems": ["x"]}


def test_a_verdict_compares_with_what_it_names() -> None:
    figures: dict[str, dict[str, Any]] = {
        "a": {"answered_per_s": 1000.0},
        "c": {"answered_per_s": 500.0, "joined_per_s": 150.0, "lag": {"p99_ms": 700.0}},
    }
    assert [(what[:30], got, enough) for what, got, enough in verdicts(figures)] == [
        ("(c) answered in bursts ≥ 0.5 o", "0.50", True),
        ("(c) answered and joined, SQLit", "0.15", False),
        ("(c) p99 of the lag at half of ", "700 ms", False),
    ]


def test_a_profile_adds_up_threads_and_functions() -> None:
    profile = summed([
        "process 1;thread (1): inbox;run (threading.py:1);insert (/x/tracker/store/inbox.py:5) 3",
        "thread (2): MainThread;insert (/x/tracker/store/inbox.py:9);insert (/x/tracker/store/inbox.py:5) 1",
    ])  # fmt: skip
    assert profile.samples == 4
    assert profile.inclusive["insert tracker/store/inbox.py"] == 1.0


def test_a_machine_with_other_work_is_told() -> None:
    """Figures of a machine that others use, too, say little."""
    assert crowded(2.0, 2) is None
    said = crowded(7.43, 2)
    assert said is not None
    assert "7.4" in said
    assert "2 processors" in said

"""Promises, all at once, with real processes that are killed again and again while calls are placed and callbacks come.

Every callback that was answered 2xx is there, every receipt once, on the timeline where it belongs; every submission
reached the provider at most once; nothing is stuck; and the database says what the pure functions say of everything.
The long forms, with more kinds of faults, are `scripts/chaos`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import Fault
from tests.chaos.run import Report, obedient_postgres, run
from tests.postgres_server import ObedientServer

#: calls and callbacks that are answered before each fault
LEAST = 3

# starting a process takes many seconds on a machine that is busy with other things
pytestmark = pytest.mark.timeout(300)


def kills(seed: int, count: int, what: str = "kill") -> list[Fault]:
    """At moments that follow from the seed; in turn, so that everybody dies."""
    moments = random.Random(seed)
    return [
        Fault(
            what=what,
            quiet_s=moments.uniform(0.2, 1.2),
            target=(n + 0.5) / count,
            lasts_s=moments.choice([0.0, 0.0, 0.5]),
        )
        for n in range(count)
    ]


def shows(report: Report) -> None:
    print(report)
    assert report.broken == []
    faults = report.faults.total()
    assert report.calls >= LEAST * faults
    assert report.answered >= LEAST * faults


def new_seed() -> int:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    return seed


def test_a_server_that_is_killed_again_and_again(database_url: str, tmp_path: Path) -> None:
    seed = new_seed()
    shows(run(tmp_path, database_url, kills(seed, 4), seed=seed, servers=[[]], pause_s=0.1, least=LEAST))


def test_a_server_and_a_worker_on_the_same_file(tmp_path: Path) -> None:
    """SQLite takes them: they wait for each other's lock, and see each other's commits."""
    seed = new_seed()
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    shows(
        run(
            tmp_path,
            url,
            kills(seed, 3),
            seed=seed,
            servers=[["--no-worker"]],
            workers=[[]],
            pause_s=0.1,
            least=LEAST,
        )
    )


@pytest.fixture
def postgres() -> Iterator[ObedientServer]:
    with obedient_postgres() as server:
        yield server


def test_a_database_server_that_is_stopped_and_started_and_crashes(
    postgres: ObedientServer, tmp_path: Path
) -> None:
    """And nobody starts anything of ours again."""
    seed = new_seed()
    faults = [
        Fault(what="stop the database", quiet_s=1.0, target=0, lasts_s=2.0),
        Fault(what="crash the database", quiet_s=1.0, target=0, lasts_s=0.5),
    ]
    report = run(
        tmp_path, postgres.create_database(), faults, seed=seed, servers=[["--no-worker"]], workers=[[]],
        postgres=postgres, pause_s=0.1, least=LEAST,
    )  # fmt: skip
    shows(report)
    assert report.refused > 0
    assert report.starts == 2

"""Two servers and two workers share one PostgreSQL database and are killed in turn; at any moment some of them run.

No callback is joined twice, no call is dialled twice, the work of a killed process is taken over, and every call is
settled.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.promises.test_nothing_is_lost_through_kills import LEAST, kills, new_seed, shows

pytestmark = pytest.mark.timeout(300)


def test_no_promise_breaks_when_processes_are_killed(postgres_database: str, tmp_path: Path) -> None:
    seed = new_seed()
    report = run(
        tmp_path, postgres_database, kills(seed, 4), seed=seed, servers=[["--no-worker"]] * 2, workers=[[], []],
        pause_s=0.1, least=LEAST,
    )  # fmt: skip
    shows(report)
    assert report.starts == 4 + 4

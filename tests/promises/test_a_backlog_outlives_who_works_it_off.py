"""Promise: thousands of callbacks that wait are joined, each once, whoever dies over it.

Be it the companion that works out what they mean, or the process that writes that."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bench.fill import fill
from bench.plan import Plan
from bench.stories import ACCOUNT
from tests.inbox import new_callback
from tests.processes import Process, Processes, eventually
from tracker.store.engine.database import Connection, Database
from tracker.store.inbox import log, position
from tracker.store.schema import tables as t

CALLS = 12_000

# filling a database takes a while on a machine that is busy with other things
pytestmark = pytest.mark.timeout(300)


def receive_all(database: Database, plan: Plan) -> None:
    """One callback for each call, mixed as they come."""
    order = plan.order("windows")
    for at in range(0, len(order), log.MOST_ROWS):
        log.append(
            database,
            [new_callback(plan.callback(n), account=ACCOUNT) for n in order[at : at + log.MOST_ROWS]],
        )


def pending(database: Database) -> int:
    return database.read(lambda c: log.count_after(c, position.joined_position(c)))


def joiner_of(worker: Process) -> int:
    """Return the joiner's process id, once it was started."""
    return int(worker.says(lambda e: e.get("event") == "joiner.started")["pid"])


def test_a_backlog_is_joined_once_whoever_is_killed(database_url: str, tmp_path: Path) -> None:
    plan = Plan(CALLS)
    fill(database_url, plan)
    database = Database(database_url)
    receive_all(database, plan)
    with Processes(tmp_path, database_url) as processes:
        worker = processes.worker()
        os.kill(joiner_of(worker), signal.SIGKILL)
        left = pending(database)
        eventually(lambda: pending(database) < left, "the worker should start another joiner")
        worker.kill()

        worker = processes.worker()
        orphan = joiner_of(worker)
        worker.kill()
        eventually(lambda: not runs(orphan), "a joiner should end with its worker")
        worker = processes.worker()
        eventually(lambda: pending(database) == 0, "everything should be joined")
        assert worker.terminate() == 0

    by_id = {plan.call(n).provider_id: plan.call(n).reference for n in range(CALLS)}
    for body, state, call, reference, status, settled, events in database.read(everything):
        assert state == "joined", body
        assert by_id[json.loads(body)["id"]] == reference, call
        assert settled, (call, status)
        # placed, sent and accepted; and begun and ended
        assert events == 5, (call, status)
    database.close()


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def everything(c: Connection) -> list[tuple[Any, ...]]:
    """Of each callback: body, state, call, and that call's reference, status, whether it is settled, and its events."""
    b, k, e = t.callbacks.c, t.calls.c, t.events.c
    count = sa.select(sa.func.count()).where(e.call_id == b.call_id).scalar_subquery()
    query = sa.select(t.inbox.c.body, b.state, b.call_id, k.reference, k.status, k.settled, count)
    joined = t.callbacks.join(t.calls, k.id == b.call_id).join(t.inbox, t.inbox.c.position == b.position)
    rows = c.execute(query.select_from(joined)).fetchall()
    assert len(rows) == CALLS
    return [tuple(row) for row in rows]

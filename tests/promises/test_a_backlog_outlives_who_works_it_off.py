"""Promise: thousands of callbacks that wait are joined, each once, whoever dies over it.

Be it the companion that works out what they mean, or the process that writes that."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bench.fill import fill
from bench.plan import Plan
from bench.stories import ACCOUNT
from tests.processes import Process, Processes, eventually
from tracker.store.engine.database import Connection, Database
from tracker.store.ids import new_id
from tracker.store.inbox import log
from tracker.store.schema import tables as t

CALLS = 12_000

# filling a database takes a while on a machine that is busy with other things
pytestmark = pytest.mark.timeout(300)


def receive_all(database: Database, plan: Plan) -> None:
    """One callback for each call, mixed as they come."""
    order = plan.order("windows")
    for at in range(0, len(order), log.MOST_ROWS):
        log.store(
            database,
            [
                log.NewCallback(
                    id=new_id("cb"), account=ACCOUNT, lane=None, received_at=datetime.now(UTC), method="POST",
                    path=b"/callbacks/thundersms", query=b"", headers=b"content-type: application/json\r\n",
                    body=plan.callback(n), size=len(plan.callback(n)), remote="127.0.0.1",
                )
                for n in order[at : at + log.MOST_ROWS]
            ],
        )  # fmt: skip


def pending(database: Database) -> int:
    query = sa.select(sa.func.count()).where(t.callbacks.c.state == "pending", t.unjoined)
    return database.read(lambda c: int(c.scalar(query) or 0))


def companion_of(worker: Process) -> int:
    """Its process, once it is there."""
    return int(worker.says(lambda e: e.get("event") == "companion.started")["pid"])


def test_a_backlog_is_joined_once_whoever_is_killed(database_url: str, tmp_path: Path) -> None:
    plan = Plan(CALLS)
    fill(database_url, plan)
    database = Database(database_url)
    receive_all(database, plan)
    with Processes(tmp_path, database_url) as processes:
        worker = processes.worker()
        os.kill(companion_of(worker), signal.SIGKILL)
        left = pending(database)
        eventually(lambda: pending(database) < left, "the worker should go on without its companion")
        worker.kill()

        worker = processes.worker()
        if pending(database) > CALLS / 2:
            orphan = companion_of(worker)
            worker.kill()
            eventually(lambda: not runs(orphan), "a companion should end with its process")
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
    query = sa.select(b.body, b.state, b.call_id, k.reference, k.status, k.settled, count)
    rows = c.execute(query.select_from(t.callbacks.join(t.calls, k.id == b.call_id))).fetchall()
    assert len(rows) == CALLS
    return [tuple(row) for row in rows]

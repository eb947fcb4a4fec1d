"""A pause by one process holds what all others would send, and lifting it lets it go: real processes, one database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.processes import Processes, eventually
from tests.recording_provider import RecordingProvider


def pause(processes: Processes, *flags: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "pause", "--json", *flags], cwd=processes.folder, env=processes.environ,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_several_workers_send_nothing_while_it_stands(postgres_database: str, tmp_path: Path) -> None:
    with (
        RecordingProvider() as provider,
        Processes(tmp_path, postgres_database, provider.base_url) as processes,
    ):
        server = processes.serve("--no-worker")
        for _ in range(2):
            processes.worker()
        with server.client() as client:
            soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
            for n in range(10):
                # by nobody but a worker, when its time has come
                fields = {"to": f"+9190000000{n:02}", "flow_id": "24", "not_before": soon}
                assert client.post("/api/v1/calls", json=fields).status_code == 202
            assert [p["scope"] for p in pause(processes)["paused"]] == ["all"]
            sent = len(provider.sent)  # none, unless this machine is very slow
            # their time comes, and each of them is told why it waits
            eventually(lambda: waiting(client) == 10 - sent, "each is held, with a decision that says so")
            time.sleep(1.0)
            assert len(provider.sent) == sent
            assert pause(processes, "--resume") == {"paused": [], "released": 10 - sent}
            eventually(lambda: len(provider.sent) == 10, "all of them are sent")
    assert len({seen.body for seen in provider.sent}) == 10


def waiting(client: Any) -> int:
    """How many calls wait because dialling is paused."""
    calls = client.get("/api/v1/calls", params={"status": "pending"}).json()["data"]
    timelines = [client.get(f"/api/v1/calls/{call['id']}/timeline").json()["data"] for call in calls]
    return sum(any(event["reason"] == "paused" for event in timeline) for timeline in timelines)

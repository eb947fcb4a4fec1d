"""A pause made by one process holds the calls of all others until it is lifted: real processes, one database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.processes import Processes, eventually
from tests.recording_provider import RecordingProvider


def run_pause(processes: Processes, *flags: str) -> Any:
    """Run `tracker pause --json` with these flags and return its document."""
    ended = subprocess.run(
        [sys.executable, "-m", "tracker", "pause", "--json", *flags], cwd=processes.folder, env=processes.environ,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def count_paused_calls(client: httpx.Client) -> int:
    """Return how many pending calls have a decision that says they wait because of the pause."""
    calls = client.get("/api/v1/calls", params={"status": "pending"}).json()["data"]
    timelines = [client.get(f"/api/v1/calls/{call['id']}/timeline").json()["data"] for call in calls]
    return sum(any(event["reason"] == "paused" for event in timeline) for timeline in timelines)


def test_workers_send_nothing_while_dialling_is_paused(postgres_database: str, tmp_path: Path) -> None:
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
                # due later, so that only a worker can send it
                fields = {"to": f"+9190000000{n:02}", "flow_id": "24", "not_before": soon}
                assert client.post("/api/v1/calls", json=fields).status_code == 202
            assert [pause["scope"] for pause in run_pause(processes)["paused"]] == ["all"]
            sent = len(provider.sent)  # 0, unless this machine is very slow
            eventually(lambda: count_paused_calls(client) == 10 - sent, "every call due is held by the pause")
            time.sleep(1.0)
            assert len(provider.sent) == sent
            assert run_pause(processes, "--resume") == {"paused": [], "released": 10 - sent}
            eventually(lambda: len(provider.sent) == 10, "all calls are sent")
    assert len({request.body for request in provider.sent}) == 10

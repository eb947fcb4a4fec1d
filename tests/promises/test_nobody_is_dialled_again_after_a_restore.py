"""Promise: after a backup was restored, nobody is dialled again.

Real processes, and a provider that records each request. Calls are placed, and a backup of the database in use is made
in the middle of it. The work goes on: what waited in the backup is dialled, and one of these calls is answered. Then
the server dies, the backup is restored, and everything starts again. No number is dialled a second time, neither before
dialling is resumed nor afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.postgres_server import PostgresServer, program
from tests.processes import SECRET, Processes, Server, eventually
from tests.recording_provider import RecordingProvider, error

#: each request to the provider names its submission
ACCOUNT: dict[str, Any] = {"extra": {"custom": "{submission}"}, "timeout_s": 2.0}
#: the call that waits in the backup and is answered after it
ANSWERED = 20


def number(n: int) -> str:
    return f"+91900000{n:04d}"


def run_tracker(processes: Processes, *arguments: str, code: int = 0) -> str:
    """Run a command beside the other processes; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *arguments], cwd=processes.folder, env=processes.environ,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


def place(client: httpx.Client, n: int, **fields: Any) -> str:
    response = client.post("/api/v1/calls", json={"to": number(n), "flow_id": "24", **fields})
    assert response.status_code in (201, 202), response.text
    id: str = response.json()["id"]
    return id


def calls_by_number(client: httpx.Client) -> dict[str, dict[str, Any]]:
    calls = client.get("/api/v1/calls", params={"limit": 500}).json()["data"]
    return {call["to"]: call for call in calls}


def place_calls_in_every_state(client: httpx.Client, provider: RecordingProvider) -> None:
    """Place calls in each state that a backup can find them in."""
    for n in range(3):
        place(client, n)  # queued
    provider.sends.append(error(429, "Too Many Attempts.", Retry_After="3"))
    place(client, 10)  # to be sent again
    client.post("/api/v1/pause").raise_for_status()  # the next ones wait, however slow the backup is
    for n in range(20, 24):
        place(client, n)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    place(client, 30, not_before=later)


def work_on(client: httpx.Client, provider: RecordingProvider) -> None:
    """Dial what was waiting, place new calls, and let one that was waiting be answered."""
    client.post("/api/v1/resume").raise_for_status()
    for n in range(40, 43):
        place(client, n)
    dialled = {number(n) for n in (0, 1, 2, 20, 21, 22, 23, 40, 41, 42)}
    eventually(lambda: dialled <= set(dialled_numbers(provider)), "what waited should be dialled")
    eventually(lambda: dialled_numbers(provider).count(number(10)) == 2, "the resend should be dialled")
    eventually(lambda: submission_of(client, ANSWERED)["submission_id"], "the provider's id should be stored")
    report = {
        "id": submission_of(client, ANSWERED)["submission_id"],
        "to": number(ANSWERED).lstrip("+"), "status": "ANSWER", "duration": "12",
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert client.post("/callbacks/thundersms", json=report, headers=headers).status_code == 200
    eventually(
        lambda: calls_by_number(client)[number(ANSWERED)]["status"] == "completed", "it should be joined"
    )


def submission_of(client: httpx.Client, n: int) -> Mapping[str, Any]:
    call = calls_by_number(client)[number(n)]["id"]
    submission: Mapping[str, Any] = client.get(f"/api/v1/calls/{call}").json()["submissions"][-1]
    return submission


def dialled_numbers(provider: RecordingProvider) -> list[str]:
    """Return the numbers that were dialled, in the order of the requests."""
    return ["+" + "".join(c for c in str(seen.json()["to"]) if c.isdigit()) for seen in list(provider.sent)]


def assert_nobody_is_dialled_again(
    processes: Processes, provider: RecordingProvider, *, has_inbox: bool
) -> None:
    """Start the restored database. has_inbox: the callbacks of after the backup are in it."""
    dialled = Counter(dialled_numbers(provider))
    requests = len(provider.sent)
    server = processes.serve()
    with server.client() as client:
        if has_inbox:
            eventually(
                lambda: calls_by_number(client)[number(ANSWERED)]["status"] == "completed",
                "the callback of after the backup should settle its call",
            )
        calls = calls_by_number(client)
        unconfirmed = {10, 20, 21, 22, 23} - ({ANSWERED} if has_inbox else set())
        assert {calls[number(n)]["status"] for n in unconfirmed} == {"unconfirmed"}
        assert {calls[number(n)]["status"] for n in range(3)} == {"queued"}
        assert calls[number(30)]["status"] == "pending"
        assert calls.keys().isdisjoint({number(n) for n in (40, 41, 42)})
        [pause] = client.get("/statusz").json()["paused"]
        assert pause["why"] == "restored"
        place(client, 50)  # it waits
        retried = client.post(f"/api/v1/calls/{calls[number(21)]['id']}/retry", json={})
        assert retried.status_code == 409
        eventually(lambda: len(polled_paths(provider)) >= 3, "it should ask about the queued calls")
        let_worker_run(server)
        assert len(provider.sent) == requests

        assert client.post("/api/v1/resume", json={}).json()["released"] == 1
        eventually(lambda: number(50) in dialled_numbers(provider), "the new call should be sent")
        let_worker_run(server)
    # the planned call was not dialled, the new one once, and each other one as often as before
    assert Counter(dialled_numbers(provider)) == dialled + Counter([number(50)])


def polled_paths(provider: RecordingProvider) -> set[str]:
    return {seen.path for seen in list(provider.seen) if "callstatus" in seen.path}


def let_worker_run(server: Server) -> None:
    """Give the worker several turns: it looks for due work four times a second."""
    time.sleep(2.0)
    with server.client() as client:
        assert client.get("/statusz").json()["worker_here"] == "running"


def is_open(path: Path) -> bool:
    """Return whether any process has this file open; a joiner ends a moment after its killed server."""
    for each in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if each.samefile(path):
                return True
    return False


def test_sqlite_restore_dials_nobody_again(tmp_path: Path, provider: RecordingProvider) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url, provider.base_url, **ACCOUNT) as processes:
        server = processes.serve()
        with server.client() as client:
            place_calls_in_every_state(client, provider)
            backup = json.loads(run_tracker(processes, "db", "backup", "backup.db", "--json"))
            assert backup["rows"]["calls"] == 9
            work_on(client, provider)
        # it is refused while the server runs
        run_tracker(processes, "db", "restore", "backup.db", code=1)
        server.kill()
        eventually(lambda: not is_open(tmp_path / "tracker.db"), "all processes should end")
        report = json.loads(run_tracker(processes, "db", "restore", "backup.db", "--json"))
        assert (report["unconfirmed"], report["asked"], report["planned"]) == (5, 3, 1)
        assert (report["inbox"], report["unjoined_callbacks"]) == ("stayed", 1)
        assert Path(report["kept"]).exists()
        assert not (tmp_path / "tracker.db-wal").exists()
        assert_nobody_is_dialled_again(processes, provider, has_inbox=True)


def test_sqlite_restore_without_the_inbox_dials_nobody_again(
    tmp_path: Path, provider: RecordingProvider
) -> None:
    """As after the loss of a disk."""
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url, provider.base_url, **ACCOUNT) as processes:
        server = processes.serve()
        with server.client() as client:
            place_calls_in_every_state(client, provider)
            run_tracker(processes, "db", "backup", "backup.db")
            work_on(client, provider)
        server.kill()
        eventually(lambda: not is_open(tmp_path / "tracker.db"), "all processes should end")
        for path in tmp_path.glob("tracker*.db*"):
            path.unlink()
        report = json.loads(run_tracker(processes, "db", "restore", "backup.db", "--json"))
        assert (report["unconfirmed"], report["asked"], report["planned"]) == (5, 3, 1)
        assert (report["inbox"], report["unjoined_callbacks"]) == ("restored", 0)
        assert_nobody_is_dialled_again(processes, provider, has_inbox=False)


def test_postgresql_restore_dials_nobody_again(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    """With the commands that the documents name."""
    with Processes(tmp_path, postgres_database, provider.base_url, **ACCOUNT) as processes:
        server = processes.serve()
        with server.client() as client:
            place_calls_in_every_state(client, provider)
            dump(postgres_database, tmp_path / "tracker.dump")
            work_on(client, provider)
        server.kill()
    restored = postgres_server.create_database()
    run_program(
        "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", str(tmp_path / "tracker.dump")
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Processes(elsewhere, restored, provider.base_url, **ACCOUNT) as processes:
        report = json.loads(run_tracker(processes, "db", "after-restore", "--json"))
        assert (report["unconfirmed"], report["asked"], report["planned"]) == (5, 3, 1)
        again = json.loads(run_tracker(processes, "db", "after-restore", "--json"))
        assert (again["unconfirmed"], again["asked"]) == (0, 3)
        assert_nobody_is_dialled_again(processes, provider, has_inbox=False)
    postgres_server.drop_database(restored)


def dump(url: str, file: Path) -> None:
    assert urlsplit(url).scheme == "postgresql"
    run_program("pg_dump", "--format=custom", f"--file={file}", url)
    assert file.stat().st_size > 0


def run_program(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs, of the version of the tests' server."""
    command = [str(program(name)), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr

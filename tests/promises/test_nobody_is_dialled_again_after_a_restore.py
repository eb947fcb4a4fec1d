"""Promise: after a backup was restored, nobody is dialled again.

Real processes and a provider that records what reaches it. Calls are placed; in the middle of it a backup is made of
the database in use; the work goes on, and what waited in the backup is dialled. Then the disk dies, the backup is
restored, and everything is started again: no number is dialled a second time, neither before dialling is resumed nor
after.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.postgres_server import PostgresServer, program
from tests.processes import Processes, Server, eventually
from tests.recording_provider import RecordingProvider, error

#: so that each request to the provider says which submission it is
ACCOUNT: dict[str, Any] = {"extra": {"custom": "{submission}"}, "timeout_s": 2.0}


def number(n: int) -> str:
    return f"+91900000{n:04d}"


def run(processes: Processes, *arguments: str, code: int = 0) -> str:
    """`tracker …` beside the others; gives what it said."""
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


def statuses(client: httpx.Client) -> dict[str, dict[str, Any]]:
    calls = client.get("/api/v1/calls", params={"limit": 500}).json()["data"]
    return {call["to"]: call for call in calls}


def before_the_backup(client: httpx.Client, provider: RecordingProvider) -> None:
    """Calls in every state that a backup can find them in."""
    for n in range(3):
        place(client, n)  # with the provider
    provider.sends.append(error(429, "Too Many Attempts.", Retry_After="3"))
    place(client, 10)  # told to come again
    client.post(
        "/api/v1/pause"
    ).raise_for_status()  # so that the backup finds them waiting, however slow it is
    for n in range(20, 24):
        place(client, n)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    place(client, 30, not_before=later)  # waiting for long


def after_the_backup(client: httpx.Client, provider: RecordingProvider) -> None:
    """What was waiting is dialled, and new calls are placed."""
    client.post("/api/v1/resume").raise_for_status()
    for n in range(40, 43):
        place(client, n)
    dialled = [number(n) for n in (0, 1, 2, 20, 21, 22, 23, 40, 41, 42)]
    eventually(lambda: set(dialled) <= set(to(provider)), "what waited is dialled")
    eventually(lambda: to(provider).count(number(10)) == 2, "and who was told to come again")


def to(provider: RecordingProvider) -> list[str]:
    """Who was dialled, in the order of the requests."""
    return ["+" + "".join(c for c in str(seen.json()["to"]) if c.isdigit()) for seen in list(provider.sent)]


def nobody_is_dialled_again(processes: Processes, provider: RecordingProvider) -> None:
    dialled = Counter(to(provider))
    requests = len(provider.sent)
    server = processes.serve()
    with server.client() as client:
        found = statuses(client)
        assert {found[number(n)]["status"] for n in (10, 20, 21, 22, 23)} == {"unconfirmed"}
        assert {found[number(n)]["status"] for n in range(3)} == {"queued"}
        assert found[number(30)]["status"] == "pending"
        assert found.keys().isdisjoint({number(n) for n in (40, 41, 42)})
        [pause] = client.get("/statusz").json()["paused"]
        assert pause["why"] == "restored"
        # a new call and a retry by hand wait
        place(client, 50)
        retried = client.post(f"/api/v1/calls/{found[number(20)]['id']}/retry", json={})
        assert retried.status_code == 409
        # the provider is asked about what it has
        eventually(lambda: len(asked(provider)) >= 3, "it asks about what it had sent")
        worked_for_a_while(server)
        assert len(provider.sent) == requests

        assert client.post("/api/v1/resume", json={}).json()["released"] == 1
        eventually(lambda: number(50) in to(provider), "the new call is sent")
        worked_for_a_while(server)
    # who was planned for later has not been dialled, the new one once, and everybody else as often as before
    assert Counter(to(provider)) == dialled + Counter([number(50)])


def asked(provider: RecordingProvider) -> set[str]:
    return {seen.path for seen in list(provider.seen) if "callstatus" in seen.path}


def worked_for_a_while(server: Server) -> None:
    """The worker has had its turn, several times: it looks four times a second. No bound on it: a wait, no measure."""
    time.sleep(2.0)
    with server.client() as client:
        assert client.get("/statusz").json()["worker_here"] == "running"


def test_sqlite_with_backup_and_restore(tmp_path: Path, provider: RecordingProvider) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url, provider.base_url, **ACCOUNT) as processes:
        server = processes.serve()
        with server.client() as client:
            before_the_backup(client, provider)
            told = json.loads(run(processes, "db", "backup", "backup.db", "--json"))
            assert told["rows"]["calls"] == 9
            after_the_backup(client, provider)
        # not while somebody works on it
        run(processes, "db", "restore", "backup.db", code=1)
        server.kill()
        done = json.loads(run(processes, "db", "restore", "backup.db", "--json"))
        assert (done["unconfirmed"], done["asked"], done["planned"]) == (5, 3, 1)
        assert Path(done["kept"]).exists()
        assert not (tmp_path / "tracker.db-wal").exists()
        nobody_is_dialled_again(processes, provider)


def test_postgresql_with_pg_dump_and_pg_restore(
    postgres_server: PostgresServer, postgres_database: str, tmp_path: Path, provider: RecordingProvider
) -> None:
    """With the commands that the documents name."""
    with Processes(tmp_path, postgres_database, provider.base_url, **ACCOUNT) as processes:
        server = processes.serve()
        with server.client() as client:
            before_the_backup(client, provider)
            dump(postgres_database, tmp_path / "tracker.dump")
            after_the_backup(client, provider)
        server.kill()
    restored = postgres_server.create_database()
    pg("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", str(tmp_path / "tracker.dump"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Processes(elsewhere, restored, provider.base_url, **ACCOUNT) as processes:
        refused = subprocess.run(
            [sys.executable, "-m", "tracker", "db", "backup", "x.db"], cwd=elsewhere, env=processes.environ,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert refused.returncode == 1
        assert "pg_dump" in refused.stderr
        done = json.loads(run(processes, "db", "after-restore", "--json"))
        assert (done["unconfirmed"], done["asked"], done["planned"]) == (5, 3, 1)
        again = json.loads(run(processes, "db", "after-restore", "--json"))
        assert (again["unconfirmed"], again["asked"]) == (0, 3)
        nobody_is_dialled_again(processes, provider)
    postgres_server.drop_database(restored)


def dump(url: str, file: Path) -> None:
    assert urlsplit(url).scheme == "postgresql"
    pg("pg_dump", "--format=custom", f"--file={file}", url)
    assert file.stat().st_size > 0


def pg(name: str, *arguments: str) -> None:
    """One of PostgreSQL's own programs, of the version that the tests' server has."""
    command = [str(program(name)), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr

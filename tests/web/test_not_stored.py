"""When a callback cannot be stored: 503 in time, and what was missed is asked for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.processes import SECRET, Processes, eventually
from tests.recording_provider import RecordingProvider, callstatus
from tests.web.serving import Serving, is_problem

NUMBER = "+918919525224"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else holds SQLite's write lock."""
    lock = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        lock.execute("ROLLBACK")
        lock.close()


def test_a_locked_database_makes_it_503_and_then_the_provider_is_asked(
    tmp_path: Path, provider: RecordingProvider
) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url, provider.base_url) as processes:
        server = processes.serve()
        with server.client() as client:
            call = client.post("/api/v1/calls", json={"to": NUMBER, "flow_id": "24"}).json()
        id = call["submissions"][0]["submission_id"]
        provider.polls.append(
            callstatus({"id": id, "mobile": NUMBER[1:], "status": "BUSY", "duration": "00:00:00"})
        )
        headers = {"Authorization": f"Bearer {SECRET}"}
        with locked(tmp_path / "tracker.db"):
            # nobody who is turned away waits for the database
            unknown = httpx.post(f"{server.url}/callbacks/nobody", trust_env=False)
            wrong = httpx.post(f"{server.url}/callbacks/thundersms", content=b"{}", trust_env=False)
            assert (unknown.status_code, wrong.status_code) == (404, 401)
            answer = httpx.post(
                f"{server.url}/callbacks/thundersms",
                json={"id": id, "status": "BUSY"}, headers=headers, trust_env=False, timeout=30,
            )  # fmt: skip
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["content-type"] == "application/problem+json"

        def settled() -> Any:
            with server.client() as client:
                found = client.get(f"/api/v1/calls/{call['id']}").json()
                return found if found["settled"] else None

        found = eventually(settled, "nobody asked")
        assert (found["status"], found["outcome"]) == ("busy", "busy")
        assert any("/outgoing/callstatus" in each.path for each in provider.seen)
        # and what was counted meanwhile is not lost
        with server.client() as client:
            counts = client.get("/statusz").json()["counts"]
        assert ("unknown-account", 1) in [(c["name"], c["count"]) for c in counts]


def test_a_call_that_cannot_be_recorded_is_503_and_nothing_is_sent(
    sqlite_url: str, provider: RecordingProvider, tmp_path: Path
) -> None:
    with Serving(sqlite_url, provider.base_url, worker=False) as serving:
        with locked(tmp_path / "tracker.db"):
            response = serving.api("POST", "/calls", {"to": NUMBER, "flow_id": "24"})
            assert is_problem(response, 503)
            assert "retry-after" in response.headers
        assert provider.seen == []
        assert serving.get("/calls")["data"] == []


def test_reading_goes_on_while_somebody_writes(sqlite_url: str, tmp_path: Path) -> None:
    with Serving(sqlite_url, worker=False) as serving, locked(tmp_path / "tracker.db"):
        waiting = [threading.Thread(target=lambda: serving.callback({"a": 1})) for _ in range(20)]
        for each in waiting:
            each.start()
        assert serving.get("/calls") == {"data": [], "next_cursor": None}
        assert serving.client.get("/healthz").status_code == 200
        for each in waiting:
            each.join()

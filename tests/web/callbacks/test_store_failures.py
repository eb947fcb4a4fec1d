"""Requests that cannot be stored: they are answered 503 in time, and the provider is polled about what was missed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.processes import SECRET, Processes, eventually
from tests.recording_provider import RecordingProvider, callstatus
from tests.web.serving import Serving, is_problem

NUMBER = "+918919525224"


@contextmanager
def write_lock(file: Path) -> Iterator[None]:
    """Hold SQLite's write lock."""
    lock = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        lock.execute("ROLLBACK")
        lock.close()


def test_callback_is_503_and_polled_when_inbox_is_locked(tmp_path: Path, provider: RecordingProvider) -> None:
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
        with write_lock(tmp_path / "tracker-inbox.db"):
            # Rejected requests do not wait for the database.
            unknown = httpx.post(f"{server.url}/callbacks/nobody", trust_env=False)
            wrong = httpx.post(f"{server.url}/callbacks/thundersms", content=b"{}", trust_env=False)
            assert (unknown.status_code, wrong.status_code) == (404, 401)
            response = httpx.post(
                f"{server.url}/callbacks/thundersms",
                json={"id": id, "status": "BUSY"}, headers=headers, trust_env=False, timeout=30,
            )  # fmt: skip
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert response.headers["content-type"] == "application/problem+json"

            def read_settled() -> Any:
                with server.client() as client:
                    document = client.get(f"/api/v1/calls/{call['id']}").json()
                    return document if document["settled"] else None

            settled = eventually(read_settled, "the provider was not polled")
        assert (settled["status"], settled["outcome"]) == ("busy", "busy")
        assert any("/outgoing/callstatus" in each.path for each in provider.seen)
        # Counts from the time of the lock are stored afterwards.
        with server.client() as client:
            counts = client.get("/statusz").json()["counts"]
        assert ("unknown-account", 1) in [(c["name"], c["count"]) for c in counts]


def test_placing_is_503_and_not_sent_when_database_is_locked(
    sqlite_url: str, provider: RecordingProvider, tmp_path: Path
) -> None:
    with Serving(sqlite_url, provider.base_url, worker=False) as serving:
        with write_lock(tmp_path / "tracker.db"):
            response = serving.api("POST", "/calls", {"to": NUMBER, "flow_id": "24"})
            assert is_problem(response, 503)
            assert "retry-after" in response.headers
        assert provider.seen == []
        assert serving.get("/calls")["data"] == []


def test_reading_continues_when_database_is_locked(sqlite_url: str, tmp_path: Path) -> None:
    with Serving(sqlite_url, worker=False) as serving, ExitStack() as locks:
        for file in ("tracker.db", "tracker-inbox.db"):
            locks.enter_context(write_lock(tmp_path / file))
        waiting = [threading.Thread(target=lambda: serving.callback({"a": 1})) for _ in range(20)]
        for thread in waiting:
            thread.start()
        assert serving.get("/calls") == {"data": [], "next_cursor": None}
        assert serving.client.get("/healthz").status_code == 200
        for thread in waiting:
            thread.join()

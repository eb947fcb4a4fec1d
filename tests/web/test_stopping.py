"""SIGTERM under load: what was accepted is answered, what is under way is recorded, and the process ends with 0."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import httpx

from tests.burst import Burst
from tests.processes import Processes, eventually
from tests.recording_provider import RecordingProvider, Told, accepted
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Database

CALL = {"to": "+918919525224", "flow_id": "24"}


def place(server: Any, answers: list[Any]) -> threading.Thread:
    def work() -> None:
        with server.client() as client:
            answers.append(client.post("/api/v1/calls", json=CALL))

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_call_that_is_being_placed_is_answered_and_its_answer_recorded(
    tmp_path: Path, provider: RecordingProvider
) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    provider.sends.append(Told(**{**vars(accepted("an-id-of-the-provider:1")), "hang_s": 6.0}))
    with Processes(tmp_path, url, provider.base_url, timeout_s=30) as processes:
        server = processes.serve()
        answers: list[Any] = []
        placing = place(server, answers)
        eventually(lambda: provider.sent, "nothing was sent")

        assert server.terminate() == 0
        placing.join()
        # the provider took longer than a server that stops lets a request wait
        assert answers[0].status_code == 202
        submission = answers[0].json()["submissions"][0]["id"]
        assert "Traceback" not in server.output()
    database = Database(url)
    found = database.read(lambda c: find_submission(c, submission))
    database.close()
    assert found is not None
    assert (found.status.value, found.submission_id) == ("queued", "an-id-of-the-provider:1")


def test_idle_and_slow_connections_hold_nobody_up(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve()
        address = httpx.URL(server.url)
        silent, begun, slow = (socket.create_connection((address.host, address.port or 0)) for _ in range(3))
        begun.sendall(b"POST /callbacks/thundersms HTTP/1.1\r\nHost:")
        slow.sendall(
            b"POST /callbacks/thundersms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Authorization: Bearer the-secret-of-the-webhook\r\n\r\nsome"
        )
        with server.client() as idle:
            assert idle.get("/healthz").status_code == 200
            assert server.terminate() == 0
        for each in (silent, begun, slow):
            each.close()


def test_of_a_burst_everything_that_was_answered_is_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url) as processes:
        server = processes.serve()
        with Burst(server.url, lambda n: {"marker": f"marker-{n:06}"}) as burst:
            eventually(lambda: len(burst.answered) > 200, "nobody answers")
            assert server.terminate() == 0
        assert "Traceback" not in server.output()
        assert burst.surprises == []
        again = processes.serve("--no-worker")
        with again.client() as client:
            kept, cursor = 0, None
            while True:
                page = client.get(
                    "/api/v1/callbacks", params={"limit": 500} | ({"cursor": cursor} if cursor else {})
                )
                kept, cursor = kept + len(page.json()["data"]), page.json()["next_cursor"]
                if cursor is None:
                    break
        assert kept >= len(burst.answered)

"""SIGTERM while requests are under way: what was accepted is finished, and the process exits with 0."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.burst import Burst
from tests.processes import Processes, Server, eventually
from tests.recording_provider import RecordingProvider, Told, accepted
from tests.web.raw_http import HEAD, connect
from tracker.store.calls.submissions import find_submission
from tracker.store.engine.database import Database

CALL = {"to": "+918919525224", "flow_id": "24"}


def start_placing(server: Server, responses: list[Any]) -> threading.Thread:
    """Place a call in a thread, which adds the response to the list."""

    def place() -> None:
        with server.client() as client:
            responses.append(client.post("/api/v1/calls", json=CALL))

    thread = threading.Thread(target=place)
    thread.start()
    return thread


def test_submission_is_recorded_when_server_stops(tmp_path: Path, provider: RecordingProvider) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    provider.sends.append(Told(**{**vars(accepted("an-id-of-the-provider:1")), "hang_s": 6.0}))
    with Processes(tmp_path, url, provider.base_url, timeout_s=30) as processes:
        server = processes.serve()
        responses: list[Any] = []
        placing = start_placing(server, responses)
        eventually(lambda: provider.sent, "nothing was sent")

        assert server.terminate() == 0
        placing.join()
        # The provider took longer than a stopping server lets a request wait.
        assert responses[0].status_code == 202
        id = responses[0].json()["submissions"][0]["id"]
        assert "Traceback" not in server.output()
    database = Database(url)
    submission = database.read(lambda c: find_submission(c, id))
    database.close()
    assert submission is not None
    assert (submission.status.value, submission.submission_id) == ("queued", "an-id-of-the-provider:1")


def test_idle_and_slow_connections_do_not_delay_exit(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve()
        with connect(server), connect(server) as half_head, connect(server) as half_body:
            half_head.sendall(b"POST /callbacks/thundersms HTTP/1.1\r\nHost:")
            half_body.sendall(HEAD + b"Content-Length: 100\r\n\r\nsome")
            with server.client() as idle:
                assert idle.get("/healthz").status_code == 200
                assert server.terminate() == 0


def test_answered_callbacks_of_a_burst_are_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tracker.db'}"
    with Processes(tmp_path, url) as processes:
        server = processes.serve()
        with Burst(server.url, lambda n: {"marker": f"marker-{n:06}"}) as burst:
            eventually(lambda: len(burst.answered) > 200, "nothing is answered")
            assert server.terminate() == 0
        assert "Traceback" not in server.output()
        assert burst.surprises == []
        restarted = processes.serve("--no-worker")
        assert _count_callbacks(restarted) >= len(burst.answered)


def _count_callbacks(server: Server) -> int:
    count, cursor = 0, None
    with server.client() as client:
        while True:
            params = {"limit": 500} | ({"cursor": cursor} if cursor else {})
            page = client.get("/api/v1/callbacks", params=params).json()
            count, cursor = count + len(page["data"]), page["next_cursor"]
            if cursor is None:
                return count

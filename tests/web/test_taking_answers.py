"""Who takes answers slowly is not who takes none, and a request has one answer: on real sockets of a real server."""

from __future__ import annotations

import socket
import sqlite3
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.processes import API_TOKEN, Processes, Server, eventually
from tests.web.test_queueing import CALLBACK, answers, callback, connect

NOBODY = b"POST /callbacks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


def serve(processes: Processes, **smaller: float) -> Server:
    """With limits that are smaller than what they are, and half a second for half a request when it stops."""
    smaller = {"shutdown_grace_s": 0.5, **smaller}
    code = (
        "import functools, runpy, sys; from tracker.web import server; from tracker.web.http.limits import Limits; "
        f"limits = Limits(**{smaller!r}); "
        "server.run = functools.partial(server.run, limits=limits); sys.argv = ['tracker', *sys.argv[4:]]; "
        "runpy.run_module('tracker', run_name='__main__', alter_sys=True)"
    )
    processes.within = (sys.executable, "-c", code)
    return processes.serve("--no-worker")


def question(server: Server) -> bytes:
    """One whose answer, of 6 MB, the system does not take at once."""
    with connect(server) as wire:
        wire.sendall(CALLBACK % (1_000_000, b"\x01" * 1_000_000))
        assert answers(wire, 1)[0][0] == 200
    with server.client() as client:
        ident = client.get("/api/v1/callbacks?limit=1").json()["data"][0]["id"]
    head = f"GET /api/v1/callbacks/{ident} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n"
    return head.encode()


@pytest.mark.parametrize("smaller", [{"idle_timeout_s": 1.0}, {"send_timeout_s": 3.0}])
def test_who_takes_a_large_answer_steadily_gets_all_of_it(tmp_path: Path, smaller: dict[str, float]) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes, **smaller)
        with connect(server, takes=4096) as wire:
            wire.sendall(question(server))
            for _ in range(60):
                assert wire.recv(3000)
                time.sleep(0.1)
            with wire.makefile("rb") as coming:
                # what is left has its end where the answer has its end
                assert coming.read(5_500_000).count(b"u0001") > 900_000


def test_a_server_that_stops_lets_a_large_answer_be_taken(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes)
        with connect(server, takes=4096) as wire:
            wire.sendall(question(server))
            for n in range(60):
                assert wire.recv(3000)
                time.sleep(0.1)
                if n == 20:
                    server.running.terminate()
            whole = b"".join(iter(lambda: wire.recv(65536), b""))
            assert whole.count(b"u0001") > 900_000
        assert server.running.wait(60) == 0


@pytest.mark.parametrize("behind", [30, -50])
def test_a_server_that_stops_answers_what_is_whole_also_with_half_a_request_behind(
    tmp_path: Path, behind: int
) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes)
        assert callback(server) == 200
        with ExitStack() as stack:
            other = stack.enter_context(
                closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None))
            )
            wire = stack.enter_context(connect(server))
            other.execute("BEGIN IMMEDIATE")
            wire.sendall(CALLBACK % (2, b"{}") + (CALLBACK % (100, b"x" * 100))[:behind])
            time.sleep(0.3)
            server.running.terminate()
            # longer than requests of which a part has come are waited for
            time.sleep(1.2)
            other.execute("ROLLBACK")
            assert answers(wire, 1)[0][0] == 200
            # half a request is not waited for
            assert wire.recv(1) == b""
        assert server.running.wait(60) == 0
        assert "graceful shutdown exceeded" not in server.output()


@pytest.mark.parametrize("bad", [b"", b"no chunk\r\n"])
def test_what_is_answered_at_its_head_has_no_second_answer(tmp_path: Path, bad: bytes) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes, body_timeout_s=1.0)
        with connect(server) as wire:
            chunked = NOBODY.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked")
            wire.sendall(chunked if bad else NOBODY)
            assert answers(wire, 1)[0][0] == 404
            wire.sendall(bad or b"a")
            assert wire.recv(1000) == b""
        assert server.log("request.refused") == []
        # behind it another one is refused as ever
        with connect(server) as wire:
            wire.sendall(NOBODY + b"a" * 1000)
            assert answers(wire, 1)[0][0] == 404
            wire.sendall(b"GET /" + b"\xff" * 9000)
            assert answers(wire, 1)[0][0] in (400, 414)
        eventually(lambda: server.log("request.refused"), "it is not said")


def test_an_empty_line_behind_a_body_begins_no_request(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes, head_timeout_s=0.5)
        with connect(server) as wire:
            for end in (b"\r\n", b"\r\n\r\n", b""):
                wire.sendall(CALLBACK % (2, b"{}"))
                assert answers(wire, 1)[0][0] == 200
                wire.sendall(end)
                time.sleep(2)
        assert server.log("request.refused") == []
        # what follows it has its time, and no more
        with connect(server) as wire:
            wire.sendall(b"\r\nGET")
            assert answers(wire, 1)[0][0] == 408


STRANGER = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (CALLBACK % (2, b"{}"), [200]),
        (STRANGER, [404]),
        ((CALLBACK % (2, b"{}") + STRANGER) * 200, [200, 404] * 200),
        (CALLBACK % (2, b"{}") * 3 + STRANGER[:-2], [200] * 3),
        (CALLBACK % (2, b"{}") + STRANGER + (CALLBACK % (2, b"{}"))[:-1], [200, 404]),
        (CALLBACK % (2, b"{}") + (CALLBACK % (2, b"{}"))[:-1], [200]),
        (CALLBACK % (2, b"{}") * 2 + (CALLBACK % (2, b"{}"))[:-1], [200, 200]),
        ((CALLBACK % (2, b"{}"))[:-1], []),
        (STRANGER[:-2], []),
    ],
)
def test_who_says_that_nothing_more_comes_is_answered(
    tmp_path: Path, sent: bytes, statuses: list[int]
) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        other = sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)
        with closing(other), connect(server) as wire:
            other.execute("BEGIN IMMEDIATE")
            wire.sendall(sent)
            wire.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            other.execute("ROLLBACK")
            said = b"".join(iter(lambda: wire.recv(65536), b""))
        assert [int(each[:3]) for each in said.split(b"HTTP/1.1 ")[1:]] == statuses
        assert server.terminate() == 0
        assert [e for e in server.log() if e.get("level") in ("warning", "error")] == []

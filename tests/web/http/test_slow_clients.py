"""Clients that receive responses slowly, or send half a request, or stop sending."""

from __future__ import annotations

import socket
import sqlite3
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.processes import API_TOKEN, Processes, Server, eventually
from tests.web.raw_http import (
    UNROUTED,
    callback,
    connect,
    read_response,
    send_callback,
    warnings_of,
)

UNKNOWN_ACCOUNT = b"POST /callbacks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


def serve(processes: Processes, **limits: float) -> Server:
    """Start a server with these limits, and with a grace of 0.5 s for incomplete requests when it stops."""
    limits = {"shutdown_grace_s": 0.5, **limits}
    code = (
        "import functools, runpy, sys; from tracker.web import server; from tracker.web.http.limits import Limits; "
        f"server.run = functools.partial(server.run, limits=Limits(**{limits!r})); "
        "sys.argv = ['tracker', *sys.argv[4:]]; "
        "runpy.run_module('tracker', run_name='__main__', alter_sys=True)"
    )
    processes.within = (sys.executable, "-c", code)
    return processes.serve("--no-worker")


def large_request(server: Server) -> bytes:
    """Return a request whose response has 6 MB, which the system does not take at once."""
    assert send_callback(server, b"\x01" * 1_000_000) == 200
    with server.client() as client:
        id = client.get("/api/v1/callbacks?limit=1").json()["data"][0]["id"]
    head = f"GET /api/v1/callbacks/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n"
    return head.encode()


@pytest.mark.parametrize("limits", [{"idle_timeout_s": 1.0}, {"send_timeout_s": 3.0}])
def test_large_response_is_received_slowly(tmp_path: Path, limits: dict[str, float]) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes, **limits)
        with connect(server, receive_buffer=4096) as connection:
            connection.sendall(large_request(server))
            for _ in range(60):
                assert connection.recv(3000)
                time.sleep(0.1)
            with connection.makefile("rb") as stream:
                assert stream.read(5_500_000).count(b"u0001") > 900_000


def test_large_response_is_received_from_stopping_server(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes)
        with connect(server, receive_buffer=4096) as connection:
            connection.sendall(large_request(server))
            for n in range(60):
                assert connection.recv(3000)
                time.sleep(0.1)
                if n == 20:
                    server.running.terminate()
            rest = b"".join(iter(lambda: connection.recv(65536), b""))
            assert rest.count(b"u0001") > 900_000
        assert server.running.wait(60) == 0


@pytest.mark.parametrize("cut", [30, -50])
def test_stopping_server_answers_only_complete_requests(tmp_path: Path, cut: int) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes)
        assert send_callback(server) == 200
        with ExitStack() as stack:
            lock = stack.enter_context(
                closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None))
            )
            connection = stack.enter_context(connect(server))
            lock.execute("BEGIN IMMEDIATE")
            connection.sendall(callback() + callback(b"x" * 100)[:cut])
            time.sleep(0.3)
            server.running.terminate()
            # longer than the grace for incomplete requests
            time.sleep(1.2)
            lock.execute("ROLLBACK")
            assert read_response(connection).status == 200
            assert connection.recv(1) == b""
        assert server.running.wait(60) == 0
        assert "graceful shutdown exceeded" not in server.output()


@pytest.mark.parametrize("body", [b"", b"no chunk\r\n"])
def test_request_answered_by_its_head_gets_one_response(tmp_path: Path, body: bytes) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes, body_timeout_s=1.0)
        with connect(server) as connection:
            chunked = UNKNOWN_ACCOUNT.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked")
            connection.sendall(chunked if body else UNKNOWN_ACCOUNT)
            assert read_response(connection).status == 404
            connection.sendall(body or b"a")
            assert connection.recv(1000) == b""
        assert server.log("request.refused") == []
        # The next request on the connection is refused as usual.
        with connect(server) as connection:
            connection.sendall(UNKNOWN_ACCOUNT + b"a" * 1000)
            assert read_response(connection).status == 404
            connection.sendall(b"GET /" + b"\xff" * 9000)
            assert read_response(connection).status in (400, 414)
        eventually(lambda: server.log("request.refused"), "the refusal is not logged")


def test_empty_line_behind_body_begins_no_request(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = serve(processes, head_timeout_s=0.5)
        with connect(server) as connection:
            for end in (b"\r\n", b"\r\n\r\n", b""):
                connection.sendall(callback())
                assert read_response(connection).status == 200
                connection.sendall(end)
                time.sleep(2)
        assert server.log("request.refused") == []
        # A head that follows it has a timeout.
        with connect(server) as connection:
            connection.sendall(b"\r\nGET")
            assert read_response(connection).status == 408


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (callback(), [200]),
        (UNROUTED, [404]),
        ((callback() + UNROUTED) * 200, [200, 404] * 200),
        (callback() * 3 + UNROUTED[:-2], [200] * 3),
        (callback() + UNROUTED + callback()[:-1], [200, 404]),
        (callback() + callback()[:-1], [200]),
        (callback() * 2 + callback()[:-1], [200, 200]),
        (callback()[:-1], []),
        (UNROUTED[:-2], []),
    ],
)
def test_complete_requests_are_answered_after_end_of_stream(
    tmp_path: Path, sent: bytes, statuses: list[int]
) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        lock = sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)
        with closing(lock), connect(server) as connection:
            lock.execute("BEGIN IMMEDIATE")
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            lock.execute("ROLLBACK")
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert [int(each[:3]) for each in received.split(b"HTTP/1.1 ")[1:]] == statuses
        assert server.terminate() == 0
        assert warnings_of(server) == []

"""The limits of one connection and of all connections, on real sockets of a server process."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from socket import socket

import httpx
import pytest

from tests.processes import SECRET, Processes, Server, eventually
from tests.web.raw_http import HEAD, callback, connect, read_response, send_callback, warnings_of
from tracker.web.http.limits import Limits, find_max_connections

LIMITS = Limits()
#: the beginning of a head
START = b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        yield processes.serve("--no-worker")


# one connection


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        # in one piece, and in pieces that are small by themselves
        ((START + b"X: " + b"x" * LIMITS.max_head_bytes + b"\r\n\r\n",), 431),
        ((START + b"X: " + b"x" * LIMITS.max_head_bytes,), 431),
        ((START, *[b"X-%d: " % n + b"x" * 1000 + b"\r\n" for n in range(33)], b"Y: y"), 431),
        ((START + b"".join(b"X-%d: x\r\n" % n for n in range(LIMITS.max_headers)) + b"\r\n",), 431),
        ((b"GET /healthz?" + b"x" * LIMITS.max_url_bytes + b" HTTP/1.1\r\n\r\n",), 414),
        ((b"GET /healthz?" + b"x" * LIMITS.max_url_bytes,), 414),
        ((b"this is no HTTP\r\n\r\n",), 400),
    ],
)
def test_head_is_refused_while_it_arrives(server: Server, parts: tuple[bytes, ...], status: int) -> None:
    with connect(server) as connection:
        for part in parts:
            connection.sendall(part)
        response = read_response(connection)
        assert response.headers["connection"] == "close"
        assert response.headers["content-type"] == "application/problem+json"
        assert json.loads(response.body)["status"] == response.status == status
        assert connection.recv(1) == b""
    assert send_callback(server) == 200


def test_head_just_below_limit_is_accepted(server: Server) -> None:
    body = b"x" * 60_000
    headers = b"".join(b"X-%d: " % n + b"x" * 900 + b"\r\n" for n in range(32))
    with connect(server) as connection:
        for _ in range(2):
            connection.sendall(HEAD + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert read_response(connection).status == 200


def test_client_that_sends_on_after_refusal_is_cut_off(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(START + b"X: " + b"x" * 2 * LIMITS.max_head_bytes)
        assert read_response(connection).status == 431
        eventually(lambda: not _can_send(connection, b"x" * 1000), "the server reads on and on")


def test_incomplete_head_and_body_time_out(server: Server) -> None:
    with ExitStack() as stack:
        half_head, half_body, half_api = (stack.enter_context(connect(server)) for _ in range(3))
        half_head.sendall(START)
        half_body.sendall(HEAD + b"Content-Length: 100\r\n\r\nsome")
        half_api.sendall(b"POST /api/v1/calls HTTP/1.1\r\nContent-Length: 100\r\n\r\nsome")
        assert send_callback(server) == 200
        # Without a token the API does not wait for the body.
        assert read_response(half_api).status == 401
        for connection in (half_head, half_body):
            response = read_response(connection)
            assert (response.status, response.headers["connection"]) == (408, "close")
            assert connection.recv(1) == b""


def test_callback_in_pieces_is_stored_whole(server: Server) -> None:
    with connect(server) as connection:
        for piece in (HEAD + b"Content-Length: 5\r\n\r\n", b"a", b"bc", b"de"):
            connection.sendall(piece)
            time.sleep(0.02)
        response = read_response(connection)
        assert (response.status, response.body) == (200, b'{"ok":true}')
        assert response.headers["content-type"] == "application/json"
        assert "date" in response.headers
        connection.sendall(callback(b"").replace(b"HTTP/1.1", b"HTTP/1.0"))
        response = read_response(connection)
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert connection.recv(1) == b""
    with server.client() as client:
        stored = client.get("/api/v1/callbacks").json()["data"]
        request = client.get(f"/api/v1/callbacks/{stored[1]['id']}").json()["request"]
    assert [each["size"] for each in stored] == [0, 5]
    assert request["body"] == "abcde"
    assert (request["method"], request["path"]) == ("POST", "/callbacks/thundersms")
    assert ["authorization", "Bearer ***"] in request["headers"]
    assert SECRET not in json.dumps(request)


def test_callback_is_stored_when_client_leaves_before_answer(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(callback())
    with server.client() as client:
        eventually(lambda: client.get("/api/v1/callbacks").json()["data"], "the callback is not stored")


# all connections together


def test_thousands_of_slow_connections_hold_up_nothing(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(3000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            for n in range(count):
                connection = stack.enter_context(closing(connect(server)))
                if n % 3 == 1:
                    connection.sendall(START)
                elif n % 3 == 2:
                    connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
            assert [send_callback(server) for _ in range(20)] == [200] * 20
            assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=30).status_code == 200
            # A server that stops does not wait for them.
            assert server.terminate() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert warnings_of(server) == []


def test_idle_connections_are_evicted_when_descriptors_are_few(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        processes.within = ("sh", "-c", 'ulimit -n 400; exec "$@"', "few")
        server = processes.serve("--no-worker")
        assert server.log("server.connections_limited")[0]["connections"] == 144
        with ExitStack() as stack:
            connections = [stack.enter_context(closing(connect(server))) for _ in range(500)]
            for _ in range(20):
                assert send_callback(server) == 200
            # Those that were idle for longest are closed.
            assert connections[0].recv(1) == b""
        eventually(lambda: _is_refused_when_all_are_busy(server), "every connection is admitted")


def _is_refused_when_all_are_busy(server: Server) -> bool:
    with ExitStack() as stack:
        for _ in range(144):
            stack.enter_context(closing(connect(server))).sendall(START)
        late = stack.enter_context(closing(connect(server)))
        late.settimeout(3)
        try:
            response = read_response(late)
        except TimeoutError:  # it was admitted before the others had sent anything
            return False
        return response.status == 503 and int(response.headers["retry-after"]) > 0


def test_process_raises_its_limit_of_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource; from tracker.web.http.limits import find_max_connections;"
        " print(find_max_connections(10_000), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    output = subprocess.run(
        ["sh", "-c", f"ulimit -Sn 256; ulimit -Hn 1256; exec {sys.executable} -c '{code}'"],
        capture_output=True, text=True, check=True,
    ).stdout.split()[-3:]  # fmt: skip
    assert output == ["1000", "1256", "1256"]
    assert find_max_connections(LIMITS.max_connections) <= LIMITS.max_connections
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _can_send(connection: socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True

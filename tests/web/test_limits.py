"""What one connection may take, and all of them together: on real sockets of a real server."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.processes import SECRET, Processes, Server, eventually
from tracker.web.http.connection_guard import ConnectionGuard
from tracker.web.http.limits import Limits, find_max_connections

LIMITS = Limits()

AUTHORIZED = f"Authorization: Bearer {SECRET}\r\n".encode()
START = b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        yield processes.serve("--no-worker")


def connect(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 0), timeout=60)


def said(wire: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer."""
    coming = wire.makefile("rb")
    status = int(coming.readline().split()[1])
    lines = iter(lambda: coming.readline().decode().strip(), "")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    return status, headers, coming.read(int(headers["content-length"]))


def refusal(server: Server, *parts: bytes) -> int:
    """The status with which this is refused; the connection then ends."""
    with connect(server) as wire:
        for part in parts:
            wire.sendall(part)
        status, headers, body = said(wire)
        assert (headers["connection"], headers["content-type"]) == ("close", "application/problem+json")
        assert json.loads(body)["status"] == status
        assert wire.recv(1) == b""
        return status


def callback(server: Server, body: bytes = b"{}") -> int:
    headers = {"Authorization": f"Bearer {SECRET}"}
    return httpx.post(
        f"{server.url}/callbacks/thundersms", content=body, headers=headers, trust_env=False, timeout=30
    ).status_code


# one connection


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        # in one piece, and in pieces of which none is too large
        ((START + b"X: " + b"x" * LIMITS.max_head_bytes + b"\r\n\r\n",), 431),
        ((START + b"X: " + b"x" * LIMITS.max_head_bytes,), 431),
        ((START, *[b"X-%d: " % n + b"x" * 1000 + b"\r\n" for n in range(33)], b"Y: y"), 431),
        ((START + b"".join(b"X-%d: x\r\n" % n for n in range(LIMITS.max_headers)) + b"\r\n",), 431),
        ((b"GET /healthz?" + b"x" * LIMITS.max_url_bytes + b" HTTP/1.1\r\n\r\n",), 414),
        ((b"GET /healthz?" + b"x" * LIMITS.max_url_bytes,), 414),
        ((b"this is no HTTP\r\n\r\n",), 400),
    ],
)
def test_a_head_that_is_too_long_is_refused_while_it_arrives(
    server: Server, parts: tuple[bytes, ...], status: int
) -> None:
    assert refusal(server, *parts) == status
    assert callback(server) == 200


def test_a_long_head_that_is_short_enough_is_read(server: Server) -> None:
    body = b"x" * 60_000
    long = b"".join(b"X-%d: " % n + b"x" * 900 + b"\r\n" for n in range(32))
    with connect(server) as wire:
        for _ in range(2):
            head = START + AUTHORIZED + long + b"Content-Length: %d\r\n\r\n" % len(body)
            wire.sendall(head + body)
            assert said(wire)[0] == 200


def test_whoever_sends_on_after_a_refusal_is_cut_off(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(START + b"X: " + b"x" * 2 * LIMITS.max_head_bytes)
        assert said(wire)[0] == 431
        eventually(lambda: not _takes(wire, b"x" * 1000), "it reads on and on")


def test_half_a_head_and_half_a_body_are_not_waited_for_for_ever(server: Server) -> None:
    with ExitStack() as stack:
        half_head, half_body, half_stranger = (stack.enter_context(connect(server)) for _ in range(3))
        half_head.sendall(START)
        half_body.sendall(START + AUTHORIZED + b"Content-Length: 100\r\n\r\nsome")
        half_stranger.sendall(b"POST /api/v1/calls HTTP/1.1\r\nContent-Length: 100\r\n\r\nsome")
        assert callback(server) == 200
        # a stranger at the API is told so without his body
        assert said(half_stranger)[0] == 401
        for wire in (half_head, half_body):
            status, headers, _ = said(wire)
            assert (status, headers["connection"]) == (408, "close")
            assert wire.recv(1) == b""


def _takes(wire: socket.socket, data: bytes) -> bool:
    try:
        wire.sendall(data)
    except OSError:
        return False
    return True


# the shortcut, and what must not take it


def test_requests_that_are_sent_without_waiting_are_answered_in_their_order(server: Server) -> None:
    good = START + AUTHORIZED + b"Content-Length: 2\r\n\r\n{}"
    chunked = START + AUTHORIZED + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with connect(server) as wire:
        health = b"GET /healthz HTTP/1.1\r\nHost: tracker\r\n\r\n"
        wire.sendall(good + health + chunked + START + b"Content-Length: 0\r\n\r\n" + good + good)
        coming = wire.makefile("rb")
        statuses = []
        for _ in range(6):
            statuses.append(int(coming.readline().split()[1]))
            lines = iter(lambda: coming.readline().decode().strip().lower(), "")
            headers = dict(line.split(": ") for line in lines)
            coming.read(int(headers["content-length"]))
        assert statuses == [200, 200, 200, 401, 200, 200]


def test_a_callback_in_pieces_is_stored_whole(server: Server) -> None:
    with connect(server) as wire:
        for byte in (START + AUTHORIZED + b"Content-Length: 5\r\n\r\n", b"a", b"bc", b"de"):
            wire.sendall(byte)
            time.sleep(0.02)
        status, headers, body = said(wire)
        assert (status, body, headers["content-type"]) == (200, b'{"ok":true}', "application/json")
        assert "date" in headers
        wire.sendall(START.replace(b"1.1", b"1.0") + AUTHORIZED + b"Content-Length: 0\r\n\r\n")
        status, headers, _ = said(wire)
        assert (status, headers["connection"]) == (200, "close")
        assert wire.recv(1) == b""
    with server.client() as client:
        kept = client.get("/api/v1/callbacks").json()["data"]
        raw = client.get(f"/api/v1/callbacks/{kept[1]['id']}").json()["request"]
    assert [each["size"] for each in kept] == [0, 5]
    assert raw["body"] == "abcde"
    assert (raw["method"], raw["path"]) == ("POST", "/callbacks/thundersms")
    assert ["authorization", "Bearer ***"] in [list(pair) for pair in raw["headers"]] or "***" in json.dumps(
        raw
    )
    assert SECRET not in json.dumps(raw)


def test_whoever_is_gone_before_the_answer_is_stored_nevertheless(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(START + AUTHORIZED + b"Content-Length: 2\r\n\r\n{}")
    with server.client() as client:
        eventually(lambda: client.get("/api/v1/callbacks").json()["data"], "it is not there")


# all of them together


def test_thousands_of_silent_and_slow_connections_stop_nobody(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(3000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as stack:
            for n in range(count):
                wire = stack.enter_context(closing(connect(server)))
                if n % 3 == 1:
                    wire.sendall(START)
                elif n % 3 == 2:
                    wire.sendall(START + AUTHORIZED + b"Content-Length: 100\r\n\r\n")
            assert [callback(server) for _ in range(20)] == [200] * 20
            assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=30).status_code == 200
            # and whoever asks it to end does not wait for them
            assert server.terminate() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [e for e in server.log() if e.get("level") in ("warning", "error")] == []


def test_where_descriptors_are_few_the_idle_make_room(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        processes.within = ("sh", "-c", 'ulimit -n 400; exec "$@"', "few")
        server = processes.serve("--no-worker")
        assert server.log("server.connections_limited")[0]["connections"] == 144
        with ExitStack() as stack:
            wires = [stack.enter_context(closing(connect(server))) for _ in range(500)]
            for _ in range(20):
                assert callback(server) == 200
            # those that were idle for longest are gone
            assert wires[0].recv(1) == b""
        eventually(lambda: _refused(server), "everybody is let in")


def _refused(server: Server) -> bool:
    """Whether, where nobody is idle, one more is told to come later."""
    with ExitStack() as stack:
        for _ in range(144):
            stack.enter_context(closing(connect(server))).sendall(START)
        late = stack.enter_context(closing(connect(server)))
        late.settimeout(3)
        try:
            status, headers, _ = said(late)
        except TimeoutError:  # it came before the others had said anything
            return False
        return status == 503 and int(headers["retry-after"]) > 0


class Resting:
    """A connection as the guard sees it."""

    def __init__(self, idle_since: float | None, receiving_since: float | None = None) -> None:
        self.idle_since, self.receiving_since, self.left = idle_since, receiving_since, False

    def shed(self) -> None: ...

    def check_deadlines(self, now: float) -> None: ...

    def abort_unfinished(self) -> None: ...

    def evict(self) -> None:
        self.left, self.idle_since = True, None


def test_who_was_idle_for_longest_leaves_first() -> None:
    guard = ConnectionGuard(Limits(max_connections=3))
    old, busy, young = Resting(1.0), Resting(None), Resting(2.0)
    assert all(guard.admit(each) for each in (young, busy, old))
    assert guard.admit(Resting(3.0))
    assert (old.left, young.left) == (True, False)
    # before it is gone, its place is taken only once
    assert guard.admit(Resting(3.0))
    assert young.left
    guard.remove(old)
    guard.remove(young)


def test_where_nobody_is_idle_there_is_no_room() -> None:
    guard = ConnectionGuard(Limits(max_connections=1))
    assert guard.admit(Resting(None))
    late = Resting(None)
    assert not guard.admit(late)
    guard.remove(late)
    assert guard.admit(Resting(1.0)) is False


def test_all_descriptors_are_used_that_there_are() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource; from tracker.web.http.limits import find_max_connections; print(find_max_connections(10_000),"
        " *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    told = subprocess.run(
        ["sh", "-c", f"ulimit -Sn 256; ulimit -Hn 1256; exec {sys.executable} -c '{code}'"],
        capture_output=True, text=True, check=True,
    ).stdout.split()[-3:]  # fmt: skip
    assert told == ["1000", "1256", "1256"]
    assert find_max_connections(LIMITS.max_connections) <= LIMITS.max_connections
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

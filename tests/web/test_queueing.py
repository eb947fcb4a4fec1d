"""Connections that send without waiting for answers, or without taking them: on real sockets of a real server."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.processes import SECRET, Processes, Server, eventually

CALLBACK = (
    b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\nAuthorization: Bearer " + SECRET.encode()
    + b"\r\nContent-Length: %d\r\n\r\n%s"
)  # fmt: skip
STRANGER = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        yield processes.serve("--no-worker")


def connect(server: Server, *, takes: int | None = None) -> socket.socket:
    """takes: bytes that wait on our side for being read."""
    url = httpx.URL(server.url)
    wire = socket.socket()
    if takes:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
    wire.settimeout(60)
    wire.connect((url.host, url.port or 0))
    return wire


def resident_mb(server: Server, which: str = "VmRSS") -> int:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(which))) // 1024


def answers(wire: socket.socket, count: int) -> list[tuple[int, bytes]]:
    found = []
    with wire.makefile("rb") as coming:
        for _ in range(count):
            status = int(coming.readline().split()[1])
            lines = iter(lambda: coming.readline().decode().strip().lower(), "")
            headers = dict(line.split(": ") for line in lines)
            found.append((status, coming.read(int(headers["content-length"]))))
    return found


def callback(server: Server) -> int:
    with connect(server) as wire:
        wire.sendall(CALLBACK % (2, b"{}"))
        return answers(wire, 1)[0][0]


def pour(wire: socket.socket, data: bytes, most: int) -> int:
    """Send this again and again, until nothing is taken for two seconds; how much was."""
    sent = 0
    wire.settimeout(2)
    while sent < most:
        try:
            sent += wire.send(data[sent % len(data) :])
        except OSError:
            break
    return sent


@pytest.mark.parametrize("step", [None, 1000, 100_000])
def test_five_hundred_that_are_sent_at_once_are_answered_in_their_order(
    server: Server, step: int | None
) -> None:
    """Between callbacks are questions, of which each has an answer of its own."""
    asked = b"GET /api/v1/calls/call_%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n"
    parts, expected = [], []
    for n in range(500):
        body = b"%d:" % n + b"x" * (n % 7 * 100)
        parts.append(CALLBACK % (len(body), body))
        expected.append(200)
        if n % 5 == 0:
            parts.append(asked % n)
            expected.append(401)
    whole = b"".join(parts)
    with connect(server) as wire:

        def send() -> None:
            for at in range(0, len(whole), step or len(whole)):
                wire.sendall(whole[at : at + (step or len(whole))])

        sending = threading.Thread(target=send)
        sending.start()
        assert [status for status, _ in answers(wire, len(expected))] == expected
        sending.join()
    with server.client() as client:
        sizes: list[int] = []
        page = client.get("/api/v1/callbacks?limit=500").json()
        sizes += [each["size"] for each in page["data"]]
    assert sorted(sizes) == sorted(len(b"%d:" % n) + n % 7 * 100 for n in range(500))


def test_of_requests_without_end_no_more_is_read_than_is_answered(server: Server) -> None:
    before = resident_mb(server)
    with connect(server, takes=2048) as wire:
        pour(wire, STRANGER * 4000, 200 * 1024 * 1024)
        assert callback(server) == 200
        assert resident_mb(server, "VmHWM") - before < 60


def test_a_trailer_is_as_long_as_a_head_may_be(server: Server) -> None:
    chunked = b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(server) as wire:
        wire.sendall(chunked + b"1\r\na\r\n0\r\nX: " + b"y" * 1000 + b"\r\nZ: z\r\n\r\n" + STRANGER)
        assert [status for status, _ in answers(wire, 2)] == [405, 404]
    before = resident_mb(server)
    with connect(server) as wire:
        wire.sendall(chunked + b"1\r\na\r\n0\r\nX: ")
        # what is sent behind the refusal is read, and not kept
        pour(wire, b"a" * 65536, 64 * 1024 * 1024)
    assert resident_mb(server, "VmHWM") - before < 30


def test_a_trailer_of_a_callback_is_refused_too(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall((CALLBACK % (0, b"")).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        wire.sendall(b"1\r\na\r\n0\r\nX: ")
        for _ in range(5):
            time.sleep(0.05)
            wire.sendall(b"a" * 8000)
        assert answers(wire, 1)[0][0] == 431


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def test_who_takes_no_answers_is_ended_and_so_is_half_a_request_behind_another(server: Server) -> None:
    assert callback(server) == 200
    before = descriptors(server)
    with ExitStack() as stack:
        for count in (15_000, 3_000):
            wire = stack.enter_context(closing(connect(server, takes=2048)))
            pour(wire, STRANGER * count, len(STRANGER) * count)
        half = stack.enter_context(closing(connect(server)))
        half.sendall(STRANGER + STRANGER[:-2])
        assert [status for status, _ in answers(half, 2)] == [404, 408]
        assert half.recv(1) == b""
        eventually(lambda: descriptors(server) <= before, "they are kept")
    assert [e for e in server.log() if e.get("level") in ("warning", "error")] == []


def test_who_takes_no_answers_makes_room(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        processes.within = ("sh", "-c", 'ulimit -n 336; exec "$@"', "few")
        server = processes.serve("--no-worker")
        most = server.log("server.connections_limited")[0]["connections"]
        with ExitStack() as stack:
            for _ in range(3):
                wire = stack.enter_context(closing(connect(server, takes=2048)))
                pour(wire, STRANGER * 4000, 64 * 1024 * 1024)
            # the others are busy
            for _ in range(most - 3):
                stack.enter_context(closing(connect(server))).sendall((CALLBACK % (9, b""))[:-5])
            assert callback(server) == 200
            assert server.log("request.refused") == []


def test_what_is_no_http_behind_requests_is_refused_without_an_error_of_ours(server: Server) -> None:
    for _ in range(20):
        with connect(server) as wire:
            wire.sendall(STRANGER * 3 + b"\x00\x00\r\n\r\n")
            said = b"".join(iter(lambda wire=wire: wire.recv(65536), b""))  # type: ignore[misc]
            assert said.count(b"HTTP/1.1 ") == 1
            assert b" 400 " in said
    assert callback(server) == 200
    assert [e for e in server.log() if e.get("level") in ("warning", "error")] == []


def test_heads_that_are_never_whole_take_no_more_than_is_said(server: Server) -> None:
    lines = b"".join(b"h%02d: " % n + b"a" * 300 + b"\r\n" for n in range(98))
    before = resident_mb(server)
    with ExitStack() as stack:
        for n in range(3000):
            wire = stack.enter_context(closing(connect(server)))
            wire.sendall(b"GET /healthz HTTP/1.1\r\n" + lines)
            if n % 100 == 0:
                assert callback(server) == 200
        assert resident_mb(server, "VmHWM") - before < 110
    assert [e for e in server.log() if e.get("level") in ("warning", "error")] == []

"""Connections that send requests without waiting for the responses, or without reading them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.processes import Processes, Server, eventually
from tests.web.raw_http import (
    HEAD,
    UNROUTED,
    callback,
    chunk,
    connect,
    read_response,
    read_statuses,
    resident_kib,
    send_callback,
    send_until_blocked,
    wait_until_quiet,
    warnings_of,
)

MIB = 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        yield processes.serve("--no-worker")


@pytest.mark.parametrize("step", [None, 1000, 100_000])
def test_pipelined_requests_are_answered_in_order(server: Server, step: int | None) -> None:
    """Between 500 callbacks are API requests, whose status differs."""
    api_request = b"GET /api/v1/calls/call_%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n"
    bodies = [b"%d:" % n + b"x" * (n % 7 * 100) for n in range(500)]
    parts, expected = [], []
    for n, body in enumerate(bodies):
        parts.append(callback(body))
        expected.append(200)
        if n % 5 == 0:
            parts.append(api_request % n)
            expected.append(401)
    data = b"".join(parts)
    with connect(server) as connection:

        def send() -> None:
            for start in range(0, len(data), step or len(data)):
                connection.sendall(data[start : start + (step or len(data))])

        sending = threading.Thread(target=send)
        sending.start()
        assert read_statuses(connection, len(expected)) == expected
        sending.join()
    with server.client() as client:
        stored = client.get("/api/v1/callbacks?limit=500").json()["data"]
    assert sorted(each["size"] for each in stored) == sorted(map(len, bodies))


def test_fast_path_and_endpoint_answer_in_order(server: Server) -> None:
    fast = callback()
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"{}") + chunk(b"")
    health = b"GET /healthz HTTP/1.1\r\nHost: tracker\r\n\r\n"
    unauthenticated = b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\nContent-Length: 0\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(fast + health + chunked + unauthenticated + fast + fast)
        assert read_statuses(connection, 6) == [200, 200, 200, 401, 200, 200]


def test_endless_requests_are_not_read_ahead(server: Server) -> None:
    before = resident_kib(server)
    with connect(server, receive_buffer=2048) as connection:
        send_until_blocked(connection, UNROUTED * 4000, 200 * MIB)
        assert send_callback(server) == 200
        assert resident_kib(server, "VmHWM") - before < 60 * 1024


def test_trailer_is_discarded_and_limited_like_head(server: Server) -> None:
    chunked = b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(server) as connection:
        trailer = b"X: " + b"y" * 1000 + b"\r\nZ: z\r\n\r\n"
        connection.sendall(chunked + chunk(b"a") + b"0\r\n" + trailer + UNROUTED)
        assert read_statuses(connection, 2) == [405, 404]
    before = resident_kib(server)
    with connect(server) as connection:
        connection.sendall(chunked + chunk(b"a") + b"0\r\nX: ")
        # What is sent behind the refusal is read and not kept.
        send_until_blocked(connection, b"a" * 65536, 64 * MIB)
    assert resident_kib(server, "VmHWM") - before < 30 * 1024


def test_trailer_of_callback_is_refused_when_too_large(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"a") + b"0\r\nX: ")
        for _ in range(5):
            time.sleep(0.05)
            connection.sendall(b"a" * 8000)
        assert read_response(connection).status == 431


def test_stalled_and_half_sent_connections_are_ended(server: Server) -> None:
    assert send_callback(server) == 200
    before = count_descriptors(server)
    with ExitStack() as stack:
        for count in (15_000, 3_000):
            stalled = stack.enter_context(closing(connect(server, receive_buffer=2048)))
            send_until_blocked(stalled, UNROUTED * count, len(UNROUTED) * count)
        half = stack.enter_context(closing(connect(server)))
        half.sendall(UNROUTED + UNROUTED[:-2])
        assert read_statuses(half, 2) == [404, 408]
        assert half.recv(1) == b""
        eventually(lambda: count_descriptors(server) <= before, "the connections stay open")
    assert warnings_of(server) == []


def test_stalled_connections_are_evicted_for_new_ones(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        processes.within = ("sh", "-c", 'ulimit -n 336; exec "$@"', "few")
        server = processes.serve("--no-worker")
        max_connections = server.log("server.connections_limited")[0]["connections"]
        with ExitStack() as stack:
            for _ in range(3):
                stalled = stack.enter_context(closing(connect(server, receive_buffer=2048)))
                send_until_blocked(stalled, UNROUTED * 4000, 64 * MIB)
            wait_until_quiet(server)
            # The others are busy.
            for _ in range(max_connections - 3):
                stack.enter_context(closing(connect(server))).sendall(callback(b"")[:-5])
            assert send_callback(server) == 200
            assert server.log("request.refused") == []


def test_invalid_bytes_behind_requests_get_one_answer(server: Server) -> None:
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(UNROUTED * 3 + b"\x00\x00\r\n\r\n")
            received = b"".join(iter(lambda c=connection: c.recv(65536), b""))  # type: ignore[misc]
            assert received.count(b"HTTP/1.1 ") == 1
            assert b" 400 " in received
    assert send_callback(server) == 200
    assert warnings_of(server) == []


def test_endless_heads_are_limited_in_memory(server: Server) -> None:
    lines = b"".join(b"h%02d: " % n + b"a" * 300 + b"\r\n" for n in range(98))
    before = resident_kib(server)
    with ExitStack() as stack:
        for n in range(3000):
            connection = stack.enter_context(closing(connect(server)))
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + lines)
            if n % 100 == 0:
                assert send_callback(server) == 200
        assert resident_kib(server, "VmHWM") - before < 110 * 1024
    assert warnings_of(server) == []


def count_descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))

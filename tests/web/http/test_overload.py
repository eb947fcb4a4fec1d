"""More callbacks than can be stored: they are refused at once, and the memory of the process stays bounded."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from socket import socket

import httpx

from tests.processes import Processes, Server, eventually
from tests.web.raw_http import callback, connect, read_response, resident_kib, send_callback

KIB = 1024


def test_callbacks_are_refused_when_buffers_are_full(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        with (
            closing(sqlite3.connect(tmp_path / "tracker-inbox.db", isolation_level=None)) as lock,
            ExitStack() as stack,
        ):
            lock.execute("BEGIN IMMEDIATE")
            # 100 MB in bodies that are small by themselves
            connections = [stack.enter_context(closing(connect(server))) for _ in range(1700)]
            statuses: list[int] = []

            def read_statuses() -> None:
                for connection in connections:
                    statuses.append(read_response(connection).status)

            for connection in connections:
                connection.sendall(callback(b"x" * 60 * KIB))
            reading = threading.Thread(target=read_statuses)
            reading.start()
            # Other requests are answered meanwhile.
            assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=30).status_code == 200
            reading.join()
            lock.execute("ROLLBACK")
        assert set(statuses) == {503}
        # The log has lines for the first failures, and the count of the others.
        assert 0 < len(server.log("callback.store_failed")) < 500
        logged = len(server.log("callback.store_failed") + server.log("request.refused"))
        suppressed = eventually(lambda: server.log("callback.log_suppressed"), "there is no count")
        assert logged + sum(entry["count"] for entry in suppressed) <= len(statuses)
        assert send_callback(server) == 200


def test_memory_is_bounded_when_600_mib_arrive_at_once(tmp_path: Path) -> None:
    """The server buffers 64 MiB of bodies, which costs 93 MiB in all.

    It cost 280 MiB when refused requests were kept, and 620 MiB without the limit.
    """
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        before = resident_kib(server)
        request = callback(b"x" * 1000 * KIB)
        with (
            closing(sqlite3.connect(tmp_path / "tracker-inbox.db", isolation_level=None)) as lock,
            ExitStack() as stack,
        ):
            lock.execute("BEGIN IMMEDIATE")
            connections = [stack.enter_context(closing(connect(server))) for _ in range(600)]

            def send() -> None:
                for connection in connections:
                    with suppress(OSError):  # the server stops reading a refused request
                        connection.sendall(request)

            sending = threading.Thread(target=send)
            sending.start()
            statuses = [_read_status(connection) for connection in connections]
            sending.join()
            lock.execute("ROLLBACK")
        assert set(statuses) <= {503, None}
        assert statuses.count(503) > len(statuses) / 2
        assert resident_kib(server, "VmHWM") - before < 200 * KIB


def test_memory_does_not_grow_with_stored_callbacks(tmp_path: Path, postgres_database: str) -> None:
    # PostgreSQL, because SQLite's cache grows up to its limit.
    with Processes(tmp_path, postgres_database) as processes:
        server = processes.serve("--no-worker")
        _send_callbacks(server, 4000)
        warm = resident_kib(server)
        _send_callbacks(server, 16_000)
        # 1 KiB per callback would be 16 MiB.
        assert resident_kib(server) - warm < 12 * KIB


def test_memory_does_not_grow_with_refused_requests(tmp_path: Path) -> None:
    """Anyone can send these: a quarter of a megabyte in one piece each."""
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        before = resident_kib(server)
        for _ in range(600):
            with closing(connect(server)) as connection, suppress(ConnectionError):
                connection.sendall(b"GET /" + b"u" * 240_000)
                assert read_response(connection).status == 414
        assert resident_kib(server) - before < 40_000


def _read_status(connection: socket) -> int | None:
    """Return None if the connection was closed while it was written to, because the response can then be lost."""
    try:
        return read_response(connection).status
    except OSError:
        return None


def _send_callbacks(server: Server, count: int) -> None:
    """Send `count` callbacks of 1 KB over 64 connections."""
    body = b'{"id": "%012d", "pad": "' + b"x" * 1000 + b'"}'
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(connect(server))) for _ in range(64)]
        for turn in range(count // 64):
            for n, connection in enumerate(connections):
                connection.sendall(callback(body % (turn * 64 + n)))
            for connection in connections:
                response = connection.recv(4096)
                assert response.startswith(b"HTTP/1.1 200")
                while not response.endswith(b'{"ok":true}'):
                    response += connection.recv(4096)

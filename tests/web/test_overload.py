"""More than can be stored: told so at once, and small meanwhile."""

from __future__ import annotations

import socket
import sqlite3
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx

from tests.processes import SECRET, Processes, Server, eventually

HEAD = (
    b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\nAuthorization: Bearer "
    + SECRET.encode()
    + b"\r\nContent-Length: %d\r\n\r\n"
)
KIB = 1024


def connect(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 0), timeout=60)


def status_of(wire: socket.socket) -> int:
    return int(wire.makefile("rb").readline().split()[1])


def resident_kib(server: Server, which: str = "VmRSS") -> int:
    """What it has in memory; the most it had so far is VmHWM."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(which)))


def test_what_does_not_fit_is_told_so_while_the_others_wait(tmp_path: Path) -> None:
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        with (
            closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)) as lock,
            ExitStack() as stack,
        ):
            lock.execute("BEGIN IMMEDIATE")
            # 100 MB in pieces that are small enough for anybody: some wait, the others are refused
            body = b"x" * 60 * KIB
            wires = [stack.enter_context(closing(connect(server))) for _ in range(1700)]
            answers: list[int] = []

            def listen() -> None:
                for wire in wires:
                    answers.append(status_of(wire))

            for wire in wires:
                wire.sendall(HEAD % len(body) + body)
            listening = threading.Thread(target=listen)
            listening.start()
            # whoever looks after it is answered, and sees that it stores nothing now
            assert httpx.get(f"{server.url}/healthz", trust_env=False, timeout=30).status_code == 200
            listening.join()
            lock.execute("ROLLBACK")
        assert set(answers) == {503}
        # the log says so, and not in a line for each
        assert 0 < len(server.log("callback.store_failed")) < 500
        told = len(server.log("callback.store_failed") + server.log("request.refused"))
        counted = eventually(lambda: server.log("callback.log_suppressed"), "they are not counted")
        assert told + sum(each["count"] for each in counted) <= len(answers)
        # and then it stores again
        with connect(server) as wire:
            wire.sendall(HEAD % 2 + b"{}")
            assert status_of(wire) == 200


def test_the_process_stays_small_however_much_comes_at_once(tmp_path: Path) -> None:
    """600 MiB are offered while nothing can be stored. 64 MiB of bodies are held, which has cost 93 in all; with what
    was refused kept it cost 280, and without the bound 620."""
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        before = resident_kib(server)
        body = b"x" * 1000 * KIB
        with (
            closing(sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)) as lock,
            ExitStack() as stack,
        ):
            lock.execute("BEGIN IMMEDIATE")
            wires = [stack.enter_context(closing(connect(server))) for _ in range(600)]

            def send() -> None:
                for wire in wires:
                    _offer(wire, body)

            sending = threading.Thread(target=send)
            sending.start()
            answers = [_answered(wire) for wire in wires]
            sending.join()
            lock.execute("ROLLBACK")
        assert set(answers) <= {503, None}
        assert answers.count(503) > len(answers) / 2
        assert resident_kib(server, "VmHWM") - before < 200 * KIB


def _offer(wire: socket.socket, body: bytes) -> None:
    with suppress(OSError):  # who is refused is not read on
        wire.sendall(HEAD % len(body) + body)


def _answered(wire: socket.socket) -> int | None:
    """None where the connection was cut while it was written to: then the answer may be lost on the way."""
    try:
        return status_of(wire)
    except (OSError, IndexError):
        return None


def test_thousands_of_callbacks_leave_nothing_behind(tmp_path: Path, postgres_database: str) -> None:
    # not SQLite, which has a cache that grows up to its bound
    with Processes(tmp_path, postgres_database) as processes:
        server = processes.serve("--no-worker")
        _post(server, 4000)
        warm = resident_kib(server)
        _post(server, 16_000)
        # a kibibyte for each would be 16 MiB
        assert resident_kib(server) - warm < 12 * KIB


def _post(server: Server, count: int) -> None:
    body = b'{"id": "%012d", "pad": "' + b"x" * 1000 + b'"}'
    with ExitStack() as stack:
        wires = [stack.enter_context(closing(connect(server))) for _ in range(64)]
        for turn in range(count // 64):
            for n, wire in enumerate(wires):
                wire.sendall(HEAD % len(body % n) + body % (turn * 64 + n))
            for wire in wires:
                answer = wire.recv(4096)
                assert answer.startswith(b"HTTP/1.1 200")
                while not answer.endswith(b'{"ok":true}'):
                    answer += wire.recv(4096)


def test_who_is_refused_again_and_again_leaves_nothing_behind(tmp_path: Path) -> None:
    """A stranger needs no secret for it: each of these has a quarter of a megabyte in one piece."""
    with Processes(tmp_path, f"sqlite:///{tmp_path / 'tracker.db'}") as processes:
        server = processes.serve("--no-worker")
        long = b"GET /" + b"u" * 240_000
        before = resident_kib(server)
        for _ in range(600):
            with closing(connect(server)) as wire, suppress(ConnectionError):
                wire.sendall(long)
                assert status_of(wire) == 414
        assert resident_kib(server) - before < 40_000

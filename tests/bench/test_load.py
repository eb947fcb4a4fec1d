"""The load generator counts what a server really did, also where that misbehaves."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.load import Load, is_whole, percentile
from bench.plan import WINDOW, Plan

ROOT = Path(__file__).resolve().parents[2]


class Mixed(socketserver.ThreadingTCPServer):
    """Answers what a body says: a status, or `close` (after an answer), or `drop` (without one), or `slow` (in two
    pieces). Keeps all bodies that it read whole."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: Counter[bytes] = Counter()
        self.heads: list[bytes] = []


class _Handler(socketserver.StreamRequestHandler):
    server: Mixed

    def handle(self) -> None:
        while line := self.rfile.readline():
            head = [line]
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head.append(line)
            length = next(int(h[15:]) for h in head if h.lower().startswith(b"content-length:"))
            body = self.rfile.read(length)
            self.server.seen[body] += 1
            self.server.heads.append(b"".join(head))
            if not self._answer(body.partition(b" ")[0]):
                return

    def _answer(self, word: bytes) -> bool:
        if word == b"drop":
            return False
        status = word if word.isdigit() else b"200"
        close = b"Connection: close\r\n" if word == b"close" else b""
        answer = b"HTTP/1.1 %b Word\r\n%bContent-Length: 11\r\n\r\n" % (status, close)
        self.wfile.write(answer)
        if word == b"slow":
            self.wfile.flush()
            threading.Event().wait(0.01)
        self.wfile.write(b'{"ok":true}')
        return not close


@contextmanager
def serving() -> Iterator[tuple[Mixed, str]]:
    with Mixed() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_address[1]}/callbacks/thundersms"
        finally:
            server.shutdown()
            thread.join()


WORDS = ["200", "202", "503", "404", "slow", "close"]
BODIES = [f"{word} {n}".encode() for n in range(60) for word in WORDS]


def test_every_body_is_sent_once_and_counted_by_its_answer() -> None:
    with serving() as (server, url):
        answers = Load(url, BODIES, connections=7, seconds=30).run()
    assert server.seen == Counter(BODIES)
    told = answers.summary()
    assert told["ran_dry"]
    assert (told["answered"], told["others"], told["unanswered"]) == (240, {"503": 60, "404": 60}, 0)
    wanted = {i for i, body in enumerate(BODIES) if body.split()[0] in (b"200", b"202", b"slow", b"close")}
    assert {i for i, _ in answers.succeeded()} == wanted
    assert answers.closed == 60


def test_a_request_that_gets_no_answer_is_none_that_was_answered() -> None:
    bodies = [b"drop 1", b"200 2", b"drop 3", b"200 4"]
    with serving() as (server, url):
        answers = Load(url, bodies, connections=1, seconds=30).run()
    assert sorted(answers.index) == [1, 3]
    assert answers.unanswered == 2
    assert server.seen == Counter(bodies)


def test_a_rate_is_kept_and_a_wait_is_charged_to_the_answer() -> None:
    with serving() as (_, url):
        answers = Load(url, [b"slow %d" % n for n in range(40)], connections=1, seconds=30, rate=1000.0).run()
    # one connection takes at least 10 ms for each: the last had to wait for all before it
    assert len(answers.index) == 40
    assert max(answers.took_s) >= 0.3
    assert answers.took_s[-1] > answers.took_s[0]


def test_no_more_is_sent_than_there_is_credit_for() -> None:
    with serving() as (server, url):
        reading, writing = os.pipe()
        load = Load(url, BODIES, connections=4, seconds=30, credit=reading)
        thread = threading.Thread(target=load.run)
        thread.start()
        os.write(writing, b"5\n")
        while sum(server.seen.values()) < 5:
            pass
        threading.Event().wait(0.1)
        assert sum(server.seen.values()) == 5
        os.write(writing, b"9\n1000")
        os.write(writing, b"0\n")
        thread.join()
        os.close(reading)
        os.close(writing)
    assert server.seen == Counter(BODIES)


def test_as_a_command_it_says_what_was_answered_and_when(tmp_path: Path) -> None:
    bodies, answered = tmp_path / "bodies", tmp_path / "answered"
    bodies.write_bytes(b"200 a\n503 b\n201 c\n")
    with serving() as (server, url):
        command = [
            sys.executable,
            "-P",
            "-m",
            "bench.load",
            "--url",
            url,
            "--secret",
            "the-secret",
            "--seconds",
            "30",
        ]
        options = ["--bodies", str(bodies), "--answered", str(answered), "--connections", "2"]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["answered"], told["others"]) == (2, {"503": 1})
    assert sorted(int(line.split()[0]) for line in answered.read_text().splitlines()) == [0, 2]
    assert all(b"Authorization: Bearer the-secret\r\n" in head for head in server.heads)


def test_nobody_listening_is_a_sentence() -> None:
    command = [sys.executable, "-P", "-m", "bench.load", "--url", "http://127.0.0.1:9/x", "--calls", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Is the server running?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("received", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_last_byte_is_there(received: bytes, whole: bool) -> None:
    assert is_whole(received) is whole


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_orders_hold_every_call_once_and_windows_stay_windows() -> None:
    plan = Plan(2 * WINDOW + 100)
    for how in ("placed", "windows", "shuffled"):
        assert sorted(plan.order(how)) == list(range(plan.count))
    windows = plan.order("windows")
    assert sorted(windows[:WINDOW]) == list(range(WINDOW))
    assert windows[:WINDOW] != list(range(WINDOW))

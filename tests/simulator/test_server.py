"""The simulator as a real process, with a real receiver on a port of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.simulator.simulated_provider import BRIDGE, CALLEE, TOKEN


@contextmanager
def process(*flags: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client, str]]:
    """Run `tracker simulate`. Yield the process, a client of its API, and the address of its inspection routes."""
    command = [sys.executable, "-m", "tracker", "simulate", "--port", "0", "--json", *flags]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        ready = json.loads(running.stdout.readline())
        with httpx.Client(base_url=ready["url"], headers=TOKEN, trust_env=False) as client:
            yield running, client, ready["control"]
    finally:
        running.kill()
        running.communicate()


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Run a receiver. Yield its address and its list of received (Authorization, body)."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            got.append((self.headers.get("Authorization", ""), self.rfile.read(length)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/callbacks/a", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_call_is_placed_and_reported_over_real_http() -> None:
    with (
        receiver() as (uri, got),
        process(
            *("--speed", "1000", "--webhook", f"hook={uri}", "--webhook-secret", "s3cret"),
            *("--outcome", f"{CALLEE}=busy", "--fault", f"{CALLEE}=duplicate"),
        ) as (running, client, control),
    ):
        body = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23", "webhook_id": "hook"}
        assert client.post("outgoing/send", json=body).json()["status"] == 200
        while not client.get(f"{control}idle").json()["idle"]:
            time.sleep(0.02)
        assert [(bearer, json.loads(body)["status"]) for bearer, body in got] == [
            ("Bearer s3cret", "BUSY")
        ] * 2
        [call] = client.get(f"{control}calls").json()["data"]
        assert [each["status_code"] for each in call["callbacks"]] == [200, 200]
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_simulator_exits_0_while_an_answer_hangs(sign: signal.Signals) -> None:
    with process("--speed", "0.01", "--hang", "1") as (running, client, control):
        body = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23"}
        with pytest.raises(httpx.ReadTimeout):
            client.post("outgoing/send", json=body, timeout=0.3)
        hanging = threading.Thread(target=lambda: client.post("outgoing/send", json=body, timeout=60))
        hanging.start()
        while len(client.get(f"{control}calls").json()["data"]) < 2:
            time.sleep(0.02)
        running.send_signal(sign)
        assert running.wait(30) == 0
        hanging.join()


def test_startup_failure_is_one_line_on_stderr() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for flags, code, word in ((["--port", port], 1, "--port"), (["--mix", "bussy=1"], 2, "busy")):
            command = [sys.executable, "-m", "tracker", "simulate", *flags]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert ended.returncode == code
            assert word in ended.stderr
            assert len(ended.stderr.splitlines()) == 1


def seed_and_first_id(*flags: str) -> tuple[int, str]:
    """Run a simulator. Return the seed that it prints and the id of its first call."""
    command = [sys.executable, "-m", "tracker", "simulate", "--port", "0", "--json", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            ready = json.loads(running.stdout.readline())
            with httpx.Client(base_url=ready["url"], headers=TOKEN, trust_env=False) as client:
                body = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23"}
                client.post("outgoing/send", json=body)
                [call] = client.get(f"{ready['control']}calls").json()["data"]
        finally:
            running.kill()
    return ready["seed"], call["submission_id"]


def test_runs_assign_different_ids_unless_a_seed_is_given() -> None:
    """A restarted simulator once assigned the same ids again, and its callbacks were joined to older calls."""
    (one, id), (other, another) = seed_and_first_id(), seed_and_first_id()
    assert one != other
    assert id != another
    assert seed_and_first_id("--seed", str(one)) == (one, id)

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

from tests.simulator.provider import BRIDGE, CALLEE, TOKEN


@contextmanager
def process(*flags: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client, str]]:
    """`tracker simulate`, a client of its API, and the address of its control surface."""
    command = [sys.executable, "-m", "tracker", "simulate", "--port", "0", "--json", *flags]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        said = json.loads(running.stdout.readline())
        with httpx.Client(base_url=said["url"], headers=TOKEN, trust_env=False) as client:
            yield running, client, said["control"]
    finally:
        running.kill()
        running.communicate()


@contextmanager
def sink() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a receiver, and the bearer and body of all that it got."""
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


def test_a_call_is_placed_and_reported_over_real_http() -> None:
    with (
        sink() as (uri, got),
        process(
            *("--speed", "1000", "--webhook", f"hook={uri}", "--webhook-secret", "s3cret"),
            *("--outcome", f"{CALLEE}=busy", "--fault", f"{CALLEE}=duplicate"),
        ) as (running, client, control),
    ):
        wish = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23", "webhook_id": "hook"}
        assert client.post("outgoing/send", json=wish).json()["status"] == 200
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
def test_it_ends_with_0_while_an_answer_hangs_and_a_phone_rings(sign: signal.Signals) -> None:
    with process("--speed", "0.01", "--hang", "1") as (running, client, control):
        wish = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23"}
        with pytest.raises(httpx.ReadTimeout):
            client.post("outgoing/send", json=wish, timeout=0.3)
        hanging = threading.Thread(target=lambda: client.post("outgoing/send", json=wish, timeout=60))
        hanging.start()
        while len(client.get(f"{control}calls").json()["data"]) < 2:
            time.sleep(0.02)
        running.send_signal(sign)
        assert running.wait(30) == 0
        hanging.join()


def test_an_address_in_use_and_a_wrong_option_are_said_in_one_sentence() -> None:
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


def first_id(*flags: str) -> tuple[int, str]:
    """The seed that a simulator says it has, and the id that it gives its first call."""
    command = [sys.executable, "-m", "tracker", "simulate", "--port", "0", "--json", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            said = json.loads(running.stdout.readline())
            with httpx.Client(base_url=said["url"], headers=TOKEN, trust_env=False) as client:
                wish = {"bridge": BRIDGE, "to": CALLEE, "flow_id": "23"}
                client.post("outgoing/send", json=wish)
                [call] = client.get(f"{said['control']}calls").json()["data"]
        finally:
            running.kill()
    return said["seed"], call["submission_id"]


def test_no_two_runs_give_the_same_id_unless_a_seed_is_asked_for() -> None:
    """A provider gives no id twice. One that was restarted did, and its callbacks were taken for those of before."""
    (one, id), (other, another) = first_id(), first_id()
    assert one != other
    assert id != another
    assert first_id("--seed", str(one)) == (one, id)

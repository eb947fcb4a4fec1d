"""The command `tracker inbox send-sample`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider, accepted


@contextmanager
def server(status: int) -> Iterator[tuple[int, list[tuple[str, str, Any]]]]:
    """Run a server that answers with this status; return its port, and path, secret and body of each request."""
    got: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["User-Agent"] == "tracker-sample"
            got.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"ok":true}\x1b[31m')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield running.server_port, got
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def test_sample_is_posted_to_the_server_with_the_secret(cli: Cli) -> None:
    with server(200) as (port, got):
        cli.configure("http://127.0.0.1:9/", port=port)
        result = cli("inbox", "send-sample", "busy", "--to", NUMBER)
        document = cli.json("inbox", "send-sample", "answer", "--id", "abc:1", "--lane", "a")
    assert result.exit_code == 0
    assert '200 {"ok":true}\\x1b[31m' in result.stdout
    [(path, secret, body), (lane, _, composed)] = got
    assert (path, lane) == ("/callbacks/thundersms", "/callbacks/thundersms/a")
    assert secret == "Bearer a-secret-of-the-webhook"
    assert (body["status"], body["to"]) == ("BUSY", int(NUMBER[1:]))
    assert (composed["id"], composed["status"]) == ("abc:1", "ANSWER")
    assert document["status"] == 200


def test_sample_of_a_recent_call_needs_force(cli: Cli, provider: RecordingProvider) -> None:
    provider.sends.append(accepted("abc:1"))
    with server(200) as (port, got):
        cli.configure(provider.base_url, port=port)
        id = cli.json("call", NUMBER, "--flow", "24")["id"]
        for sample in (["--to", NUMBER], ["--id", "ABC:1"], ["--mid", "abc"]):
            result = cli("inbox", "send-sample", "busy", *sample)
            assert result.exit_code == 1
            assert id in result.stderr
        assert got == []
        assert cli("inbox", "send-sample", "busy").exit_code == 0
        assert cli("inbox", "send-sample", "busy", "--to", NUMBER, "--force").exit_code == 0
    assert [body["to"] for _, _, body in got] == [918867130003, int(NUMBER[1:])]


def test_send_sample_fails_when_the_answer_is_no_200(cli: Cli) -> None:
    with server(201) as (port, _):
        cli.configure("http://127.0.0.1:9/", port=port)
        assert cli("inbox", "send-sample", "busy").exit_code == 1


def test_send_sample_fails_when_no_server_runs(cli: Cli) -> None:
    cli.configure("http://127.0.0.1:9/", port=9)
    result = cli("inbox", "send-sample", "busy")
    assert result.exit_code == 1
    assert "tracker serve" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong", [["perhaps"], ["busy", "--to", "91XX"], ["busy", "--id", "a", "--mid", "b"]]
)
def test_send_sample_refuses_wrong_options(cli: Cli, wrong: list[str]) -> None:
    cli.configure("http://127.0.0.1:9/", port=9)
    assert cli("inbox", "send-sample", *wrong).exit_code == 2

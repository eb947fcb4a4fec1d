"""The callbacks that `inbox send-sample` posts: the provider's own reader understands them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.cli.conftest import NUMBER, Cli
from tests.recording_provider import RecordingProvider, accepted
from tracker.domain.accounts import Account
from tracker.domain.call_reports import CallReport
from tracker.providers.base import CallbackRequest
from tracker.providers.registry import get_provider
from tracker.providers.thundersms import samples

ACCOUNT = Account(name="thundersms", bridge="918068280000")
NOW = datetime(2026, 11, 23, 13, 30, tzinfo=UTC)


def read(account: Account, body: dict[str, Any]) -> CallReport:
    incoming = CallbackRequest(
        method="POST", path=b"/", query=b"", headers=((b"Content-Type", b"application/json"),),
        body=samples.encode_body(body),
    )  # fmt: skip
    said = get_provider("thundersms").parse_callback(account, incoming)
    assert isinstance(said, CallReport)
    return said


@pytest.mark.parametrize("word", samples.SAMPLE_STATUSES)
def test_every_word_is_one_that_the_reader_knows(word: str) -> None:
    for body in (
        samples.default_callback(ACCOUNT, word, NOW, to=NUMBER, message_id=None),
        samples.composed_callback(ACCOUNT, word, NOW, to=NUMBER, id=None),
    ):
        said = read(ACCOUNT, body)
        assert said.provider_status == samples.SAMPLE_STATUSES[word]
        assert said.status is not None
        assert (said.to, said.ended_at) == (NUMBER, NOW)
        assert said.started_at is not None
        assert NOW - said.started_at < timedelta(minutes=1)


def test_the_usual_one_names_no_submission_and_the_composed_one_does() -> None:
    assert read(ACCOUNT, samples.default_callback(ACCOUNT, "busy", NOW, to=NUMBER, message_id="m")).ids == ()
    assert read(ACCOUNT, samples.composed_callback(ACCOUNT, "busy", NOW, to=NUMBER, id="abc:1")).ids == (
        "abc:1",
    )


def test_a_composed_one_uses_the_account_s_own_names() -> None:
    keys = {"id": "outgoing.call_id", "status": "message_status", "to": "outgoing.mobile"}
    account = Account(name="thundersms", callback_keys=keys)
    body = samples.composed_callback(account, "busy", NOW, to=NUMBER, id="abc:1")
    assert body["outgoing"] == {"call_id": "abc:1", "mobile": NUMBER[1:]}
    said = read(account, body)
    assert (said.ids, said.provider_status, said.to) == (("abc:1",), "BUSY", NUMBER)


@contextmanager
def server(status: int) -> Iterator[tuple[int, list[tuple[str, str, Any]]]]:
    """A port, and the path, secret and body of what was posted to it."""
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


def test_it_is_posted_to_one_s_own_server_with_the_account_s_secret(cli: Cli) -> None:
    with server(200) as (port, got):
        cli.configure("http://127.0.0.1:9/", port=port)
        result = cli("inbox", "send-sample", "busy", "--to", NUMBER)
        told = cli.json("inbox", "send-sample", "answer", "--id", "abc:1", "--lane", "a")
    assert result.exit_code == 0
    assert '200 {"ok":true}\\x1b[31m' in result.stdout
    [(path, secret, body), (lane, _, composed)] = got
    assert (path, lane) == ("/callbacks/thundersms", "/callbacks/thundersms/a")
    assert secret == "Bearer a-secret-of-the-webhook"
    assert (body["status"], body["to"]) == ("BUSY", int(NUMBER[1:]))
    assert (composed["id"], composed["status"]) == ("abc:1", "ANSWER")
    assert told["status"] == 200


def test_a_sample_that_would_become_the_outcome_of_a_call_is_not_sent(
    cli: Cli, provider: RecordingProvider
) -> None:
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


def test_an_answer_that_the_provider_would_not_take_is_a_failure(cli: Cli) -> None:
    with server(201) as (port, _):
        cli.configure("http://127.0.0.1:9/", port=port)
        assert cli("inbox", "send-sample", "busy").exit_code == 1


def test_nobody_there_is_said_in_a_sentence(cli: Cli) -> None:
    cli.configure("http://127.0.0.1:9/", port=9)
    result = cli("inbox", "send-sample", "busy")
    assert result.exit_code == 1
    assert "tracker serve" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong", [["perhaps"], ["busy", "--to", "91XX"], ["busy", "--id", "a", "--mid", "b"]]
)
def test_wrong_usage(cli: Cli, wrong: list[str]) -> None:
    cli.configure("http://127.0.0.1:9/", port=9)
    assert cli("inbox", "send-sample", *wrong).exit_code == 2

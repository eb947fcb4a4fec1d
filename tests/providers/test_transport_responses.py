"""Tests the responses of an exchange: complete ones, and those whose body breaks off."""

from __future__ import annotations

import asyncio

import pytest

from tests.providers.peers import (
    ENOUGH_S,
    OK,
    SHORT_S,
    TOKEN,
    Peer,
    Server,
    make_request,
    peer,
    require_response,
    run_exchange,
)
from tracker.providers.base import HttpResponse
from tracker.providers.transport import exchange


def test_response_has_status_headers_and_body() -> None:
    result, server = run_exchange(peer(OK))
    assert require_response(result).status == 200
    assert require_response(result).body == b"{}"
    assert require_response(result).body_error is None
    assert require_response(result).header("content-TYPE") == "application/json"
    assert server.received.startswith(b"POST /api/v2/outgoing/send HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}".encode() in server.received
    assert server.received.endswith(b"\r\n\r\n{}")


def test_redirect_is_not_followed() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
    result, server = run_exchange(peer(answer))
    assert require_response(result).status == 302
    assert server.connections == 1


def test_proxy_in_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    result, _ = run_exchange(peer(OK))
    assert require_response(result).status == 200


def test_each_exchange_opens_a_connection() -> None:
    async def scenario() -> int:
        async with Server(peer(OK)) as server:
            for _ in range(3):
                assert isinstance(await exchange(make_request(server.url), timeout_s=ENOUGH_S), HttpResponse)
            return server.connections

    assert asyncio.run(scenario()) == 3


@pytest.mark.parametrize(
    "serving",
    [
        pytest.param(peer(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"), id="closed in the body"),
        pytest.param(
            peer(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"), id="a chunk is cut"
        ),
        pytest.param(
            peer(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{", then="reset"),
            id="reset in the body",
        ),
        pytest.param(
            peer(b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n{{{{"),
            id="no gzip",
        ),
    ],
)
def test_response_with_broken_body_keeps_its_status(serving: Peer) -> None:
    result, _ = run_exchange(serving)
    assert require_response(result).status == 201
    assert require_response(result).body_error


def test_response_with_stalled_body_keeps_its_status() -> None:
    result, _ = run_exchange(
        peer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", then="silence"), timeout_s=SHORT_S
    )
    assert require_response(result).status == 200
    assert require_response(result).body == b"{"
    assert require_response(result).body_error == "no complete response within 1 s"


def test_timeout_bounds_a_slow_body() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    result, _ = run_exchange(drip, timeout_s=SHORT_S)
    assert require_response(result).body_error == "no complete response within 1 s"


def test_body_over_the_limit_is_cut() -> None:
    result, _ = run_exchange(peer(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000), max_body_bytes=1000)
    assert require_response(result).body == b"x" * 1000
    assert require_response(result).body_error == "the body is larger than 1000 bytes"


def test_body_of_exactly_the_limit_is_complete() -> None:
    result, _ = run_exchange(
        peer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000), max_body_bytes=1000
    )
    assert require_response(result).body_error is None

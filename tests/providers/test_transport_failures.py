"""Tests the certainty after an exchange without response: whether the request never left or may have arrived."""

from __future__ import annotations

import asyncio
import socket

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
    require_failure,
    require_response,
    run_exchange,
)
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse
from tracker.providers.transport import exchange


@pytest.mark.parametrize(
    "serving",
    [
        pytest.param(peer(b""), id="closed after the request"),
        pytest.param(peer(b"", then="reset"), id="reset after the request"),
        pytest.param(peer(b"", read=False), id="closed at accept"),
        pytest.param(peer(b"HTTP/1.1 200 OK\r\nConte"), id="closed in the headers"),
        pytest.param(peer(b"SSH-2.0-OpenSSH_9.2\r\n"), id="garbage"),
    ],
)
def test_failure_after_the_request_is_unclear(serving: Peer) -> None:
    result, _ = run_exchange(serving)
    assert not require_failure(result).never_left


def test_silence_after_the_request_is_unclear() -> None:
    result, server = run_exchange(peer(b"", then="silence"), timeout_s=SHORT_S)
    assert require_failure(result) == ExchangeFailure(
        never_left=False, message="TimeoutError: no complete response within 1 s"
    )
    assert server.received


def test_partly_written_request_is_unclear() -> None:
    async def never_read() -> HttpResponse | ExchangeFailure:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            return await exchange(make_request(url, b"x" * 30_000_000), timeout_s=SHORT_S)

    assert not require_failure(asyncio.run(never_read())).never_left


def test_failure_message_masks_a_quoted_token() -> None:
    result, _ = run_exchange(peer(f"HTTP/9.9 Bearer {TOKEN}\r\n\r\n".encode()))
    assert TOKEN not in require_failure(result).message


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_refused_connection_never_left(scheme: str) -> None:
    result = asyncio.run(
        exchange(make_request(f"{scheme}://127.0.0.1:{_closed_port()}/"), timeout_s=ENOUGH_S)
    )
    assert require_failure(result).never_left
    assert require_failure(result).message.startswith("ConnectError")


def test_unresolvable_name_never_left() -> None:
    result = asyncio.run(exchange(make_request("http://nowhere.invalid/"), timeout_s=ENOUGH_S))
    assert require_failure(result).never_left


@pytest.mark.parametrize(
    "serving",
    [
        pytest.param(peer(b"", read=False), id="closed in the handshake"),
        pytest.param(peer(OK, read=False), id="no TLS"),
    ],
)
def test_failed_tls_handshake_never_left(serving: Peer) -> None:
    result, server = run_exchange(serving, scheme="https")
    assert require_failure(result).never_left
    assert TOKEN.encode() not in server.received


def test_silent_tls_handshake_never_left() -> None:
    result, server = run_exchange(peer(b"", then="silence", read=False), scheme="https", timeout_s=SHORT_S)
    assert require_failure(result) == ExchangeFailure(
        never_left=True, message="TimeoutError: no connection within 1 s"
    )
    assert TOKEN.encode() not in server.received


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1/outgoing/send",
        "",
        "http://",
        "http://127.0.0.1:99999999/",
        "http://[::1/",
        f"http://{'x' * 64}.example/",
        "http://exa\x00mple/",
    ],
)
def test_unusable_address_never_left(url: str) -> None:
    assert require_failure(asyncio.run(exchange(make_request(url), timeout_s=ENOUGH_S))).never_left


@pytest.mark.parametrize("bad", ["line\r\nbreak", "schlüssel", "\ud800", "nul\x00"])
def test_unsendable_header_never_left_and_is_not_quoted(bad: str) -> None:
    async def scenario() -> tuple[HttpResponse | ExchangeFailure, bytes]:
        async with Server(peer(OK)) as server:
            request = HttpRequest(
                method="POST", url=server.url, headers={"Authorization": f"Bearer {TOKEN}{bad}"}, body=b"{}"
            )
            return await exchange(request, timeout_s=ENOUGH_S), bytes(server.received)

    result, received = asyncio.run(scenario())
    assert require_failure(result).never_left
    assert TOKEN not in require_failure(result).message
    assert received == b""


@pytest.mark.parametrize(
    ("serving", "timeout_s"),
    [
        pytest.param(peer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), ENOUGH_S, id="502"),
        pytest.param(peer(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), ENOUGH_S, id="407"),
        pytest.param(peer(b""), ENOUGH_S, id="closes"),
        pytest.param(peer(b"", then="silence"), SHORT_S, id="is silent"),
        pytest.param(peer(b"HTTP/1.1 200 OK\r\n\r\n"), ENOUGH_S, id="closes the tunnel before TLS stands"),
    ],
)
def test_failed_tunnel_never_left(serving: Peer, timeout_s: float) -> None:
    result, server = run_exchange(
        serving, via_proxy_to="https://provider.invalid/outgoing/send", timeout_s=timeout_s
    )
    assert require_failure(result).never_left
    assert server.received.startswith(b"CONNECT provider.invalid:443")
    assert TOKEN.encode() not in server.received


def test_http_request_through_a_proxy_gets_its_response() -> None:
    result, server = run_exchange(
        peer(b"HTTP/1.1 502 Bad\r\n\r\n"), via_proxy_to="http://provider.invalid/outgoing/send"
    )
    assert require_response(result).status == 502
    assert server.received.startswith(b"POST http://provider.invalid/outgoing/send")


@pytest.mark.parametrize(
    "proxy", ["gopher://127.0.0.1:1", "http://user:pass-word@127.0.0.1:port", "socks5://x:1"]
)
def test_unusable_proxy_never_left(proxy: str) -> None:
    result = asyncio.run(exchange(make_request("http://127.0.0.1:1/"), timeout_s=ENOUGH_S, proxy=proxy))
    assert require_failure(result).never_left
    assert "pass-word" not in require_failure(result).message

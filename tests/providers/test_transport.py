"""Tests the certainty after an exchange, against servers that fail in every way that a local socket can."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse
from tracker.providers.transport import exchange

TOKEN = "token-that-must-stay-secret"
ENOUGH_S = 30.0
SHORT_S = 1.0

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def make_request(url: str, body: bytes = b'{"to": "918919525224"}', **headers: str) -> HttpRequest:
    return HttpRequest(
        method="POST", url=url, headers={"Authorization": f"Bearer {TOKEN}", **headers}, body=body
    )


class Server:
    """A TCP server on 127.0.0.1 that lets a peer handle each connection, and keeps the received bytes."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.received = bytearray()
        self.connections = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api/v2/outgoing/send"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        feeding = asyncio.StreamReader()

        async def feed() -> None:
            while chunk := await reader.read(65536):
                self.received += chunk
                feeding.feed_data(chunk)
            feeding.feed_eof()

        feeder = asyncio.create_task(feed())
        try:
            await self._peer(feeding, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            feeder.cancel()


def peer(answer: bytes, *, then: str = "close", read: bool = True) -> Peer:
    """Make a peer that reads a request, writes these bytes, and then closes, resets or stays silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if read:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if then == "silence":
            await reader.read()  # until the other side gives up
            await reader.read()
        elif then == "reset":
            await asyncio.sleep(0.05)  # the bytes written before must arrive first
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    return serve


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def run_exchange(
    serving: Peer,
    *,
    timeout_s: float = ENOUGH_S,
    before_write: Callable[[], bool] | None = None,
    via_proxy_to: str | None = None,
    scheme: str = "http",
    body: bytes = b"{}",
    max_body_bytes: int = 1024 * 1024,
) -> tuple[HttpResponse | ExchangeFailure, Server]:
    async def scenario() -> tuple[HttpResponse | ExchangeFailure, Server]:
        async with Server(serving) as server:
            url = via_proxy_to or server.url.replace("http", scheme, 1)
            proxy = f"http://user:pass-word@127.0.0.1:{server.port}" if via_proxy_to else None
            result = await exchange(
                make_request(url, body),
                timeout_s=timeout_s,
                before_write=before_write,
                proxy=proxy,
                max_body_bytes=max_body_bytes,
            )
            return result, server

    result, server = asyncio.run(scenario())
    if isinstance(result, ExchangeFailure):
        assert TOKEN not in result.message
        assert "pass-word" not in result.message
    return result, server


def require_failure(result: HttpResponse | ExchangeFailure) -> ExchangeFailure:
    assert isinstance(result, ExchangeFailure)
    return result


def require_response(result: HttpResponse | ExchangeFailure) -> HttpResponse:
    assert isinstance(result, HttpResponse)
    return result


# Responses


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


# Responses with a broken body: the status is kept


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


# No response after the request was written: unclear


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


# Requests that never left


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


# The lease, checked immediately before the request is written


def test_expired_lease_lets_no_byte_leave() -> None:
    checks: list[bool] = []

    async def scenario() -> tuple[HttpResponse | ExchangeFailure, Server]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen_end.set_result(await reader.read())

        async with Server(serve) as server:
            seen_end: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            def lease_is_over() -> bool:
                checks.append(True)
                return False

            result = await exchange(make_request(server.url), timeout_s=ENOUGH_S, before_write=lease_is_over)
            assert await seen_end == b""  # the server saw the connection end, and nothing before
            return result, server

    result, server = asyncio.run(scenario())
    assert require_failure(result).never_left
    assert server.connections == 1
    assert server.received == b""
    assert checks == [True]


def test_valid_lease_lets_the_request_leave() -> None:
    checks: list[bool] = []

    def lease_is_valid() -> bool:
        checks.append(True)
        return True

    result, server = run_exchange(peer(OK), before_write=lease_is_valid)
    assert require_response(result).status == 200
    assert checks == [True]
    assert server.received


def test_lease_is_not_checked_for_a_tunnel() -> None:
    checks: list[bool] = []

    def lease_is_valid() -> bool:
        checks.append(True)
        return True

    run_exchange(
        peer(b"HTTP/1.1 407 No\r\n\r\n"),
        via_proxy_to="https://provider.invalid/outgoing/send",
        before_write=lease_is_valid,
    )
    assert checks == []

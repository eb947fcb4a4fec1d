"""Serves HTTP exchanges with peers that fail on purpose: they close, reset, or stay silent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

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
    """Run one exchange with a server of this peer; return the result and the server. No failure may quote a secret.

    `via_proxy_to`: a URL to request through the server, which is then the proxy.
    """

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

"""Tests that the lease is checked immediately before the first byte of a request is written."""

from __future__ import annotations

import asyncio

from tests.providers.peers import (
    ENOUGH_S,
    OK,
    Server,
    make_request,
    peer,
    require_failure,
    require_response,
    run_exchange,
)
from tracker.providers.base import ExchangeFailure, HttpResponse
from tracker.providers.transport import exchange


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

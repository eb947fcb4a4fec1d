"""Requests that offer another protocol, as Java's client and curl do with HTTP/2, and requests for a tunnel."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.processes import SECRET, Processes, Server
from tests.web.raw_http import chunk, connect, read_statuses, warnings_of

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
WEBSOCKET = b"Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("offers")
    with Processes(folder, f"sqlite:///{folder / 'tracker.db'}") as processes:
        yield processes.serve("--no-worker")


def head(offer: bytes, *, secret: str = SECRET, length: int | None) -> bytes:
    """Return the head of a callback. length: None if its body comes in chunks."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return (
        b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\nX-Empty:\r\n" + offer
        + b"Authorization: Bearer " + secret.encode() + b"\r\n" + framing + b"\r\n\r\n"
    )  # fmt: skip


def latest_bodies(server: Server, count: int) -> list[str]:
    """Return the bodies that were stored last, the latest first."""
    with server.client() as client:
        stored = client.get(f"/api/v1/callbacks?limit={count}").json()["data"]
        return [client.get(f"/api/v1/callbacks/{each['id']}").json()["request"]["body"] for each in stored]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET, b"Upgrade: h2c\r\n", b"Connection: Upgrade\r\n"])
@pytest.mark.parametrize("cut", [None, 3, 30, -20, -9, -2])
def test_offer_is_ignored_wherever_request_is_cut(server: Server, offer: bytes, cut: int | None) -> None:
    body = json.dumps({"at": time.monotonic()}).encode()
    request = head(offer, length=len(body)) + body
    with connect(server) as connection:
        if cut is not None:
            connection.sendall(request[:cut])
            time.sleep(0.05)
        connection.sendall(request[cut or 0 :])
        assert read_statuses(connection, 1) == [200]
        # The connection stays usable.
        connection.sendall(head(offer, length=4) + b"next")
        assert read_statuses(connection, 1) == [200]
    assert latest_bodies(server, 2) == ["next", body.decode()]


def test_offer_is_ignored_when_body_is_chunked_or_pipelined(server: Server) -> None:
    with connect(server) as connection:
        chunked = head(H2C, length=None) + chunk(b"some") + chunk(b" more") + chunk(b"")
        connection.sendall(chunked + head(H2C, length=3) + b"two" + head(b"", length=5) + b"three")
        assert read_statuses(connection, 3) == [200, 200, 200]
    assert sorted(latest_bodies(server, 3)) == ["some more", "three", "two"]


def test_body_behind_offer_is_not_parsed_as_request(server: Server) -> None:
    body = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head(H2C, secret="wrong", length=len(body)))
        time.sleep(0.05)
        connection.sendall(body)
        assert read_statuses(connection, 1) == [401]
        connection.settimeout(1)
        with suppress(TimeoutError):  # no second response comes
            assert connection.recv(1) == b""


def test_tunnel_is_refused(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" + head(b"", length=0)
        )
        assert read_statuses(connection, 1) == [400]
        assert connection.recv(1) == b""


def test_offers_are_not_logged(server: Server) -> None:
    assert {entry["event"] for entry in warnings_of(server)} <= {"callback.unauthenticated"}

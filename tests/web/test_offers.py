"""Requests that offer another protocol (Java's client and curl do, with HTTP/2), and those that ask for a tunnel."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.processes import SECRET, Processes, Server

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
WEBSOCKET = b"Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("offers")
    with Processes(folder, f"sqlite:///{folder / 'tracker.db'}") as processes:
        yield processes.serve("--no-worker")


def connect(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 0), timeout=60)


def head(offer: bytes, *, secret: str = SECRET, length: int | None) -> bytes:
    size = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return (
        b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\nX-Empty:\r\n" + offer
        + b"Authorization: Bearer " + secret.encode() + b"\r\n" + size + b"\r\n\r\n"
    )  # fmt: skip


def statuses(wire: socket.socket, count: int) -> list[int]:
    found = []
    with wire.makefile("rb") as coming:
        for _ in range(count):
            found.append(int(coming.readline().split()[1]))
            lines = iter(lambda: coming.readline().decode().strip().lower(), "")
            headers = dict(line.split(": ") for line in lines)
            coming.read(int(headers["content-length"]))
    return found


def newest(server: Server, count: int) -> list[str]:
    """The bodies that were stored last, the latest first."""
    with server.client() as client:
        kept = client.get(f"/api/v1/callbacks?limit={count}").json()["data"]
        return [client.get(f"/api/v1/callbacks/{each['id']}").json()["request"]["body"] for each in kept]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET, b"Upgrade: h2c\r\n", b"Connection: Upgrade\r\n"])
@pytest.mark.parametrize("cut", [None, 3, 30, -20, -9, -2])
def test_a_callback_that_offers_another_protocol_is_stored_whole(
    server: Server, offer: bytes, cut: int | None
) -> None:
    body = json.dumps({"at": time.monotonic()}).encode()
    sent = head(offer, length=len(body)) + body
    with connect(server) as wire:
        if cut is not None:
            wire.sendall(sent[:cut])
            time.sleep(0.05)
        wire.sendall(sent[cut or 0 :])
        assert statuses(wire, 1) == [200]
        # and the connection is good for more
        wire.sendall(head(offer, length=4) + b"next")
        assert statuses(wire, 1) == [200]
    assert newest(server, 2) == ["next", body.decode()]


def test_so_is_one_in_chunks_and_what_is_sent_behind_it(server: Server) -> None:
    with connect(server) as wire:
        chunked = head(H2C, length=None) + b"4\r\nsome\r\n5\r\n more\r\n0\r\n\r\n"
        wire.sendall(chunked + head(H2C, length=3) + b"two" + head(b"", length=5) + b"three")
        assert statuses(wire, 3) == [200, 200, 200]
    assert sorted(newest(server, 3)) == ["some more", "three", "two"]


def test_a_body_is_never_taken_for_a_request(server: Server) -> None:
    body = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(server) as wire:
        wire.sendall(head(H2C, secret="wrong", length=len(body)))
        time.sleep(0.05)
        wire.sendall(body)
        assert statuses(wire, 1) == [401]
        wire.settimeout(1)
        with suppress(TimeoutError):  # nothing more is said
            assert wire.recv(1) == b""


def test_nobody_gets_a_tunnel(server: Server) -> None:
    with connect(server) as wire:
        wire.sendall(
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" + head(b"", length=0)
        )
        assert statuses(wire, 1) == [400]
        assert wire.recv(1) == b""


def test_the_log_does_not_speak_of_it(server: Server) -> None:
    told = {e["event"] for e in server.log() if e.get("level") in ("warning", "error")}
    assert told <= {"callback.unauthenticated"}

"""HTTP over raw sockets: requests byte by byte, and the responses to them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.processes import SECRET, Server

#: The request line and headers of an authenticated callback, without its length.
HEAD = (
    b"POST /callbacks/thundersms HTTP/1.1\r\nHost: tracker\r\nAuthorization: Bearer "
    + SECRET.encode()
    + b"\r\n"
)
#: A request that is answered 404.
UNROUTED = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"


class RawResponse(NamedTuple):
    """A response; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def callback(body: bytes = b"{}") -> bytes:
    """Return a whole callback as it is sent."""
    return HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def connect(server: Server, *, receive_buffer: int | None = None) -> socket.socket:
    """Open a connection. receive_buffer: bytes that the system keeps for us until we read them."""
    url = httpx.URL(server.url)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(60)
    connection.connect((url.host, url.port or 0))
    return connection


def read_response(connection: socket.socket, *, has_body: bool = True) -> RawResponse:
    """Read one response. has_body: False for the response to HEAD."""
    (response,) = read_responses(connection, 1, has_body=has_body)
    return response


def read_responses(connection: socket.socket, count: int, *, has_body: bool = True) -> list[RawResponse]:
    """Read `count` responses. Bytes behind them are lost, so there must be none.

    Raises ConnectionError if the connection is closed before.
    """
    with connection.makefile("rb") as stream:

        def read_line() -> str:
            line = stream.readline()
            if not line:
                raise ConnectionError("The connection was closed before the response.")
            return line.decode().strip()

        responses = []
        for _ in range(count):
            status = int(read_line().split()[1])
            headers = dict(line.split(": ", 1) for line in iter(read_line, ""))
            lower = {name.lower(): value for name, value in headers.items()}
            body = stream.read(int(lower["content-length"])) if has_body else b""
            responses.append(RawResponse(status, lower, body))
    return responses


def read_statuses(connection: socket.socket, count: int) -> list[int]:
    """Read `count` responses and return their statuses."""
    return [response.status for response in read_responses(connection, count)]


def send_callback(server: Server, body: bytes = b"{}") -> int:
    """Send a callback over a connection of its own and return the status of its response."""
    with connect(server) as connection:
        connection.sendall(callback(body))
        return read_response(connection).status


def send_until_blocked(connection: socket.socket, data: bytes, limit: int) -> int:
    """Send the data again and again until nothing is taken for two seconds, at most `limit` bytes.

    Returns the bytes that were taken.
    """
    sent = 0
    connection.settimeout(2)
    while sent < limit:
        try:
            sent += connection.send(data[sent % len(data) :])
        except OSError:
            break
    return sent


def wait_until_quiet(server: Server, *, seconds: float = 3.0) -> None:
    """Wait until the server has logged nothing for some seconds, because it has no request left to answer."""
    size, since = len(server.output()), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.1)
        if (now := len(server.output())) != size:
            size, since = now, time.monotonic()


def resident_kib(server: Server, field: str = "VmRSS") -> int:
    """Return the resident memory of a server in KiB. field: VmRSS is that of now, VmHWM the most so far."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def warnings_of(server: Server) -> list[dict[str, object]]:
    """Return the warnings and errors in the log of a server."""
    return [entry for entry in server.log() if entry.get("level") in ("warning", "error")]

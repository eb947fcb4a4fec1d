"""Several requests in the bytes of one connection: those that wait, and those behind an offer of another protocol."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from typing import Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: so many requests of a connection may wait; then nothing more is read of it
MOST: Final = 8
#: bytes that are parsed at once, where they may be many requests: a request has 18 at least
PIECE: Final = 256
#: what is parsed as it came, without looking at how many requests it may be
_SHORT: Final = 1024
_END_OF_HEAD: Final = b"\r\n\r\n"
#: what a request that waits takes beside its bytes
_WAITING: Final = 4 * 1024
#: whether the system says how much of what it was given to send is not received yet
TELLS: Final = sys.platform == "linux"


class Flow(FlowControl):
    """Reading also rests while too many requests wait, and as long as something that was read is not parsed."""

    full = False
    #: what was read and is not parsed: less than what is read at once
    rest = memoryview(b"")

    def resume_reading(self) -> None:
        if not self.full:
            super().resume_reading()

    def keep(self, data: bytes | memoryview) -> None:
        """Behind what is there already."""
        self.rest = memoryview(bytes(self.rest) + bytes(data)) if self.rest else memoryview(data)

    def next_piece(self) -> memoryview:
        piece, self.rest = self.rest[:PIECE], self.rest[PIECE:]
        return piece


def are_many(data: bytes) -> bool:
    """Whether these bytes may be more requests than a few."""
    return len(data) > _SHORT and data.count(_END_OF_HEAD) > MOST


def size_of_head(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def unacked_bytes(transport: asyncio.Transport) -> int:
    """What the system was given to send over this connection, and the peer has not received, in bytes; 0 where the
    system does not say. Of what waits behind it the system takes more only in steps of up to some MiB."""
    if not TELLS:
        return 0
    try:
        given = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it is being closed
        return 0
    return int.from_bytes(given, sys.byteorder)


def cycle_bytes(cycle: RequestResponseCycle) -> int:
    """What a request that waits takes, in bytes."""
    return _WAITING + len(cycle.body) + 2 * size_of_head(list(cycle.scope["headers"]))


# Java's client and curl offer HTTP/2 with their requests. A server may ignore the offer (RFC 9110, 7.8), and we do. The
# parser does not know that: it treats the bytes behind such a head as the other protocol. So the head is given to a new
# parser without the offer.


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """Return a parser that is set up as uvicorn does it."""
    parser = httptools.HttpRequestParser(protocol)
    # Bytes behind a request that closes the connection are no reason not to answer it.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def without_offer(
    parser: httptools.HttpRequestParser, url: bytes, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """Return the head that this parser has read, without its `Upgrade` header."""
    request_line = b"%s %s HTTP/%s" % (parser.get_method(), url, parser.get_http_version().encode())
    fields = (b"%s: %s" % header for header in headers if header[0] != b"upgrade")
    return b"\r\n".join((request_line, *fields, b"", b""))

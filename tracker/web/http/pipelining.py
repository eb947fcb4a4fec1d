"""HTTP pipelining: requests that arrive before earlier ones of their connection are answered.

A few wait. What is behind them stays unparsed, and nothing more is read. The parser also needs help with requests that
offer another protocol, because it takes what is behind their head for that protocol.
"""

from __future__ import annotations

from typing import Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: Requests of a connection that may wait.
MAX_WAITING: Final = 8
#: Bytes that are parsed at once if they may be many requests. A request has at least 18.
_CHUNK_BYTES: Final = 256
#: Bytes that are parsed without counting the requests in them.
_UNCOUNTED_BYTES: Final = 1024
_END_OF_HEAD: Final = b"\r\n\r\n"
#: Bytes that a waiting request takes beside its headers and body.
_WAITING_BYTES: Final = 4 * 1024


class PipelineFlow(FlowControl):
    """Flow control that pauses reading, too, while the pipeline is full or bytes are unparsed."""

    #: whether as many requests wait as may
    is_full = False
    #: bytes that were read and not parsed, at most as many as are read at once
    unparsed = memoryview(b"")

    def resume_reading(self) -> None:
        if not self.is_full:
            super().resume_reading()

    def add_unparsed(self, data: bytes | memoryview) -> None:
        """Keep these bytes behind those that are unparsed already."""
        self.unparsed = memoryview(bytes(self.unparsed) + bytes(data)) if self.unparsed else memoryview(data)

    def next_chunk(self) -> memoryview:
        """Return and remove the next unparsed bytes."""
        chunk, self.unparsed = self.unparsed[:_CHUNK_BYTES], self.unparsed[_CHUNK_BYTES:]
        return chunk


def may_exceed_pipeline(data: bytes) -> bool:
    """Return whether these bytes can be more requests than may wait."""
    return len(data) > _UNCOUNTED_BYTES and data.count(_END_OF_HEAD) > MAX_WAITING


def header_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the size of the headers on the wire."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def waiting_bytes(cycle: RequestResponseCycle) -> int:
    """Return the memory that a waiting request takes, about."""
    return _WAITING_BYTES + len(cycle.body) + 2 * header_bytes(list(cycle.scope["headers"]))


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    """Return a parser that is set up as uvicorn does it."""
    parser = httptools.HttpRequestParser(protocol)
    # Bytes behind a request that closes the connection are no reason not to answer it.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def head_without_upgrade(
    parser: httptools.HttpRequestParser, url: bytes, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """Return the head that this parser has read without its `Upgrade` header, to be given to a new parser.

    Java's client and curl offer HTTP/2 in this way. A server may ignore the offer: RFC 9110, section 7.8.
    """
    request_line = b"%s %s HTTP/%s" % (parser.get_method(), url, parser.get_http_version().encode())
    fields = (b"%s: %s" % header for header in headers if header[0] != b"upgrade")
    return b"\r\n".join((request_line, *fields, b"", b""))

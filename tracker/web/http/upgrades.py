"""A request that offers another protocol, as Java's client and curl do with HTTP/2, is one of HTTP/1.1 nevertheless.

RFC 9110, 7.8: a server may ignore Upgrade. The parser does not know that: it takes whatever stands behind such a head
for the other protocol. So the head is given to a new one without the offer.
"""

from __future__ import annotations

import httptools


def new_parser(protocol: object) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # as uvicorn has it: what comes behind a request that closes the connection is no reason not to answer it
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def without_offer(
    parser: httptools.HttpRequestParser, url: bytes, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The head that this parser has read, as it would be without the offer."""
    first = b"%s %s HTTP/%s" % (parser.get_method(), url, parser.get_http_version().encode())
    lines = (b"%s: %s" % header for header in headers if header[0] != b"upgrade")
    return b"\r\n".join((first, *lines, b"", b""))

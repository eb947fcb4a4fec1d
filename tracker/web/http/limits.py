"""The limits of one connection, and of all connections together."""

from __future__ import annotations

import asyncio
import fcntl
import resource
import sys
import termios
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger()

#: Descriptors for the database, the provider and the log.
_RESERVED_DESCRIPTORS: Final = 256
#: Whether the system tells how much of what it is sending has not been received.
HAS_UNACKED_BYTES: Final = sys.platform == "linux"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Sizes and times of requests, responses and connections."""

    #: bytes of the request line and all headers together, also of a trailer
    max_head_bytes: int = 32 * 1024
    max_headers: int = 100
    max_url_bytes: int = 8 * 1024
    #: seconds from the first byte of a head to its last
    head_timeout_s: float = 10.0
    #: seconds for a body, and the bytes of it that earn another second
    body_timeout_s: float = 20.0
    min_body_bytes_per_s: int = 1024
    idle_timeout_s: float = 30.0
    #: seconds that a refused connection stays open, so that its client can read the answer
    linger_s: float = 2.0
    #: bytes of its responses that a client must receive, unless fewer are left, within the timeout in seconds
    send_progress_bytes: int = 16 * 1024
    send_timeout_s: float = 20.0
    #: the same timeout without HAS_UNACKED_BYTES, because progress then shows only in steps of up to some MiB
    coarse_send_timeout_s: float = 60.0
    #: bytes of all requests that are arriving or wait for their commit
    max_buffered_bytes: int = 64 * 1024 * 1024
    #: limit of the same bytes for incomplete heads and for pipelined requests; it leaves room for bodies
    max_buffered_bytes_for_heads: int = 48 * 1024 * 1024
    max_connections: int = 10_000
    #: seconds that a stopping server waits for incomplete requests
    shutdown_grace_s: float = 2.0
    #: seconds without progress after which it gives up on a client that receives a response
    shutdown_stall_s: float = 5.0
    #: seconds between its checks of half a request behind complete ones
    shutdown_recheck_s: float = 0.25


def find_max_connections(limit: int) -> int:
    """Return how many connections this process can have, at most `limit`.

    Raises the process's own limit of descriptors to the hard limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return limit
    connections = max(64, min(limit, soft - _RESERVED_DESCRIPTORS))
    if connections < limit:
        log.info("server.connections_limited", descriptors=soft, connections=connections)
    return connections


def unacked_bytes(transport: asyncio.Transport) -> int:
    """Return the bytes that the system is sending over this connection and the client has not received.

    Returns 0 without HAS_UNACKED_BYTES.
    """
    if not HAS_UNACKED_BYTES:
        return 0
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # the socket is being closed
        return 0
    return int.from_bytes(answer, sys.byteorder)

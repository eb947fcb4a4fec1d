"""Request bodies, read while they arrive and within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

#: The limit for a callback or an API request, in bytes.
MAX_BYTES: Final = 1024 * 1024


class BodyTooLarge(Exception):
    """The body exceeds the limit and is discarded."""


class IncomingBody:
    """A body on its way. A second reader continues where the first one stopped."""

    __slots__ = ("_pieces", "_receive", "is_complete", "size")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._pieces: list[bytes] = []
        #: bytes that have arrived
        self.size = 0
        self.is_complete = False

    async def read_all(self, limit: int) -> bytes:
        """Return the whole body. Raises BodyTooLarge when it exceeds `limit` bytes, and ClientDisconnect."""
        await self._read_beyond(limit)
        if self.size > limit:
            raise BodyTooLarge
        return self._join()

    async def read_prefix(self, limit: int, *, timeout_s: float | None) -> bytes:
        """Return what arrives of the first `limit` bytes within the timeout. Raises ClientDisconnect."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._read_beyond(limit)
        except TimeoutError:
            pass
        return self._join()[:limit]

    async def _read_beyond(self, limit: int) -> None:
        """Read until the body ends or exceeds the limit."""
        while not self.is_complete and self.size <= limit:
            # `request.stream()` cannot be continued after a timeout.
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            self._pieces.append(piece)
            self.size += len(piece)
            self.is_complete = not message.get("more_body", False)

    def _join(self) -> bytes:
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""


async def read_body(request: Request[Any]) -> bytes:
    """Return the whole body. Raises BodyTooLarge when it declares or has more than `MAX_BYTES`."""
    if (content_length(request.scope["headers"]) or 0) > MAX_BYTES:
        raise BodyTooLarge
    return await IncomingBody(request.receive).read_all(MAX_BYTES)


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the declared length of a body in bytes. headers: with names in lower case."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else None
    return None

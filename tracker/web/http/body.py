"""Reading a request's body while it arrives, and no more of it than is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

#: what a callback or an API request may hold
MOST_BYTES: Final = 1024 * 1024


class TooLarge(Exception):
    """The body is larger than is taken; nothing of it is kept."""


class Arriving:
    """A body on its way. What was read of it stays, so that the next reader goes on from there."""

    __slots__ = ("_complete", "_declared", "_pieces", "_receive", "_size")

    def __init__(self, receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """headers: with names in lower case."""
        self._receive = receive
        self._declared = _declared(headers)
        self._pieces: list[bytes] = []
        self._size = 0
        self._complete = False

    async def whole(self, most: int) -> bytes:
        """The whole body. Raises TooLarge as soon as that is known, by the declared length or by what has come."""
        if self._declared > most:
            raise TooLarge
        await self._read_beyond(most)
        if self._size > most:
            raise TooLarge
        return self._seen()

    async def beginning(self, most: int, *, patience_s: float) -> bytes:
        """What has come of its first `most` bytes within that time."""
        try:
            async with asyncio.timeout(patience_s):
                await self._read_beyond(most)
        except TimeoutError:
            pass
        return self._seen()[:most]

    @property
    def size(self) -> int:
        """How many bytes have come so far."""
        return self._size

    @property
    def complete(self) -> bool:
        return self._complete

    async def _read_beyond(self, most: int) -> None:
        """Read until it ends or is known to be larger. Raises ClientDisconnect."""
        while not self._complete and self._size <= most:
            # not request.stream(): it could not be read on after a time-out
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = message.get("body", b"")
            self._pieces.append(piece)
            self._size += len(piece)
            self._complete = not message.get("more_body", False)

    def _seen(self) -> bytes:
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""


async def read(request: Request[Any]) -> bytes:
    """The whole body, at most `MOST_BYTES`. Raises TooLarge."""
    return await Arriving(request.receive, request.scope["headers"]).whole(MOST_BYTES)


def _declared(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The length that is declared; 0 where none is."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0

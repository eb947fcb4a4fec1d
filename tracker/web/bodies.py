"""Reading a request's body while it arrives, and no more of it than is wanted."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

#: what a callback or an API request may hold
MOST_BYTES: Final = 1024 * 1024


class TooLarge(Exception):
    """The body is larger than is taken; nothing of it is kept."""


class Arriving:
    """A body on its way. What was read of it stays, so that the next reader goes on from there."""

    def __init__(self, request: Request[Any]) -> None:
        self._receive = request.receive
        self._declared = _declared(request)
        self._seen = bytearray()
        self._complete = False

    async def whole(self, most: int) -> bytes:
        """The whole body. Raises TooLarge as soon as that is known, by the declared length or by what has come."""
        if self._declared is not None and self._declared > most:
            raise TooLarge
        await self._read_beyond(most)
        if len(self._seen) > most:
            raise TooLarge
        return bytes(self._seen)

    async def beginning(self, most: int, *, patience_s: float) -> bytes:
        """What has come of its first `most` bytes within that time."""
        try:
            async with asyncio.timeout(patience_s):
                await self._read_beyond(most)
        except TimeoutError:
            pass
        return bytes(self._seen[:most])

    @property
    def size(self) -> int:
        """How many bytes have come so far."""
        return len(self._seen)

    @property
    def complete(self) -> bool:
        return self._complete

    async def _read_beyond(self, most: int) -> None:
        """Read until it ends or is known to be larger. Raises ClientDisconnect."""
        while not self._complete and len(self._seen) <= most:
            # not request.stream(): it could not be read on after a time-out
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._seen += message.get("body", b"")
            self._complete = not message.get("more_body", False)


async def read(request: Request[Any]) -> bytes:
    """The whole body, at most `MOST_BYTES`. Raises TooLarge."""
    return await Arriving(request).whole(MOST_BYTES)


def _declared(request: Request[Any]) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

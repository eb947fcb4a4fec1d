"""Reading a request's body while it arrives, and no more of it than is wanted."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request

#: what a callback or an API request may hold
MOST_BYTES: Final = 1024 * 1024


class TooLarge(Exception):
    """The body is larger than `MOST_BYTES`; nothing of it is kept."""


async def read(request: Request[Any], most: int = MOST_BYTES) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known, by the declared length or by what has come."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise TooLarge
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


async def read_beginning(request: Request[Any], most: int) -> tuple[bytes, int]:
    """The beginning of the body, and how much of it was seen; the rest is not waited for."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(parts)[:most], size

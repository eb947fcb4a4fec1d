"""Keeps every request to the provider's API as it came, in order, whatever was answered."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Older ones are forgotten, so that a long load does not fill the memory.
KEPT = 50_000


@dataclass(kw_only=True)
class Received:
    """One request. `status_code` is what it was answered; None while it is not, or if it never was."""

    position: int  #: from 1
    at: datetime
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    status_code: int | None = None

    def row(self) -> dict[str, Any]:
        """As shown under /simulator/requests: `body` is text, or null where only `body_base64` can hold it."""
        try:
            text, coded = self.body.decode(), None
        except UnicodeDecodeError:
            text, coded = None, base64.b64encode(self.body).decode()
        return {
            "position": self.position,
            "at": self.at.isoformat(),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": text,
            "body_base64": coded,
            "status_code": self.status_code,
        }


class Record:
    """What was received so far, oldest first."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self.total = 0
        self.requests: deque[Received] = deque(maxlen=KEPT)

    def add(self, scope: Scope, body: bytes) -> Received:
        """Keep one request."""
        self.total += 1
        received = Received(
            position=self.total,
            at=self._now(),
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            body=body,
        )
        self.requests.append(received)
        return received


class Recorder:
    """ASGI: reads the whole body, keeps it, and hands it on."""

    def __init__(self, app: ASGIApp, *, record: Record) -> None:
        self._app = app
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client left before its request was complete
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(chunks)
        received = self._record.add(scope, body)
        replay: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return replay.pop() if replay else await receive()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                received.status_code = message["status"]
            await send(message)

        await self._app(scope, again, watch)

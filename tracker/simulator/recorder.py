"""Keeps every request to the provider's API as it came, in order, whatever the answer was."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Older requests are forgotten, so that a long load test does not fill the memory.
MAX_KEPT = 50_000


@dataclass(kw_only=True)
class ReceivedRequest:
    """One request. `status_code` is that of the answer; None if there is none, or not yet."""

    position: int  #: from 1
    at: datetime
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    status_code: int | None = None

    def document(self) -> dict[str, Any]:
        """Return it as shown under /simulator/requests.

        `body` is text, or null if only `body_base64` can hold it.
        """
        try:
            text, encoded = self.body.decode(), None
        except UnicodeDecodeError:
            text, encoded = None, base64.b64encode(self.body).decode()
        return {
            "position": self.position,
            "at": self.at.isoformat(),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": text,
            "body_base64": encoded,
            "status_code": self.status_code,
        }


class RequestLog:
    """The requests that were received so far, oldest first."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self.total = 0
        self.requests: deque[ReceivedRequest] = deque(maxlen=MAX_KEPT)

    def add(self, scope: Scope, body: bytes) -> ReceivedRequest:
        """Keep one request."""
        self.total += 1
        received = ReceivedRequest(
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


class RequestRecorder:
    """ASGI middleware that reads the whole body, keeps the request, and hands it on."""

    def __init__(self, app: ASGIApp, *, request_log: RequestLog) -> None:
        self._app = app
        self._request_log = request_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks: list[bytes] = []
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client left before its request was complete
            chunks.append(message.get("body", b""))
            has_more = message.get("more_body", False)
        body = b"".join(chunks)
        received = self._request_log.add(scope, body)
        replay: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return replay.pop() if replay else await receive()

        async def send_and_note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                received.status_code = message["status"]
            await send(message)

        await self._app(scope, receive_again, send_and_note_status)

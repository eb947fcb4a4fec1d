"""The access log: one line per request, with the template of its route instead of its path and query.

A path or query can hold phone numbers and the ids of other systems.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

#: An id of ours. A path can have anything in its place, also a phone number.
_ID: Final = re.compile(r"[a-z]{2,4}_[0-9a-z]{1,40}", re.ASCII)
#: Routes whose success is logged at debug level only, because they are called so often.
_FREQUENT_ROUTES: Final = ("/callbacks", "/healthz", "/readyz")


def log_answered(*, method: str, route: str, status: int, seconds: float, id: str | None = None) -> None:
    """Write the line of a request. status: 499 if the client disconnected."""
    is_quiet = status < 400 and route.startswith(_FREQUENT_ROUTES)
    write = log.debug if is_quiet else log.info
    write(
        "request.answered",
        method=method,
        route=route,
        status=status,
        took_ms=round(seconds * 1000, 1),
        id=id,
    )


class AccessLog:
    """Middleware that logs each request when it is over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        # If the application raises, the layer in front of this one answers 500.
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route: Any = scope.get("route")
            log_answered(
                method=scope["method"],
                route=getattr(route, "path", None) or "unknown",
                status=status,
                seconds=time.perf_counter() - started,
                id=_id_in(scope),
            )


def _id_in(scope: Scope) -> str | None:
    id = (scope.get("path_params") or {}).get("id")
    return id if isinstance(id, str) and _ID.fullmatch(id) else None

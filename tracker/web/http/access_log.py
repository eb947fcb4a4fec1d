"""One wide log line per request: the route's template, never its path or query, which hold ids and numbers."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

#: an id of ours; a path may hold anything else in its place, also a number
_ID: Final = re.compile(r"[a-z]{2,4}_[0-9a-z]{1,40}", re.ASCII)


class AccessLog:
    """Logs each request when it is over; those of the provider only at debug level, for there are many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        # what is not answered is a mistake of ours, and answered behind this by a 500
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = scope.get("route")
            template: Any = getattr(route, "path", None) or "unknown"
            quiet = status < 400 and (
                template.startswith("/callbacks") or template in ("/healthz", "/readyz")
            )
            write = log.debug if quiet else log.info
            write(
                "request.answered",
                method=scope["method"],
                route=template,
                status=status,
                took_ms=round((time.perf_counter() - began) * 1000, 1),
                id=_id_in(scope),
            )


def _id_in(scope: Scope) -> str | None:
    id = (scope.get("path_params") or {}).get("id")
    return id if isinstance(id, str) and _ID.fullmatch(id) else None

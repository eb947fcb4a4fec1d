"""The API's door: an administrator's token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.responses import Response

from tracker.web.callbacks.sanitize import bearer, matches_any_secret, raw_headers
from tracker.web.http.problems import problem
from tracker.web.state import AppRequest

Endpoint = Callable[[AppRequest], Awaitable[Response]]


def needs_token(endpoint: Endpoint) -> Endpoint:
    """401 without `server.api_token` as a bearer token; without one configured nobody gets in."""

    @wraps(endpoint)
    async def guarded(request: AppRequest) -> Response:
        known = request.state["api_token"]
        if not known:
            detail = "The API is closed: set server.api_token in tracker.toml and start the server again."
            return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        presented = bearer(raw_headers(request))
        if presented is None or not matches_any_secret(presented, [known]):
            detail = "Send `Authorization: Bearer <server.api_token>`."
            return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        return await endpoint(request)

    return guarded

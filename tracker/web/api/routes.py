"""The routes of `/api/v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from tracker.web.api.callbacks import get_callback, ignore_callback, join_callback, list_callbacks
from tracker.web.api.calls import (
    cancel_call,
    get_call,
    get_evidence,
    get_timeline,
    list_calls,
    place_call,
    retry_call,
)
from tracker.web.api.pauses import pause, resume
from tracker.web.auth import Endpoint, require_token
from tracker.web.state import AppRequest

_ENDPOINTS: Final[Mapping[str, Mapping[str, Endpoint]]] = {
    "/calls": {"GET": list_calls, "POST": place_call},
    "/calls/{id}": {"GET": get_call},
    "/calls/{id}/timeline": {"GET": get_timeline},
    "/calls/{id}/evidence": {"GET": get_evidence},
    "/calls/{id}/cancel": {"POST": cancel_call},
    "/calls/{id}/retry": {"POST": retry_call},
    "/pause": {"POST": pause},
    "/resume": {"POST": resume},
    "/callbacks": {"GET": list_callbacks},
    "/callbacks/{id}": {"GET": get_callback},
    "/callbacks/{id}/join": {"POST": join_callback},
    "/callbacks/{id}/ignore": {"POST": ignore_callback},
}


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def endpoint(request: AppRequest) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


#: one route for each path, so that a 405 names all methods that the path takes
ROUTES: Final = [
    Route(f"/api/v1{path}", require_token(_by_method(endpoints)), methods=list(endpoints))
    for path, endpoints in _ENDPOINTS.items()
]

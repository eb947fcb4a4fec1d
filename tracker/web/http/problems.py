"""Errors as `application/problem+json` (RFC 9457): one shape, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tracker.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    NotFound,
    StorageUnavailable,
    TrackerError,
)

log = structlog.get_logger()

#: seconds after which it makes sense to come again
RETRY_AFTER_S: Final = 5

#: RFC 9110's names, which Python knows since 3.13
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


def problem(
    status: int,
    detail: str,
    *,
    errors: list[FieldError] | None = None,
    reason: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as a response. `errors` names the wrong fields; `reason` is for programs."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = [{"field": e.field, "message": e.message} for e in errors]
    if reason is not None:
        body["reason"] = reason
    content = orjson.dumps(body)
    return Response(content, status, media_type="application/problem+json", headers=dict(headers or {}))


def of_tracker(_request: Request, error: Exception) -> Response:
    """What tracker raises on purpose."""
    assert isinstance(error, TrackerError)
    if isinstance(error, InvalidInput):
        return problem(422, str(error), errors=error.errors)
    if isinstance(error, NotFound):
        return problem(404, str(error))
    if isinstance(error, Conflict):
        return problem(409, str(error), reason=error.reason)
    if isinstance(error, StorageUnavailable):
        log.warning("request.not_stored", error=str(error))
        return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
    log.error("request.failed", error=str(error), kind=type(error).__name__)
    return problem(500, str(error))


def of_http(_request: Request, error: Exception) -> Response:
    """What the router raises: no such path, no such method."""
    assert isinstance(error, HTTPException)
    detail = {
        404: "There is nothing at this address; the endpoints are listed in docs/reference/http.md.",
        405: "This address does not take that method; see the header Allow.",
    }.get(error.status_code, str(error.detail))
    return problem(error.status_code, detail, headers=error.headers)


def internal_error(_request: Request, _error: Exception) -> Response:
    """A mistake of ours. The error is raised again behind this answer, and logged there."""
    return problem(500, "Something went wrong here; the server's log says what.")


def of_disconnect(_request: Request, _error: Exception) -> Response:
    """Nobody reads this any more."""
    return Response(status_code=499)


HANDLERS: Final[dict[Any, Callable[[Request, Exception], Response]]] = {
    TrackerError: of_tracker,
    HTTPException: of_http,
    ClientDisconnect: of_disconnect,
    Exception: internal_error,
}

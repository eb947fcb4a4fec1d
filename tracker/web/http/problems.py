"""Error responses: `application/problem+json` (RFC 9457) for every error."""

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

#: Seconds after which a client may repeat a request that was refused for lack of capacity.
RETRY_AFTER_S: Final = 5

#: Names of RFC 9110 that Python knows since 3.13.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


def problem(
    status: int,
    detail: str,
    *,
    errors: list[FieldError] | None = None,
    reason: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error response.

    detail: a sentence for people. errors: the wrong fields. reason: a stable word for programs.
    """
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


def handle_tracker_error(_request: Request, error: Exception) -> Response:
    """Return the answer to an error that tracker raises on purpose."""
    assert isinstance(error, TrackerError)
    if isinstance(error, InvalidInput):
        return problem(422, str(error), errors=error.errors)
    if isinstance(error, NotFound):
        return problem(404, str(error))
    if isinstance(error, Conflict):
        return problem(409, str(error), reason=error.reason)
    if isinstance(error, StorageUnavailable):
        log.warning("request.store_failed", error=str(error))
        return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
    log.error("request.failed", error=str(error), kind=type(error).__name__)
    return problem(500, str(error))


def handle_http_error(_request: Request, error: Exception) -> Response:
    """Return the answer to a path or method that no route has."""
    assert isinstance(error, HTTPException)
    detail = {
        404: "There is no such path. docs/reference/http.md lists the endpoints.",
        405: "This path does not support the method. The header `Allow` lists those that it does.",
    }.get(error.status_code, str(error.detail))
    return problem(error.status_code, detail, headers=error.headers)


def handle_internal_error(_request: Request, _error: Exception) -> Response:
    """Return the answer to a defect of tracker. The server raises the error again and logs it."""
    return problem(500, "The server failed to handle the request. Its log has the details.")


def handle_disconnect(_request: Request, _error: Exception) -> Response:
    """Return a response for the access log, because the client is gone."""
    return Response(status_code=499)


HANDLERS: Final[dict[Any, Callable[[Request, Exception], Response]]] = {
    TrackerError: handle_tracker_error,
    HTTPException: handle_http_error,
    ClientDisconnect: handle_disconnect,
    Exception: handle_internal_error,
}

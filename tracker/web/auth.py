"""Authentication: bearer tokens, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps

from starlette.responses import Response

from tracker.web.http.problems import problem
from tracker.web.state import AppRequest

Endpoint = Callable[[AppRequest], Awaitable[Response]]


def require_token(endpoint: Endpoint) -> Endpoint:
    """Have the endpoint answer 401 unless the request carries `server.api_token` as its bearer token."""

    @wraps(endpoint)
    async def guarded(request: AppRequest) -> Response:
        token = request.state["api_token"]
        if not token:
            return _unauthorized(
                "`server.api_token` is not set, so this server rejects the request. Set it to a long random string "
                "and restart the server."
            )
        presented = bearer_token(request.scope["headers"])
        if presented is None or not matches_any_secret(presented, [token]):
            return _unauthorized(
                "The API token is missing or wrong. Send `Authorization: Bearer <server.api_token>`."
            )
        return await endpoint(request)

    return guarded


def matches_any_secret(presented: bytes, secrets: Iterable[str | None]) -> bool:
    """Return whether `presented` equals one of the secrets. None and empty ones are skipped.

    It compares with every secret, so that the time does not depend on which one matches.
    """
    matches = False
    for secret in secrets:
        if secret:
            matches |= hmac.compare_digest(presented, secret.encode())
    return matches


def bearer_token(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Return the token of `Authorization: Bearer …`, or None if there is no such header."""
    for name, value in headers:
        scheme, _, token = value.strip().partition(b" ")
        if name.lower() == b"authorization" and scheme.lower() == b"bearer":
            return token.strip()
    return None


def _unauthorized(detail: str) -> Response:
    return problem(401, detail, headers={"WWW-Authenticate": "Bearer"})

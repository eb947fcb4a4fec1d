"""Turns a request to the provider and its response into evidence without secrets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from tracker.domain.calls import Submission
from tracker.logs.redaction import MASK, SecretMasker
from tracker.providers.base import ExchangeFailure, HttpRequest, HttpResponse
from tracker.store.calls.exchanges import Exchange


def mask_response(
    response: HttpResponse | ExchangeFailure, masker: SecretMasker
) -> HttpResponse | ExchangeFailure:
    """Return the response with the secrets in its headers and its body masked. A failure quotes none."""
    if isinstance(response, ExchangeFailure):
        return response
    headers = tuple((name, masker.mask_bytes(value)) for name, value in response.headers)
    return replace(response, headers=headers, body=masker.mask_bytes(response.body))


def make_exchange(
    *,
    id: str,
    kind: str,
    submission: Submission,
    request: HttpRequest,
    response: HttpResponse | ExchangeFailure,
    requested_at: datetime,
    answered_at: datetime,
) -> Exchange:
    """Return an exchange about a submission. Request and response hold no secrets but the `Authorization` header."""
    headers = {
        name: MASK if name.lower() == "authorization" else value for name, value in request.headers.items()
    }
    exchange = Exchange(
        id=id, kind=kind, call=submission.call, submission=submission.id, requested_at=requested_at,
        answered_at=answered_at, method=request.method, url=request.url,
        request_headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
        request_body=request.body,
    )  # fmt: skip
    if isinstance(response, ExchangeFailure):
        return replace(exchange, failure=response.message)
    return replace(
        exchange,
        status=response.status,
        reply_headers=response.headers,
        reply_body=response.body,
        failure=response.body_error,
    )

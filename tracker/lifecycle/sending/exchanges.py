"""Exchanges: what we asked the provider and what it answered, as evidence without secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracker.logs.redaction import SecretMasker
from tracker.providers.base import ExchangeFailure, HttpResponse


def mask_result(
    result: HttpResponse | ExchangeFailure, masker: SecretMasker
) -> HttpResponse | ExchangeFailure:
    """Return the result with the secrets masked in a reply's headers and body. A failure quotes none."""
    if isinstance(result, ExchangeFailure):
        return result
    headers = tuple((name, masker.mask_bytes(value)) for name, value in result.headers)
    return replace(result, headers=headers, body=masker.mask_bytes(result.body))


def reply_fields(result: HttpResponse | ExchangeFailure) -> dict[str, Any]:
    """Return what came back as fields of `store.calls.exchanges.Exchange`; a reply must be masked before."""
    if isinstance(result, ExchangeFailure):
        return {"failure": result.message}
    return {
        "status": result.status,
        "reply_headers": result.headers,
        "reply_body": result.body,
        "failure": result.body_error,
    }

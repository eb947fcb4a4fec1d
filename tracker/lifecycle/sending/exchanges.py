"""Exchanges: what we asked the provider and what it answered, as evidence without secrets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracker.logs.redaction import SecretMasker
from tracker.providers.base import Failure, Reply


def mask_result(result: Reply | Failure, masker: SecretMasker) -> Reply | Failure:
    """Return the result with the secrets masked in a reply's headers and body. A failure quotes none."""
    if isinstance(result, Failure):
        return result
    headers = tuple((name, masker.mask_bytes(value)) for name, value in result.headers)
    return replace(result, headers=headers, body=masker.mask_bytes(result.body))


def reply_fields(result: Reply | Failure) -> dict[str, Any]:
    """Return what came back as fields of `store.calls.exchanges.Exchange`; a reply must be masked before."""
    if isinstance(result, Failure):
        return {"failure": result.message}
    return {
        "status": result.status,
        "reply_headers": result.headers,
        "reply_body": result.body,
        "failure": result.broken,
    }

"""Exchanges: what we asked the provider and what it answered, as evidence without secrets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tracker.lifecycle.sending.secret_variables import mask_bytes
from tracker.providers.base import Failure, Reply


def reply_fields(result: Reply | Failure, secrets: Collection[str]) -> dict[str, Any]:
    """What came back, as fields of `store.sending.Exchange`."""
    if isinstance(result, Failure):
        return {"failure": result.message}
    return {
        "status": result.status,
        "reply_headers": tuple((k, mask_bytes(v, secrets)) for k, v in result.headers),
        "reply_body": mask_bytes(result.body, secrets),
        "failure": result.broken,
    }

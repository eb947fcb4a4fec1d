"""In which form a callback came, and whether it names the submission: read from the request itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: what the story's webhooks call the provider's submission id
_ID: Final = "call_id"


def form_of(callback: Mapping[str, Any]) -> str:
    """GET, PUT, form or JSON. `callback`: a document of `GET /api/v1/callbacks/{id}`."""
    if callback["method"] != "POST":
        return str(callback["method"])
    return "form" if "form" in _header(callback, "content-type") else "JSON"


def has_id(callback: Mapping[str, Any]) -> bool:
    """Whether it says which submission it is about."""
    request = callback["request"]
    return _ID in f"{request.get('query') or ''} {request.get('body') or ''}"


def _header(callback: Mapping[str, Any], name: str) -> str:
    headers = callback["request"]["headers"]
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return " ".join(str(value) for key, value in pairs if str(key).lower() == name).lower()

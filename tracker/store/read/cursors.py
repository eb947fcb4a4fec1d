"""Keyset cursors: a page begins behind the last row of the page before, so rows that are added move nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from tracker.domain.time_text import from_iso, iso
from tracker.errors import FieldError, InvalidInput

T = TypeVar("T")

_ID: Final = re.compile(r"[0-9A-Za-z_]{1,100}")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list, and the cursor of the rows behind them; None at the end of the list."""

    data: list[T]
    next_cursor: str | None


def _fingerprint(question: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True, default=str).encode()).hexdigest()[:12]


def encode(question: Mapping[str, Any], at: datetime, id: str) -> str:
    """Return the cursor behind a row. question: the filters and the order of the list that the cursor belongs to."""
    text = json.dumps([_fingerprint(question), iso(at), id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(question: Mapping[str, Any], cursor: str) -> tuple[datetime, str]:
    """Return the time and the id behind which a page begins. Raises InvalidInput for a cursor of another list."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        fingerprint, at, id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if fingerprint == _fingerprint(question) and isinstance(id, str) and _ID.fullmatch(id):
            return from_iso(at), id
    except (ValueError, TypeError, binascii.Error, OverflowError, RecursionError):
        pass
    message = "is no cursor of this list: send `next_cursor` unchanged, with the same filters and order"
    raise InvalidInput([FieldError(field="cursor", message=message)])

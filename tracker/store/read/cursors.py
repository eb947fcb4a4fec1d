"""Keyset paging: a page begins behind the last row of the one before, so that rows which are added move nothing."""

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
    """Some rows, and the cursor of those behind them; None where there are none."""

    data: list[T]
    next_cursor: str | None


def fingerprint(asked: Mapping[str, Any]) -> str:
    """What a cursor is bound to: the question it continues."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:12]


def encode(asked: Mapping[str, Any], at: datetime, id: str) -> str:
    text = json.dumps([fingerprint(asked), iso(at), id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(asked: Mapping[str, Any], cursor: str) -> tuple[datetime, str]:
    """The place behind which a page begins. Raises InvalidInput for what is no cursor of this question."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        bound_to, at, id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if bound_to == fingerprint(asked) and isinstance(id, str) and _ID.fullmatch(id):
            return from_iso(at), id
    except (ValueError, TypeError, binascii.Error, OverflowError, RecursionError):
        pass
    message = "is no cursor of this list: take next_cursor as it was given, with the same filters and order"
    raise InvalidInput([FieldError(field="cursor", message=message)])

"""Parses the values of a call's wish, as a JSON request has them.

Each parser raises ValueError with a sentence that says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from math import isfinite
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from tracker.domain.time_text import from_iso

#: takes a value that is not None, and the region by which a number without a country code is read, such as "IN"
Parser = Callable[[Any, str], Any]

#: the provider's own redial intervals, in minutes
REDIAL_INTERVALS: Final = (0, 5, 15, 30, 45, 60)

_TEXT_LENGTH: Final = 200
_NUMBER_LENGTH: Final = 64
_URL_LENGTH: Final = 2_000
_VARIABLE_LENGTH: Final = 2_000
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_METADATA_DEPTH: Final = 8
_INTEGER_LIMIT: Final = 2**63
#: neither database stores these characters
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def parse_text(value: Any, _region: str = "", *, max_length: int = _TEXT_LENGTH) -> str:
    """Accept text that is not blank and that every database stores."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    if len(value) > max_length:
        raise ValueError(f"must have at most {max_length} characters")
    if _UNSTORABLE.search(value):
        raise ValueError("must not contain NUL or half of a surrogate pair")
    return value


def parse_phone_number(value: Any, region: str) -> str:
    """Return a telephone number as E.164 with "+"."""
    # here, because the command line reads this module for its help, and the library takes long to import
    from tracker.domain.phone_numbers import parse_number

    return parse_number(parse_text(value, max_length=_NUMBER_LENGTH), region)


def parse_bridge_number(value: Any, _region: str) -> str:
    """Return the digits of the number that calls."""
    from tracker.domain.phone_numbers import parse_bridge

    return parse_bridge(parse_text(value, max_length=_NUMBER_LENGTH))


def parse_flow_id(value: Any, _region: str) -> str:
    """Accept text or an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return parse_text(value)


def parse_audio(value: Any, _region: str) -> str:
    """Accept the UUID of a sound, or its http or https address."""
    text = parse_text(value, max_length=_URL_LENGTH)
    if not _is_uuid(text) and not _is_http_url(text):
        raise ValueError("must be the UUID of a sound, or its http:// or https:// address")
    return text


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:  # brackets around what is no address
        return False


def parse_interval(value: Any, _region: str) -> int:
    """Accept one of `REDIAL_INTERVALS`."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in REDIAL_INTERVALS:
        raise ValueError(f"must be one of {', '.join(map(str, REDIAL_INTERVALS))} (minutes)")
    return value


def parse_variables(value: Any, _region: str) -> dict[str, str]:
    """Return a flow's variables as texts; numbers are converted."""
    if not isinstance(value, dict):
        raise ValueError("must be an object of names and texts")
    variables: dict[str, str] = {}
    for name, content in value.items():
        if not _VARIABLE_NAME.fullmatch(name) or len(name) > _TEXT_LENGTH:
            raise ValueError(
                f"has the name {name[:50]!r}: letters, digits and underscore are allowed, a letter first"
            )
        if isinstance(content, int | float) and not isinstance(content, bool):
            content = str(content)
        if not isinstance(content, str) or len(content) > _VARIABLE_LENGTH or _UNSTORABLE.search(content):
            raise ValueError(
                f"has a value for {name} that is no text of at most {_VARIABLE_LENGTH} characters"
            )
        variables[name] = content
    return variables


def parse_metadata(value: Any, _region: str) -> dict[str, Any]:
    """Accept an object that every database stores as JSON."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    _require_storable(value, _METADATA_DEPTH)
    return value


def _require_storable(value: Any, depth: int) -> None:
    """Raise ValueError if a database would refuse this JSON value. depth: how many levels may follow."""
    if depth < 0:
        raise ValueError(f"must not be nested deeper than {_METADATA_DEPTH}")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("must not contain NaN or Infinity")
    if isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        raise ValueError("must not contain whole numbers of more than 64 bits")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise ValueError("must not contain NUL or half of a surrogate pair")
    if isinstance(value, dict):
        for name, content in value.items():
            _require_storable(name, depth)
            _require_storable(content, depth - 1)
    if isinstance(value, list):
        for content in value:
            _require_storable(content, depth - 1)


def parse_time(value: Any, _region: str) -> datetime:
    """Return a time in UTC."""
    return from_iso(value)


def parse_rule(value: Any, _region: str) -> str:
    """Accept "none", because there are no rules yet."""
    if value != "none":
        raise ValueError('names no configured rule; "none" is the only one')
    return "none"


def parse_policy(_value: Any, _region: str) -> str:
    """Refuse every value, because there are no policies yet."""
    raise ValueError("names no configured policy; leave it out")

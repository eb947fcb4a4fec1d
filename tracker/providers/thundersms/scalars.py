"""Parses single values of ThunderSMS: texts, ids, times, durations, amounts. Missing and absurd values are None."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

#: characters
MAX_ID_LENGTH: Final = 200
MAX_WORD_LENGTH: Final = 100
MAX_URL_LENGTH: Final = 2000

_UNFILLED_TEMPLATE: Final = re.compile(r"@?\{{1,2}[^{}]*\}{1,2}")
#: characters that a text column of a database refuses
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_SECONDS: Final = re.compile(r"[0-9]{1,8}(?:\.[0-9]{1,9})?", re.ASCII)
_AMOUNT: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?", re.ASCII)
_CLOCK: Final = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-9]{2})", re.ASCII)
_UNIX_TIME: Final = re.compile(r"[0-9]{10}|[0-9]{13}", re.ASCII)
_DATE_AND_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}.{0,30}", re.ASCII)

#: many libraries turn a zero or a missing time into one of 1970
_PLAUSIBLE_YEARS: Final = range(2000, 2100)
_MAX_DURATION_S: Final = 7 * 24 * 3600


def replace_unstorable(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def parse_text(value: Any) -> str | None:
    """Return a text or a number as text, or None if it is missing, empty or an unfilled template."""
    if isinstance(value, str):
        stripped = value.strip()
        if not stripped or (stripped[-1] == "}" and _UNFILLED_TEMPLATE.fullmatch(stripped)):
            return None
        return replace_unstorable(stripped)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and isfinite(value):
        return format(Decimal(repr(value)), "f")
    return None


def parse_id(value: Any) -> str | None:
    """Return an id as text, or None if it has more than 200 characters: cut short it would be another id."""
    text = parse_text(value)
    return text if text and len(text) <= MAX_ID_LENGTH else None


def parse_word(value: Any) -> str | None:
    """Return a short text, cut at 100 characters."""
    text = parse_text(value)
    return text[:MAX_WORD_LENGTH] if text else None


def parse_url(value: Any) -> str | None:
    """Return an http(s) URL of at most 2000 characters, otherwise None."""
    text = parse_text(value)
    if not text or len(text) > MAX_URL_LENGTH or not text.lower().startswith(("http://", "https://")):
        return None
    return text


def parse_amount(value: Any) -> str | None:
    """Return a sum of money as the provider wrote it, such as "0.5000", or None if it is no number."""
    text = None if isinstance(value, bool) else parse_text(value)
    return text if text and _AMOUNT.fullmatch(text) else None


def parse_duration_s(value: Any) -> int | None:
    """Return seconds, from seconds or HH:MM:SS; None if negative, unreadable or longer than a week."""
    text = None if isinstance(value, bool) else parse_text(value)
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        duration_s = int(float(text))
    elif match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        duration_s = hours * 3600 + minutes * 60 + seconds
    else:
        return None
    return duration_s if duration_s <= _MAX_DURATION_S else None


def parse_timestamp(value: Any, zone: ZoneInfo) -> tuple[str | None, datetime | None]:
    """Return a time as it was sent, and in UTC. A time without a zone is read in `zone`.

    Zero and impossible times are missing: (None, None). A text in an unknown form is returned without a time.
    """
    text = parse_word(value)
    return _parse_timestamp(text, zone) if text else (None, None)


@lru_cache(maxsize=4096)  # among thousands of callbacks many have the same second
def _parse_timestamp(text: str, zone: ZoneInfo) -> tuple[str | None, datetime | None]:
    if text.startswith("0000-00-00") or not text.strip("0"):
        return None, None
    try:
        if _DATE_AND_TIME.fullmatch(text):
            at = datetime.fromisoformat(text)
        elif _UNIX_TIME.fullmatch(text):
            at = datetime.fromtimestamp(int(text) / (1000 if len(text) == 13 else 1), UTC)
        else:
            return text, None
    except ValueError:
        return None, None
    if at.year not in _PLAUSIBLE_YEARS:
        return None, None
    return text, (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)

"""Single values as ThunderSMS writes them: texts, times, durations, amounts. What is missing or absurd is None."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

MAX_ID_LENGTH = 200
MAX_WORD_LENGTH = 100
MAX_URL_LENGTH = 2000

_UNFILLED_TEMPLATE = re.compile(r"@?\{{1,2}[^{}]*\}{1,2}")
#: what a text column of a database does not take
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SECONDS = re.compile(r"[0-9]{1,8}(?:\.[0-9]{1,9})?", re.ASCII)
_AMOUNT = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?", re.ASCII)
_CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-9]{2})", re.ASCII)
_UNIX_TIME = re.compile(r"[0-9]{10}|[0-9]{13}", re.ASCII)
_DATE_AND_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}.{0,30}", re.ASCII)

#: Before it lies what a zero or a missing time becomes in many a library (1970); after it nothing of use.
_PLAUSIBLE_YEARS = range(2000, 2100)
_MAX_DURATION_S = 7 * 24 * 3600


def replace_unstorable(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def parse_text(value: Any) -> str | None:
    """A text or a number as text; None where it is missing, empty or a template that was not filled."""
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
    """An id as text. One of more than 200 characters is none: cut short it would be another."""
    found = parse_text(value)
    return found if found and len(found) <= MAX_ID_LENGTH else None


def parse_word(value: Any) -> str | None:
    """A short text, cut at 100 characters."""
    found = parse_text(value)
    return found[:MAX_WORD_LENGTH] if found else None


def parse_url(value: Any) -> str | None:
    """An http(s) address of at most 2000 characters."""
    found = parse_text(value)
    if not found or len(found) > MAX_URL_LENGTH or not found.lower().startswith(("http://", "https://")):
        return None
    return found


def parse_amount(value: Any) -> str | None:
    """A sum as the provider wrote it, such as "0.5000"; None where it is no number."""
    found = None if isinstance(value, bool) else parse_text(value)
    return found if found and _AMOUNT.fullmatch(found) else None


def parse_duration_s(value: Any) -> int | None:
    """Seconds, from seconds or HH:MM:SS. Negative, unreadable, and longer than a week is missing."""
    found = None if isinstance(value, bool) else parse_text(value)
    if not found:
        return None
    if _SECONDS.fullmatch(found):
        seconds = int(float(found))
    elif clock := _CLOCK.fullmatch(found):
        hours, minutes, rest = (int(part or 0) for part in clock.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    else:
        return None
    return seconds if seconds <= _MAX_DURATION_S else None


def parse_timestamp(value: Any, zone: ZoneInfo) -> tuple[str | None, datetime | None]:
    """A time as it was sent, and as UTC; what names no zone is read in `zone`.

    Zero dates and impossible ones are missing: (None, None). A text in a form that we do not know is kept as sent,
    without a time.
    """
    found = parse_word(value)
    return _parse_timestamp(found, zone) if found else (None, None)


@lru_cache(maxsize=4096)  # where they come by the thousand, many name the same second
def _parse_timestamp(found: str, zone: ZoneInfo) -> tuple[str | None, datetime | None]:
    if found.startswith("0000-00-00") or not found.strip("0"):
        return None, None
    try:
        if _DATE_AND_TIME.fullmatch(found):
            at = datetime.fromisoformat(found)
        elif _UNIX_TIME.fullmatch(found):
            at = datetime.fromtimestamp(int(found) / (1000 if len(found) == 13 else 1), UTC)
        else:
            return found, None
    except ValueError:
        return None, None
    if at.year not in _PLAUSIBLE_YEARS:
        return None, None
    return found, (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)

"""Parses the values of options. Each parser raises ValueError with a sentence that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

T = TypeVar("T")

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_option(option: str, parse: Callable[[str], T], text: str) -> T:
    """Parse the text of an option; the ValueError of the parser then names the option."""
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def parse_phone_number(text: str, region: str = "IN") -> str:
    """Parse a phone number, and return it in E.164. region: decides how a number without a country code is read."""
    from tracker.domain.phone_numbers import parse_number

    return parse_number(text, region)


def parse_bridge_number(text: str) -> str:
    """Parse a number that calls, and return its digits."""
    from tracker.domain.phone_numbers import parse_bridge

    return parse_bridge(text)


def parse_account_name(text: str) -> str:
    """Check the name of an account, which is the path of its callback URL."""
    if not re.fullmatch(r"(?!.*__)[a-z0-9_]+", text):
        raise ValueError("must be of a-z, 0-9 and _, without __")
    return text


def parse_base_url(text: str) -> str:
    """Check the address of an API, and return it with a slash at its end."""
    return parse_public_url(text) + "/"


def parse_public_url(text: str) -> str:
    """Check an http(s) address without a query, and return it without a slash at its end."""
    from tracker.settings.field_types import http_url

    parts = http_url(text)
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be an http:// or https:// URL without user name, query and fragment")
    return text.rstrip("/")


def parse_duration(text: str) -> float:
    """Parse a duration such as 90, 30s, 2m or 1h, and return its seconds."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text.strip().lower())
    if not match:
        raise ValueError("must be a duration, such as 30s, 2m or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """Parse a time with a zone, or one relative to now (-2h, +10m).

    A relative time must have a unit, because +10 could mean minutes or hours.
    """
    from tracker.domain.time_text import from_iso

    if text[:1] in ("+", "-") and text[1:2].isdigit() and text[-1].isalpha():
        distance = timedelta(seconds=parse_duration(text[1:]))
        at = (now or datetime.now(UTC)) + (distance if text[0] == "+" else -distance)
        return at.replace(microsecond=0)
    try:
        return from_iso(text)
    except ValueError as error:
        raise ValueError(f"{error}, or -2h or +10m from now") from None


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Parse the texts `name=value` of an option that may be repeated."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{option}: must be name=value, not {text!r}")
        if name in pairs:
            raise ValueError(f"{option}: names {name} twice")
        pairs[name] = value
    return pairs

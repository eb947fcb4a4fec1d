"""Declares the types of values that several settings have: secrets, URLs, zones.

A validator raises ValueError with a sentence that begins with "must". It never repeats the value, because the loader
knows whether the value may be shown.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from tracker.domain.retention import parse_retention


class Section(BaseModel):
    """A table of the configuration."""

    # hide_input_in_errors: a ValidationError that is printed by accident shows no secret
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


@dataclass(frozen=True)
class MaskPassword:
    """The mark of a URL of which only the password is secret."""


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _text(value: Any) -> Any:
    """Accept a number for text, because people write phone numbers without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _zone(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return ZoneInfo(value)
    except (
        ValueError,
        OSError,
        LookupError,
    ):  # "Asia" is a directory, "../x" is refused, "Mars/Base" is not found
        near = get_close_matches(value, available_timezones(), n=1)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        raise ValueError(f'must be an IANA time zone such as "Asia/Kolkata"{hint}') from None


def _retention(value: Any) -> Any:
    """Refuse what pydantic would accept beyond the documented form: seconds as numbers, and forms of ISO 8601."""
    if value == "" or value is None:
        return None
    if not isinstance(value, str):
        raise ValueError('must be a number of days or weeks, such as "400d" or "52w"')
    return parse_retention(value)


def retention_text(period: timedelta) -> str:
    """Return a period as the configuration has it."""
    return f"{period.days}d"


def http_url(value: str) -> SplitResult:
    """Return the parts of an absolute http or https URL. Raises ValueError for anything else."""
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if is_valid and not any(c.isspace() for c in value):
            return parts
    except ValueError:  # a port or an address in brackets that cannot be one
        pass
    raise ValueError("must be an http:// or https:// URL")


def is_loopback(host: str) -> bool:
    """Return whether traffic to this host name stays on the machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_plain_http(url: str) -> bool:
    """Return whether requests to this URL leave the machine unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


OptionalRetention = Annotated[timedelta | None, BeforeValidator(_retention)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none)]
Digits = Annotated[str, BeforeValidator(_text)]
TimeZone = Annotated[ZoneInfo, BeforeValidator(_zone)]
Positive = Annotated[float, Field(gt=0)]

"""The kinds of value that more than one setting has: secrets, URLs, zones.

A validator raises ValueError with a sentence that begins with "must" and never repeats the value: whoever reports the
problem knows the key, and knows whether the value may be shown.
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

    # hide_input_in_errors: whoever prints a ValidationError by accident prints no secret.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


@dataclass(frozen=True)
class MaskPassword:
    """Marks a URL whose password is masked wherever the setting is shown; the rest of it is readable."""


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _text(value: Any) -> Any:
    """Numbers may be written without quotes."""
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


def _age(value: Any) -> Any:
    """Only as it is documented: pydantic would read numbers as seconds, and forms of ISO 8601 that nobody means."""
    if value == "" or value is None:
        return None
    if not isinstance(value, str):
        raise ValueError('must be a number of days or weeks, such as "400d" or "52w"')
    return parse_retention(value)


def age_text(age: timedelta) -> str:
    """The counterpart of reading an age."""
    return f"{age.days}d"


def http_url(value: str) -> SplitResult:
    """Splits an absolute http or https URL; ValueError if it is not one."""
    try:
        parts = urlsplit(value)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if is_one and not any(c.isspace() for c in value):
            return parts
    except ValueError:  # a port or an address in brackets that cannot be one
        pass
    raise ValueError("must be an http:// or https:// URL")


def is_loopback(host: str) -> bool:
    """Whether traffic to this host name stays on the machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_plain_http(url: str) -> bool:
    """Whether what is sent there can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


OptionalAge = Annotated[timedelta | None, BeforeValidator(_age)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none)]
Digits = Annotated[str, BeforeValidator(_text)]
TimeZone = Annotated[ZoneInfo, BeforeValidator(_zone)]
Positive = Annotated[float, Field(gt=0)]

"""Reading what people give on the command line; each raises ValueError with a sentence that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tracker.errors import FieldError, InvalidInput

T = TypeVar("T")

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def a_number(text: str) -> str:
    """A telephone number, as E.164."""
    from tracker.domain.phone_numbers import parse_number

    return parse_number(text, "IN")


def a_bridge(text: str) -> str:
    """A number that calls, as digits."""
    from tracker.domain.phone_numbers import parse_bridge

    return parse_bridge(text)


def an_account_name(text: str) -> str:
    """The name of an account, which is the path of its callback URL."""
    if not re.fullmatch(r"(?!.*__)[a-z0-9_]+", text):
        raise ValueError("must be of a-z, 0-9 and _, without __")
    return text


def an_http_url(text: str) -> str:
    """The address of an API, with a slash at its end."""
    return a_public_url(text) + "/"


def a_public_url(text: str) -> str:
    """An address without query and without a slash at its end."""
    from tracker.settings.field_types import http_url

    parts = http_url(text)
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be an http:// or https:// URL without user name, query and fragment")
    return text.rstrip("/")


def seconds(text: str) -> float:
    """A length of time such as 90, 30s, 2m, 1h."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text.strip().lower())
    if not found:
        raise ValueError("must be a length of time, such as 30s, 2m or 1h")
    return float(found[1]) * _UNITS[found[2] or "s"]


def a_moment(text: str, now: datetime | None = None) -> str:
    """A time with a zone, or how long ago or from now: -2h, +10m; as the interface writes times.

    A length has a unit here: whoever writes +10 thinks of minutes, or of hours.
    """
    from tracker.domain.time_text import from_iso, iso

    if text[:1] in ("+", "-") and text[1:2].isdigit() and text[-1].isalpha():
        length = timedelta(seconds=seconds(text[1:]))
        at = (now or datetime.now(UTC)) + (length if text[0] == "+" else -length)
        return iso(at.replace(microsecond=0))
    try:
        return iso(from_iso(text))
    except ValueError as error:
        raise ValueError(f"{error}, or -2h or +10m from now") from None


def in_option(name: str, read: Callable[[str], T], text: str) -> T:
    """What `read` makes of the text of an option; where it raises ValueError, that names the option."""
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def in_options(error: InvalidInput, options: Mapping[str, str] | None = None) -> InvalidInput:
    """Return the error with the options that people type in place of the fields of the API.

    Fields stand in the messages in backquotes. options: by field, where the option is not the field's name with dashes.
    """

    def option(field: str) -> str:
        return (options or {}).get(field) or "--" + field.replace("_", "-")

    def message(text: str) -> str:
        return re.sub("`([a-z_]+)`", lambda found: f"`{option(found[1])}`", text)

    return type(error)([FieldError(field=option(e.field), message=message(e.message)) for e in error.errors])


def pairs(option: str, given: Iterable[str]) -> dict[str, Any]:
    """Names and values of an option `name=value` that was given several times."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise ValueError(f"{option}: must be name=value, not {one!r}")
        if name in found:
            raise ValueError(f"{option}: names {name} twice")
        found[name] = value
    return found

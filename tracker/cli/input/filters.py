"""Builds the filters of lists from options. Raises ValueError with a sentence that names the option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tracker.cli.input.option_types import parse_moment, parse_option, parse_phone_number
from tracker.domain.calls import OUTCOMES, CallStatus
from tracker.domain.time_text import from_iso
from tracker.store.inbox import states
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import CallFilter


def call_filter(options: Mapping[str, Any]) -> CallFilter:
    """Build the filter of a list of calls from options by the names of its fields; None means not given."""
    wanted: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name, allowed in (("status", frozenset(CallStatus)), ("outcome", OUTCOMES)):
        if name in wanted:
            wanted[name] = tuple(_one_of(name, word.strip(), allowed) for word in wanted[name].split(","))
    if "to" in wanted:
        wanted["to"] = (parse_option("--to", parse_phone_number, wanted["to"]),)
    for name in ("created_after", "created_before", "updated_after"):
        if name in wanted:
            wanted[name] = parse_option(f"--{name.replace('_', '-')}", _parse_time, wanted[name])
    built = CallFilter(**wanted)
    if built.created_after and built.created_before and built.created_after > built.created_before:
        raise ValueError("--created-after is later than --created-before, so that no call can fit")
    return built


def callback_filter(state: str | None, account: str | None, call: str | None) -> CallbackFilter:
    """Build the filter of a list of callbacks."""
    if state is not None and state not in states.STATES:
        raise ValueError(f"--state: there is no {state!r}; there are {', '.join(states.STATES)}")
    return CallbackFilter(state=state, account=account, call=call)


def unknown_account_warning(account: str | None, configured: Iterable[str]) -> str | None:
    """Return a warning if a list is filtered by an account that is not configured; None otherwise.

    It is no error: an account that was configured once has left its calls in the database.
    """
    names = sorted(configured)
    if account is None or account in names:
        return None
    return f"{account} is not configured; configured: {', '.join(names) or 'none'}."


def _one_of(name: str, word: str, allowed: frozenset[CallStatus]) -> str:
    words = [status.value for status in CallStatus if status in allowed]
    if word not in words:
        raise ValueError(f"--{name}: there is no {word!r}; there are {', '.join(words)}")
    return word


def _parse_time(text: str) -> datetime:
    return from_iso(parse_moment(text))

"""Builds the filters of lists from options. Raises InvalidInput, which names every wrong option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tracker.cli.input.option_errors import name_options
from tracker.cli.input.option_types import parse_moment
from tracker.errors import InvalidInput
from tracker.lifecycle.operations.list_parameters import ListParameters
from tracker.settings import Settings
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import CallFilter


def call_filter(options: Mapping[str, Any], settings: Settings) -> tuple[CallFilter, str]:
    """Return the filter and the order of a list of calls.

    options: by the names of the API's parameters; None means not given.
    """
    parameters = _list_parameters(options, settings)
    query, order = parameters.call_filter(), parameters.order()
    _require_valid(parameters)
    return query, order


def callback_filter(options: Mapping[str, Any], settings: Settings) -> CallbackFilter:
    """Return the filter of a list of callbacks. options: as above."""
    parameters = _list_parameters(options, settings)
    query = parameters.callback_filter()
    _require_valid(parameters)
    return query


def unknown_account_warning(account: str | None, configured: Iterable[str]) -> str | None:
    """Return a warning if a list is filtered by an account that is not configured; None otherwise.

    It is no error: an account that was configured once has left its calls in the database.
    """
    names = sorted(configured)
    if account is None or account in names:
        return None
    return f"{account} is not configured; configured: {', '.join(names) or 'none'}."


def _list_parameters(options: Mapping[str, Any], settings: Settings) -> ListParameters:
    texts = {name: _as_text(value) for name, value in options.items() if value is not None}
    regions = {account.region for account in settings.accounts.values()}
    return ListParameters(texts, regions=regions, parse_time=parse_moment)


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_valid(parameters: ListParameters) -> None:
    try:
        parameters.require_valid()
    except InvalidInput as error:
        raise name_options(error) from None

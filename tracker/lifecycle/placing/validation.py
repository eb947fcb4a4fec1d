"""Validates a request for a call: every field, and how the fields fit together, before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.domain.accounts import CREDENTIALS_MISSING, Account
from tracker.domain.wish.call_wish import WISH_FIELDS, CallWish
from tracker.errors import AccountIncomplete, FieldError, InvalidInput


def validate_call_request(fields: Mapping[str, Any], accounts: Mapping[str, Account]) -> CallWish:
    """Return the wish that the fields of a request describe, with the account's defaults.

    A field that is None counts as missing. Raises InvalidInput with every wrong field; AccountIncomplete if the account
    has no access token.
    """
    errors = [
        FieldError(field=name, message=f"is not known; known are {', '.join(WISH_FIELDS)}")
        for name in fields
        if name not in WISH_FIELDS
    ]
    given = {name: fields[name] for name in WISH_FIELDS if fields.get(name) is not None}
    account = _find_account(given.pop("account", None), accounts, errors)
    region = (account or Account(name="")).region
    wish: dict[str, Any] = {}
    for name, value in given.items():
        try:
            wish[name] = WISH_FIELDS[name].parse(value, region)
        except ValueError as error:
            errors.append(FieldError(field=name, message=str(error)))
    if account and account.bridge:
        wish.setdefault("bridge", account.bridge)
    errors += _conflicts(given, wish, account)
    if errors or account is None:
        raise InvalidInput(errors)
    if not account.access_token:
        message = f"accounts.{account.name}.{CREDENTIALS_MISSING}"
        raise AccountIncomplete([FieldError(field="account", message=message)])
    return CallWish(account=account.name, **wish)


def _find_account(name: Any, accounts: Mapping[str, Account], errors: list[FieldError]) -> Account | None:
    """Return the account of a call, by default the only one. Add an error and return None if there is none."""
    known = ", ".join(sorted(accounts)) or "none is configured"
    if name is None:
        if len(accounts) == 1:
            return next(iter(accounts.values()))
        errors.append(FieldError(field="account", message=f"is needed, one of: {known}"))
        return None
    found = accounts.get(name) if isinstance(name, str) else None
    if found is None:
        errors.append(FieldError(field="account", message=f"is not configured; configured: {known}"))
    return found


def _conflicts(
    given: Mapping[str, Any], wish: Mapping[str, Any], account: Account | None
) -> list[FieldError]:
    """Return what is missing, and what does not fit together.

    given: the values of the request. wish: those that could be parsed, and defaults. A value that could not be parsed
    is an error already.
    """
    errors = []
    if "to" not in given:
        errors.append(FieldError(field="to", message="is needed: the number to call, with its country code"))
    if account and "bridge" not in given and "bridge" not in wish:
        message = "is needed, because the account has no default bridge number"
        errors.append(FieldError(field="bridge", message=message))
    if "flow_id" not in given and "audio" not in given:
        message = "is needed, unless `audio` is given: what the callee hears"
        errors.append(FieldError(field="flow_id", message=message))
    if "flow_id" in given and "audio" in given:
        errors.append(FieldError(field="audio", message="cannot stand beside `flow_id`: give one of them"))
    start, end = wish.get("not_before"), wish.get("not_after")
    if start and end and end <= start:
        errors.append(FieldError(field="not_after", message="must be later than `not_before`"))
    return errors

"""Reading what was asked for: the fields of a new call, all of them checked before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from tracker.domain.accounts import CREDENTIALS_MISSING, Account
from tracker.domain.calls import REDIAL_INTERVALS
from tracker.domain.phone_numbers import parse_bridge, parse_number
from tracker.domain.time_text import from_iso
from tracker.errors import AccountIncomplete, FieldError, InvalidInput

T = TypeVar("T")

#: characters
REFERENCE_LENGTH: Final = 200
_TEXT_LENGTH: Final = 200
_VARIABLE_LENGTH: Final = 2_000
_METADATA_DEPTH: Final = 8
_LARGEST_WHOLE: Final = 2**63
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

#: every field that a request for a call may have
FIELDS: Final = (
    "to", "bridge", "flow_id", "audio", "variables", "metadata", "name", "interval", "webhook_id", "account",
    "campaign", "reference", "rule", "policy", "not_before", "not_after",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ValidatedCall:
    """A well-formed wish for a call."""

    account: Account
    #: E.164 with "+"
    to: str
    #: digits
    bridge: str
    flow_id: str | None
    audio: str | None
    variables: Mapping[str, str]
    metadata: Mapping[str, Any]
    name: str | None
    #: minutes
    interval: int | None
    webhook_id: str | None
    campaign: str | None
    reference: str | None
    rule: str | None
    #: UTC
    not_before: datetime | None
    #: UTC
    not_after: datetime | None


class _Wrong(ValueError):
    """One field cannot be read; the text says what is allowed."""


def validate_call_request(fields: Mapping[str, Any], accounts: Mapping[str, Account]) -> ValidatedCall:
    """The call that these fields ask for. Raises InvalidInput with every wrong field, AccountIncomplete."""
    errors = [
        FieldError(field=name, message=f"is not known; known are {', '.join(FIELDS)}")
        for name in fields
        if name not in FIELDS
    ]

    def read(name: str, reader: Callable[[Any], T], default: T) -> T:
        value = fields.get(name)
        if value is None:
            return default
        try:
            return reader(value)
        except ValueError as error:
            errors.append(FieldError(field=name, message=str(error)))
            return default

    account = _account(fields.get("account"), accounts, errors)
    region = account.region if account else "IN"
    to = read("to", lambda v: parse_number(_text(v, 64), region), "")
    if fields.get("to") is None:
        errors.append(FieldError(field="to", message="is needed: the number to call, with its country code"))
    bridge = read("bridge", lambda v: parse_bridge(_text(v, 64)), "")
    if fields.get("bridge") is None:
        bridge = (account.bridge if account else None) or ""
        if account and not bridge:
            errors.append(
                FieldError(field="bridge", message="is needed: the account has no default bridge number")
            )
    flow_id, audio = read("flow_id", _flow_id, None), read("audio", _audio, None)
    if fields.get("flow_id") is None and fields.get("audio") is None:
        errors.append(FieldError(field="flow_id", message="is needed, or audio: what the callee is to hear"))
    elif fields.get("flow_id") is not None and fields.get("audio") is not None:
        errors.append(
            FieldError(field="audio", message="cannot stand beside flow_id: give exactly one of them")
        )
    call = ValidatedCall(
        account=account or Account(name=""),
        to=to,
        bridge=bridge,
        flow_id=flow_id,
        audio=audio,
        variables=read("variables", _variables, {}),
        metadata=read("metadata", _metadata, {}),
        name=read("name", _text, None),
        interval=read("interval", _interval, None),
        webhook_id=read("webhook_id", _text, None),
        campaign=read("campaign", a_campaign, None),
        reference=read("reference", lambda v: _text(v, REFERENCE_LENGTH), None),
        rule=read("rule", _rule, None),
        not_before=read("not_before", from_iso, None),
        not_after=read("not_after", from_iso, None),
    )
    read("policy", _policy, None)
    if call.not_before and call.not_after and call.not_after <= call.not_before:
        errors.append(FieldError(field="not_after", message="must be later than not_before"))
    if errors:
        raise InvalidInput(errors)
    if not call.account.access_token:
        message = f"accounts.{call.account.name}.{CREDENTIALS_MISSING}"
        raise AccountIncomplete([FieldError(field="account", message=message)])
    return call


def _account(name: Any, accounts: Mapping[str, Account], errors: list[FieldError]) -> Account | None:
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


def _text(value: Any, longest: int = _TEXT_LENGTH) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("must be a text that is not empty")
    if len(value) > longest:
        raise _Wrong(f"must have at most {longest} characters")
    if _UNSTORABLE.search(value):
        raise _Wrong("must not contain NUL or half of a surrogate pair")
    return value


def a_campaign(value: Any) -> str:
    """What may be a campaign's name. Raises ValueError, which says what is allowed."""
    return _text(value)


def _flow_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return _text(value)


def _audio(value: Any) -> str:
    text = _text(value, 2_000)
    try:
        UUID(text)
    except ValueError:
        pass
    else:
        return text
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:
        good = False
    if not good:
        raise _Wrong("must be the UUID of a sound, or its http:// or https:// address")
    return text


def _interval(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in REDIAL_INTERVALS:
        raise _Wrong(f"must be one of {', '.join(map(str, REDIAL_INTERVALS))} (minutes)")
    return value


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _Wrong("must be an object of names and texts")
    variables: dict[str, str] = {}
    for name, content in value.items():
        if not _VARIABLE_NAME.fullmatch(name) or len(name) > _TEXT_LENGTH:
            raise _Wrong(
                f"has the name {name[:50]!r}: letters, digits and underscore are allowed, a letter first"
            )
        if isinstance(content, int | float) and not isinstance(content, bool):
            content = str(content)
        if not isinstance(content, str) or len(content) > _VARIABLE_LENGTH or _UNSTORABLE.search(content):
            raise _Wrong(f"has a value for {name} that is no text of at most {_VARIABLE_LENGTH} characters")
        variables[name] = content
    return variables


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("must be an object")
    _storable(value, _METADATA_DEPTH)
    return value


def _storable(value: Any, depth: int) -> None:
    if depth < 0:
        raise _Wrong(f"must not be nested deeper than {_METADATA_DEPTH}")
    if isinstance(value, float) and not isfinite(value):
        raise _Wrong("must not contain NaN or Infinity")
    if isinstance(value, int) and abs(value) >= _LARGEST_WHOLE:
        raise _Wrong("must not contain whole numbers of more than 64 bits")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise _Wrong("must not contain NUL or half of a surrogate pair")
    if isinstance(value, dict):
        for name, content in value.items():
            _storable(name, depth)
            _storable(content, depth - 1)
    if isinstance(value, list):
        for content in value:
            _storable(content, depth - 1)


def _rule(value: Any) -> str:
    if value != "none":
        raise _Wrong('names no configured rule; "none" is the only one')
    return "none"


def _policy(value: Any) -> None:
    raise _Wrong("names no configured policy; leave it out")

"""Requests to ThunderSMS: submitting a dial, asking for its outcome, checking the token.

Fields: https://portal.thundersms.com/docs/v2/reach/call. `variables` are documented as flat keys of a JSON object,
copied from the older form; whether the provider also takes them nested is for the account to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tracker.domain.accounts import Account, VariablesEncoding
from tracker.domain.calls import SubmitCommand
from tracker.domain.phone_numbers import keep_digits
from tracker.logs.redaction import MASK, masker_of
from tracker.providers.base import HttpRequest
from tracker.providers.thundersms.scalars import replace_unstorable

_PLACEHOLDER = re.compile(r"\{(submission|call|reference)\}")


def submit_request(account: Account, dial: SubmitCommand) -> HttpRequest:
    """The request that submits this dial."""
    return _build_submit_request(
        account, _submit_fields(account, dial, dial.variables), _api_headers(account)
    )


def redacted_request(account: Account, dial: SubmitCommand) -> HttpRequest:
    """The same request as evidence: credentials, secret variables and secrets replaced by `***`."""
    secret = {name.lower() for name in account.secret_variables}
    variables = {name: MASK if name.lower() in secret else value for name, value in dial.variables.items()}
    headers = {**_api_headers(account), "Authorization": MASK}
    fields = _map_texts(_submit_fields(account, dial, variables), masker_of(account.secrets).mask_text)
    return _build_submit_request(account, fields, headers)


def status_request(account: Account, submission_id: str) -> HttpRequest:
    """The request for the status of one submission."""
    return _build_get_request(account, f"outgoing/callstatus?id={quote(submission_id, safe='')}")


def credentials_request(account: Account) -> HttpRequest:
    """The request for whose access token this is."""
    return _build_get_request(account, "auth/me")


def _submit_fields(account: Account, dial: SubmitCommand, variables: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"bridge": keep_digits(dial.bridge), "to": keep_digits(dial.to)}
    optional = {
        "flow_id": dial.flow_id,
        "audio": dial.audio,
        "name": dial.name,
        "interval": dial.interval,
        "webhook_id": dial.webhook_id or account.webhook_id,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    if account.variables_encoding is VariablesEncoding.json:
        fields |= {f"variables[{name}]": value for name, value in variables.items()}
    elif variables:
        fields["variables"] = dict(variables)
    # What the account adds never replaces what the call says: the number above all.
    return {**_map_texts(account.extra, _placeholder_filler(dial)), **fields}


def _build_submit_request(account: Account, fields: dict[str, Any], headers: dict[str, str]) -> HttpRequest:
    fields = _map_texts(fields, replace_unstorable)
    if account.variables_encoding is VariablesEncoding.form:
        kind, body = "application/x-www-form-urlencoded", urlencode(list(_form_pairs(fields))).encode()
    else:
        kind, body = "application/json", orjson.dumps(fields)
    return HttpRequest(
        method="POST",
        url=_api_url(account, "outgoing/send"),
        headers={**headers, "Content-Type": kind},
        body=body,
    )


def _build_get_request(account: Account, path: str) -> HttpRequest:
    return HttpRequest(method="GET", url=_api_url(account, path), headers=_api_headers(account))


def _api_url(account: Account, path: str) -> str:
    return account.base_url.removesuffix("/") + "/" + path


def _api_headers(account: Account) -> dict[str, str]:
    # Without the Accept the provider answers a bad token with its login page.
    return {"Authorization": f"Bearer {account.access_token}", "Accept": "application/json"}


def _placeholder_filler(dial: SubmitCommand) -> Callable[[str], str]:
    known = {"submission": dial.submission, "call": dial.call, "reference": dial.reference or ""}
    return lambda text: _PLACEHOLDER.sub(lambda found: known[found[1]], text)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with every text in it changed, also within tables and lists; names stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _map_texts(inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(inner, change) for inner in value]
    return value


def _form_pairs(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A nested value as the fields of a form: `variables[Name]`, `list[0]`; a truth is 1 or 0."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _form_pairs(inner, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _form_pairs(inner, f"{name}[{index}]")
    elif value is not None:
        yield name, str(int(value)) if isinstance(value, bool) else str(value)

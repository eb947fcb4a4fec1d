"""Builds requests to ThunderSMS: submit a call, poll its status, check the credentials.

Fields: https://portal.thundersms.com/docs/v2/reach/call. It documents `variables` as flat keys of a JSON object, copied
from the older form. Whether the provider also takes them nested is not documented, so the account chooses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from tracker.domain.accounts import Account, VariablesEncoding
from tracker.domain.calls import SubmitCommand
from tracker.domain.phone_numbers import keep_digits
from tracker.logs.redaction import MASK, masker_of
from tracker.providers.base import HttpRequest
from tracker.providers.thundersms.scalars import replace_unstorable

_PLACEHOLDER: Final = re.compile(r"\{(submission|call|reference)\}")


def submit_request(account: Account, command: SubmitCommand) -> HttpRequest:
    """Build the request that submits this call."""
    fields = _submit_fields(account, command, command.variables)
    return _build_submit_request(account, fields, _api_headers(account))


def redacted_request(account: Account, command: SubmitCommand) -> HttpRequest:
    """Build the same request as evidence, with credentials, secrets and secret variables masked."""
    secret_names = {name.lower() for name in account.secret_variables}
    variables = {
        name: MASK if name.lower() in secret_names else value for name, value in command.variables.items()
    }
    fields = _map_texts(_submit_fields(account, command, variables), masker_of(account.secrets).mask_text)
    return _build_submit_request(account, fields, {**_api_headers(account), "Authorization": MASK})


def status_request(account: Account, submission_id: str) -> HttpRequest:
    """Build the request for the status of one submission."""
    return _build_get_request(account, f"outgoing/callstatus?id={quote(submission_id, safe='')}")


def credentials_request(account: Account) -> HttpRequest:
    """Build the request for the owner of the access token."""
    return _build_get_request(account, "auth/me")


def _submit_fields(account: Account, command: SubmitCommand, variables: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"bridge": keep_digits(command.bridge), "to": keep_digits(command.to)}
    optional = {
        "flow_id": command.flow_id,
        "audio": command.audio,
        "name": command.name,
        "interval": command.interval,
        "webhook_id": command.webhook_id or account.webhook_id,
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    if account.variables_encoding is VariablesEncoding.json:
        fields |= {f"variables[{name}]": value for name, value in variables.items()}
    elif variables:
        fields["variables"] = dict(variables)
    # The account's extra fields never replace those of the call, above all not the number.
    return {**_map_texts(account.extra, _placeholder_filler(command)), **fields}


def _build_submit_request(account: Account, fields: dict[str, Any], headers: dict[str, str]) -> HttpRequest:
    fields = _map_texts(fields, replace_unstorable)
    if account.variables_encoding is VariablesEncoding.form:
        content_type, body = (
            "application/x-www-form-urlencoded",
            urlencode(list(_form_pairs(fields))).encode(),
        )
    else:
        content_type, body = "application/json", orjson.dumps(fields)
    return HttpRequest(
        method="POST",
        url=_api_url(account, "outgoing/send"),
        headers={**headers, "Content-Type": content_type},
        body=body,
    )


def _build_get_request(account: Account, path: str) -> HttpRequest:
    return HttpRequest(method="GET", url=_api_url(account, path), headers=_api_headers(account))


def _api_url(account: Account, path: str) -> str:
    return account.base_url.removesuffix("/") + "/" + path


def _api_headers(account: Account) -> dict[str, str]:
    # Without `Accept`, the provider answers a wrong token with its login page.
    return {"Authorization": f"Bearer {account.access_token}", "Accept": "application/json"}


def _placeholder_filler(command: SubmitCommand) -> Callable[[str], str]:
    """Return a function that replaces `{submission}`, `{call}` and `{reference}` in a text."""
    values = {"submission": command.submission, "call": command.call, "reference": command.reference or ""}
    return lambda text: _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return the value with each text in it changed, also in nested tables and lists. Names stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _map_texts(inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(inner, change) for inner in value]
    return value


def _form_pairs(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield a nested value as the fields of a form: `variables[Name]`, `list[0]`. A boolean is 1 or 0."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _form_pairs(inner, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _form_pairs(inner, f"{name}[{index}]")
    elif value is not None:
        yield name, str(int(value)) if isinstance(value, bool) else str(value)

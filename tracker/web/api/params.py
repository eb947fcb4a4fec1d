"""Reads what an API request asks for: its JSON body, its headers and its parameters. It names every wrong field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tracker.domain.time_text import from_iso
from tracker.errors import FieldError, InvalidInput, NotFound, TrackerError
from tracker.lifecycle.operations.list_parameters import ListParameters, parse_filter_text
from tracker.web.auth import bearer_token
from tracker.web.http.body import read_body
from tracker.web.state import AppRequest

_ID: Final = re.compile(r"[0-9A-Za-z_]{1,100}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_TYPE_NAMES: Final = {bool: "true or false", str: "a text"}


class MalformedBody(TrackerError):
    """The body is no JSON. Send a JSON object."""


class _DuplicateName(Exception):
    """A name stands twice in one JSON object. Parsers keep one of its values, and not all keep the same."""


async def json_object(request: AppRequest, *, may_be_empty: bool = False) -> dict[str, Any]:
    """Return the body, which must be a JSON object. Raises MalformedBody, InvalidInput, BodyTooLarge."""
    body = await read_body(request)
    if may_be_empty and not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"The body is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidInput([FieldError(field="body", message="must be a JSON object")])
    try:
        # orjson keeps the last of two values, so a request with two numbers in `to` would dial an arbitrary one
        json.loads(body, object_pairs_hook=_refuse_duplicates, parse_int=str, parse_float=str)
    except _DuplicateName as duplicate:
        raise InvalidInput([FieldError(field=str(duplicate), message="stands there twice")]) from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    return value


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise _DuplicateName(name)
        names.add(name)


def require_fields(fields: Mapping[str, Any], types: Mapping[str, type]) -> None:
    """Raise InvalidInput for unknown fields, and for values that have not the type of their field.

    types: bool or str, by field. None stands for a missing value.
    """
    known = ", ".join(types) or "none"
    errors = [
        FieldError(field=name, message=f"is not known; known are: {known}")
        for name in fields
        if name not in types
    ]
    for name, type in types.items():
        value = fields.get(name)
        if value is not None and not isinstance(value, type):
            errors.append(FieldError(field=name, message=f"must be {_TYPE_NAMES[type]}"))
        elif isinstance(value, str):
            try:
                parse_filter_text(value)
            except ValueError as error:
                errors.append(FieldError(field=name, message=str(error)))
    if errors:
        raise InvalidInput(errors)


def idempotency_key(request: AppRequest) -> str | None:
    """Return the header Idempotency-Key. Raises InvalidInput if it cannot be a key."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 visible ASCII characters"
        raise InvalidInput([FieldError(field="Idempotency-Key", message=message)])
    return key


def idempotency_scope(request: AppRequest) -> str:
    """Return the token of a request, because each token has Idempotency-Keys of its own."""
    return (bearer_token(request.scope["headers"]) or b"").decode("latin-1")


def path_id(request: AppRequest) -> str:
    """Return the id in the path. Raises NotFound if it can be none, which a database might refuse to compare."""
    id: str = request.path_params["id"]
    if not _ID.fullmatch(id):
        raise NotFound
    return id


def list_parameters(request: AppRequest) -> ListParameters:
    """Return the parameters in the URL of a request, to be parsed."""
    query, accounts = request.query_params, request.state["program"].accounts.values()
    given = {name: query.getlist(name) for name in query}
    parameters = ListParameters(
        {name: values[0] for name, values in given.items() if len(values) == 1},
        regions={account.region for account in accounts},
        # a + that was not encoded arrives as a space
        parse_time=lambda text: from_iso(text.replace(" ", "+")),
    )
    for name, values in given.items():
        if len(values) > 1:
            parameters.reject(name, "is given more than once")
    return parameters


def refuse_parameters(request: AppRequest) -> None:
    """Raise InvalidInput if the URL of a request has parameters."""
    list_parameters(request).require_valid()

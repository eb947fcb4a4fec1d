"""Reading what an API request asks: its JSON body and its parameters, each checked, each wrong one named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from tracker.domain.calls import CallStatus
from tracker.domain.phone_numbers import InvalidNumber, parse_number
from tracker.domain.time_text import from_iso
from tracker.errors import FieldError, InvalidInput, NotFound, TrackerError
from tracker.store.inbox.states import STATES
from tracker.store.read.callbacks import CallbackFilter
from tracker.store.read.calls import ORDERS, CallFilter
from tracker.web.http.body import read_body
from tracker.web.state import AppRequest

T = TypeVar("T")

DEFAULT_LIMIT: Final = 50
LARGEST_LIMIT: Final = 500
_ID: Final = re.compile(r"[0-9A-Za-z_]{1,100}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Unparsable(TrackerError):
    """The body is no JSON; send a JSON object."""


class _Repeated(Exception):
    """A name that stands twice in one object; of its values JSON's readers take one or the other."""


async def json_object(request: AppRequest, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The body as a JSON object. Raises Unparsable, InvalidInput, BodyTooLarge."""
    body = await read_body(request)
    if may_be_empty and not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unparsable(f"The body is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidInput([FieldError(field="body", message="must be a JSON object")])
    try:
        # again, by a reader that tells: whoever writes `to` twice must not have the one dialled that he did not mean
        json.loads(body, object_pairs_hook=_once_each, parse_int=str, parse_float=str)
    except _Repeated as repeated:
        raise InvalidInput([FieldError(field=str(repeated), message="stands there twice")]) from None
    except RecursionError:
        raise Unparsable("The body is nested too deeply.") from None
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise _Repeated(name)
        names.add(name)


def idempotency_key(request: AppRequest) -> str | None:
    """The header Idempotency-Key. Raises InvalidInput for one that is no key."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 visible ASCII characters"
        raise InvalidInput([FieldError(field="Idempotency-Key", message=message)])
    return key


def path_id(request: AppRequest) -> str:
    """The id in the path. Raises NotFound for what can be none, and what a database would not compare."""
    id: str = request.path_params["id"]
    if not _ID.fullmatch(id):
        raise NotFound
    return id


def require_fields(fields: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """Raises InvalidInput for fields that are not known, or not of their type; None stands for a missing one."""
    names = ", ".join(known) or "none"
    errors = [
        FieldError(field=n, message=f"is not known; known are: {names}") for n in fields if n not in known
    ]
    words = {bool: "true or false", str: "a text"}
    errors += [
        FieldError(field=n, message=f"must be {words[kind]}")
        for n, kind in known.items()
        if fields.get(n) is not None and not isinstance(fields[n], kind)
    ]
    errors += [
        FieldError(field=n, message="must be a text of 1 to 500 characters")
        for n, value in fields.items()
        if n in known and isinstance(value, str) and not is_text(value)
    ]
    if errors:
        raise InvalidInput(errors)


class Parameters:
    """The query of a request, read one parameter after the other; `done` raises for all that are wrong."""

    def __init__(self, request: AppRequest) -> None:
        self._given = request.query_params
        self._read: set[str] = set()
        self._errors: list[FieldError] = []

    def read(self, name: str, reader: Callable[[str], T], default: T) -> T:
        self._read.add(name)
        values = self._given.getlist(name)
        if not values:
            return default
        if len(values) > 1:
            self._errors.append(FieldError(field=name, message="is given more than once"))
            return default
        try:
            return reader(values[0])
        except ValueError as error:
            self._errors.append(FieldError(field=name, message=str(error)))
            return default

    def optional(self, name: str, reader: Callable[[str], T]) -> T | None:
        return self.read(name, reader, None)

    def wrong(self, name: str, message: str) -> None:
        """What is wrong with a parameter beside others; `done` raises it."""
        self._errors.append(FieldError(field=name, message=message))

    def page(self) -> tuple[int, str | None]:
        """`limit` and `cursor`."""
        return self.read("limit", _limit, DEFAULT_LIMIT), self.optional("cursor", _text)

    def done(self) -> None:
        known = ", ".join(sorted(self._read)) or "none"
        self._errors += [
            FieldError(field=name, message=f"is not known; known are: {known}")
            for name in sorted(set(self._given) - self._read)
        ]
        if self._errors:
            raise InvalidInput(self._errors)


def call_filter(parameters: Parameters, regions: Collection[str]) -> tuple[CallFilter, str]:
    """The filters and the order of a list of calls."""
    p = parameters
    which = CallFilter(
        status=p.optional("status", _statuses),
        outcome=p.optional("outcome", _outcomes),
        settled=p.optional("settled", _bool),
        answered=p.optional("answered", _bool),
        disputed=p.optional("disputed", _bool),
        account=p.optional("account", _text),
        campaign=p.optional("campaign", _text),
        to=p.optional("to", lambda v: _numbers(v, regions)),
        reference=p.optional("reference", _text),
        submission_id=p.optional("submission_id", _text),
        created_after=p.optional("created_after", _time),
        created_before=p.optional("created_before", _time),
        updated_after=p.optional("updated_after", _time),
    )
    if which.created_after and which.created_before and which.created_after > which.created_before:
        p.wrong("created_after", "is later than created_before, so that no call can fit")
    return which, p.read("order", lambda v: _one_of(v, ORDERS), "-created_at")


def callback_filter(parameters: Parameters) -> CallbackFilter:
    return CallbackFilter(
        state=parameters.optional("state", lambda v: _one_of(v, STATES)),
        account=parameters.optional("account", _text),
        call=parameters.optional("call", _text),
    )


def is_text(value: str) -> bool:
    """Whether a database can compare it."""
    return 1 <= len(value) <= 500 and "\x00" not in value


def _text(value: str) -> str:
    if not is_text(value):
        raise ValueError("must be a text of 1 to 500 characters")
    return value


def _limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= LARGEST_LIMIT:
        raise ValueError(f"must be a whole number from 1 to {LARGEST_LIMIT}")
    return int(value)


def _bool(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def _one_of(value: str, known: Collection[str]) -> str:
    if value not in known:
        raise ValueError(f"must be one of: {', '.join(known)}")
    return value


def _statuses(value: str) -> tuple[str, ...]:
    known = [s.value for s in CallStatus]
    return tuple(_one_of(each.strip(), known) for each in value.split(","))


def _outcomes(value: str) -> tuple[str, ...]:
    known = [s.value for s in CallStatus if s.is_outcome]
    return tuple(_one_of(each.strip(), known) for each in value.split(","))


def _numbers(value: str, regions: Collection[str]) -> tuple[str, ...]:
    """All that a number may mean: in E.164 without its +, or as it is dialled in the accounts' regions."""
    # a + that was not encoded arrives as a space
    text, found, wrong = value.strip(), set(), ""
    for spelling in {text, text if text.startswith("+") else "+" + text}:
        for region in regions or ("IN",):
            try:
                found.add(parse_number(spelling, region))
            except InvalidNumber as error:
                wrong = str(error)
    if not found:
        raise ValueError(wrong)
    return tuple(sorted(found))


def _time(value: str) -> datetime:
    # a + that was not encoded arrives as a space
    return from_iso(value.replace(" ", "+"))

"""Makes the arguments and options of `tracker call` from the declared fields of a wish."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

import typer

from tracker.cli.input.option_types import parse_moment, parse_option, parse_pairs
from tracker.domain.time_text import iso
from tracker.domain.wish.call_wish import WISH_FIELDS, FieldKind, WishField

_FIELDS: Final = tuple(field for field in WISH_FIELDS.values() if field.options)
#: by field, the option that names it in messages; of an argument its name
OPTIONS: Final[Mapping[str, str]] = {
    field.name: field.options[0] if field.options[0].startswith("-") else field.options[0].lower()
    for field in _FIELDS
}
_TYPES: Final[Mapping[FieldKind, Any]] = {
    FieldKind.text: str | None,
    FieldKind.whole_number: int | None,
    FieldKind.mapping: list[str] | None,
    FieldKind.time: str | None,
}
#: what each kind adds to the help of a field
_HINTS: Final[Mapping[FieldKind, str]] = {
    FieldKind.mapping: " May be repeated.",
    FieldKind.time: " 2026-01-31T09:00:00Z, or +10m.",
}


def with_wish_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an argument or option for each field of a wish that the command line offers.

    The command gets the given values, by field, as its argument `wish`.
    """

    @wraps(command)
    def run(**values: Any) -> None:
        command(wish={field.name: values.pop(field.name) for field in _FIELDS}, **values)

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        *map(_parameter, _FIELDS),
        *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own if each.name != "wish"),
    ]
    # typer reads both, and would find those of the command itself by `__wrapped__`
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    del run.__wrapped__
    return run


def _parameter(field: WishField) -> inspect.Parameter:
    text = re.sub("`([a-z_]+)`", lambda found: OPTIONS.get(found[1], found[1]), field.help)
    text += _HINTS.get(field.kind, "")
    if field.options[0].startswith("-"):
        default: Any = typer.Option(None, *field.options, help=text, metavar=field.metavar)
        annotation = _TYPES[field.kind]
    else:
        default = typer.Argument(help=text, metavar=field.metavar)
        annotation = str
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def read_wish(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for a call that options describe. Raises ValueError, which names the wrong option."""
    request = {field.name: _read_value(field, values[field.name]) for field in _FIELDS}
    return {name: value for name, value in request.items() if value is not None}


def _read_value(field: WishField, value: Any) -> Any:
    if field.kind is FieldKind.mapping:
        return parse_pairs(OPTIONS[field.name], value or []) or None
    if field.kind is FieldKind.time and value:
        return iso(parse_option(OPTIONS[field.name], parse_moment, value))
    return value

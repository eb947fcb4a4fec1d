"""Parses the bytes of a request or response into fields: query, JSON object, form, multipart body.

The content type is only a hint, because the provider's panel lets people write any header over any body. Bytes that do
not parse raise PayloadError. So do values that are no set of fields: null, a number, a string, a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

import orjson
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, parse_options_header

Fields = Mapping[str, Any]

MAX_FIELDS: Final = 2000
#: opening brackets in a body that orjson does not parse
_MAX_BRACKETS: Final = 1000

_BOM: Final = b"\xef\xbb\xbf"
_DIGITS_AS_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER: Final = b"0" * 19
_FORM_KEY: Final = re.compile(r"[^\s<>\"'(){};,/\\]{1,200}")

#: Syntax errors that can be repaired. Strings are matched as a whole, closed or not, and kept: so nothing inside of
#: a string is taken for syntax, and no text makes the search slow.
_REPAIRABLE: Final = re.compile(
    r"""
      (?P<string>   "(?:[^"\\]++|\\.)*+"? )
    | (?P<template> @?\{\{[^{}"]{0,200}+\}\} )
    | (?P<empty>    :(?=\s*[,}\]]) )
    | (?P<trailing> ,(?=\s*[}\]]) )
    """,
    re.VERBOSE | re.DOTALL,
)


class PayloadError(ValueError):
    """The bytes hold no fields. The message says why."""


def parse_query(query: bytes) -> dict[str, Any]:
    """Return the fields of a query, of a repeated one the last. Raises PayloadError if there are too many."""
    return _parse_pairs(query) if query else {}


def parse_body(body: bytes, content_type: str | None) -> Fields | None:
    """Return the fields of a body, or None if it is empty. Raises PayloadError if it has no fields."""
    body = body.removeprefix(_BOM).strip()
    if not body:
        return None
    if body[:1] in b"{[":
        return _require_object(parse_json(body))
    media_type, boundary = _split_content_type(content_type)
    if media_type == "multipart/form-data" and boundary:
        return _parse_multipart(body, boundary)
    if body[:2] == b"--" and b"content-disposition:" in body[:1000].lower():
        return _parse_multipart(body, body.split(b"\n", 1)[0].strip()[2:])
    try:
        value = parse_json(body)
    except PayloadError:
        return _parse_form(body, is_declared=media_type == "application/x-www-form-urlencoded")
    return _require_object(value)


def parse_json(body: bytes) -> Any:
    """Return the JSON value in the body; integers beyond 64 bits become text. Raises PayloadError.

    Repaired are a byte-order mark, trailing commas, missing values, and values that are an unfilled template.
    """
    body = body.removeprefix(_BOM)
    # orjson turns long integers into floats. The translation finds them six times as fast as a pattern.
    if _LONG_INTEGER not in body.translate(_DIGITS_AS_ZEROS):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    # Limited here, because the depth that the standard library accepts depends on its version.
    if body.count(b"[") + body.count(b"{") > _MAX_BRACKETS:
        raise PayloadError("the body is nested too deeply")
    try:
        text = body.decode("utf-8", "surrogatepass")
        try:
            return _strict_decoder.decode(text)
        except ValueError:
            return _strict_decoder.decode(_REPAIRABLE.sub(_repair, text))
    except (ValueError, RecursionError) as exc:
        raise PayloadError("the body is no JSON and cannot be repaired") from exc


def _repair(match: re.Match[str]) -> str:
    match match.lastgroup:
        case "template":
            return "null"
        case "empty":
            return ": null"
        case "trailing":
            return ""
        case _:
            return match[0]


def _parse_integer(text: str) -> int | str:
    value = int(text) if len(text) <= 20 else text
    return value if isinstance(value, int) and -(2**63) <= value < 2**64 else text


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


_strict_decoder: Final = json.JSONDecoder(parse_int=_parse_integer, parse_constant=_refuse_constant)


def _require_object(value: Any) -> Fields:
    if isinstance(value, dict):
        return value
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    raise PayloadError(f"the body has no fields: it is {names.get(type(value), 'a list')}")


def _split_content_type(content_type: str | None) -> tuple[str, bytes | None]:
    """Return the media type in lower case and the boundary."""
    if not content_type:
        return "", None
    media_type, options = parse_options_header(content_type)
    return media_type.decode("latin-1").lower(), options.get(b"boundary")


def _parse_form(body: bytes, *, is_declared: bool) -> Fields:
    fields = _parse_pairs(body) if b"=" in body else {}
    # Any text parses as a form. Unless the header declares one, its keys must look like those of a form.
    if not any(fields) or not (is_declared or all(_FORM_KEY.fullmatch(key) for key in fields)):
        raise PayloadError("the body is neither JSON nor a form")
    return fields


def _parse_pairs(data: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            data.decode("utf-8", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as exc:
        raise PayloadError(f"there are more than {MAX_FIELDS} fields") from exc
    return {_to_dotted_key(key): value for key, value in pairs if key}


def _parse_multipart(body: bytes, boundary: bytes) -> Fields:
    fields: dict[str, Any] = {}
    is_complete = False

    def keep(field: Field) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        fields[_to_dotted_key(name)] = (field.value or b"").decode("utf-8", "replace")

    def complete() -> None:
        nonlocal is_complete
        is_complete = True

    # No part goes to a file on disk: a body is at most a megabyte.
    limits = {"MAX_MEMORY_FILE_SIZE": float("inf")}
    try:
        parser = FormParser("multipart/form-data", keep, None, complete, boundary=boundary, config=limits)
        parser.write(body)
        parser.finalize()
    except FormParserError as exc:
        raise PayloadError("the body is no multipart form") from exc
    if not is_complete:
        raise PayloadError("the multipart form has no end")
    if not fields:
        raise PayloadError("the multipart form has no fields")
    return fields


def _to_dotted_key(key: str) -> str:
    """Return `outgoing.id` for `outgoing[id]`, which is how PHP writes a field under a parent."""
    return key.replace("][", ".").replace("[", ".").rstrip("]") if key.endswith("]") else key

"""What a request's bytes hold: the fields of a query, a JSON object, a form or a multipart body.

A content type is only a hint: panels let people write any header over any body. What does not parse raises
NoFields; so does what parses but is no set of fields (null, a number, a string, a list).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, parse_options_header

Fields = Mapping[str, Any]

MAX_FIELDS = 2000
#: opening brackets in a body that has to be mended, or holds long integers
_MAX_BRACKETS = 1000

_BOM = b"\xef\xbb\xbf"
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_INTEGER = b"0" * 19
_FORM_KEY = re.compile(r"[^\s<>\"'(){};,/\\]{1,200}")

#: What stands outside of strings and can be mended. A string is matched whole, closed or not, and kept, so that
#: nothing inside of it is taken for syntax and no text makes the search slow.
_REPAIRABLE = re.compile(
    r"""
      (?P<string>   "(?:[^"\\]++|\\.)*+"? )
    | (?P<template> @?\{\{[^{}"]{0,200}+\}\} )
    | (?P<empty>    :(?=\s*[,}\]]) )
    | (?P<trailing> ,(?=\s*[}\]]) )
    """,
    re.VERBOSE | re.DOTALL,
)


class PayloadError(ValueError):
    """The bytes hold no fields; the message says why."""


def parse_query(query: bytes) -> dict[str, Any]:
    """The fields of a query; of a repeated one the last. Raises NoFields where there are too many."""
    return _parse_pairs(query) if query else {}


def parse_body(body: bytes, content_type: str | None) -> Fields | None:
    """The fields of a body; None where it is empty. Raises NoFields."""
    body = body.removeprefix(_BOM).strip()
    if not body:
        return None
    if body[:1] in b"{[":
        return _require_object(parse_json(body))
    kind, boundary = _split_content_type(content_type)
    if kind == "multipart/form-data" and boundary:
        return _parse_multipart(body, boundary)
    if body[:2] == b"--" and b"content-disposition:" in body[:1000].lower():
        return _parse_multipart(body, body.split(b"\n", 1)[0].strip()[2:])
    try:
        value = parse_json(body)
    except PayloadError:
        return _parse_form(body, declared=kind == "application/x-www-form-urlencoded")
    return _require_object(value)


def parse_json(body: bytes) -> Any:
    """A JSON value; integers beyond 64 bits stay text. Raises NoFields.

    What is mended: a byte-order mark, trailing commas, and values that are an unfilled template or nothing.
    """
    body = body.removeprefix(_BOM)
    # orjson would make floats of them; a pattern would take six times as long to look for them as orjson for the rest
    if _LONG_INTEGER not in body.translate(_DIGITS_AS_ZEROS):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    # how deep the standard library goes hangs on its version
    if body.count(b"[") + body.count(b"{") > _MAX_BRACKETS:
        raise PayloadError("the body is nested too deeply")
    try:
        text = body.decode("utf-8", "surrogatepass")
        try:
            return _strict_decoder.decode(text)
        except ValueError:
            return _strict_decoder.decode(_REPAIRABLE.sub(_repair, text))
    except (ValueError, RecursionError) as exc:
        raise PayloadError("is no JSON, and nothing that can be mended") from exc


def _repair(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "template":
            return "null"
        case "empty":
            return ": null"
        case "trailing":
            return ""
        case _:
            return found[0]


def _parse_integer(text: str) -> int | str:
    value = int(text) if len(text) <= 20 else text
    return value if isinstance(value, int) and -(2**63) <= value < 2**64 else text


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


_strict_decoder = json.JSONDecoder(parse_int=_parse_integer, parse_constant=_refuse_constant)


def _require_object(value: Any) -> Fields:
    if isinstance(value, dict):
        return value
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    raise PayloadError(f"holds no fields: {names.get(type(value), 'a list')}")


def _split_content_type(content_type: str | None) -> tuple[str, bytes | None]:
    if not content_type:
        return "", None
    kind, options = parse_options_header(content_type)
    return kind.decode("latin-1").lower(), options.get(b"boundary")


def _parse_form(body: bytes, *, declared: bool) -> Fields:
    fields = _parse_pairs(body) if b"=" in body else {}
    # Any text can be taken for a form. One that did not say so has to look like one.
    if not any(fields) or not (declared or all(_FORM_KEY.fullmatch(key) for key in fields)):
        raise PayloadError("is neither JSON nor a form")
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
        raise PayloadError(f"has more than {MAX_FIELDS} fields") from exc
    return {_to_dotted_key(key): value for key, value in pairs if key}


def _parse_multipart(body: bytes, boundary: bytes) -> Fields:
    fields: dict[str, Any] = {}
    ended = False

    def keep(field: Field) -> None:
        name = (field.field_name or b"").decode("utf-8", "replace")
        fields[_to_dotted_key(name)] = (field.value or b"").decode("utf-8", "replace")

    def end() -> None:
        nonlocal ended
        ended = True

    limits = {"MAX_MEMORY_FILE_SIZE": float("inf")}  # a body is small, and nothing of it belongs on the disk
    try:
        parser = FormParser("multipart/form-data", keep, None, end, boundary=boundary, config=limits)
        parser.write(body)
        parser.finalize()
    except FormParserError as exc:
        raise PayloadError("is no multipart form") from exc
    if not ended:
        raise PayloadError("is a multipart form that breaks off")
    if not fields:
        raise PayloadError("is a multipart form without fields")
    return fields


def _to_dotted_key(key: str) -> str:
    """`outgoing[id]`, as PHP writes a field under a parent, is `outgoing.id`."""
    return key.replace("][", ".").replace("[", ".").rstrip("]") if key.endswith("]") else key

"""Tells what the schema declares at a key: a table, a list, a secret, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import SecretStr

from tracker.settings.field_types import MaskPassword, Section
from tracker.settings.schema import ConfigTables

#: the names that lead to a value: ("server", "port")
Key = tuple[str, ...]


def dotted(key: Key) -> str:
    """Return a key as people write it."""
    return ".".join(key)


def declared_at(key: Key) -> Any:
    """Return what is declared at a key: a type, Any, or None if the key is unknown."""
    declared: Any = ConfigTables
    for name in key:
        declared = declared_member(declared, name)
    return declared


def declared_member(declared: Any, name: str) -> Any:
    """Return what is declared for a name in a table, as `declared_at` does."""
    if _is_section(declared):
        return declared.model_fields[name].annotation if name in declared.model_fields else None
    if get_origin(declared) is dict:
        names, values = get_args(declared)
        return values if not get_args(names) or name in get_args(names) else None
    return Any if declared is Any else None


def is_table(declared: Any) -> bool:
    """Return whether a table is declared, or anything at all, which may be one."""
    return declared is Any or get_origin(declared) is dict or _is_section(declared)


def is_list(declared: Any) -> bool:
    """Return whether a list is declared."""
    return get_origin(declared) is tuple


def is_secret(declared: Any) -> bool:
    """Return whether a secret is declared, or a list of secrets."""
    return declared is SecretStr or any(is_secret(inner) for inner in get_args(declared))


def secret_of_file(declared: Any, name: str) -> str | None:
    """Return `x` for the name `x_file` in a table that declares a secret `x`; None for any other name."""
    secret = name.removesuffix("_file")
    is_one = secret != name and _is_section(declared) and is_secret(declared_member(declared, secret))
    return secret if is_one else None


def masks_password(key: Key) -> bool:
    """Return whether only the password of the URL at a key is secret."""
    section = declared_at(key[:-1])
    field = section.model_fields.get(key[-1]) if _is_section(section) else None
    return field is not None and MaskPassword() in field.metadata


def all_keys(declared: Any = ConfigTables, key: Key = ()) -> Iterator[Key]:
    """Return every key of the schema; NAME stands for the name of an account."""
    for name in _names(declared):
        inner = declared_member(declared, secret_of_file(declared, name) or name)
        yield (*key, name)
        if name == "accounts":
            yield from all_keys(get_args(inner)[1], (name, "NAME"))
        elif _is_section(inner):
            yield from all_keys(inner, (*key, name))


def nearest_key(key: Key) -> str:
    """Return a phrase that names the known key that an unknown one is nearest to, or the known ones beside it."""
    *table, name = key
    declared = declared_at(tuple(table))
    names = _names(declared)
    if near := get_close_matches(name.lower(), names, n=1):
        return f"the nearest known one is {dotted((*table, near[0]))}"
    # the right name in the wrong table, such as `api_token` at the top
    if elsewhere := [known for known in all_keys() if known[-1] == name]:
        return f"the nearest known one is {dotted(elsewhere[0])}"
    return f"known here: {', '.join(known for known in names if not secret_of_file(declared, known))}"


def key_of_words(declared: Any, words: list[str]) -> Key | None:
    """Return the key whose names, joined with "_", are these words; None if there is none."""
    name = "_".join(words)
    if _is_section(declared) and (
        declared_member(declared, name) is not None or secret_of_file(declared, name)
    ):
        return (name,)
    for length in range(1, len(words)):
        head = "_".join(words[:length])
        inner = declared_member(declared, head)
        if inner is not Any and is_table(inner) and (tail := key_of_words(inner, words[length:])):
            return (head, *tail)
    return None


def _names(declared: Any) -> list[str]:
    if get_origin(declared) is dict:
        return [str(name) for name in get_args(get_args(declared)[0])]
    if not _is_section(declared):
        return []
    names = list(declared.model_fields)
    return names + [f"{name}_file" for name in names if is_secret(declared_member(declared, name))]


def _is_section(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, Section)

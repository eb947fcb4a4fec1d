"""What was written where: the file and the environment as flat leaves, each with its origin.

Flat, because then the environment wins by a plain update, and every complaint can say where the value stands.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import SecretStr

from tracker.errors import ConfigurationError
from tracker.settings.field_types import MaskPassword, Section
from tracker.settings.schema import ACCOUNT_NAME, Settings

PREFIX = "TRACKER_"

Key = tuple[str, ...]


@dataclass(frozen=True)
class FromFile:
    """The value of a secret is the content of this file."""

    path: str


@dataclass
class Source:
    """One place where settings are written."""

    #: by key: the value as written, and the file or the variable that it stands in
    leaves: dict[Key, tuple[Any, str]] = field(default_factory=dict)
    #: tables, which are something even if they are empty
    tables: dict[Key, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, key: Key, value: Any, declared: Any, origin: str) -> None:
        """Takes a value or a table that stands at `key`, where the schema has declared a `declared`."""
        if not is_table(declared):
            if key in self.leaves:
                self.problems.append(
                    f"{dotted(key)} and {dotted(key)}_file ({origin}): only one of them may be set"
                )
            self.leaves[key] = value, origin
        elif not isinstance(value, dict):
            if declared is Any:
                self.leaves[key] = value, origin
            else:
                self.problems.append(f"{dotted(key)} ({origin}): must be a table")
        else:
            self.tables[key] = origin
            for name, inner in value.items():
                self._add_member(key, name, inner, declared, origin)

    def _add_member(self, key: Key, name: str, value: Any, declared: Any, origin: str) -> None:
        path = (*key, name)
        if secret := _secret_in_file(declared, name):
            if isinstance(value, str) and value:
                self.add((*key, secret), FromFile(value), None, origin)
            else:
                self.problems.append(f"{dotted(path)} ({origin}): must be the path of a file")
        elif key == ("accounts",) and not ACCOUNT_NAME.fullmatch(name):
            rule = "the name of an account must be of a-z, 0-9 and _, without __"
            self.problems.append(f"{dotted(path)} ({origin}): {rule}")
        elif (inner := member(declared, name)) is None:
            self.problems.append(f"{dotted(path)} ({origin}): unknown key; {_nearest(declared, key, name)}")
        else:
            self.add(path, value, inner, origin)


def read_file(path: Path) -> Source:
    """The settings in a TOML file. Raises ConfigurationError if it cannot be read or is no TOML."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not valid TOML: it is not written in UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    source = Source()
    source.add((), tree, Settings, path.name)
    return source


def read_environment(environ: Mapping[str, str]) -> Source:
    """The settings among the environment's variables: those whose name has a double underscore."""
    source = Source()
    named = {
        # Not followed by a third one: the name before it may end with an underscore, no key begins with one.
        variable: tuple(re.split("__(?!_)", variable.removeprefix(PREFIX).lower()))
        for variable in environ
        if variable.startswith(PREFIX) and "__" in variable.removeprefix(PREFIX).lstrip("_")
    }
    # Whole tables first, so that a key of its own goes before the same key in its table.
    for variable, key in sorted(named.items(), key=lambda item: (len(item[1]), item[0])):
        one = Source()
        try:
            value = _parsed(environ[variable], declared_at(key))
        except ValueError as error:
            source.problems.append(f"{dotted(key)} ({variable}): {error}")
            continue
        for name in reversed(key):
            value = {name: value}
        one.add((), value, Settings, variable)
        source.problems += one.problems
        for leaf, (found, origin) in one.leaves.items():
            earlier = source.leaves.get(leaf)
            if earlier and isinstance(earlier[0], FromFile) != isinstance(found, FromFile):
                source.problems.append(f"{earlier[1]} and {variable}: only one of them may be set")
            source.leaves[leaf] = found, origin
        source.tables |= one.tables
    return source


def _parsed(text: str, declared: Any) -> Any:
    """A variable's text: JSON where a table or a list is wanted, else as it is. Never repeats it: it may be secret."""
    if declared is None or declared is Any or not (is_table(declared) or is_list(declared)):
        return text
    wanted, example = (dict, '{"key": "value"}') if is_table(declared) else (list, '["a", "b"]')
    try:
        value = json.loads(text)
    except ValueError as error:
        where = (
            f" (it breaks at character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise ValueError(f"must be JSON such as {example}{where}") from None
    except RecursionError:
        value = None
    if not isinstance(value, wanted):
        raise ValueError(f"must be JSON such as {example}")
    return value


def dotted(key: Key) -> str:
    """A key as people write it."""
    return ".".join(key)


def member(declared: Any, name: str) -> Any:
    """What the schema declares for a key in a table: a type, Any, or None if the key is unknown."""
    if isinstance(declared, type) and issubclass(declared, Section):
        return declared.model_fields[name].annotation if name in declared.model_fields else None
    if get_origin(declared) is dict:
        names, values = get_args(declared)
        return values if not get_args(names) or name in get_args(names) else None
    return Any if declared is Any else None


def declared_at(key: Key) -> Any:
    """What the schema declares at a key; None if it is unknown."""
    declared: Any = Settings
    for name in key:
        declared = member(declared, name)
    return declared


def is_table(declared: Any) -> bool:
    """Whether the schema has a table there (or anything at all, which may be one)."""
    return (
        declared is Any
        or get_origin(declared) is dict
        or (isinstance(declared, type) and issubclass(declared, Section))
    )


def is_list(declared: Any) -> bool:
    """Whether the schema has a list there."""
    return get_origin(declared) is tuple


def is_secret(declared: Any) -> bool:
    """Whether the schema has a secret there, or a list of them."""
    return declared is SecretStr or any(is_secret(inner) for inner in get_args(declared))


def masks_password(key: Key) -> bool:
    """Whether the schema has a URL there of which only the password is secret."""
    section, field = declared_at(key[:-1]), None
    if isinstance(section, type) and issubclass(section, Section):
        field = section.model_fields.get(key[-1])
    return field is not None and MaskPassword() in field.metadata


def _secret_in_file(declared: Any, name: str) -> str | None:
    """`x` for `x_file`, where x is a secret of this section."""
    secret = name.removesuffix("_file")
    is_section = isinstance(declared, type) and issubclass(declared, Section)
    return secret if is_section and secret != name and is_secret(member(declared, secret)) else None


def _names(declared: Any) -> list[str]:
    if get_origin(declared) is dict:
        return [str(name) for name in get_args(get_args(declared)[0])]
    if not (isinstance(declared, type) and issubclass(declared, Section)):
        return []
    names = list(declared.model_fields)
    return names + [f"{name}_file" for name in names if is_secret(member(declared, name))]


def all_keys(declared: Any = Settings, key: Key = ()) -> Iterator[Key]:
    """Every key that the schema knows; NAME stands for the name of an account."""
    for name in _names(declared):
        inner = member(declared, name.removesuffix("_file") if _secret_in_file(declared, name) else name)
        yield (*key, name)
        if name == "accounts":
            yield from all_keys(get_args(inner)[1], (name, "NAME"))
        elif isinstance(inner, type) and issubclass(inner, Section):
            yield from all_keys(inner, (*key, name))


def _nearest(declared: Any, key: Key, name: str) -> str:
    names = _names(declared)
    if near := get_close_matches(name.lower(), names, n=1):
        return f"the nearest known one is {dotted((*key, near[0]))}"
    # Right name, wrong table: api_token at the top.
    if elsewhere := [known for known in all_keys() if known[-1] == name]:
        return f"the nearest known one is {dotted(elsewhere[0])}"
    return f"known here: {', '.join(name for name in names if not _secret_in_file(declared, name))}"

"""Loads the configuration from the file and the environment, and names everything that is wrong with it at once.

Both are flattened to leaves, by key. Then the environment wins key by key, and each problem can name where the value
stands.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracker.errors import ConfigurationError
from tracker.logs.redaction import MASK, mask_url_password
from tracker.settings.declarations import (
    Key,
    declared_at,
    dotted,
    is_list,
    is_secret,
    is_table,
    key_of_words,
    masks_password,
    nearest_key,
    secret_of_file,
)
from tracker.settings.schema import ACCOUNT_NAME, ConfigTables, Settings

PREFIX = "TRACKER_"
DEFAULT_FILE = Path("tracker.toml")


@dataclass(frozen=True, kw_only=True)
class _Leaf:
    """A value as written. A table is a leaf only if it is empty."""

    value: Any
    #: the name of the file or of the variable
    origin: str
    #: whether the value is the path of a file that holds the secret
    is_path: bool = False


_Leaves = dict[Key, _Leaf]


def load_settings(environ: Mapping[str, str] | None = None, path: Path | None = None) -> Settings:
    """Load the settings from the file and the environment. The environment wins, key by key.

    The file is `path`, else the one that TRACKER_CONFIG names, else ./tracker.toml. Only the last may be missing.
    Raises ConfigurationError, whose message has one line for each problem.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    file = _find_file(environ, path)
    in_file = _read_file(file, problems) if file else {}
    in_environment = _read_environment(environ, problems)
    leaves = {key: leaf for key, leaf in in_file.items() if key not in in_environment} | in_environment
    _read_secret_files(leaves, problems)
    values = _as_tree(leaves) | {
        "config_file": file,
        "ignored_variables": tuple(_ignored_variables(environ)),
    }
    settings = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_explain(detail, leaves) for detail in error.errors(include_url=False)]
    if settings is None or problems:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))
    return settings


def _find_file(environ: Mapping[str, str], path: Path | None) -> Path | None:
    if path is None and not environ.get("TRACKER_CONFIG"):
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    file = path or Path(environ["TRACKER_CONFIG"])
    if not file.exists():
        named_by = "" if path else "TRACKER_CONFIG names "
        raise ConfigurationError(f"{named_by}{file}, which does not exist; `tracker init` writes one")
    return file


def _read_file(path: Path, problems: list[str]) -> _Leaves:
    """Return the leaves of a TOML file. Raises ConfigurationError if it cannot be read or is no TOML."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not valid TOML: it is not written in UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    leaves: _Leaves = {}
    _add_leaves(leaves, tree, path.name, problems)
    return leaves


def _read_environment(environ: Mapping[str, str], problems: list[str]) -> _Leaves:
    """Return the leaves of the variables whose name has a double underscore."""
    keys = {
        # Not followed by a third one: the name before it may end with an underscore, no key begins with one.
        variable: tuple(re.split("__(?!_)", variable.removeprefix(PREFIX).lower()))
        for variable in environ
        if variable.startswith(PREFIX) and "__" in variable.removeprefix(PREFIX).lstrip("_")
    }
    leaves: _Leaves = {}
    # whole tables first, so that the variable of a key wins over the same key in the variable of its table
    for variable, key in sorted(keys.items(), key=lambda item: (len(item[1]), item[0])):
        try:
            value = _parse_variable(environ[variable], declared_at(key))
        except ValueError as error:
            problems.append(f"{dotted(key)} ({variable}): {error}")
            continue
        for name in reversed(key):
            value = {name: value}
        _add_leaves(leaves, value, variable, problems)
    return leaves


def _parse_variable(text: str, declared: Any) -> Any:
    """Return the value of a variable: JSON for a table or a list, else the text itself.

    Raises ValueError, which never repeats the text, because it may be secret.
    """
    if declared is None or declared is Any or not (is_table(declared) or is_list(declared)):
        return text
    wanted, example = (dict, '{"key": "value"}') if is_table(declared) else (list, '["a", "b"]')
    try:
        value = json.loads(text)
    except ValueError as error:  # not only a JSONDecodeError: a number may have too many digits
        place = (
            f" (it breaks at character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise ValueError(f"must be JSON such as {example}{place}") from None
    except RecursionError:
        value = None
    if not isinstance(value, wanted):
        raise ValueError(f"must be JSON such as {example}")
    return value


def _add_leaves(leaves: _Leaves, tree: Mapping[str, Any], origin: str, problems: list[str]) -> None:
    """Add the leaves of a tree. A later one wins, but a secret and its file exclude each other."""
    for key, leaf in _flatten((), tree, origin, problems):
        earlier = leaves.get(key)
        if earlier is not None and earlier.is_path != leaf.is_path:
            both = f"{earlier.origin} and {origin}"
            if earlier.origin == origin:
                both = f"{dotted(key)} and {dotted(key)}_file ({origin})"
            problems.append(f"{both}: only one of them may be set")
        leaves[key] = leaf


def _flatten(key: Key, value: Any, origin: str, problems: list[str]) -> Iterator[tuple[Key, _Leaf]]:
    """Return the leaves at and below a key. What the schema does not know becomes a problem."""
    declared = declared_at(key)
    if not isinstance(value, dict) and is_table(declared) and declared is not Any:
        problems.append(f"{dotted(key)} ({origin}): must be a table")
        return
    if not isinstance(value, dict) or not is_table(declared) or (not value and key):
        yield key, _Leaf(value=value, origin=origin)
        return
    for name, inner in value.items():
        path = (*key, name)
        if secret := secret_of_file(declared, name):
            if isinstance(inner, str) and inner:
                yield (*key, secret), _Leaf(value=inner, origin=origin, is_path=True)
            else:
                problems.append(f"{dotted(path)} ({origin}): must be the path of a file")
        elif key == ("accounts",) and not ACCOUNT_NAME.fullmatch(name):
            rule = "the name of an account must be of a-z, 0-9 and _, without __"
            problems.append(f"{dotted(path)} ({origin}): {rule}")
        elif declared_at(path) is None:
            problems.append(f"{dotted(path)} ({origin}): unknown key; {nearest_key(path)}")
        else:
            yield from _flatten(path, inner, origin, problems)


def _read_secret_files(leaves: _Leaves, problems: list[str]) -> None:
    """Replace each path by the content of its file; remove the leaf and add a problem if it cannot be read."""
    for key, leaf in [(key, leaf) for key, leaf in leaves.items() if leaf.is_path]:
        try:
            text = Path(leaf.value).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
            problems.append(f"{dotted(key)}_file ({leaf.origin}): {leaf.value} cannot be read: {reason}")
            del leaves[key]
            continue
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        leaves[key] = replace(leaf, value=lines if is_list(declared_at(key)) else text)


def _as_tree(leaves: _Leaves) -> dict[str, Any]:
    """Return the leaves as nested tables. A table replaces an earlier value that is none."""
    tree: dict[str, Any] = {}
    for (*path, name), leaf in leaves.items():
        table = tree
        for part in path:
            if not isinstance(table.get(part), dict):
                table[part] = {}
            table = table[part]
        if leaf.value != {} or not isinstance(table.get(name), dict):
            table[name] = {} if leaf.value == {} else leaf.value
    return tree


def _explain(detail: ErrorDetails, leaves: _Leaves) -> str:
    """Return a problem as `key (origin): value: must be …`, the value masked if it is a secret."""
    key = tuple(str(part) for part in detail["loc"] if not isinstance(part, int))
    while key and (origin := _origin(key, leaves)) is None:
        key = key[:-1]
    allowed = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{dotted(key)} ({origin if key else 'default'}): {_shown_value(detail['input'], key)}{allowed}"


def _origin(key: Key, leaves: _Leaves) -> str | None:
    """Return where the value at a key stands, or the last of the values in the table there."""
    if key in leaves:
        return leaves[key].origin
    return next((leaf.origin for other, leaf in reversed(leaves.items()) if other[: len(key)] == key), None)


def _shown_value(value: Any, key: Key) -> str:
    """Return a wrong value as the beginning of a sentence; "" for a table, whose wrong member the sentence names."""
    if isinstance(value, dict):
        return ""
    if masks_password(key):
        return f"{mask_url_password(str(value))!r}: "
    declared = declared_at(key)
    if declared is None or is_secret(declared):
        return f"{MASK}: "
    text = repr(list(value) if isinstance(value, tuple) else value)
    return f"{text if len(text) <= 80 else text[:77] + '…'}: "


def _ignored_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Return a sentence for each variable that is ignored and that a second underscore would make a setting.

    Other variables are left alone, also those that container platforms set to the address of a service.
    """
    for variable in sorted(environ):
        words = variable.removeprefix(PREFIX).lower().split("_")
        if not variable.startswith(PREFIX) or "" in words or environ[variable].startswith("tcp://"):
            continue
        key = key_of_words(ConfigTables, words)
        name = PREFIX + "__".join(key or ()).upper()
        if key is not None and len(key) > 1 and name not in environ:
            yield f"{variable} is ignored, because it has single underscores; the setting is {name}"

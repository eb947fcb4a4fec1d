"""Reads the configuration and checks it as a whole, so that one run names everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracker.errors import ConfigurationError
from tracker.logs.redaction import MASK, mask_url_password
from tracker.settings.env_typos import misnamed
from tracker.settings.schema import Settings
from tracker.settings.sources import (
    FromFile,
    Key,
    Source,
    declared_at,
    dotted,
    is_list,
    is_secret,
    masks_password,
    read_environment,
    read_file,
)

DEFAULT_FILE = Path("tracker.toml")


def load_settings(environ: Mapping[str, str] | None = None, path: Path | None = None) -> Settings:
    """The settings from the file and the environment; the environment wins, key by key.

    The file is `path`, else what TRACKER_CONFIG names, else ./tracker.toml, and only the last one may be missing.
    Raises ConfigurationError, whose message has one line for every problem.
    """
    environ = os.environ if environ is None else environ
    file = _config_file(environ, path)
    written = read_file(file) if file else Source()
    variables = read_environment(environ)
    problems = written.problems + variables.problems
    leaves = {**written.leaves, **variables.leaves}
    _read_secret_files(leaves, problems)
    tree: dict[str, Any] = {}
    for source in (written, variables):
        for key in source.tables:
            _put(tree, key, None)
        for key in source.leaves:
            if key in leaves:
                _put(tree, key, leaves[key][0])
    settings = None
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        origins = written.tables | variables.tables | {key: origin for key, (_, origin) in leaves.items()}
        problems += [_explained(detail, origins) for detail in error.errors(include_url=False)]
    if settings is None or problems:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))
    settings._config_file, settings._misnamed = file, tuple(misnamed(environ))
    return settings


def _config_file(environ: Mapping[str, str], path: Path | None) -> Path | None:
    if path is None and not environ.get("TRACKER_CONFIG"):
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    file = path or Path(environ["TRACKER_CONFIG"])
    if not file.exists():
        named_by = "" if path else "TRACKER_CONFIG names "
        raise ConfigurationError(f"{named_by}{file}, which does not exist; `tracker init` writes one")
    return file


def _read_secret_files(leaves: dict[Key, tuple[Any, str]], problems: list[str]) -> None:
    """Replaces each FromFile by the content of its file, or takes it away with a problem."""
    for key, (value, origin) in list(leaves.items()):
        if not isinstance(value, FromFile):
            continue
        try:
            text = Path(value.path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
            problems.append(f"{dotted(key)}_file ({origin}): {value.path} cannot be read: {reason}")
            del leaves[key]
            continue
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        leaves[key] = (lines if is_list(declared_at(key)) else text), origin


def _put(tree: dict[str, Any], key: Key, value: Any) -> None:
    """Sets a leaf, or with None makes sure that there is a table; what is in the way gives way."""
    tables = key if value is None else key[:-1]
    for name in tables:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    if value is not None:
        tree[key[-1]] = value


def _explained(detail: ErrorDetails, origins: Mapping[Key, str]) -> str:
    """One problem as `key (where): value: must be …`, the value masked if it is a secret."""
    key = tuple(str(part) for part in detail["loc"] if not isinstance(part, int))
    while key and key not in origins:
        key = key[:-1]
    allowed = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return f"{dotted(key)} ({origins.get(key, 'default')}): {_shown(detail['input'], key)}{allowed}"


def _shown(value: Any, key: Key) -> str:
    if isinstance(value, dict):
        return ""  # its members can be anything, and the sentence names the one that is wrong
    if masks_password(key):
        return f"{mask_url_password(str(value))!r}: "
    declared = declared_at(key)
    if declared is None or is_secret(declared):
        return f"{MASK}: "
    text = repr(list(value) if isinstance(value, tuple) else value)
    return f"{text if len(text) <= 80 else text[:77] + '…'}: "

"""Writes docs/reference/configuration.md: `python -m tracker.settings.reference > docs/reference/configuration.md`."""

from __future__ import annotations

import json
import sys
from typing import Any, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tracker.settings.account import AccountSettings
from tracker.settings.declarations import is_secret
from tracker.settings.field_types import Section
from tracker.settings.loader import PREFIX
from tracker.settings.schema import DatabaseSettings, RetentionSettings, ServerSettings

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m tracker.settings.reference`; a test compares the two. Change the help texts in the code. -->

tracker reads `tracker.toml` in the working directory, or the file that `TRACKER_CONFIG` names. It also works with the
environment alone. Start from `tracker.example.toml`.

Every setting can also come from the environment, as `TRACKER_SECTION__KEY` with two underscores between the names. The
environment wins, key by key. Lists and tables are JSON there: `TRACKER_SERVER__TRUSTED_PROXIES='["10.0.0.0/8"]'`.
Other variables that begin with `TRACKER_` are ignored. Commands and the log warn of one that a second underscore would
make a setting, such as `TRACKER_DATABASE_URL`.

A **secret** `x` can be given as `x_file`, the path of a file that holds it, in the file and in the environment.
Relative paths start at the working directory, and line ends after the secret are dropped. Giving both in one place is
an error. A secret from the environment, in either form, wins over the one in the file. Secrets are masked in what the
program prints and logs.

An unknown key is an error, and so is a value that a setting cannot have. The program names all of them and does not
start.
"""


def reference() -> str:
    """Return the whole page, as Markdown."""
    sections = [
        _section("[database]", "DATABASE", DatabaseSettings),
        _section("[server]", "SERVER", ServerSettings),
        _section("[retention]", "RETENTION", RetentionSettings),
        _section("[accounts.NAME]", "ACCOUNTS__NAME", AccountSettings),
    ]
    return "\n".join([INTRODUCTION, *sections])


def _section(title: str, variable: str, section: type[Section]) -> str:
    lines = [f"## `{title}`", "", " ".join((section.__doc__ or "").split()), ""]
    if section is AccountSettings:
        lines += [
            "Names of accounts are `a-z`, `0-9` and `_`, without `__`. There may be any number of accounts.",
            "",
        ]
    for key, field in section.model_fields.items():
        secret = is_secret(field.annotation)
        lines += [
            f"### `{key}`",
            "",
            field.description or "",
            "",
            f"- {'secret, ' if secret else ''}{_kind(field)}; default: {_default(field)}",
            f"- environment: `{PREFIX}{variable}__{key.upper()}`"
            + (f" or `{PREFIX}{variable}__{key.upper()}_FILE`" if secret else ""),
            "",
        ]
    return "\n".join(lines)


def _kind(field: FieldInfo) -> str:
    declared: Any = field.annotation
    if type(None) in get_args(declared):
        declared = next(a for a in get_args(declared) if a is not type(None))
    if get_origin(declared) is tuple:
        return "list of texts"
    if get_origin(declared) is dict:
        return "table"
    return {bool: "true or false", int: "whole number", float: "number"}.get(declared, "text")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value == {}:
        return "`{}`"
    plain = (
        list(value)
        if isinstance(value, tuple)
        else value
        if isinstance(value, bool | int | float)
        else str(value)
    )
    return f"`{json.dumps(plain)}`"


if __name__ == "__main__":
    sys.stdout.write(reference())

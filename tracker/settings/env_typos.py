"""Variables that look like settings and are none, for want of a second underscore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracker.settings.field_types import Section
from tracker.settings.schema import Settings
from tracker.settings.sources import PREFIX, is_secret, is_table, member


def misnamed(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is ignored and that two underscores would make a setting.

    Other TRACKER_* are left alone, and so are addresses such as container platforms put into names like these.
    """
    for variable in sorted(environ):
        words = variable.removeprefix(PREFIX).lower().split("_")
        if not variable.startswith(PREFIX) or "" in words or environ[variable].startswith("tcp://"):
            continue
        meant = _meant(Settings, words)
        name = PREFIX + "__".join(meant or ()).upper()
        if meant is not None and len(meant) > 1 and name not in environ:
            yield f"{variable} is ignored, for it has single underscores; the setting is {name}"


def _meant(declared: Any, words: list[str]) -> list[str] | None:
    """The names that these words make up in a table; None where they make up none."""
    name = "_".join(words)
    is_section = isinstance(declared, type) and issubclass(declared, Section)
    secret = member(declared, name.removesuffix("_file")) if name.endswith("_file") else None
    if is_section and (member(declared, name) is not None or is_secret(secret)):
        return [name]
    for length in range(1, len(words)):
        head = "_".join(words[:length])
        inner = member(declared, head)
        if inner is not Any and is_table(inner) and (rest := _meant(inner, words[length:])):
            return [head, *rest]
    return None

"""Names options in the errors that services raise about fields."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracker.errors import AccountIncomplete, FieldError, InvalidInput


def name_options(error: InvalidInput, options: Mapping[str, str] | None = None) -> InvalidInput:
    """Return the error with options in place of fields; in messages, fields stand in backquotes.

    options: field → option, for options that are not called `--` and the field's name with dashes. An AccountIncomplete
    stays as it is, because it is about the configuration and not about an option.
    """
    if isinstance(error, AccountIncomplete):
        return error

    def option(field: str) -> str:
        return (options or {}).get(field) or "--" + field.replace("_", "-")

    def message(text: str) -> str:
        return re.sub("`([a-z_]+)`", lambda found: f"`{option(found[1])}`", text)

    return type(error)([FieldError(field=option(e.field), message=message(e.message)) for e in error.errors])

"""Summarises the settings for the log at start-up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr

from tracker.logs.redaction import MASK, mask_url_password
from tracker.settings.field_types import MaskPassword, Section, retention_text
from tracker.settings.schema import ConfigTables, Settings


def summarise_settings(settings: Settings) -> dict[str, object]:
    """Return every setting by its dotted name. Values are plain JSON, secrets masked."""
    return {
        key: value
        for name in ConfigTables.model_fields
        for key, value in _summary_of(getattr(settings, name), name, mask_password=False)
    }


def _summary_of(value: Any, name: str, *, mask_password: bool) -> Iterator[tuple[str, object]]:
    if isinstance(value, Section):
        for key, field in type(value).model_fields.items():
            mask = MaskPassword() in field.metadata
            yield from _summary_of(getattr(value, key), f"{name}.{key}", mask_password=mask)
    elif value and isinstance(value, dict) and all(isinstance(inner, BaseModel) for inner in value.values()):
        for key, inner in value.items():
            yield from _summary_of(inner, f"{name}.{key}", mask_password=False)
    else:
        yield name, _plain(value, mask_password=mask_password)


def _plain(value: Any, *, mask_password: bool) -> object:
    if mask_password and value is not None:
        return mask_url_password(value.get_secret_value() if isinstance(value, SecretStr) else str(value))
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple | list | frozenset):
        return [_plain(inner, mask_password=False) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner, mask_password=False) for key, inner in value.items()}
    if isinstance(value, timedelta):
        return retention_text(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)

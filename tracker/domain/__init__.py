"""Holds the meaning of calls as values and pure functions, without I/O and without a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make a class a hashable dataclass with keyword-only fields that are never assigned again.

    Use it for values of which every callback makes a dozen. The type checker refuses assignments, not the running
    program, because a dataclass with `frozen=True` takes three times as long to create.
    """
    return dataclass(kw_only=True, unsafe_hash=True)(cls)

"""Values: plain facts, made by keywords and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A dataclass whose fields are given by keyword and never assigned to again; it can be hashed and replaced.

    For what is made a dozen times for every callback. It is the type checker that refuses an assignment: a dataclass
    that refuses it itself, when it runs (`frozen`), takes three times as long to make.
    """
    return dataclass(kw_only=True, unsafe_hash=True)(cls)

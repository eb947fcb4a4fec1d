"""Rows of the database, in people's words instead of the names of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: what one row is, and several, where that is not the name of the table
_WORDS: Final = {
    "call_secrets": ("call's secret variables", "calls' secret variables"),
    "counts": ("count of what was not kept", "counts of what was not kept"),
    "exchanges": ("exchange with the provider", "exchanges with the provider"),
    "idempotency_keys": ("Idempotency-Key", "Idempotency-Keys"),
    "jobs": ("piece of due work", "pieces of due work"),
    "pace": ("account's pace", "accounts' paces"),
    "settings": ("note of the database's own", "notes of the database's own"),
    "waiting_keys": ("id that a callback waits for", "ids that callbacks wait for"),
}


def told(rows: Mapping[str, int]) -> str:
    """How many there are of each kind, without those of which there is none: `2 calls, 1 event`; may be empty."""
    return ", ".join(f"{n:,} {_of(name, n)}" for name, n in sorted(rows.items()) if n)


def _of(name: str, n: int) -> str:
    one, several = _WORDS.get(name, (name.removesuffix("s"), name))
    return one if n == 1 else several

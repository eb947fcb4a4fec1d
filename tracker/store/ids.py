"""Public ids: typed by a prefix and sortable by time, for example `call_01k9…` (a ULID in lower case)."""

from __future__ import annotations

from ulid import ULID


def new_id(prefix: str) -> str:
    """A new id: the prefix (`call`, `sub`, `ev`, `cb`, `ask`, `send`), `_`, and 26 characters that rise with time."""
    return f"{prefix}_{str(ULID()).lower()}"

"""Secrecy: secret variables are readable only until they are sent; a keyed digest of each remains."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from tracker.domain.calls import Call
from tracker.store.calls.secrets import load_secrets
from tracker.store.engine.database import Connection
from tracker.store.queue.keyed_digests import keyed_digest

_MASK: Final = re.compile(r"digest:[0-9a-f]{32}", re.ASCII)


def masked(c: Connection, variables: Mapping[str, str], secret: Collection[str]) -> dict[str, str]:
    """The variables with those that are secret as digests, as a call keeps them."""
    return {n: f"digest:{keyed_digest(c, v.encode())}" if n in secret else v for n, v in variables.items()}


def erased(c: Connection, call: Call) -> list[str]:
    """The names of variables of which only the digest is left, whatever is configured as secret by now."""
    hidden = {n for n, v in call.variables.items() if _MASK.fullmatch(v)}
    return sorted(hidden - load_secrets(c, call.id).keys()) if hidden else []

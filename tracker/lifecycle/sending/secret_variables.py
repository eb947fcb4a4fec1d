"""Keeps secret variables readable only until they are sent; a keyed digest of each remains."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from tracker.domain.calls import Call
from tracker.store.calls.secrets import load_secrets
from tracker.store.engine.database import Connection
from tracker.store.queue.keyed_digests import keyed_digest

_DIGEST: Final = re.compile(r"digest:[0-9a-f]{32}", re.ASCII)


def digest_secrets(c: Connection, variables: Mapping[str, str], secret: Collection[str]) -> dict[str, str]:
    """Return the variables of a call as it keeps them: those whose names are secret as digests."""
    return {
        name: f"digest:{keyed_digest(c, value.encode())}" if name in secret else value
        for name, value in variables.items()
    }


def find_erased_variables(c: Connection, call: Call) -> list[str]:
    """Return the names of variables of which only the digest is left, also of those that are not secret any more."""
    digests = {name for name, value in call.variables.items() if _DIGEST.fullmatch(value)}
    return sorted(digests - load_secrets(c, call.id).keys()) if digests else []

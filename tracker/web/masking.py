"""Finding secrets in what came over the wire, in whatever way they are written there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = b"***"
#: a secret that is shorter would tear holes into numbers and ids
_SHORTEST: Final = 4


class Masking:
    """Replaces secrets: as they are, percent-encoded (of a path, a query, a form), and escaped as in JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # longer ones first: one secret may be the beginning of another
        known = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=lambda s: (-len(s), s))
        self._plain = [s.encode() for s in known]
        self._encoded = [re.compile(b"".join(map(_spellings, s))) for s in known]

    def __call__(self, data: bytes) -> bytes:
        """The data with every occurrence of a secret replaced."""
        for secret in self._plain:
            if secret in data:
                data = data.replace(secret, MASK)
        # only these begin another spelling; most requests hold none of them
        if b"%" in data or b"\\" in data or b"+" in data:
            for pattern in self._encoded:
                data = pattern.sub(MASK, data)
        return data


def _spellings(character: str) -> bytes:
    """A pattern for one character in all its spellings."""
    raw = character.encode()
    units = character.encode("utf-16-be")
    escaped = "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2)).encode()
    found = [
        re.escape(raw),
        b"(?i:" + b"".join(b"%%%02x" % byte for byte in raw) + b")",
        rb"\\" + b"(?i:" + re.escape(escaped).removeprefix(rb"\\") + b")",
    ]
    if character == " ":
        found.append(rb"\+")
    if character in '"\\/':
        found.append(rb"\\" + re.escape(raw))
    return b"(?:" + b"|".join(reversed(found)) + b")"

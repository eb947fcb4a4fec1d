"""Finding secrets in what came over the wire, in whatever way they are written there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

MASK: Final = b"***"
#: a secret that is shorter would tear holes into numbers and ids
_SHORTEST: Final = 4
#: what stands behind a backslash in JSON for some characters
_BACKSLASHED: Final = {
    '"': b'"', "\\": b"\\", "/": b"/", "\b": b"b", "\f": b"f", "\n": b"n", "\r": b"r", "\t": b"t"
}  # fmt: skip


class Masking:
    """Replaces secrets: as they are, percent-encoded (of a path, a query, a form), and escaped as in JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # longer ones first: one secret may be the beginning of another
        known = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=lambda s: (-len(s), s))
        self._plain = [s.encode() for s in known]
        self._encoded = [re.compile(b"".join(map(_spellings, s))) for s in known]
        # whatever is not written as it is, has one of these in it; nearly every request has none, though it escapes
        self._begins = _begins({character for s in known for character in s})

    def __call__(self, data: bytes) -> bytes:
        """The data with every occurrence of a secret replaced."""
        for secret in self._plain:
            if secret in data:
                data = data.replace(secret, MASK)
        if self._may_be_escaped(data):
            for pattern in self._encoded:
                data = pattern.sub(MASK, data)
        return data

    def _may_be_escaped(self, data: bytes) -> bool:
        return any(mark in data and (escape is None or escape.search(data)) for mark, escape in self._begins)


def _begins(characters: Collection[str]) -> list[tuple[bytes, re.Pattern[bytes] | None]]:
    """How the spellings of these characters begin that are not the characters themselves: a byte to look for first,
    and what must follow it where it does."""
    percent = {b"%02x" % c.encode()[0] for c in characters}
    backslash = {b"u" + c.encode("utf-16-be")[:2].hex().encode() for c in characters}
    backslash |= {re.escape(_BACKSLASHED[c]) for c in characters if c in _BACKSLASHED}
    found: list[tuple[bytes, re.Pattern[bytes] | None]] = []
    if characters:
        found.append((b"%", re.compile(b"%%(?:%s)" % b"|".join(map(_any_case, sorted(percent))))))
        found.append((b"\\", re.compile(rb"\\(?:%s)" % b"|".join(map(_any_case, sorted(backslash))))))
    if " " in characters:
        found.append((b"+", None))
    return found


def _any_case(escape: bytes) -> bytes:
    # not (?i:…): the search would lose its literal beginning, and with it its speed
    return re.sub(rb"[a-fu]", lambda m: b"[" + m[0] + m[0].upper() + b"]", escape)


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
    if character in _BACKSLASHED:
        found.append(rb"\\" + re.escape(_BACKSLASHED[character]))
    return b"(?:" + b"|".join(reversed(found)) + b")"

"""Copies of a story: the same rows for another call. What names the call, its ids and its times are put in anew."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from bench.plan import PlannedCall
from bench.stories import PLAYED, Story

#: a part of a value: what stands there as it is, or the name of what is put in
_Part = tuple[str, bool]

_ID: Final = r"(?:call|sub|ev|cb|send|ask)_[0-9a-z]{26}"
_TIME: Final = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{6})?Z?"
_BASE: Final = PLAYED.provider_id.partition(":")[0]
_NUMBER: Final = PLAYED.to[1:]
_FRACTION: Final = f".{PLAYED.at:%f}"
_TOKENS: Final = re.compile(
    "|".join([_ID, _TIME, *map(re.escape, (_BASE, _NUMBER, PLAYED.campaign, PLAYED.reference))])
)
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
#: the last part of an id tells the rows of this filling apart, and what stands before it the filling
_serial = count(1)
#: a story has one callback at most, so one position a copy is enough
_positions = count(1)
_FILLING: Final = "".join(secrets.choice(_ALPHABET) for _ in range(10))


class Copier:
    """Makes the rows of a story for other calls. `columns` are those of each table, in the order of the values."""

    def __init__(self, story: Story) -> None:
        self.columns: dict[str, list[str]] = {name: list(rows[0]) for name, rows in story.rows.items()}
        self._ids: dict[str, tuple[str, timedelta]] = {}
        self._times: set[str] = set()
        for rows in story.rows.values():
            for row in rows:
                if isinstance(id := row.get("id"), str):
                    self._ids[id] = (id.partition("_")[0], _moment(row) - PLAYED.at)
        self._rows = {
            name: [[self._parts(value) for value in row.values()] for row in rows]
            for name, rows in story.rows.items()
        }

    def copy(self, call: PlannedCall) -> Iterator[tuple[str, list[list[Any]]]]:
        """The rows for this call, by table; every value a text, bytes, a number or None."""
        said = {
            _BASE: call.provider_id.partition(":")[0],
            _NUMBER: call.to[1:],
            PLAYED.campaign: call.campaign,
            PLAYED.reference: call.reference,
        }
        for id, (prefix, after) in self._ids.items():
            said[id] = f"{prefix}_{ulid(call.at + after)}"
        for text in self._times:
            said[text] = _shifted(text, call.at)
        position = next(_positions) if "inbox" in self._rows else 0
        for name, rows in self._rows.items():
            made = [[_joined(parts, said) for parts in row] for row in rows]
            if "position" in self.columns[name]:
                at = self.columns[name].index("position")
                made = [[*row[:at], position, *row[at + 1 :]] for row in made]
            yield name, made

    def _parts(self, value: Any) -> Any:
        if not isinstance(value, str | bytes):
            return value
        text = value if isinstance(value, str) else value.decode("latin-1")
        parts: list[_Part] = []
        end = 0
        for found in _TOKENS.finditer(text):
            if found.start() > end:
                parts.append((text[end : found.start()], False))
            parts.append((found[0], True))
            if re.fullmatch(_TIME, found[0]):
                self._times.add(found[0])
            else:
                assert "_" not in found[0] or found[0] in self._ids, f"the id {found[0]} is of no row"
            end = found.end()
        if not parts:
            return value
        if end < len(text):
            parts.append((text[end:], False))
        return _Made(parts, isinstance(value, bytes))


class _Made:
    __slots__ = ("as_bytes", "parts")

    def __init__(self, parts: list[_Part], as_bytes: bool) -> None:
        self.parts, self.as_bytes = parts, as_bytes


def _joined(value: Any, said: dict[str, str]) -> Any:
    if not isinstance(value, _Made):
        return value
    text = "".join([said[part] if named else part for part, named in value.parts])
    return text.encode("latin-1") if value.as_bytes else text


def _moment(row: dict[str, Any]) -> datetime:
    """When a row was written."""
    for column in ("recorded_at", "received_at", "requested_at", "created_at"):
        if row.get(column):
            return datetime.fromisoformat(row[column]).replace(tzinfo=UTC)
    raise AssertionError(f"no time in {list(row)}")


def _shifted(text: str, to: datetime) -> str:
    """A time, for a call that was placed at `to`, written as it was written; the provider's in whole seconds."""
    ours = _FRACTION in text
    since = to - PLAYED.at if ours else to.replace(microsecond=0) - PLAYED.at.replace(microsecond=0)
    at = datetime.fromisoformat(text.removesuffix("Z")) + since
    if text.endswith("Z"):  # as the interface writes it
        return at.isoformat() + "Z"
    return at.isoformat(text[10], "microseconds" if "." in text else "seconds")


def ulid(at: datetime) -> str:
    """26 characters that rise with time, and among those of one millisecond with the order of asking."""
    milliseconds, serial = int(at.timestamp() * 1000), next(_serial)
    high = "".join([_PAIRS[milliseconds >> shift & 1023] for shift in (40, 30, 20, 10, 0)])
    low = "".join([_PAIRS[serial >> shift & 1023] for shift in (20, 10, 0)])
    return f"{high}{_FILLING}{low}"

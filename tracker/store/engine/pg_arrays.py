"""Whole columns as PostgreSQL's arrays, in the binary form in which it takes them.

Written as text, an array costs the driver more for each value than all else that is done with it. Here whatever is
alike in a column is packed once, and what is not goes through as few steps of the interpreter as there can be. An
array is `bytes`, so it can be made beforehand and in another process; nothing is left to do when it is sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import orjson

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_header: Final = struct.Struct("!iiiii").pack
_length: Final = struct.Struct("!i").pack
_eight: Final = struct.Struct("!iq").pack
_NULL: Final = _length(-1)
#: before a value, by its length
_LENGTHS: Final = [_length(n) for n in range(256)]
_EIGHT, _ONE = _LENGTHS[8], _LENGTHS[1]


#: the kinds of values that are found again sooner than they are packed
_WORDS: Final = {"text", "integer", "boolean"}


class Array(bytes):
    """A column, packed. Its class says of which type, for the driver chooses by class."""

    __slots__ = ()

    #: PostgreSQL's name and number of the type of its values, and its number for arrays of them
    type: str
    of: int
    oid: int


class Texts(Array):
    __slots__ = ()
    type, of, oid = "text", 25, 1009


class Integers(Array):
    __slots__ = ()
    type, of, oid = "bigint", 20, 1016


class Booleans(Array):
    __slots__ = ()
    type, of, oid = "boolean", 16, 1000


class Bytes(Array):
    __slots__ = ()
    type, of, oid = "bytea", 17, 1001


class Moments(Array):
    __slots__ = ()
    type, of, oid = "timestamptz", 1184, 1185


class Jsons(Array):
    __slots__ = ()
    type, of, oid = "json", 114, 199


#: by the kind of a column
ARRAYS: Final[Mapping[str, type[Array]]] = {
    "text": Texts,
    "integer": Integers,
    "boolean": Booleans,
    "bytes": Bytes,
    "moment": Moments,
    "json": Jsons,
}


def array(kind: str, values: Collection[Any]) -> Array:
    """A column of values of one kind, or None, as one array.

    kind: a key of `ARRAYS`. A moment has a zone. Raises OverflowError for an integer of more than 64 bits, and
    UnicodeEncodeError for text that is none.
    """
    column: Sequence[Any] = values if isinstance(values, (list, tuple)) else list(values)
    cls = ARRAYS[kind]
    if not column:
        return cls(_header(0, 0, cls.of, 0, 0)[:12])
    if kind == "json":  # first of all: Python takes 1, 1.0 and True for equal
        column = [None if v is None else orjson.dumps(v) for v in column]
    return cls(_header(1, 1, cls.of, len(column), 1) + _packed(kind, column))


def _packed(kind: str, column: Sequence[Any]) -> bytes:
    first, count = column[0], len(column)
    if column.count(first) == count:
        return _one(kind, first) * count
    if kind == "text" and (alike := _of_one_length(column)):
        return alike
    if kind in _WORDS:
        distinct = set(column)
        if 2 * len(distinct) <= count:
            by_value = {value: _one(kind, value) for value in distinct}
            return b"".join(map(by_value.__getitem__, column))
    pack = _PACKED[kind]
    return b"".join([_NULL if value is None else pack(value) for value in column])


def _of_one_length(texts: Sequence[str | None]) -> bytes | None:
    """As ids are; None where they are not."""
    if None in texts:
        return None
    lengths = set(map(len, texts))  # type: ignore[arg-type]
    length = lengths.pop()
    if lengths or length > 127:
        return None
    before = _LENGTHS[length].decode()
    packed = before + before.join(texts)  # type: ignore[arg-type]
    return packed.encode() if packed.isascii() else None


def _one(kind: str, value: Hashable) -> bytes:
    return _NULL if value is None else _PACKED[kind](value)


def _text(value: str) -> bytes:
    return _bytes(value.encode())


def _bytes(value: bytes) -> bytes:
    count = len(value)
    return (_LENGTHS[count] if count < 256 else _length(count)) + value


def _integer(value: int) -> bytes:
    return _EIGHT + value.to_bytes(8, "big", signed=True)


def _moment(value: datetime) -> bytes:
    return _eight(8, (value - _EPOCH) // _MICROSECOND)


def _boolean(value: bool) -> bytes:
    return _ONE + (b"\x01" if value else b"\x00")


_PACKED: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "text": _text,
    "integer": _integer,
    "boolean": _boolean,
    "bytes": _bytes,
    "moment": _moment,
    "json": _bytes,
}


def register_dumpers(connection: Any) -> None:
    """Have a connection of psycopg's send these arrays as they are."""
    connection.adapters.register_dumper(Array, _dumper())


@cache
def _dumper() -> type[Any]:
    from psycopg.adapt import Dumper  # an optional extra
    from psycopg.pq import Format

    class AsItIs(Dumper):
        format = Format.BINARY

        def __init__(self, cls: type[Array], context: Any = None) -> None:
            super().__init__(cls, context)
            self.oid = cls.oid

        def dump(self, obj: Array) -> Array:
            return obj

    return AsItIs

"""Looks up a value among fields whose names and nesting other people chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

Value = TypeVar("Value")

#: the largest layer whose names are cached
_MAX_CACHED_KEYS: Final = 60
#: characters
_MAX_CACHED_KEY_LENGTH: Final = 100
_NESTING_TYPES: Final = frozenset({dict, list})


@lru_cache(maxsize=1024)
def canonical_name(key: str) -> str:
    """Return a field's name in lower case without `_`, `-` and blanks.

    `start_at`, `startAt` and `Start At` have one canonical name: `startat`.
    """
    return key[:200].lower().replace("_", "").replace("-", "").replace(" ", "")


class FieldLookup:
    """Fields in layers, to be looked up by canonical name. An earlier layer wins over a later one.

    In a layer, a key at its top wins over a key under a parent (`{"outgoing": {"status": …}}`) and over a key with its
    parent's name in it (`outgoing.status`). The last part of such a key is the name.
    """

    def __init__(self, layers: Sequence[Mapping[str, Any]]) -> None:
        self._layers = layers
        #: per layer its values by name; of a flat layer its keys by name, and the layer
        self._named: list[tuple[Mapping[str, Sequence[Any]], Mapping[str, Any] | None]] = []
        #: every text, also in nested objects and lists
        self.texts: list[str] = []
        for layer in layers:
            if _NESTING_TYPES.isdisjoint(map(type, layer.values())) and (keys := _keys_by_name(tuple(layer))):
                self._named.append((keys, layer))
                self.texts += [value for value in layer.values() if isinstance(value, str)]
                continue
            top: dict[str, list[Any]] = {}
            nested: dict[str, list[Any]] = {}
            self._walk(layer, top, nested)
            self._named += ((top, None), (nested, None))

    def _walk(
        self, layer: Mapping[str, Any], top: dict[str, list[Any]], nested: dict[str, list[Any]]
    ) -> None:
        # A queue instead of recursion, because the sender chooses how deep a body nests. Members of a list with several
        # items get no name, because nothing tells which item is meant.
        queue: list[tuple[dict[str, list[Any]] | None, Any]] = [(top, layer)]
        for names, node in queue:
            if isinstance(node, list):
                inner = nested if names is not None and len(node) == 1 else None
                queue += ((inner, child) for child in node if isinstance(child, dict | list))
                self.texts += (child for child in node if isinstance(child, str))
                continue
            for key, value in node.items():
                if isinstance(value, dict | list):
                    queue.append((None if names is None else nested, value))
                    continue
                if isinstance(value, str):
                    self.texts.append(value)
                if names is not None:
                    parent, dot, last = key.rpartition(".")
                    target = nested if dot and parent else names
                    target.setdefault(canonical_name(last), []).append(value)

    def all_values(self, names: Sequence[str]) -> list[Any]:
        """Return every value of these canonical names, by layer, and within a layer in the order of `names`."""
        values: list[Any] = []
        for group, layer in self._named:
            for name in names:
                if entries := group.get(name):
                    values += entries if layer is None else [layer[key] for key in entries]
        return values

    def first_value(self, names: Sequence[str], parse: Callable[[Any], Value | None]) -> Value | None:
        """Return the first value of these canonical names of which `parse` returns something, as parsed."""
        for group, layer in self._named:
            for name in names:
                for entry in group.get(name, ()):
                    parsed = parse(entry if layer is None else layer[entry])
                    if parsed is not None:
                        return parsed
        return None

    def values_at(self, key: str) -> Iterator[Any]:
        """Yield the values of a configured key: as it is written, as a path with dots, or under any parent."""
        for layer in self._layers:
            if key in layer:
                yield layer[key]
        if "." in key:
            for layer in self._layers:
                node: Any = layer
                for part in key.split("."):
                    node = node.get(part) if isinstance(node, Mapping) else None
                yield node
        else:
            yield from self.all_values((canonical_name(key),))

    @property
    def names(self) -> frozenset[str]:
        """The canonical names of all fields."""
        return frozenset(name for group, _ in self._named for name in group)


@lru_cache(maxsize=256)
def _keys_by_name(keys: tuple[str, ...]) -> dict[str, list[str]] | None:
    """Return the keys of a flat layer by their canonical names; None if a key names a parent or is too long.

    Cached, because the callbacks of an account have the same keys again and again. The limits bound the memory that
    strangers can fill.
    """
    if len(keys) > _MAX_CACHED_KEYS or any("." in key or len(key) > _MAX_CACHED_KEY_LENGTH for key in keys):
        return None
    names: dict[str, list[str]] = {}
    for key in keys:
        names.setdefault(canonical_name(key), []).append(key)
    return names

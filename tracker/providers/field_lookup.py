"""Finding a value among fields whose names and nesting were chosen by somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

Value = TypeVar("Value")

#: of a layer whose names are remembered
_MAX_CACHED_KEYS = 60
_MAX_CACHED_KEY_LENGTH = 100
#: what JSON's nested values are
_NESTING_TYPES = frozenset({dict, list})


@lru_cache(maxsize=1024)
def canonical_name(key: str) -> str:
    """A field's name without case, `_`, `-` and spaces: `start_at`, `startAt` and `Start At` are one name."""
    return key[:200].lower().replace("_", "").replace("-", "").replace(" ", "")


class FieldLookup:
    """Fields by name, in layers of which an earlier one goes before a later one (a body before a query).

    Within a layer a key as it is written goes before one that stands under a parent (`{"outgoing": {"status": …}}`)
    or carries its parent's name (`outgoing.status`): of those the last part counts. Names are canonical.
    """

    def __init__(self, layers: Sequence[Mapping[str, Any]]) -> None:
        self._layers = layers
        #: by name the values, or where there is a flat layer beside them, their keys in it
        self._named: list[tuple[Mapping[str, Sequence[Any]], Mapping[str, Any] | None]] = []
        #: every text anywhere, in objects and lists
        self.texts: list[str] = []
        for layer in layers:
            if _NESTING_TYPES.isdisjoint(map(type, layer.values())) and (
                names := _keys_by_name(tuple(layer))
            ):
                self._named.append((names, layer))
                self.texts += [value for value in layer.values() if isinstance(value, str)]
                continue
            literal: dict[str, list[Any]] = {}
            nested: dict[str, list[Any]] = {}
            self._walk(layer, literal, nested)
            self._named += ((literal, None), (nested, None))

    def _walk(
        self, layer: Mapping[str, Any], literal: dict[str, list[Any]], nested: dict[str, list[Any]]
    ) -> None:
        # A queue, not recursion: how deep a body nests is its sender's choice. What lies in a list of several has
        # no name here, for nothing says which of them is meant.
        queue: list[tuple[dict[str, list[Any]] | None, Any]] = [(literal, layer)]
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

    def all(self, names: Sequence[str]) -> list[Any]:
        """Every value of these names, the surest first; among equals in the order of `names`."""
        found: list[Any] = []
        for group, layer in self._named:
            for name in names:
                if values := group.get(name):
                    found += values if layer is None else [layer[key] for key in values]
        return found

    def first(self, names: Sequence[str], read: Callable[[Any], Value | None]) -> Value | None:
        """The first value of these names that `read` can make something of."""
        for group, layer in self._named:
            for name in names:
                for value in group.get(name, ()):
                    found = read(value if layer is None else layer[value])
                    if found is not None:
                        return found
        return None

    def at(self, key: str) -> Iterator[Any]:
        """The values of a key that somebody configured: as it is written, as a path with dots, under any parent."""
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
            yield from self.all((canonical_name(key),))

    @property
    def names(self) -> frozenset[str]:
        """The names of all fields, in all layers."""
        return frozenset(name for group, _ in self._named for name in group)


@lru_cache(maxsize=256)
def _keys_by_name(keys: tuple[str, ...]) -> dict[str, list[str]] | None:
    """The keys of a layer by their names; None where one names a parent.

    An account's callbacks have the same keys again and again. What strangers make up is bounded, in number and length.
    """
    if len(keys) > _MAX_CACHED_KEYS or any("." in key or len(key) > _MAX_CACHED_KEY_LENGTH for key in keys):
        return None
    names: dict[str, list[str]] = {}
    for key in keys:
        names.setdefault(canonical_name(key), []).append(key)
    return names

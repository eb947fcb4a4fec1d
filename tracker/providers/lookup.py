"""Finding a value among fields whose names and nesting were chosen by somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

Value = TypeVar("Value")


@lru_cache(maxsize=1024)
def canonical(key: str) -> str:
    """A field's name without case, `_`, `-` and spaces: `start_at`, `startAt` and `Start At` are one name."""
    return key[:200].lower().replace("_", "").replace("-", "").replace(" ", "")


class Lookup:
    """Fields by name, in layers of which an earlier one goes before a later one (a body before a query).

    Within a layer a key as it is written goes before one that stands under a parent (`{"outgoing": {"status": …}}`)
    or carries its parent's name (`outgoing.status`): of those the last part counts. Names are canonical.
    """

    def __init__(self, layers: Sequence[Mapping[str, Any]]) -> None:
        self._layers = layers
        self._named: list[dict[str, list[Any]]] = []
        #: every text anywhere, in objects and lists
        self.texts: list[str] = []
        for layer in layers:
            literal: dict[str, list[Any]] = {}
            nested: dict[str, list[Any]] = {}
            self._walk(layer, literal, nested)
            self._named += (literal, nested)

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
                    target.setdefault(canonical(last), []).append(value)

    def all(self, names: Sequence[str]) -> Iterator[Any]:
        """Every value of these names, the surest first; among equals in the order of `names`."""
        for group in self._named:
            for name in names:
                if name in group:
                    yield from group[name]

    def first(self, names: Sequence[str], read: Callable[[Any], Value | None]) -> Value | None:
        """The first value of these names that `read` can make something of."""
        for value in self.all(names):
            if (found := read(value)) is not None:
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
            yield from self.all((canonical(key),))

    @property
    def names(self) -> frozenset[str]:
        """The names of all fields, in all layers."""
        return frozenset(name for group in self._named for name in group)

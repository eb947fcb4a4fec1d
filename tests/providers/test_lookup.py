"""Fields by name: what is remembered of flat bodies changes nothing of what is found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.providers.field_lookup import FieldLookup

NAMES = ("id", "callid", "status", "to", "startat")
KEYS = st.sampled_from(
    ["id", "ID", "call_id", "callId", "Status", "status", "to", "start_at", "Start At", "other"]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))


def found(lookup: FieldLookup) -> tuple[Any, ...]:
    return (
        [list(lookup.all((name,))) for name in NAMES],
        list(lookup.all(NAMES)),
        lookup.first(NAMES, lambda value: value or None),
        lookup.names,
        sorted(lookup.texts),
    )


@given(st.lists(st.dictionaries(KEYS, SCALARS, max_size=6), max_size=3))
def test_a_flat_body_is_read_like_any_other(layers: list[dict[str, Any]]) -> None:
    walked = FieldLookup([])
    for layer in layers:
        literal: dict[str, list[Any]] = {}
        walked._walk(layer, literal, {})
        walked._named.append((literal, None))
    assert found(FieldLookup(layers)) == found(walked)


@given(st.lists(st.dictionaries(KEYS, SCALARS, min_size=1, max_size=6), min_size=1, max_size=3))
def test_the_same_keys_with_something_nested_are_not_taken_for_flat(layers: list[dict[str, Any]]) -> None:
    found(FieldLookup(layers))
    nested = [{**layer, next(iter(layer)): {"status": "BUSY"}} for layer in layers]
    assert "BUSY" in list(FieldLookup(nested).all(("status",)))


@pytest.mark.parametrize("keys", [[f"k{n}" for n in range(200)], ["k" * 5000]])
def test_what_is_too_large_to_be_remembered_is_found(keys: list[str]) -> None:
    assert FieldLookup([{**dict.fromkeys(keys, 1), "status": "BUSY"}]).first(("status",), str) == "BUSY"

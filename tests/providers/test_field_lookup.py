"""Tests that the cache of flat layers changes nothing of what a lookup returns."""

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


def look_up_all(lookup: FieldLookup) -> tuple[Any, ...]:
    """Return everything that the lookup knows."""
    return (
        [lookup.all_values((name,)) for name in NAMES],
        lookup.all_values(NAMES),
        lookup.first_value(NAMES, lambda value: value or None),
        lookup.names,
        sorted(lookup.texts),
    )


@given(st.lists(st.dictionaries(KEYS, SCALARS, max_size=6), max_size=3))
def test_flat_layer_is_looked_up_like_a_nested_one(layers: list[dict[str, Any]]) -> None:
    nested = [{**layer, "empty": {}} for layer in layers]  # the empty object has no field

    assert look_up_all(FieldLookup(layers)) == look_up_all(FieldLookup(nested))


@given(st.lists(st.dictionaries(KEYS, SCALARS, min_size=1, max_size=6), min_size=1, max_size=3))
def test_nested_layer_is_not_taken_for_a_cached_flat_one(layers: list[dict[str, Any]]) -> None:
    look_up_all(FieldLookup(layers))
    nested = [{**layer, next(iter(layer)): {"status": "BUSY"}} for layer in layers]

    assert "BUSY" in FieldLookup(nested).all_values(("status",))


@pytest.mark.parametrize("keys", [[f"k{n}" for n in range(200)], ["k" * 5000]])
def test_layer_too_large_for_the_cache_is_looked_up(keys: list[str]) -> None:
    lookup = FieldLookup([{**dict.fromkeys(keys, 1), "status": "BUSY"}])

    assert lookup.first_value(("status",), str) == "BUSY"

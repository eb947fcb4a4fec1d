"""Tests that a request with wrong fields names each of them and stores nothing."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.lifecycle.house import NUMBER, House
from tracker.errors import InvalidInput
from tracker.store.schema import tables


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        (
            {"to": "91886713XXXX", "audio": "ftp://x", "interval": 7, "bogus": 1},
            {"to", "audio", "interval", "bogus"},
        ),
        ({"flow_id": "1"}, {"to"}),
        ({"to": NUMBER}, {"flow_id"}),
        ({"to": NUMBER, "flow_id": "1", "audio": "http://a.example/b.mp3"}, {"audio"}),
        ({"to": NUMBER, "flow_id": "1", "variables": {"1x": "a"}}, {"variables"}),
        ({"to": NUMBER, "flow_id": "1", "not_before": "2026-01-01T00:00:00"}, {"not_before"}),
        ({"to": NUMBER, "flow_id": "1", "reference": "x" * 201}, {"reference"}),
        ({"to": NUMBER, "flow_id": "1", "rule": "default", "policy": "x"}, {"rule", "policy"}),
        ({"to": NUMBER, "flow_id": "1", "account": "nobody"}, {"account"}),
        ({"to": "12345", "flow_id": "1", "bridge": "12"}, {"to", "bridge"}),
    ],
)
def test_every_wrong_field_is_named(house: House, fields: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        house.program.placer.place(fields)
    assert {e.field for e in raised.value.errors} == wrong
    with house.database.engine.connect() as c:
        assert c.scalar(sa.select(sa.func.count()).select_from(tables.calls)) == 0
